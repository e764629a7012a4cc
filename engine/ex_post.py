"""The label prior of a run: fitted after training, kept as prior.npz beside the checkpoint that it belongs to."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np

from engine import checkpoints, kept, mixture, noise
from engine.evaluation import likelihood
from engine.evaluation.task import HELD_OUT, subset
from engine.kept import Unusable
from engine.prior import Prior
from engine.terminal import Failure
from engine.trained import Trained

NAME = "prior.npz"
MOST = 60_000  # training images that the prior is fitted to; of more, so many
LARGEST_FILE = 1 << 28  # bytes, decompressed
FAR = 1e30  # no mean or variance reaches it: z is float32, whose largest number is 3e38
ARRAYS = ("labels", "weights", "means", "covariances")


def fit(run: Trained, train: object, validation: object) -> Prior:
    """Fit the prior to q(z|x, y) of the training images; the validation images say with how many components.

    Raises:
        Failure: some q has no finite moments, as after a training that diverges.
    """
    train, validation = subset(train, MOST, 0), subset(validation, MOST // 10, 0)
    mean, a, _ = likelihood.posterior(run.model, *train)
    held_mean, held_a, _ = likelihood.posterior(run.model, *validation)
    eps = noise.normal(held_mean.shape, run.config.seed, "evaluate", HELD_OUT).numpy()
    held_out = held_mean + np.exp(held_a.astype(np.float64)) * eps, validation[1]
    with np.errstate(over="ignore"):
        variance = np.exp(2 * a.astype(np.float64))
    if not (np.isfinite(mean).all() and variance.max() < 1e12):
        raise Failure("the encoder's z are not finite; train with a smaller --learn-rate")
    return mixture.fit(mean, variance, train[1], run.config.num_labels, held_out, run.config.seed)


def keep_or_fit(
    run: Trained, dataset: Callable[[], object], anew: bool = False, keep: bool = True, needed: bool = True
) -> Prior | None:
    """The run's prior as it is kept; else fitted now, which a line says, and kept.

    Args:
        dataset: gives the run's data, or raises Failure.
        anew: fit it, whatever is kept.
        keep: False leaves what is kept as it is.
        needed: False: where it cannot be fitted, None, and a line that says why.
    """

    def kept_one() -> Prior:
        if anew:
            raise Unusable("as asked for")
        return read(run)

    def fitted(split: object) -> tuple[Prior, str]:
        found = fit(run, split.train, split.validation)
        count = int(np.bincount(found.labels).max())
        return found, f"label prior: {count} Gaussian{'s' * (count > 1)} for each label, fitted"

    without = "no label prior, so z comes from N(0, I)"
    write_it = functools.partial(write, run)
    return kept.or_made(run.folder / NAME, kept_one, dataset, fitted, write_it, without, keep, needed)


def of_newest(run: Trained) -> bool:
    """Whether the run was loaded from its newest checkpoint, to which the prior that is kept belongs."""
    newest = checkpoints.newest_first(run.folder)
    return bool(newest) and checkpoints.step_of(newest[0]) == run.step


def write(run: Trained, found: Prior) -> None:
    """Write prior.npz into the run's folder, whole or not at all."""
    arrays = {key: getattr(found, key) for key in ARRAYS}
    kept.write(run.into(run.folder) / NAME, step=np.int64(run.step), config=np.str_(run.config.digest), **arrays)


def read(run: Trained) -> Prior:
    """The prior in the run's folder.

    Raises:
        Unusable: there is none, it is damaged, or it belongs to another checkpoint or run.
    """

    def take(arrays: dict[str, np.ndarray]) -> tuple[Prior, int, str]:
        found = Prior(*(arrays[key] for key in ARRAYS))
        _check(found, run.config.num_labels, run.config.latent_dim)
        return found, int(arrays["step"]), str(arrays["config"])

    path = run.folder / NAME
    found, step, config = kept.read(path, LARGEST_FILE, take)
    if (step, config) != (run.step, run.config.digest):
        raise Unusable(f"{path} was of step {step:,} of {'this' if config == run.config.digest else 'another'} run")
    return found


def _check(found: Prior, num_labels: int, latent_dim: int) -> None:
    """Raises ValueError or LinAlgError unless this is a prior for so many labels and latents."""
    count = len(found.labels)
    shapes = [(count,), (count,), (count, latent_dim)]
    good = [array.shape for array in (found.labels, found.weights, found.means)] == shapes
    good &= found.covariances.shape in ((count, latent_dim, latent_dim), (count, latent_dim))
    good &= found.labels.dtype.kind == "i" and (np.unique(found.labels) == np.arange(num_labels)).all()
    good &= all(array.dtype == np.float64 for array in (found.weights, found.means, found.covariances))
    good &= all((np.abs(array) < FAR).all() for array in (found.weights, found.means, found.covariances))
    good &= (np.diff(found.labels) >= 0).all() and (found.weights > 0).all()
    good &= np.allclose(np.bincount(found.labels, found.weights), 1)
    if not good:
        raise ValueError
    if found.covariances.ndim == 2:
        variances = found.covariances
    elif np.array_equal(found.covariances, found.covariances.swapaxes(1, 2)):
        variances = np.linalg.eigvalsh(found.covariances)
    else:
        raise ValueError
    if variances.min() <= 0:
        raise ValueError
