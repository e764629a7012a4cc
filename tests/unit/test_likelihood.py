"""Bounds on the likelihood against independent truth: quadrature, and densities in float64."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from engine import random_streams
from engine.dataset import Split
from engine.evaluation import likelihood
from engine.latent import likelihood_bounds
from engine.random_streams import DRAWS
from model import CVAE, bernoulli_nll


class Pixel:
    """A one-pixel image with logit slope·z + bias(y) and a q that is not the posterior: ln p(x|y) is one integral."""

    image_shape, latent_dim, num_labels, likelihood = (1, 1, 1), 1, 2, "bernoulli"

    def __init__(self, slope: float, mean: float, a: float) -> None:
        self.slope, self.mean, self.a = slope, mean, a

    def encode(self, x, y):
        return tf.fill((tf.shape(x)[0], 1), self.mean), tf.fill((tf.shape(x)[0], 1), self.a)

    def decode(self, z, y):
        return tf.reshape(self.slope * z[:, 0] + 2.0 * tf.cast(y, tf.float32) - 0.5, (-1, 1, 1, 1))

    def nll(self, x, logits):
        return bernoulli_nll(x, logits)

    def log_p(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """ln ∫ p(x|z, y) N(z; 0, 1) dz by Gauss and Hermite, float64."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        logits = (2 * x[:, None] - 1) * (self.slope * nodes + 2.0 * y[:, None] - 0.5)
        return np.log((weights / weights.sum() / (1 + np.exp(-logits))).sum(1))


