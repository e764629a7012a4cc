"""Estimate the ELBO and the importance-weighted bound on ln p(x|y), under any prior and for any label."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from engine.dataset import Split
from engine.latent.prior import LOG_2PI, STANDARD_NORMAL, Prior
from engine.random_streams import normal
from model import CVAE, ROUNDING, gaussian_kl, sample

BATCH = 500  # images decoded at a time: fits the CPU's cache; the results do not depend on it


class Bounds(NamedTuple):
    """Per image, in nats, under one prior: −ELBO = nll + kl ≥ −iw ≥ −ln p(x|y) in expectation."""

    nll: np.ndarray  # (N,) E_q[−ln p(x|z, y)], the mean over k samples of z
    kl: np.ndarray  # (N,) KL(q(z|x, y) ‖ prior): closed form for N(0, I), else the mean of ln q/p over the samples
    iw: np.ndarray  # (N,) ln (1/k) Σ p(x|z, y) prior(z) / q(z|x, y), the importance-weighted bound on ln p(x|y)


_encode = tf.function(lambda model, x, y: model.encode(x, y), reduce_retracing=True)


@tf.function(reduce_retracing=True)
def _weigh(
    model: CVAE, priors: tuple[Prior, ...], x: tf.Tensor, y: tf.Tensor, mean: tf.Tensor, a: tf.Tensor, noise: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Of z = sample(mean, a, noise): −ln p(x|z, y), (B,), and per prior KL(q ‖ prior) and ln p(z|y)/q(z|x, y)."""
    z = sample(mean, a, noise)
    nll = tf.cast(model.nll(x, model.decode(z, y)), tf.float64)
    exact = tf.cast(gaussian_kl(mean, a), tf.float64)
    a, noise = tf.cast(a, tf.float64), tf.cast(noise, tf.float64)
    log_q = -tf.reduce_sum(0.5 * (noise**2 + LOG_2PI) + a, axis=1)
    ratios = [prior.log_density(z, y) - log_q for prior in priors]
    kl = [exact if prior is STANDARD_NORMAL else -ratio for prior, ratio in zip(priors, ratios, strict=True)]
    return nll, tf.stack(kl), tf.stack(ratios)


def in_unit(x: np.ndarray) -> np.ndarray:
    """Scale uint8 images to 0–1 (S3). Floats are in 0–1 already and are returned as they are."""
    return x / np.float32(255) if x.dtype == np.uint8 else x


def _batches(count: int) -> list[slice]:
    return [slice(i, i + BATCH) for i in range(0, count, BATCH)]


def posterior(model: CVAE, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Encode images (N, H, W, C), uint8 or in 0–1: mean and a = ln σ of q(z|x, y), (N, L) each."""
    y = y.astype(np.int32)
    parts = [_encode(model, in_unit(x[i]), y[i]) for i in _batches(len(y))]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def kl_per_dimension(mean: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return KL(q(z|x, y) ‖ N(0, I)) of each latent alone, in nats, the mean over images. (N, L) each → (L,)"""
    kl = gaussian_kl(mean.reshape(-1, 1), a.reshape(-1, 1)).numpy().reshape(mean.shape)
    return kl.mean(axis=0, dtype=np.float64)


def bounds(
    model: CVAE,
    x: np.ndarray,
    y: np.ndarray,
    k: int,
    noise: Callable[[int], tf.Tensor],
    priors: Sequence[Prior] = (STANDARD_NORMAL,),
    advance: Callable[[], None] = lambda: None,
) -> list[Bounds]:
    """Return the ELBO and the importance-weighted bound (Burda et al. 2015, arXiv 1509.00519) under each prior.

    All priors share the k samples of z. The log-sum-exp is accumulated, so k costs time but no memory.

    Args:
        x: images (N, H, W, C), uint8 or in 0–1, grey or binary. They are encoded, and their likelihood is measured.
        noise: returns standard normal noise (N, L) for draw number 0 … k − 1.
        advance: called after each of the k draws.
    """
    y = y.astype(np.int32)
    mean, a = posterior(model, x, y)
    nll, kl = np.zeros(len(y)), np.zeros((len(priors), len(y)))
    iw = np.full((len(priors), len(y)), -np.inf)
    for draw in range(k):
        eps = noise(draw).numpy()
        for part in _batches(len(y)):
            weighed = _weigh(model, tuple(priors), in_unit(x[part]), y[part], mean[part], a[part], eps[part])
            part_nll, part_kl, ratios = (tensor.numpy() for tensor in weighed)
            nll[part] += part_nll / k
            kl[:, part] += part_kl / k
            with np.errstate(invalid="ignore"):  # a diverged model may give ∞ − ∞: the result is NaN
                iw[:, part] = np.logaddexp(iw[:, part], ratios - part_nll)
        advance()
    return [Bounds(nll, *under) for under in zip(kl, iw - np.log(k), strict=True)]


def fit_variance(model: CVAE, split: Split, seed: int) -> None:
    """Set a Gaussian model's σ² to its best value: the mean squared error of 2,000 images of a split, with z from q."""
    if model.likelihood == "gaussian":
        x, y = split.subset(2000, seed)
        noise = normal((len(y), model.latent_dim), seed, "validation", 1 << 48)
        model.variance.assign(max(float(np.mean(squared_error(model, x, y, noise))), ROUNDING))


def losses(model: CVAE, split: Split, seed: int, stream: str) -> Bounds:
    """Return the ELBO's terms for each image of `split`, with one z each from seeded noise."""
    x, y = split
    # A counter per 500 images: with other blocks, validation losses would differ slightly from those of older versions.
    blocks = [normal((min(500, len(y) - i), model.latent_dim), seed, stream, i) for i in range(0, len(y), 500)]
    (result,) = bounds(model, x, y, 1, lambda draw: tf.concat(blocks, axis=0))
    return result


def elbo(model: CVAE, split: Split, seed: int, stream: str) -> dict[str, float]:
    """Return −ELBO, NLL and KL in nats per image, means over `split`, with one z each from seeded noise."""
    result = losses(model, split, seed, stream)
    nll, kl = float(result.nll.mean()), float(result.kl.mean())
    return {"negative_elbo": nll + kl, "nll": nll, "kl": kl}


def label_log_likelihoods(model: CVAE, x: np.ndarray, seed: int, prior: Prior, k: int = 50) -> np.ndarray:
    """Estimate ln p(x|y) of images (B, H, W, C), uint8 or in 0–1, for every label with k samples, in nats, (B, N)."""
    y = np.tile(np.arange(model.num_labels), len(x))
    noise = functools.partial(normal, (len(y), model.latent_dim), seed, "style")
    (result,) = bounds(model, np.repeat(x, model.num_labels, axis=0), y, k, noise, priors=(prior,))
    return result.iw.reshape(len(x), -1)


def squared_error(model: CVAE, x: np.ndarray, y: np.ndarray, noise: np.ndarray | float = 0.0) -> np.ndarray:
    """Return the reconstruction error, mean over pixels, (N,); z is q's mean, or sampled from q with `noise` (N, L)."""
    z = sample(*posterior(model, x, y), noise).numpy()
    errors = (in_unit(x[i]) - model.generate(z[i], y[i]) for i in _batches(len(y)))
    return np.concatenate([np.mean(error**2, axis=(1, 2, 3)) for error in errors])
