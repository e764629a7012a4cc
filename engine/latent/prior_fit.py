"""Fit the label prior: a mixture of Gaussians for each label, by expectation maximisation (EM)."""

import numpy as np
import tensorflow as tf

from engine.latent.prior import LabelPrior, log_terms, whiteners
from engine.terminal import Progress

COMPONENTS = (1, 4, 16)  # numbers of components per label to try; 24 made samples no more readable than 16
PER_COMPONENT = 100  # images that a component needs: a label with fewer images gets fewer components
LIKELIER = 0.1  # nats that more components must add to the held-out ln p(z|y): they cost time, and size of the page
ITERATIONS = 8  # of EM: 20 add 0.01 nats on MNIST, and samples are no more readable
PSEUDO_COUNT = 4.0  # number of images by which a component's covariance shrinks towards the label's
FLOOR = 1e-4  # added to every variance
LARGEST = 1 << 22  # most numbers in the covariances with more than one component per label

Mixture = tuple[tf.Tensor, tf.Tensor, tf.Tensor]  # weights (K,), means (K, L), covariances (K, L, L)


def fit(
    mean: np.ndarray, variance: np.ndarray, y: np.ndarray, num_labels: int, held_out: tuple[np.ndarray, ...], seed: int
) -> LabelPrior:
    """Fit the prior; the held-out z choose the number of components per label. The same arguments, the same bits.

    Args:
        mean, variance: of q(z|x, y) for the training images, (n, L) each.
        y: their labels (n,). A label without images gets a single Gaussian, fitted to all images.
        held_out: z (m, L) and labels (m,) of other images.
    """
    of_label = [np.flatnonzero(y == label) for label in range(num_labels)]
    best, highest = None, -np.inf
    for count in COMPONENTS:
        if count > 1 and num_labels * count * mean.shape[1] ** 2 > LARGEST:
            break
        mixtures = []
        with Progress(num_labels, f"label prior: mixtures of {count}") as bar:
            for label, which in enumerate(of_label):
                part = which if len(which) else slice(None)
                mixtures.append(_fit_label(mean[part], variance[part], count if len(which) else 1, (seed, label)))
                bar.advance()
        labels = np.repeat(np.arange(num_labels), [len(weights) for weights, _, _ in mixtures])
        prior = LabelPrior(labels, *(np.concatenate(arrays) for arrays in zip(*mixtures, strict=True)))
        density = float(tf.reduce_mean(prior.log_density(*held_out)))
        if density < highest + LIKELIER:
            break
        best, highest = prior, density
    return best


def _fit_label(mean: np.ndarray, variance: np.ndarray, count: int, seed: tuple[int, int]) -> Mixture:
    """Return one label's mixture of at most `count` components, by EM.

    An image counts as its q, not as a point: its responsibilities follow from E_q ln N(z; m, S), and its variance is
    added to the covariance. So a single image yields its q, not a spike.
    """
    images, latents = mean.shape
    count = max(1, min(count, images // PER_COMPONENT))
    points = mean.astype(np.float64)
    mean, variance = tf.constant(points), tf.constant(variance, tf.float64)
    weights, means, label_covariance = _moments(mean, variance, tf.ones((1, images), tf.float64))
    fraction = min(1.0, images / (5 * latents))  # few images: shrink the covariance towards its diagonal
    diagonal = tf.linalg.diag(tf.linalg.diag_part(label_covariance))
    label_covariance = diagonal + fraction * (label_covariance - diagonal)
    if count == 1:
        return weights, means, label_covariance
    centres = _spread_out(points, count, np.random.default_rng(seed))
    nearest = np.argmin([((points - centre) ** 2).sum(axis=1) for centre in centres], axis=0)
    shares = tf.one_hot(nearest, count, axis=0, dtype=tf.float64)  # (K, n)
    for _ in range(ITERATIONS):
        weights, means, covariances = _moments(mean, variance, shares)
        sizes = images * weights[:, None, None]
        covariances = (sizes * covariances + PSEUDO_COUNT * label_covariance) / (sizes + PSEUDO_COUNT)
        terms = log_terms(mean, (weights, means, *whiteners(covariances)), variance)  # (K, n)
        shares = tf.exp(terms - tf.reduce_logsumexp(terms, axis=0))
    return weights, means, covariances


def _moments(mean: tf.Tensor, variance: tf.Tensor, shares: tf.Tensor) -> Mixture:
    """The M-step: return the mixture for images (n, L) with responsibilities `shares` (K, n)."""
    sizes = tf.reduce_sum(shares, axis=1) + 1e-9
    means = tf.matmul(shares, mean) / sizes[:, None]
    variances = tf.matmul(shares, variance) / sizes[:, None] + FLOOR  # (K, L)
    away = mean - means[:, None]  # (K, n, L)
    scatter = tf.matmul(shares[:, :, None] * away, away, transpose_a=True) / sizes[:, None, None]
    scatter = (scatter + tf.linalg.matrix_transpose(scatter)) / 2  # symmetric to the last bit
    return sizes / tf.reduce_sum(sizes), means, scatter + tf.linalg.diag(variances)


def _spread_out(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Choose `count` points by k-means++ (Arthur & Vassilvitskii 2007): drawn by squared distance to those chosen."""
    chosen = [points[rng.integers(len(points))]]
    square = np.full(len(points), np.inf)
    while len(chosen) < count:
        square = np.minimum(square, ((points - chosen[-1]) ** 2).sum(axis=1))
        edges = np.cumsum(square)
        chosen.append(points[min(np.searchsorted(edges, rng.random() * edges[-1], "right"), len(points) - 1)])
    return np.stack(chosen)
