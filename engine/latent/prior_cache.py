"""Load the cached label prior of a run (prior.npz, beside the checkpoint), or fit it from the run's data."""

import time
from collections.abc import Callable

import numpy as np

from engine import files, random_streams
from engine.dataset import Dataset, Split
from engine.latent import likelihood_bounds, local_prior, prior_fit
from engine.latent.local_prior import LocalPrior
from engine.latent.prior import STANDARD_NORMAL, LabelPrior, Prior
from engine.random_streams import HELD_OUT
from engine.runs import checkpoints
from engine.runs.options import REFERENCE
from engine.runs.trained_model import Trained
from engine.terminal import Failure, Progress, say

NAME = "prior.npz"
IMAGES = 60_000  # most training images that the prior is fitted to
HELD_OUT_IMAGES = 5_000  # most validation images that choose the number of components
BLOCK = 5_000  # images encoded at a time
FEW = 10  # training images per latent: if the median label has fewer, the prior is a LocalPrior
LARGEST = 1 << 24  # numbers: also if one covariance per label would have more
FAR = 1e30  # bound on the stored means and variances: float32 ends at 3e38


def load_or_fit(run: Trained, dataset: Callable[[], Dataset], needed: bool = True) -> Prior:
    """Load the run's label prior from prior.npz, or fit it, print a line, and write prior.npz.

    prior.npz is not written for another checkpoint than the default one, nor into the shipped run's folder.

    Args:
        needed: if False, a Failure of `dataset` or `fit` is printed, and N(0, I) returned.
    """
    path, why = run.folder / NAME, ""
    if path.exists():
        try:
            return read(run)
        except Failure as error:
            why = f" ({error})"
    began = time.perf_counter()
    try:
        split = dataset()
        prior = fit(run, split.train, split.validation)
    except Failure as error:
        if needed:
            raise
        say(f"no label prior{why}, so z comes from N(0, I): {error}")
        return STANDARD_NORMAL
    keep = run.step == checkpoints.default_step(run.folder) and run.folder.resolve() != REFERENCE.resolve()
    if keep:
        write(run, prior)
    kept, seconds = f"kept in {path}" if keep else "not kept", time.perf_counter() - began
    say(f"label prior: {len(prior.labels)} Gaussians, fitted in {seconds:.0f} s, {kept}{why}")
    return prior


def fit(run: Trained, train: Split, validation: Split) -> LabelPrior:
    """Fit the prior to q(z|x, y) of the training images; the validation images choose the number of components.

    If labels have too few images to estimate a covariance of that many latents, or these covariances were too large,
    the prior is a LocalPrior. Raises Failure if q's mean or variance is not finite, as after diverged training.
    """
    labels, latents = run.config.num_labels, run.config.latent_dim
    few = np.median(np.bincount(train.labels, minlength=labels)) < FEW * latents
    mean, a, y = _encoded(run, train, IMAGES)
    with np.errstate(over="ignore"):
        variance = np.exp(2 * a.astype(np.float64))
    if not (np.isfinite(mean).all() and variance.max() < 1e12):
        raise Failure("the encoder's z are not finite; train with a smaller --learn-rate")
    if few or labels * latents**2 > LARGEST:
        return local_prior.fit(mean, variance, y, labels, run.config.seed)
    held_mean, held_a, held_y = _encoded(run, validation, HELD_OUT_IMAGES)
    eps = random_streams.normal(held_mean.shape, run.config.seed, "evaluate", HELD_OUT).numpy()
    held_out = held_mean + np.exp(held_a.astype(np.float64)) * eps, held_y
    return prior_fit.fit(mean, variance, y, labels, held_out, run.config.seed)


def _encoded(run: Trained, split: Split, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Encode at most `most` images, drawn with a fixed seed: mean and ln σ of q(z|x, y), (n, L) each; labels (n,)."""
    chosen, parts = np.sort(np.random.default_rng(0).permutation(len(split.labels))[:most]), []
    with Progress(len(chosen), "label prior: images encoded") as bar:
        for i in range(0, len(chosen), BLOCK):
            which = chosen[i : i + BLOCK]
            parts.append(likelihood_bounds.posterior(run.model, split.images[which], split.labels[which]))
            bar.advance(len(which))
    return *(np.concatenate(part) for part in zip(*parts, strict=True)), split.labels[chosen]


def write(run: Trained, prior: LabelPrior) -> None:
    """Write prior.npz into the run's folder, atomically."""
    arrays = {key: getattr(prior, key) for key in prior.ARRAYS}
    files.write_npz(run.folder / NAME, step=np.int64(run.step), config=np.str_(run.config.digest), **arrays)


def read(run: Trained) -> LabelPrior:
    """Read the prior in the run's folder. Raises Failure if it is missing, damaged, or of another checkpoint or run."""
    path, count, latents = run.folder / NAME, run.config.num_labels, run.config.latent_dim
    try:
        arrays = files.read_npz(path, 1 << 28)  # bytes
        step, config = int(arrays["step"]), str(arrays["config"])
        kind = LocalPrior if "sigmas" in arrays else LabelPrior
        if kind is LocalPrior and arrays["means"].size > local_prior.LARGEST + count * latents:
            raise ValueError("more pictures than a run writes")
        prior = kind(*(arrays[key] for key in kind.ARRAYS))  # raises if a covariance is not positive definite
        good = prior.latent_dim == latents and np.array_equal(np.unique(prior.labels), np.arange(count))
        good &= all((np.abs(arrays[key]) < FAR).all() for key in kind.ARRAYS)  # False for NaN
        good &= (arrays[kind.ARRAYS[1]] > 0).all()
        if not good:
            raise ValueError("of other labels or latents, or beyond float32")
    except Exception as error:  # wrong dtypes and shapes may raise any exception
        raise Failure(f"{path} was damaged ({type(error).__name__})") from None
    if step != run.step or not run.config.matches(config):
        raise Failure(f"{path} was of step {step:,}, or of another run")
    return prior
