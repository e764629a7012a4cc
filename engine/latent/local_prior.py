"""The label prior for many latents and few pictures: each training picture's q, widened towards its neighbours.

Manifold Parzen windows (Vincent & Bengio 2002). With 128 latents and 300 pictures per label, a full covariance cannot
be estimated and its samples are blurred. The directions from a picture to its nearest neighbours need no estimate.
"""

import numpy as np
import tensorflow as tf

from engine.latent.prior import LOG_2PI, LabelPrior, label_by_label, symmetric_roots

NEIGHBOURS = 10  # k, the number of neighbours that a picture's q is widened towards
SPREAD = 0.5  # s, how far: 0.7 makes fewer readable samples (81, not 83 % of icons), 0.3 makes them nearer to copies
NEAR = 0.1  # a picture's weight is 1/e of the nearest one's if its squared distance is larger by this fraction
PICTURES, LARGEST = 256, 1 << 19  # most pictures per label, and most numbers in all means (1 MB in a page)
OWN = 0.1  # fraction of the label's variance, per dimension, added to every σ²: held-out z become 240 nats likelier
FLOOR = 1e-4  # added to every variance


class LocalPrior(LabelPrior):
    """p(z|y) = (1/n) Σᵢ N(z; μᵢ, diag(σᵢ² + v/10) + s²/k Σⱼ (μⱼ − μᵢ)(μⱼ − μᵢ)ᵀ) over the n pictures i of label y.

    j runs over the k pictures of the same label that are nearest to i; v is the variance of μ over the label, (L,). A
    whitened style uses one S for all labels, so that it is the same difference from the label's mean under each.

    Args:
        labels: (K,) the integer label of each picture, ascending from 0; every label has at least one picture.
        sigmas, means: of q(z|x, y), (K, L) each.

    Attributes:
        widths: (K, L), the root of the diagonal term σᵢ² + v/10.
    """

    ARRAYS = ("labels", "sigmas", "means")
    STEP = 0.8

    def __init__(self, labels: np.ndarray, sigmas: np.ndarray, means: np.ndarray) -> None:
        self.labels, self.means, self.sigmas = labels, means, sigmas
        self.latent_dim, counts = means.shape[1], np.bincount(labels)
        means = means.astype(np.float64)
        of_label = np.split(means, np.cumsum(counts)[:-1])
        centres = np.stack([part.mean(axis=0) for part in of_label])
        away = means - centres[labels]
        variances = sigmas.astype(np.float64) ** 2 + OWN * np.stack([part.var(0) for part in of_label])[labels] + FLOOR
        pooled = tf.constant(away.T @ away / len(means) + np.diag(variances.mean(axis=0)))
        self.moments = tf.constant(centres), *symmetric_roots(pooled[None])
        self._means, self.widths = tf.constant(means), tf.sqrt(tf.constant(variances))
        # The covariance is σ (I + WᵀW) σ, W (k, L). With L·Lᵀ = I + WWᵀ its inverse is σ⁻¹ (I − (L⁻¹W)ᵀ L⁻¹W) σ⁻¹.
        widening = tf.constant(np.concatenate([_widening(part) for part in of_label])) / self.widths[:, None]
        gram = tf.matmul(widening, widening, transpose_b=True)
        self._lower = tf.linalg.cholesky(gram + tf.eye(NEIGHBOURS, dtype=tf.float64))  # (K, k, k)
        self._across = tf.linalg.triangular_solve(self._lower, widening) / self.widths[:, None]  # (K, k, L)
        log_dets = 2 * tf.reduce_sum(tf.math.log(tf.linalg.diag_part(self._lower)), axis=1) + np.log(variances).sum(1)
        self._log_peaks = -0.5 * (log_dets + self.latent_dim * LOG_2PI) - np.log(counts)[labels]

    @label_by_label
    def _sample(self, rows: tf.Tensor, label: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
        which = self._components(label)
        count = tf.cast(which.stop - which.start, tf.float64)
        k = which.start + tf.cast(tf.minimum(rows[:, -1] * count, count - 1), tf.int32)
        sigmas, lower = tf.gather(self.widths, k), tf.gather(self._lower, k)
        widening = tf.matmul(lower, tf.gather(self._across, k)) * sigmas[:, None]  # W (n, k, L)
        # I + Wᵀ (I + L)⁻¹ W is a root of I + WᵀW (Andrews 1968): it needs only as much noise as one full Gaussian.
        along = tf.matmul(widening, rows[:, :-1, None])
        along = tf.linalg.triangular_solve(lower + tf.eye(NEIGHBOURS, dtype=tf.float64), along)
        coloured = sigmas * (rows[:, :-1] + tf.matmul(widening, along, transpose_a=True)[..., 0])
        return tf.gather(self._means, k) + temperature * coloured

    def _shares(self, z: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        """Weight the label's pictures by closeness to z: (K, n)."""
        means = self._means[self._components(label)]
        square = tf.reduce_sum(means**2, 1)[:, None] - 2 * tf.matmul(means, z, transpose_b=True)
        square += tf.reduce_sum(z**2, 1)  # (K, n)
        return tf.nn.softmax(-square / (NEAR * tf.reduce_min(square, axis=0) + FLOOR), axis=0)

    def _log_terms(self, z: tf.Tensor, label: tf.Tensor) -> tf.Tensor:
        which = self._components(label)
        means, precisions, across = self._means[which], self.widths[which] ** -2, self._across[which]
        square = tf.matmul(precisions, z**2, transpose_b=True) - 2 * tf.matmul(precisions * means, z, transpose_b=True)
        square += tf.reduce_sum(precisions * means**2, axis=1)[:, None]  # (K, n)
        along = tf.tensordot(across, z, [[2], [1]]) - tf.reduce_sum(across * means[:, None], axis=2)[..., None]
        return self._log_peaks[which, None] - 0.5 * (square - tf.reduce_sum(along**2, axis=1))


def _widening(means: np.ndarray) -> np.ndarray:
    """Return s/√k (μⱼ − μᵢ) for the k pictures j nearest to each picture i of a label. (n, L) → (n, NEIGHBOURS, L)

    If a label has fewer other pictures, the remaining rows are 0.
    """
    count = min(NEIGHBOURS, len(means) - 1)
    square = np.stack([((means - mean) ** 2).sum(axis=1) for mean in means])
    np.fill_diagonal(square, -1)  # a picture sorts before its duplicates, to be skipped
    nearest = np.argsort(square, axis=1, kind="stable")[:, 1 : count + 1]
    widening = np.zeros((len(means), NEIGHBOURS, means.shape[1]))
    widening[:, :count] = SPREAD / np.sqrt(max(count, 1)) * (means[nearest] - means[:, None])
    return widening


def fit(mean: np.ndarray, variance: np.ndarray, y: np.ndarray, num_labels: int, seed: int) -> LocalPrior:
    """Fit the prior to q(z|x, y) of images: mean and variance (n, L), labels y (n,). The same arguments, the same bits.

    A label without images gets the images of all labels.
    """
    rng, parts = np.random.default_rng(seed), []
    for label in range(num_labels):
        images = np.flatnonzero(y == label)
        images = images if len(images) else np.arange(len(y))
        parts.append(np.sort(rng.permutation(images)[: max(1, min(PICTURES, LARGEST // (num_labels * mean.shape[1])))]))
    labels, chosen = np.repeat(np.arange(num_labels), [len(part) for part in parts]), np.concatenate(parts)
    return LocalPrior(labels, np.sqrt(variance[chosen]).astype(np.float32), mean[chosen])
