"""Bounds on the likelihood against independent truth: quadrature, and the ELBO in float64."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from engine import random_streams
from engine.dataset import Split
from engine.latent import likelihood_bounds
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


def draws(n: int, latent_dim: int, seed: int) -> Callable[[int], tf.Tensor]:
    return lambda draw: random_streams.normal((n, latent_dim), seed, "evaluate", draw)


def test_the_importance_weighted_bound_reaches_the_marginal_likelihood():
    """The means of 40 draws for each of a hundred equal images are those of 4,000 draws for one."""
    x, y = np.arange(400) % 2, np.arange(400) // 2 % 2
    pixels = x.reshape(-1, 1, 1, 1).astype(np.float32)
    bounds = likelihood_bounds.bounds(Pixel(3.0, 0.4, -0.2), pixels, y, 40, draws(400, 1, 0))[0]
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)  # ∫ … N(z; 0, 1) dz
    weights, sign, bias = weights / weights.sum(), 2 * x[:4, None] - 1, 2.0 * y[:4, None] - 0.5
    log_p = np.log((weights / (1 + np.exp(-sign * (3.0 * nodes + bias)))).sum(1))
    np.testing.assert_allclose(np.log(np.exp(bounds.iw.reshape(100, 4)).mean(0)), log_p, atol=0.04)
    nll = (weights * np.logaddexp(0, -sign * (3.0 * (0.4 + np.exp(-0.2) * nodes) + bias))).sum(1)  # E_q of it
    np.testing.assert_allclose(bounds.nll.reshape(100, 4).mean(0), nll, atol=0.1)
    np.testing.assert_allclose(bounds.kl, 0.5 * (0.4**2 + np.exp(-0.4) + 0.4 - 1), atol=1e-6)


@pytest.fixture(scope="module")
def model() -> CVAE:
    return CVAE((9, 6, 3), 10, 4)


def images(n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (n, 9, 6, 3), np.uint8), rng.integers(10, size=n)


def test_batches_that_do_not_divide_and_whole_numbers_change_nothing(model, monkeypatch):
    (x, y), counted = images(11), []
    whole = likelihood_bounds.bounds(model, x, y, 4, draws(11, 4, 0), advance=lambda: counted.append(1))[0]
    assert len(counted) == 4
    for same, batch in (x, 4), (x / np.float32(255), 11):
        monkeypatch.setattr(likelihood_bounds, "BATCH", batch)
        parts = likelihood_bounds.bounds(model, same, y, 4, draws(11, 4, 0))[0]
        for expected, values in zip(whole, parts, strict=True):
            np.testing.assert_allclose(values, expected, rtol=1e-6)


def test_validation_is_the_elbo_with_noise_of_its_stream(model):
    x, y = images(600)
    nll, kl = [], []
    for first in 0, 500:  # two blocks of noise
        part, labels = x[first : first + 500] / np.float32(255), y[first : first + 500]
        outputs = model(part, labels, random_streams.normal((len(labels), 4), 3, "validation", first))
        logits, mean, a = (output.numpy().astype(np.float64) for output in outputs)
        nll += (np.logaddexp(0, logits) - part * logits).sum((1, 2, 3)).tolist()
        kl += (0.5 * (mean**2 + np.exp(2 * a) - 2 * a - 1).sum(1)).tolist()
    nll, kl = np.mean(nll), np.mean(kl)
    measured = likelihood_bounds.elbo(model, Split(x, y.astype(np.uint8)), 3, "validation")
    assert measured == {"negative_elbo": pytest.approx(nll + kl), "nll": pytest.approx(nll), "kl": pytest.approx(kl)}
    assert {type(value) for value in measured.values()} == {float}


def test_a_diverged_model_is_not_finite_and_says_nothing(recwarn):
    x, y = np.float32([0, 1, 0, 1]).reshape(4, 1, 1, 1), np.array([0, 0, 1, 1])
    measured = likelihood_bounds.elbo(Pixel(1e38, 10.0, 1000.0), Split(x, y), 0, "validation")
    assert not np.isfinite(measured["negative_elbo"]) and not list(recwarn)
