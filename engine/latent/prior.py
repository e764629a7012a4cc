"""Priors over z: the article's N(0, I), and the label prior p(z|y), a mixture of Gaussians for each label.

Training makes q(z|x, y), averaged over all images, similar to N(0, I). The average over one label's images is not, so a
z from N(0, I) may decode to an unreadable image (the article's S9). A density p(z|y) that is fitted after training
repairs that without changing a weight: ex-post density estimation (Ghosh et al. 2020, arXiv 1903.12436).

Both classes have the same methods. They map NumPy arrays or tensors to float64 tensors, also inside a tf.function.
"""

import functools
import math
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

LOG_2PI = math.log(2 * math.pi)
_float64 = functools.partial(tf.cast, dtype=tf.float64)


class StandardNormal:
    """N(0, I) for every label: the prior that the model is trained with."""

    name = "standard"

    def sample(self, y: tf.Tensor, eps: tf.Tensor, uniform: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
        """Sample z ~ N(0, temperature² I), (n, L), from standard normal eps (n, L). `uniform` is not used."""
        return _float64(temperature) * _float64(eps)

    def log_density(self, z: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Return ln N(z; 0, I) in nats. (n, L) → (n,)"""
        return -0.5 * tf.reduce_sum(tf.square(_float64(z)) + LOG_2PI, axis=1)

    def style(self, z: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Return z unchanged: a style is the same z under every label (S10)."""
        return _float64(z)

    to_latent = settle = style


def label_by_label(method: Callable[..., tf.Tensor], scalar: bool = False) -> Callable[..., tf.Tensor]:
    """Turn a method for rows (n, L) of one label into a compiled one for rows and labels (n,): ten times as fast.

    It goes label by label, because a matrix per row would not fit into memory. Returns (n, L), or (n,) if `scalar`.
    """

    @functools.partial(tf.function, reduce_retracing=True)
    def grouped(self: "LabelPrior", rows: tf.Tensor, y: tf.Tensor, *more: tf.Tensor) -> tf.Tensor:
        def one_more(out: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
            which = tf.where(y == label)
            return tf.tensor_scatter_nd_update(out, which, method(self, tf.gather_nd(rows, which), label, *more))

        shape = tf.shape(rows)[:1] if scalar else (tf.shape(rows)[0], self.latent_dim)
        return tf.foldl(one_more, tf.unique(y)[0], tf.zeros(shape, tf.float64))

    @functools.wraps(method)
    def call(self: "LabelPrior", rows: tf.Tensor, y: tf.Tensor, *more: object) -> tf.Tensor:
        return grouped(self, _float64(rows), tf.cast(y, tf.int32), *map(_float64, more))

    return call


class LabelPrior:
    """p(z|y) = Σₖ weights[k] · N(means[k], covariances[k]) over the components k of label y.

    Args:
        labels: (K,) the integer label of each component, ascending from 0; every label has at least one component.
        weights: (K,), with sum 1 over each label's components.
        means: (K, L).
        covariances: (K, L, L).

    Attributes:
        moments: each label's mean (N, L), the root S^½ of its covariance and the inverse root, (N, L, L); (1, L, L) if
            all labels share one.
    """

    name = "label"
    ARRAYS = ("labels", "weights", "means", "covariances")  # the arguments, as stored in prior.npz
    STEP = 0.15  # `settle` moves z by this fraction of the way to the components' means

    def __init__(self, labels: np.ndarray, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> None:
        self.labels, self.weights, self.means, self.covariances = labels, weights, means, covariances
        self.latent_dim = means.shape[1]
        self._weights, self._means = tf.constant(weights, tf.float64), tf.constant(means, tf.float64)
        self._roots, _ = symmetric_roots(tf.constant(covariances, tf.float64))
        self._whiteners = whiteners(tf.constant(covariances, tf.float64))
        of_label = [labels == label for label in np.unique(labels)]
        label_means = np.stack([weights[which] @ means[which] for which in of_label])
        away = means - label_means[labels]
        spread = covariances + away[:, :, None] * away[:, None, :]  # of each component around its label's mean
        label_covariances = np.stack([np.tensordot(weights[which], spread[which], 1) for which in of_label])
        self.moments = tf.constant(label_means), *symmetric_roots(tf.constant(label_covariances))

    def sample(self, y: tf.Tensor, eps: tf.Tensor, uniform: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
        """Sample z ~ p(z|y), (n, L): uniform (n,) in 0–1 picks the component, temperature · eps (n, L) is its noise."""
        return self._sample(tf.concat([_float64(eps), _float64(uniform)[:, None]], axis=1), y, temperature)

    @label_by_label
    def _sample(self, rows: tf.Tensor, label: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
        which = self._components(label)
        edges = tf.cumsum(self._weights[which])
        k = tf.minimum(tf.searchsorted(edges, rows[:, -1], "right"), tf.size(edges) - 1)
        coloured = tf.matmul(rows[:, :-1], self._roots[which])  # (K, n, L)
        chosen = tf.gather(tf.transpose(coloured, (1, 0, 2)), k, batch_dims=1)
        return tf.gather(self._means[which], k) + temperature * chosen

    @functools.partial(label_by_label, scalar=True)
    def log_density(self, z: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """Return ln p(z|y) in nats. (n, L) and (n,) → (n,)"""
        return tf.reduce_logsumexp(self._log_terms(z, label), axis=0)

    @label_by_label
    def to_latent(self, style: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """Map a whitened style u to z under labels y: z = m_y + S_y^½ u. (n, L) and (n,) → (n, L)

        m_y and S_y are the mean and covariance of p(z|y). Of all roots the symmetric one moves z least, so that one
        style looks like one handwriting under every label (S10).
        """
        means, roots, _ = self.moments
        return means[label] + tf.matmul(style, roots[label % len(roots)])

    @label_by_label
    def style(self, z: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """The inverse of `to_latent`: u = S_y^−½ (z − m_y). (n, L) and (n,) → (n, L)"""
        means, _, inverses = self.moments
        return tf.matmul(z - means[label], inverses[label % len(inverses)])

    @label_by_label
    def settle(self, z: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """Move z a step towards high density: to the means of the components it belongs to. (n, L) → (n, L)

        `to_latent` uses two moments only, so its z may be unlikely under p(z|y). The step is the largest after which a
        redrawn digit, encoded again, keeps as much of its style as without the prior (measured).
        """
        means = self._means[self._components(label)]
        return z + self.STEP * (tf.matmul(self._shares(z, label), means, transpose_a=True) - z)

    def _shares(self, z: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """Return how much z (n, L) belongs to each component of the label: (K, n), summing to 1."""
        return tf.nn.softmax(self._log_terms(z, label), axis=0)

    def _components(self, label: tf.Tensor) -> slice:
        first, end = tf.unstack(tf.searchsorted(tf.constant(self.labels, tf.int32), [label, label + 1]))
        return slice(first, end)

    def _log_terms(self, z: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        which = self._components(label)
        return log_terms(z, [part[which] for part in (self._weights, self._means, *self._whiteners)])


Prior = StandardNormal | LabelPrior
STANDARD_NORMAL = StandardNormal()


def whiteners(covariances: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return whitening matrices W with W·S·Wᵀ = I for covariances S (K, L, L), and ln det S (K,)."""
    lower = tf.linalg.cholesky(covariances)
    return tf.linalg.inv(lower), 2 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(lower)), axis=1)


def log_terms(z: tf.Tensor, components: Sequence[tf.Tensor], variance: tf.Tensor | None = None) -> tf.Tensor:
    """Return ln (weights[k] · N(z; means[k], S[k])) in nats. (n, L) and K components → (K, n)

    With a diagonal `variance` of z (n, L), its expectation over z. The components are weights, means, `whiteners(S)`.
    """
    weights, means, whiteners, log_dets = components
    white = tf.matmul(z - means[:, None], whiteners, transpose_b=True)  # (K, n, L)
    square = tf.reduce_sum(tf.square(white), axis=2)
    if variance is not None:
        precisions = tf.reduce_sum(tf.square(whiteners), axis=1)  # the diagonals of S⁻¹, (K, L)
        square += tf.matmul(precisions, variance, transpose_b=True)
    return (tf.math.log(weights) - 0.5 * (log_dets + means.shape[1] * LOG_2PI))[:, None] - 0.5 * square


def symmetric_roots(covariances: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the symmetric roots S^½ of covariances (N, L, L), and their inverses."""
    values, vectors = tf.linalg.eigh(covariances)
    return tuple(tf.matmul(vectors * values[:, None] ** power, vectors, transpose_b=True) for power in (0.5, -0.5))