def pixels(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The four cases (x, y) in turn, and x as images."""
    x, y = np.arange(n) % 2, np.arange(n) // 2 % 2
    return x.reshape(-1, 1, 1, 1).astype(np.float32), x, y


def images(n: int, shape: tuple[int, int, int] = (9, 6, 3), seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.random((n, *shape), np.float32), rng.integers(10, size=n)


def draws(n: int, latent_dim: int, seed: int) -> Callable[[int], tf.Tensor]:
    return lambda draw: random_streams.normal((n, latent_dim), seed, "evaluate", DRAWS + draw)


def nll_64(x: np.ndarray, logits: tf.Tensor) -> np.ndarray:
    """−ln p(x|z, y) from the probabilities themselves, float64. (N,)"""
    p = 1 / (1 + np.exp(-logits.numpy().astype(np.float64)))
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum((1, 2, 3))


def log_normal(z: np.ndarray, mean: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """ln N(z; mean, σ²), summed over the latents. (N,)"""
    return (-0.5 * ((z - mean) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)).sum(1)


def test_the_importance_weighted_bound_reaches_the_marginal_likelihood():
    """The means of 40 draws for each of a hundred equal images are those of 4,000 draws for one."""
    toy, (x, bits, y) = Pixel(3.0, 0.4, -0.2), pixels(400)
    bounds = likelihood_bounds.bounds(toy, x, y, 40, draws(400, 1, 0))[0]
    bound = np.log(np.exp(bounds.iw.reshape(100, 4)).mean(0))
    np.testing.assert_allclose(bound, toy.log_p(bits, y)[:4], atol=0.04)
    # E_q of the NLL, by quadrature as well
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    logits = 3.0 * (0.4 + np.exp(-0.2) * nodes) + 2.0 * y[:4, None] - 0.5
    nll = ((np.logaddexp(0, logits) - bits[:4, None] * logits) * weights / weights.sum()).sum(1)
    np.testing.assert_allclose(bounds.nll.reshape(100, 4).mean(0), nll, atol=0.1)
    np.testing.assert_allclose(bounds.kl, 0.5 * (0.4**2 + np.exp(-0.4) + 0.4 - 1), atol=1e-6)


def test_the_bounds_are_ratios_of_the_densities():
    model, (x, y) = CVAE((9, 6, 3), 10, 4), images(11)
    bounds = likelihood_bounds.bounds(model, x, y, 3, draws(11, 4, 5), shares=(1.0, 1 / 3))[0]
    log_ratio, nll = [], []
    for draw in range(3):
        eps = draws(11, 4, 5)(draw)
        logits, mean, a = model(x, y, eps)
        mean, sigma = mean.numpy().astype(np.float64), np.exp(a.numpy().astype(np.float64))
        z = mean + sigma * eps.numpy()
        log_ratio.append(log_normal(z, np.zeros(4), np.ones(4)) - log_normal(z, mean, sigma))
        nll.append(nll_64(x, logits))
    log_ratio, nll = np.array(log_ratio), np.array(nll)
    np.testing.assert_allclose(bounds.nll, nll.mean(0), rtol=1e-5)
    np.testing.assert_allclose(bounds.kl, (0.5 * (mean**2 + sigma**2 - 1) - np.log(sigma)).sum(1), rtol=1e-5)
    for column, share in enumerate((1, 1 / 3)):
        np.testing.assert_allclose(
            bounds.iw[:, column], np.log(np.exp(log_ratio - share * nll).mean(0)), rtol=1e-5, err_msg=f"share {share}"
        )
    other = likelihood_bounds.bounds(model, x, (y + 1) % 10, 3, draws(11, 4, 5))[0]
    assert np.abs(other.nll - bounds.nll).mean() > 0.01  # the label matters


def test_batches_that_do_not_divide_and_whole_numbers_change_nothing(monkeypatch):
    model, (x, y), counted = CVAE((9, 6, 3), 10, 4), images(11), []
    grey = np.rint(255 * x).astype(np.uint8)
    whole = likelihood_bounds.bounds(model, grey, y, 4, draws(11, 4, 0), advance=lambda: counted.append(1))[0]
    assert len(counted) == 4
    for x, batch in (grey, 4), (grey / np.float32(255), 11):
        monkeypatch.setattr(likelihood_bounds, "BATCH", batch)
        parts = likelihood_bounds.bounds(model, x, y, 4, draws(11, 4, 0))[0]
        for expected, values in zip(whole, parts, strict=True):
            np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_validation_is_the_elbo_with_noise_of_its_stream():
    model, (x, y) = CVAE((9, 6, 3), 10, 4), images(1100)
    x = np.rint(255 * x).astype(np.uint8)
    nll, kl = [], []
    for first in 0, 500, 1000:  # three blocks of noise
        part, labels = x[first : first + 500] / np.float32(255), y[first : first + 500]
        logits, mean, a = model(part, labels, random_streams.normal((len(labels), 4), 3, "validation", first))
        nll.append(nll_64(part, logits))
        mean, a = mean.numpy().astype(np.float64), a.numpy().astype(np.float64)
        kl.append(0.5 * (mean**2 + np.exp(2 * a) - 2 * a - 1).sum(1))
    nll, kl = np.concatenate(nll).mean(), np.concatenate(kl).mean()
    measured = likelihood_bounds.elbo(model, Split(x, y.astype(np.uint8)), 3, "validation")
    assert measured == {"negative_elbo": pytest.approx(nll + kl), "nll": pytest.approx(nll), "kl": pytest.approx(kl)}
    assert {type(value) for value in measured.values()} == {float}


def test_a_diverged_model_is_not_finite_and_says_nothing(recwarn):
    toy, (x, _, y) = Pixel(1e38, 10.0, 1000.0), pixels(4)
    measured = likelihood_bounds.elbo(toy, (x, y), 0, "validation")
    assert not np.isfinite(measured["negative_elbo"]) and not list(recwarn)


def test_a_binarised_pixel_is_1_as_often_as_it_is_bright():
    x = np.repeat(np.tile(np.array([0, 64, 255], np.uint8), (4000, 1))[:, None, :, None], 3, axis=-1)  # (4000, 1, 3, 3)
    binary = likelihood.binarise(x, 0)
    assert set(np.unique(binary)) == {0, 1} and (binary[..., :1] == binary).all()
    np.testing.assert_allclose(binary.mean((0, 1, 3)), [0, 64 / 255, 1], atol=0.03)
    assert (binary == likelihood.binarise(x, 0)).all() and (binary != likelihood.binarise(x, 1)).any()
    np.testing.assert_allclose(likelihood.entropy(np.full((2, 2, 2, 1), 0.5)), 4 * np.log(2))
    np.testing.assert_allclose(likelihood.entropy(binary), 0, atol=1e-8)
