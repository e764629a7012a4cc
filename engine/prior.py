"""The label prior p(z|y): what z looks like under each label, fitted to q(z|x, y) of the training images.

Trained against N(0, I), q(z|x, y) averaged over all images is close to it, but averaged over one label's images it is
not: a z from N(0, I) may lie where no image of the label lies, and decodes to what cannot be read (the article's S9). A
density fitted after training repairs that without touching a weight: ex-post density estimation (Ghosh et al. 2020,
arXiv 1903.12436), here one mixture of Gaussians per label.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine import gaussian

SETTLE = 0.15  # of the way to the components' means


@dataclass(frozen=True, eq=False)
class Prior:
    """Σₖ weights[k] · N(means[k], covariances[k]) for every label, the labels' components one after the other; float64.

    The covariances are full, or (with very many labels and latents) diagonal.
    """

    labels: np.ndarray  # (K,) whose component it is, ascending
    weights: np.ndarray  # (K,), of each label's components summing to 1
    means: np.ndarray  # (K, L)
    covariances: np.ndarray  # (K, L, L), or (K, L) the diagonals

    def log_density(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """ln p(z|y) in nats. (n, L) and (n,) → (n,)"""
        found = np.full(len(z), -np.inf)
        for k, label in enumerate(self.labels):
            mine = y == label
            if mine.any():
                one = gaussian.log_normal(z[mine].astype(np.float64), self.means[k], self._whiteners[k])
                found[mine] = np.logaddexp(found[mine], np.log(self.weights[k]) + one)
        return found

    def sample(self, y: np.ndarray, eps: np.ndarray, uniform: np.ndarray, temperature: float = 1.0) -> np.ndarray:
        """z ~ p(z|y), the noise scaled around the component's mean. (n,), standard normal (n, L), 0–1 (n,) → (n, L)"""
        z = np.empty(eps.shape)
        for label in np.unique(y):
            mine, components = np.flatnonzero(y == label), np.flatnonzero(self.labels == label)
            edges = np.cumsum(self.weights[components])
            chosen = components[np.minimum(np.searchsorted(edges, uniform[mine], "right"), len(components) - 1)]
            for k in components:
                some = mine[chosen == k]
                z[some] = self.means[k] + temperature * gaussian.times(eps[some], self._component_roots[k])
        return z

    def place(self, style: np.ndarray, y: np.ndarray) -> np.ndarray:
        """A style, N(0, I) whatever the label, as the z that it is under labels y. (n, L) and (n,) → (n, L)

        By the moments m, S of p(z|y): m + S^½ u with the symmetric root, so that one style is one hand (S10).
        """
        means, roots, _ = self.moments
        return _by_label(lambda u, label: means[label] + gaussian.times(u, roots[label]), style, y)

    def style(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """What `place` makes z of: u = S^−½ (z − m). (n, L) and (n,) → (n, L)"""
        means, _, inverses = self.moments
        return _by_label(lambda some, label: gaussian.times(some - means[label], inverses[label]), z, y)

    def settle(self, z: np.ndarray, y: np.ndarray) -> np.ndarray:
        """A small step from z to where p(z|y) is dense: towards the means of the components it belongs to. (n, L)

        A label's z are no Gaussian, so what `place` makes by two moments may lie beside them. The step is the largest
        after which a redrawn digit, encoded again, still has as much of its style as without the prior (measured).
        """

        def nearer(some: np.ndarray, label: int) -> np.ndarray:
            mine = np.flatnonzero(self.labels == label)
            whiteners = [self._whiteners[k] for k in mine]
            belongs, _ = gaussian.responsibilities(some, self.weights[mine], self.means[mine], whiteners)
            return some + SETTLE * (belongs @ self.means[mine] - some)

        return _by_label(nearer, z, y)

    @functools.cached_property
    def moments(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of every label: the mean (N, L), the root S^½ of the covariance and its inverse, (N, L, L) or (N, L)."""
        means, covariances = [], []
        for label in np.unique(self.labels):
            mine = self.labels == label
            weights, means_k, covariances_k = self.weights[mine], self.means[mine], self.covariances[mine]
            mean = weights @ means_k
            away = means_k - mean
            spread = away**2 if self.covariances.ndim == 2 else away[:, :, None] * away[:, None, :]
            means.append(mean)
            covariances.append(np.tensordot(weights, covariances_k + spread, 1))
        return np.stack(means), *gaussian.roots(np.stack(covariances))

    @functools.cached_property
    def _component_roots(self) -> np.ndarray:
        return gaussian.roots(self.covariances)[0]

    @functools.cached_property
    def _whiteners(self) -> list[tuple[np.ndarray, float]]:
        return [gaussian.whitener(covariance) for covariance in self.covariances]


def _by_label(change: Callable[[np.ndarray, int], np.ndarray], z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """change(z of one label, label) for all of z (n, L) with labels (n,)."""
    out = np.empty(z.shape)
    for label in np.unique(y):
        out[y == label] = change(z[y == label], label)
    return out
