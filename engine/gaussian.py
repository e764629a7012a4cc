"""Gaussians in float64 NumPy: densities, roots and scatters; full covariances (L, L), or diagonal ones as (L,)."""

from __future__ import annotations

import numpy as np

BLOCK = 256  # rows of a matrix product


def whitener(covariance: np.ndarray) -> tuple[np.ndarray, float]:
    """W with W·covariance·Wᵀ = I, (L, L) or for diagonals (L,), and the covariance's log-determinant."""
    if covariance.ndim == 1:
        return 1 / np.sqrt(covariance), float(np.log(covariance).sum())
    lower = np.linalg.cholesky(covariance)
    return np.linalg.inv(lower), float(2 * np.log(np.diag(lower)).sum())


def log_normal(
    z: np.ndarray, mean: np.ndarray, whitener: tuple[np.ndarray, float], variance: np.ndarray | None = None
) -> np.ndarray:
    """ln N(z; mean, covariance) in nats; in expectation, if z has a variance of its own. (n, L) → (n,)"""
    w, log_det = whitener
    square = (times(z - mean, w.T) ** 2).sum(axis=1)
    if variance is not None:
        square += variance @ (w**2 if w.ndim == 1 else (w**2).sum(axis=0))  # the diagonal of the covariance's inverse
    return -0.5 * (square + log_det + len(mean) * np.log(2 * np.pi))


def responsibilities(
    z: np.ndarray,
    weights: np.ndarray,
    means: np.ndarray,
    whiteners: list[tuple[np.ndarray, float]],
    variance: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """The E-step of a mixture: how much of each z (n, L) belongs to each component (n, K), and ln p(z) in nats (n,)."""
    log_p = np.stack([log_normal(z, m, w, variance) for m, w in zip(means, whiteners, strict=True)], axis=1)
    log_p += np.log(weights)
    most = log_p.max(axis=1, keepdims=True)
    belongs = np.exp(log_p - most)
    total = belongs.sum(axis=1, keepdims=True)
    return belongs / total, (most + np.log(total))[:, 0]


def roots(covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The symmetric roots of covariances, and their inverses."""
    if covariances.ndim == 2:
        return np.sqrt(covariances), 1 / np.sqrt(covariances)
    values, vectors = np.linalg.eigh(covariances)
    both = [(vectors * values[:, None, :] ** power) @ vectors.swapaxes(1, 2) for power in (0.5, -0.5)]
    return both[0], both[1]


def times(x: np.ndarray, root: np.ndarray) -> np.ndarray:
    """x (n, L) times a matrix (L, L), or a diagonal one (L,)."""
    if root.ndim == 1:
        return x * root
    blocks, rest = _blocks(x)
    return np.concatenate([(blocks @ root).reshape(-1, x.shape[1]), rest @ root])


def scatter(x: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ weights[i] x[i] x[i]ᵀ. (n, L) and (n,) → (L, L)"""
    (blocks, rest), (weighted, weighted_rest) = _blocks(x), _blocks(x * weights[:, None])
    return (weighted.swapaxes(1, 2) @ blocks).sum(axis=0) + weighted_rest.T @ rest


def _blocks(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x (n, L) as (n // BLOCK, BLOCK, L) and the rest of its rows.

    A large product is put on all cores by NumPy's BLAS, where its threads wait for one another by spinning: with
    another process on one of two cores a fit took 41 s instead of 4.
    """
    whole = len(x) // BLOCK * BLOCK
    return x[:whole].reshape(-1, BLOCK, x.shape[1]), x[whole:]
