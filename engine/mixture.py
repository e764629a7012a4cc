"""The fit of the label prior: a mixture of Gaussians per label, by expectation maximisation."""

from __future__ import annotations

import numpy as np

from engine import gaussian
from engine.prior import Prior

COMPONENTS = (1, 4, 16)  # per label, the numbers tried; 24 made samples no more readable than 16
PER_COMPONENT = 100  # images that a component needs: a label with fewer gets fewer components
ITERATIONS = 20  # of EM at most
TOLERANCE = 1e-3  # nats per image: EM stops when it gains less
OWN = 4.0  # images of the whole label that every component is mixed with
FLOOR = 1e-4  # added to every variance
LARGEST = 1 << 22  # numbers in full covariances; for more, one diagonal Gaussian per label


def fit(
    mean: np.ndarray,
    variance: np.ndarray,
    y: np.ndarray,
    num_labels: int,
    held_out: tuple[np.ndarray, np.ndarray],
    seed: int = 0,
) -> Prior:
    """The prior with as many components per label as make the held-out z likeliest. The same arguments, the same bits.

    Args:
        mean, variance: of q(z|x, y) of the training images, (n, L) each.
        y: their labels. A label without images gets the one Gaussian of all images.
        num_labels: N, the labels being 0 … N−1.
        held_out: z (m, L) and labels (m,) of other images.
        seed: of the start of EM.
    """
    latents = mean.shape[1]
    full = num_labels * latents**2 <= LARGEST
    of_label = [np.flatnonzero(y == label) for label in range(num_labels)]
    best, most = None, -np.inf
    for count in COMPONENTS if full else COMPONENTS[:1]:
        if full and num_labels * count * latents**2 > LARGEST:
            break
        parts = [
            _fit_label(mean[mine], variance[mine], count, full, (seed, label))
            if len(mine)
            else _fit_label(mean, variance, 1, full, (seed, label))
            for label, mine in enumerate(of_label)
        ]
        labels = np.repeat(np.arange(num_labels), [len(part[0]) for part in parts])
        prior = Prior(labels, *(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
        found = prior.log_density(*held_out).mean()
        if found <= most:
            break
        best, most = prior, found
    return best


def _fit_label(
    mean: np.ndarray, variance: np.ndarray, count: int, full: bool, seed: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights (K,), means (K, L) and covariances of one label's mixture of at most `count` components, by EM.

    An image is not a point but its q: it belongs to a component as E_q ln N(z; m, S) says, and brings its own variance
    along. So one component is the closed form, mean and covariance of the average of all q; and a single image gives
    its q, not a spike.
    """
    mean, variance = mean.astype(np.float64), variance.astype(np.float64)
    count = max(1, min(count, len(mean) // PER_COMPONENT))
    whole = _moments(mean, variance, np.ones((len(mean), 1)), full)
    latents = mean.shape[1]
    scarce = max(0.0, 1 - len(mean) / (5 * latents))  # too few images for a full covariance: nearer to a diagonal one
    if full:
        whole[2][0] -= scarce * (whole[2][0] - np.diag(np.diag(whole[2][0])))
    if count == 1:
        return whole
    belongs = np.eye(count)[_nearest(mean, _spread_out(mean, count, np.random.default_rng(seed)))]
    last = -np.inf
    for _ in range(ITERATIONS):
        weights, means, covariances = _moments(mean, variance, belongs, full)
        sizes = len(mean) * weights[:, None, None]
        covariances = (sizes * covariances + OWN * whole[2]) / (sizes + OWN)  # so small ones are near to the whole
        whiteners = [gaussian.whitener(covariance) for covariance in covariances]
        belongs, log_p = gaussian.responsibilities(mean, weights, means, whiteners, variance)
        bound = log_p.mean()
        if bound - last < TOLERANCE:
            break
        last = bound
    return weights, means, covariances


def _moments(
    mean: np.ndarray, variance: np.ndarray, belongs: np.ndarray, full: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The M-step: weights (K,), means (K, L) and covariances of what belongs (n, K) to each component."""
    sizes = belongs.sum(axis=0) + 1e-9
    means = belongs.T @ mean / sizes[:, None]
    own = belongs.T @ variance / sizes[:, None] + FLOOR  # (K, L)
    covariances = []
    for k, size in enumerate(sizes):
        away = mean - means[k]
        if full:
            scatter = gaussian.scatter(away, belongs[:, k]) / size
            covariances.append((scatter + scatter.T) / 2 + np.diag(own[k]))  # to the last bit symmetric
        else:
            covariances.append(belongs[:, k] @ away**2 / size + own[k])
    return sizes / sizes.sum(), means, np.stack(covariances)


def _spread_out(points: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` of the points, each next one drawn by its squared distance to those before: k-means++ (Arthur &
    Vassilvitskii 2007)."""
    chosen = [points[rng.integers(len(points))]]
    square = np.full(len(points), np.inf)
    while len(chosen) < count:
        square = np.minimum(square, ((points - chosen[-1]) ** 2).sum(axis=1))
        edges = np.cumsum(square)
        chosen.append(points[min(np.searchsorted(edges, rng.random() * edges[-1], "right"), len(points) - 1)])
    return np.stack(chosen)


def _nearest(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    return np.argmin([((points - centre) ** 2).sum(axis=1) for centre in centres], axis=0)
