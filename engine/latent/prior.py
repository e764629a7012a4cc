"""Priors over z: the article's N(0, I), and the label prior p(z|y), a mixture of Gaussians for each label.

Trained against N(0, I), q(z|x, y) averaged over all images is close to it, but averaged over one label's images it is
not: a z from N(0, I) may lie where no image of the label lies, and decodes to what cannot be read (the article's S9). A
density fitted after training repairs that without touching a weight: ex-post density estimation (Ghosh et al. 2020,
arXiv 1903.12436; engine/prior_fit.py).

Both classes have the same methods. These take NumPy arrays or tensors, labels as integers, and return float64 tensors,
inside a tf.function as well as outside.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from model import gaussian_kl

SETTLE = 0.15  # share of the way to the components' means that `settle` takes
LOG_2PI = math.log(2 * math.pi)


class StandardNormal:
    """N(0, I), whatever the label: what the model is trained against."""

    name = "standard"

    def sample(self, y: tf.Tensor, eps: tf.Tensor, uniform: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
        """z ~ N(0, temperature² I). Labels (n,), standard normal (n, L), uniform in 0–1 (n,), not used → (n, L)"""
        return _float64(temperature) * _float64(eps)

    def log_density(self, z: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """ln N(z; 0, I) in nats. (n, L) and (n,) → (n,)"""
        z = _float64(z)
        return -0.5 * tf.reduce_sum(tf.square(z) + LOG_2PI, axis=1)

    def kl(self, mean: tf.Tensor, a: tf.Tensor, log_ratio: tf.Tensor) -> tf.Tensor:
        """KL(q(z|x, y) ‖ N(0, I)) in nats, in closed form; log_ratio is not used. (n, L) twice and (n,) → (n,)"""
        return _float64(gaussian_kl(mean, a))

    def to_latent(self, style: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Map a style to z under labels y: the same z under every label (S10). (n, L) and (n,) → (n, L)"""
        return _float64(style)

    def style(self, z: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """The inverse of `to_latent`."""
        return _float64(z)

    def settle(self, z: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """z, as it is."""
        return _float64(z)


def _compiled(method: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
    """Make a method a graph, ten times as fast, traced once for any number of rows; labels int32, all else float64."""
    graph = tf.function(method, reduce_retracing=True)

    @functools.wraps(method)
    def call(self: LabelPrior, *arrays: tf.Tensor) -> tf.Tensor:
        tensors = [tf.convert_to_tensor(array) for array in arrays]
        return graph(self, *(tf.cast(t, tf.int32 if t.dtype.is_integer else tf.float64) for t in tensors))

    return call


class LabelPrior:
    """p(z|y) = Σₖ weights[k] · N(means[k], covariances[k]) over the components k of label y.

    Args:
        labels: (K,) the label of each component, ascending from 0, integers; every label has at least one component.
        weights: (K,) summing to 1 over each label's components.
        means: (K, L).
        covariances: (K, L, L), or (K, L) diagonal ones.

    Attributes:
        moments: of each label the mean (N, L), the root S^½ of the covariance and its inverse, (N, L, L) or (N, L).
    """

    name = "label"

    def __init__(self, labels: np.ndarray, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> None:
        self.labels, self.weights, self.means, self.covariances = labels, weights, means, covariances
        self.latent_dim, counts = means.shape[1], np.bincount(labels)
        self._full = covariances.ndim == 3
        self._last = tf.constant(np.cumsum(counts), tf.int32)  # of each label's components: one after it
        self._first = self._last - tf.constant(counts, tf.int32)
        self._weights, self._means = tf.constant(weights, tf.float64), tf.constant(means, tf.float64)
        self._roots, _ = symmetric_roots(tf.constant(covariances, tf.float64))
        self._whiteners = whiteners(tf.constant(covariances, tf.float64))
        self.moments = self._moments()

    @_compiled
    def sample(self, y: tf.Tensor, eps: tf.Tensor, uniform: tf.Tensor, temperature: float = 1.0) -> tf.Tensor:
        """z ~ p(z|y), the noise scaled around the component's mean. (n,), standard normal (n, L), 0–1 (n,) → (n, L)"""

        def drawn(rows: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
            which = self._components(label)
            edges = tf.cumsum(self._weights[which])
            k = tf.minimum(tf.searchsorted(edges, rows[:, -1], "right"), tf.size(edges) - 1)
            white, roots = rows[:, :-1], self._roots[which]
            coloured = tf.matmul(white, roots) if self._full else white * roots[:, None]  # (K, n, L)
            chosen = tf.gather(tf.transpose(coloured, (1, 0, 2)), k, batch_dims=1)
            return tf.gather(self._means[which], k) + _float64(temperature) * chosen

        rows = tf.concat([eps, uniform[:, None]], axis=1)
        return _by_group(drawn, rows, y, self.latent_dim)

    @_compiled
    def log_density(self, z: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """ln p(z|y) in nats. (n, L) and (n,) → (n,)"""

        def density(rows: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
            return tf.reduce_logsumexp(self._log_terms(rows, label), axis=0)[:, None]

        return _by_group(density, z, y, 1)[:, 0]

    def kl(self, mean: tf.Tensor, a: tf.Tensor, log_ratio: tf.Tensor) -> tf.Tensor:
        """KL(q(z|x, y) ‖ p(z|y)) in nats, estimated by one z: −(ln p(z|y) − ln q(z|x, y)). (n,) → (n,)"""
        return -log_ratio

    @_compiled
    def to_latent(self, style: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Map a whitened style u to z under labels y: z = m_y + S_y^½ u. (n, L) and (n,) → (n, L)

        m_y, S_y are the mean and covariance of p(z|y). The root is the symmetric one: of all maps between the moments
        it moves z least, so that one style is one hand under every label (S10).
        """
        means, roots, _ = self.moments

        def coloured(rows: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
            return means[label] + _times(rows, roots[label])

        return _by_group(coloured, style, y, self.latent_dim)

    @_compiled
    def style(self, z: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """The inverse of `to_latent`: u = S_y^−½ (z − m_y). (n, L) and (n,) → (n, L)"""
        means, _, inverses = self.moments

        def whitened(rows: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
            return _times(rows - means[label], inverses[label])

        return _by_group(whitened, z, y, self.latent_dim)

    @_compiled
    def settle(self, z: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Move z a small step to where p(z|y) is dense: to the means of the components it belongs to. (n, L) → (n, L)

        A label's z are no Gaussian, so what `to_latent` makes by two moments may lie beside them. The step is the
        largest after which a redrawn digit, encoded again, keeps as much of its style as without the prior (measured).
        """

        def nearer(rows: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
            shares = tf.nn.softmax(self._log_terms(rows, label), axis=0)  # (K, n)
            means = self._means[self._components(label)]
            return rows + SETTLE * (tf.matmul(shares, means, transpose_a=True) - rows)

        return _by_group(nearer, z, y, self.latent_dim)

    def _components(self, label: tf.Tensor) -> slice:
        return slice(self._first[label], self._last[label])

    def _log_terms(self, z: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """ln (weights[k] · N(z; means[k], covariances[k])) of the label's components. (n, L) → (K, n)"""
        which = self._components(label)
        return log_terms(z, *(part[which] for part in (self._weights, self._means, *self._whiteners)))

    def _moments(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        means, covariances = [], []
        for label in np.unique(self.labels):
            which = self.labels == label
            weights, centres, within = self.weights[which], self.means[which], self.covariances[which]
            means.append(weights @ centres)
            away = centres - means[-1]
            between = away[:, :, None] * away[:, None, :] if self._full else away**2
            covariances.append(np.tensordot(weights, within + between, 1))
        return tf.constant(np.stack(means)), *symmetric_roots(tf.constant(np.stack(covariances)))


Prior = StandardNormal | LabelPrior
STANDARD_NORMAL = StandardNormal()


def whiteners(covariances: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """W with W·S·Wᵀ = I of covariances S (K, L, L) or diagonals (K, L), in the same form; and ln det S (K,)."""
    if covariances.shape.rank == 2:
        return 1 / tf.sqrt(covariances), tf.reduce_sum(tf.math.log(covariances), axis=1)
    lower = tf.linalg.cholesky(covariances)
    return tf.linalg.inv(lower), 2 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(lower)), axis=1)


def log_terms(
    z: tf.Tensor,
    weights: tf.Tensor,
    means: tf.Tensor,
    whiteners: tf.Tensor,
    log_dets: tf.Tensor,
    variance: tf.Tensor | None = None,
) -> tf.Tensor:
    """ln (weights[k] · N(z; means[k], S[k])) in nats, S by its whiteners. (n, L) and K components → (K, n)

    Of z that has a variance (n, L) of its own, diagonal: the expectation over z.
    """
    away = z - means[:, None]  # (K, n, L)
    full = whiteners.shape.rank == 3
    white = tf.matmul(away, whiteners, transpose_b=True) if full else away * whiteners[:, None]
    square = tf.reduce_sum(tf.square(white), axis=2)
    if variance is not None:
        precisions = (
            tf.reduce_sum(tf.square(whiteners), axis=1) if full else tf.square(whiteners)
        )  # the diagonals of S⁻¹, (K, L)
        square += tf.matmul(precisions, variance, transpose_b=True)
    return (tf.math.log(weights) - 0.5 * (log_dets + means.shape[1] * LOG_2PI))[:, None] - 0.5 * square


def symmetric_roots(covariances: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The symmetric roots S^½ of covariances (N, L, L), or of diagonals (N, L), and their inverses."""
    if covariances.shape.rank == 2:
        return tf.sqrt(covariances), 1 / tf.sqrt(covariances)
    values, vectors = tf.linalg.eigh(covariances)
    return tuple(tf.matmul(vectors * values[:, None] ** power, vectors, transpose_b=True) for power in (0.5, -0.5))


def _float64(value: object) -> tf.Tensor:
    return tf.cast(value, tf.float64)


def _times(x: tf.Tensor, root: tf.Tensor) -> tf.Tensor:
    """Rows x (n, L) times a matrix (L, L), or a diagonal one (L,)."""
    return x * root if root.shape.rank == 1 else tf.matmul(x, root)


def _by_group(
    change: Callable[[tf.Tensor, tf.Tensor], tf.Tensor], x: tf.Tensor, groups: tf.Tensor, columns: int
) -> tf.Tensor:
    """change(rows of a group, group) for all rows of x (n, L), whose groups are (n,) → (n, columns), in x's order.

    Group by group, because a matrix for every row would not fit into memory.
    """

    def one_more(out: tf.Tensor, group: tf.Tensor) -> tf.Tensor:
        rows = tf.where(groups == group)  # (rows, 1)
        return tf.tensor_scatter_nd_update(out, rows, change(tf.gather_nd(x, rows), group))

    out = tf.zeros((tf.shape(x)[0], columns), tf.float64)
    return tf.foldl(one_more, tf.unique(groups)[0], out)
