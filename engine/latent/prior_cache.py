"""Load the cached label prior of a run (prior.npz, beside the checkpoint), or fit it from the run's data."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from engine import npz, random_streams
from engine.dataset import Dataset, Split
from engine.latent import elbo, prior_fit
from engine.latent.prior import STANDARD_NORMAL, LabelPrior, Prior
from engine.random_streams import HELD_OUT
from engine.runs import checkpoints
from engine.runs.options import REFERENCE
from engine.runs.trained_model import Trained
from engine.terminal import Failure, Progress, say

NAME = "prior.npz"
PER_LABEL, IN_ALL = 2_000, 60_000  # training images that the prior is fitted to, at most
HELD_OUT_IMAGES = 5_000  # validation images that choose the number of components, at most
BLOCK = 5_000  # images encoded at a time
LARGEST_FILE = 1 << 28  # bytes, decompressed
FAR = 1e30  # no mean or variance reaches it: z is float32, whose largest number is 3e38
ARRAYS = ("labels", "weights", "means", "covariances")


class Unusable(Exception):
    """prior.npz is missing, damaged, or of another checkpoint or run; the text says which."""


def load_or_fit(
    run: Trained, dataset: Callable[[], Dataset], anew: bool = False, keep: bool = True, needed: bool = True
) -> Prior:
    """The run's label prior from its prior.npz; else fit it, say so in a line, and write prior.npz.

    Args:
        dataset: returns the run's data, or raises Failure.
        anew: fit it, even if there is a prior.npz that is valid.
        keep: False writes nothing. To the shipped run's folder nothing is ever written.
        needed: False returns N(0, I) where the prior cannot be fitted, and a line says why.

    Raises:
        Failure: needed, and the data is not at hand or q(z|x, y) is not finite.
    """
    path = run.folder / NAME
    why = " (as asked for)"
    try:
        if not anew:
            return read(run)
    except Unusable as error:
        why = f" ({error})"
    reason = why if path.exists() else ""
    began = time.perf_counter()
    try:
        split = dataset()
        prior = fit(run, split.train, split.validation)
    except Failure as error:
        if needed:
            raise
        say(f"no label prior{why}, so z comes from N(0, I): {error}")
        return STANDARD_NORMAL
    if run.folder.resolve() == REFERENCE.resolve():
        place = ", not kept: the shipped run is only read"
    elif keep:
        write(run, prior)
        place = f" → {path}"
    else:
        place = ", not kept"
    count, seconds = int(np.bincount(prior.labels).max()), time.perf_counter() - began
    say(f"label prior: {count} Gaussian{'s' * (count > 1)} for each label, fitted in {seconds:.0f} s{place}{reason}")
    return prior


def fit(run: Trained, train: Split, validation: Split) -> LabelPrior:
    """Fit the prior to q(z|x, y) of the training images; the validation images choose the number of components.

    Raises:
        Failure: some q has no finite moments, as after a training that diverges.
    """
    chosen, held = _sample(train.labels, IN_ALL), _sample(validation.labels, HELD_OUT_IMAGES)
    with Progress(len(chosen) + len(held), "label prior: images encoded") as bar:
        mean, a = _encoded(run, train, chosen, bar)
        held_mean, held_a = _encoded(run, validation, held, bar)
    eps = random_streams.normal(held_mean.shape, run.config.seed, "evaluate", HELD_OUT).numpy()
    held_out = held_mean + np.exp(held_a.astype(np.float64)) * eps, validation.labels[held]
    with np.errstate(over="ignore"):
        variance = np.exp(2 * a.astype(np.float64))
    if not (np.isfinite(mean).all() and variance.max() < 1e12):
        raise Failure("the encoder's z are not finite; train with a smaller --learn-rate")
    labels = run.config.num_labels
    with Progress(labels * len(prior_fit.COMPONENTS), "label prior: mixtures fitted") as bar:
        return prior_fit.fit(mean, variance, train.labels[chosen], labels, held_out, run.config.seed, bar.advance)


def _sample(y: np.ndarray, most: int) -> np.ndarray:
    """Indices of at most PER_LABEL random images of each label (N,), and of `most` in all. Always the same ones."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]  # label by label
    rank = np.arange(len(y)) - np.searchsorted(y[order], y[order])  # within its label
    return np.sort(rng.permutation(order[rank < PER_LABEL])[:most])


def _encoded(run: Trained, split: Split, chosen: np.ndarray, bar: Progress) -> tuple[np.ndarray, np.ndarray]:
    """q's mean and ln σ of the chosen images of a split, (n, L) each."""
    parts = []
    for i in range(0, len(chosen), BLOCK):
        which = chosen[i : i + BLOCK]
        parts.append(elbo.posterior(run.model, split.images[which], split.labels[which])[:2])
        bar.advance(len(which))
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def of_newest(run: Trained) -> bool:
    """Whether the run was loaded from its newest checkpoint, to which its prior.npz belongs."""
    newest = checkpoints.newest_first(run.folder)
    return bool(newest) and checkpoints.step_of(newest[0]) == run.step


def write(run: Trained, prior: LabelPrior) -> None:
    """Write prior.npz into the run's folder, whole or not at all."""
    arrays = {key: getattr(prior, key) for key in ARRAYS}
    npz.write(run.into(run.folder) / NAME, step=np.int64(run.step), config=np.str_(run.config.digest), **arrays)


def read(run: Trained) -> LabelPrior:
    """The prior in the run's folder.

    Raises:
        Unusable: there is none, it is damaged, or it belongs to another checkpoint or run.
    """
    path = run.folder / NAME
    if not path.is_file():
        raise Unusable(f"{run.folder} has no {NAME}")
    try:
        arrays = npz.read(path, LARGEST_FILE)
        _check(*(arrays[key] for key in ARRAYS), run.config.num_labels, run.config.latent_dim)
        step, config = int(arrays["step"]), str(arrays["config"])
    except Exception as error:  # arrays of other kinds and shapes make nearly anything raise
        raise Unusable(f"{path} was damaged ({type(error).__name__})") from None
    same_run = run.config.matches(config)
    if step != run.step or not same_run:
        raise Unusable(f"{path} was of step {step:,} of {'this' if same_run else 'another'} run")
    return LabelPrior(*(arrays[key] for key in ARRAYS))


def _check(
    labels: np.ndarray,
    weights: np.ndarray,
    means: np.ndarray,
    covariances: np.ndarray,
    num_labels: int,
    latent_dim: int,
) -> None:
    """Raises ValueError or LinAlgError unless these make a prior for so many labels and latents."""
    count, numbers = len(labels), (weights, means, covariances)
    good = (labels.shape, weights.shape, means.shape) == ((count,), (count,), (count, latent_dim))
    good &= covariances.shape in ((count, latent_dim, latent_dim), (count, latent_dim))
    good &= labels.dtype.kind == "i" and (np.unique(labels) == np.arange(num_labels)).all()
    good &= all(array.dtype == np.float64 and (np.abs(array) < FAR).all() for array in numbers)
    good &= (np.diff(labels) >= 0).all() and (weights > 0).all()
    good &= np.allclose(np.bincount(labels, weights), 1)
    if not good:
        raise ValueError
    variances = covariances
    if covariances.ndim == 3:
        if not np.array_equal(covariances, covariances.swapaxes(1, 2)):
            raise ValueError
        variances = np.linalg.eigvalsh(covariances)
    if variances.min() <= 0:
        raise ValueError
