"""evaluate.py against independent truth: quadrature, models whose behaviour is known, intervals from the literature."""

from __future__ import annotations

import contextlib
import io
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import data
import evaluate
import train
from data import idx
from engine import config, files, noise, prior_fit
from engine.config import Config
from engine.evaluation import (
    classifier,
    judge,
    latents,
    likelihood,
    networks,
    reconstructions,
    samples,
    statistics,
    swap,
)
from engine.evaluation.task import DRAWS, Task, subset
from engine.prior import STANDARD_NORMAL, LabelPrior
from engine.trained import Trained
from model import CVAE, bernoulli_nll

TINY = evaluate.Size(100, 3, 2, 20, (500, 1), (300, 1), 500)


class Bernoulli:
    """What the models below, each an encoder and a decoder to reason about, have in common."""

    likelihood = "bernoulli"

    def nll(self, x, logits):
        return bernoulli_nll(x, logits)

    def generate(self, z, y):
        return tf.sigmoid(self.decode(z, y))


class Pixel(Bernoulli):
    """A one-pixel image with logit slope·z + bias(y) and a q that is not the posterior: ln p(x|y) is one integral."""

    image_shape, latent_dim, num_labels = (1, 1, 1), 1, 2

    def __init__(self, slope: float, mean: float, a: float) -> None:
        self.slope, self.mean, self.a = slope, mean, a

    def encode(self, x, y):
        return tf.fill((tf.shape(x)[0], 1), self.mean), tf.fill((tf.shape(x)[0], 1), self.a)

    def decode(self, z, y):
        return tf.reshape(self.slope * z[:, 0] + 2.0 * tf.cast(y, tf.float32) - 0.5, (-1, 1, 1, 1))

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
    return lambda draw: noise.normal((n, latent_dim), seed, "evaluate", DRAWS + draw)


def nll_64(x: np.ndarray, logits: tf.Tensor) -> np.ndarray:
    """−ln p(x|z, y) from the probabilities themselves, float64. (N,)"""
    p = 1 / (1 + np.exp(-logits.numpy().astype(np.float64)))
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).sum((1, 2, 3))


def log_normal(z: np.ndarray, mean: np.ndarray, sigma: np.ndarray) -> np.ndarray:
    """ln N(z; mean, σ²), summed over the latents. (N,)"""
    return (-0.5 * ((z - mean) / sigma) ** 2 - np.log(sigma) - 0.5 * np.log(2 * np.pi)).sum(1)


# --- the bounds --------------------------------------------------------------------------------------------------


def test_the_bound_reaches_the_marginal():
    toy, (x, bits, y) = Pixel(3.0, 0.4, -0.2), pixels(4)
    found = likelihood.bounds(toy, x, y, 4000, draws(4, 1, 0))[0]
    np.testing.assert_allclose(found.iw[:, 0], toy.log_p(bits, y), atol=0.04)
    # E_q of the NLL, by quadrature as well
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    logits = 3.0 * (0.4 + np.exp(-0.2) * nodes) + 2.0 * y[:, None] - 0.5
    nll = ((np.logaddexp(0, logits) - bits[:, None] * logits) * weights / weights.sum()).sum(1)
    np.testing.assert_allclose(found.nll, nll, atol=0.1)
    np.testing.assert_allclose(found.kl, 0.5 * (0.4**2 + np.exp(-0.4) + 0.4 - 1), atol=1e-6)


@pytest.mark.parametrize("k", [1, 7])
def test_the_bound_is_exact_when_the_decoder_ignores_z(k):
    toy, (x, bits, y) = Pixel(0.0, 0.0, 0.0), pixels(4)
    found = likelihood.bounds(toy, x, y, k, draws(4, 1, 3))[0]
    np.testing.assert_allclose(found.iw[:, 0], toy.log_p(bits, y), atol=1e-6)
    np.testing.assert_allclose(found.nll, -found.iw[:, 0], atol=1e-6)


def test_one_z_is_the_elbo_and_more_rise_towards_the_truth():
    toy, (x, bits, y) = Pixel(3.0, 0.4, -0.2), pixels(4000)
    many = [likelihood.bounds(toy, x, y, k, draws(4000, 1, 1))[0] for k in (1, 5, 25)]
    one, elbo = many[0].iw[:, 0], -many[2].nll - many[2].kl
    assert abs(one.mean() - elbo.mean()) < 4 * np.hypot(one.std(), elbo.std()) / np.sqrt(len(y))
    means = [m.iw.mean() for m in many]
    truth = toy.log_p(bits, y).mean()
    assert elbo.mean() + 0.1 < means[1] < means[2] - 0.01 < truth < 0


def test_the_bounds_are_ratios_of_the_densities():
    keras.utils.set_random_seed(0)
    model, (x, y) = CVAE((9, 6, 3), 10, 4), images(11)
    found = likelihood.bounds(model, x, y, 3, draws(11, 4, 5), shares=(1.0, 1 / 3))[0]
    log_ratio, nll = [], []
    for draw in range(3):
        eps = draws(11, 4, 5)(draw)
        logits, mean, a = model(x, y, eps)
        mean, sigma = mean.numpy().astype(np.float64), np.exp(a.numpy().astype(np.float64))
        z = mean + sigma * eps.numpy()
        log_ratio.append(log_normal(z, np.zeros(4), np.ones(4)) - log_normal(z, mean, sigma))
        nll.append(nll_64(x, logits))
    log_ratio, nll = np.array(log_ratio), np.array(nll)
    np.testing.assert_allclose(found.nll, nll.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.kl, (0.5 * (mean**2 + sigma**2 - 1) - np.log(sigma)).sum(1), rtol=1e-5)
    for column, share in enumerate((1, 1 / 3)):
        np.testing.assert_allclose(
            found.iw[:, column], np.log(np.exp(log_ratio - share * nll).mean(0)), rtol=1e-5, err_msg=f"share {share}"
        )
    other = likelihood.bounds(model, x, (y + 1) % 10, 3, draws(11, 4, 5))[0]
    assert np.abs(other.nll - found.nll).mean() > 0.01  # the label matters


def test_batches_that_do_not_divide_and_whole_numbers_change_nothing():
    keras.utils.set_random_seed(0)
    model, (x, y) = CVAE((9, 6, 3), 10, 4), images(11)
    grey = np.rint(255 * x).astype(np.uint8)
    counted = []
    whole = likelihood.bounds(model, grey, y, 4, draws(11, 4, 0), batch=11, advance=lambda: counted.append(1))[0]
    assert len(counted) == 4
    for x, batch in (grey, 4), (grey / np.float32(255), 11):
        parts = likelihood.bounds(model, x, y, 4, draws(11, 4, 0), batch=batch)[0]
        for one, other in zip(whole, parts, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-6)


def test_validation_is_the_elbo_with_noise_of_its_stream():
    keras.utils.set_random_seed(0)
    model, (x, y) = CVAE((9, 6, 3), 10, 4), images(1100)
    x = np.rint(255 * x).astype(np.uint8)
    nll, kl = [], []
    for first in 0, 500, 1000:  # three blocks of noise
        part, labels = x[first : first + 500] / np.float32(255), y[first : first + 500]
        logits, mean, a = model(part, labels, noise.normal((len(labels), 4), 3, "validation", first))
        nll.append(nll_64(part, logits))
        mean, a = mean.numpy().astype(np.float64), a.numpy().astype(np.float64)
        kl.append(0.5 * (mean**2 + np.exp(2 * a) - 2 * a - 1).sum(1))
    nll, kl = np.concatenate(nll).mean(), np.concatenate(kl).mean()
    found = likelihood.elbo(model, data.Split(x, y.astype(np.uint8)), 3, "validation")
    assert found == {"negative_elbo": pytest.approx(nll + kl), "nll": pytest.approx(nll), "kl": pytest.approx(kl)}
    assert {type(value) for value in found.values()} == {float}


def test_a_diverged_model_is_not_finite_and_says_nothing(recwarn):
    toy, (x, _, y) = Pixel(1e38, 10.0, 1000.0), pixels(4)
    found = likelihood.elbo(toy, (x, y), 0, "validation")
    assert not np.isfinite(found["negative_elbo"]) and not list(recwarn)


def test_binarised_targets():
    x = np.repeat(np.tile(np.array([0, 64, 255], np.uint8), (4000, 1))[:, None, :, None], 3, axis=-1)  # (4000, 1, 3, 3)
    found = likelihood.binarise(x, 0)
    assert set(np.unique(found)) == {0, 1} and (found[..., :1] == found).all()
    np.testing.assert_allclose(found.mean((0, 1, 3)), [0, 64 / 255, 1], atol=0.03)
    assert (found == likelihood.binarise(x, 0)).all() and (found != likelihood.binarise(x, 1)).any()
    np.testing.assert_allclose(likelihood.entropy(np.full((2, 2, 2, 1), 0.5)), 4 * np.log(2))
    np.testing.assert_allclose(likelihood.entropy(found), 0, atol=1e-8)


# --- statistics --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3 (without continuity correction)
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson(hits, n, low, high):
    found = statistics.wilson(hits, n)
    interval = {"low": pytest.approx(low, abs=5e-5), "high": pytest.approx(high, abs=5e-5)}
    assert found == {"accuracy": hits / n, **interval, "n": n}
    assert statistics.wilson(np.arange(n) < hits) == found


def test_small_statistics():
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    found = statistics.calibration(p, np.array([0, 0, 0, 1]))
    assert (found["accuracy"], found["mean_confidence"], found["ece"]) == pytest.approx((0.75, 0.75, 0.1))
    assert statistics.spread(np.array([[0.0, 0], [3, 4], [6, 8]])) == pytest.approx(20 / 3)
    assert statistics.average(np.array([1.0, 2, 3, 4])) == pytest.approx({"mean": 2.5, "se": np.sqrt(5 / 12)})
    odd = {"a": np.float32(0.1), 3: [np.int64(2), np.nan, np.array([1.0, 2.0])], "s": "x", "n": None}
    assert statistics.tidy(odd) == {"a": 0.1, "3": [2, None, [1.0, 2.0]], "s": "x", "n": None}
    images = np.eye(5, dtype=np.uint8).reshape(1, 5, 5, 1).repeat(50, 0)
    moved = networks.shifted(images, np.zeros(50, int), np.random.default_rng(0))
    assert len({m.tobytes() for m in moved}) == 9 and moved.shape == (50, 5, 5, 1)
    point = np.zeros((1, 7, 7, 1), np.uint8)
    point[0, 3, 3] = 255
    soft = np.pad(np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]), 1) * 255 / 256
    assert (judge.blurred(point)[0, ..., 0] == np.rint(soft)).all()


def test_a_subset_keeps_images_and_labels_together():
    y = np.arange(100)
    x = y.astype(np.uint8).reshape(-1, 1, 1, 1)
    some = subset((x, y), 30, 1)
    assert (some[0].reshape(-1) == some[1]).all() and (np.diff(some[1]) > 0).all() and len(some[1]) == 30
    assert (some[1] != subset((x, y), 30, 2)[1]).any()
    assert subset((x, y), 100, 1)[0] is x


# --- models whose behaviour is known -----------------------------------------------------------------------------


class Plates(Bernoulli):
    """Draws label y as one bright pixel out of ten, heeding y, or (deaf) the largest of z instead."""

    image_shape, latent_dim, num_labels = (1, 10, 1), 10, 10

    def __init__(self, deaf: bool = False) -> None:
        self.deaf = deaf

    def encode(self, x, y):
        return 3 * tf.reshape(x, (-1, 10)) - 1.5, tf.fill((tf.shape(x)[0], 10), -3.0)

    def decode(self, z, y):
        shown = tf.argmax(z, 1) if self.deaf else y
        return tf.reshape(16 * tf.one_hot(shown, 10) - 8, (-1, 1, 10, 1))

    def generate(self, z, y):
        return tf.sigmoid(self.decode(z, y))


def plates(places: np.ndarray, brightness: np.ndarray | int = 255) -> np.ndarray:
    """Images with one bright pixel each, uint8 (N, 1, 10, 1)."""
    found = np.eye(10, dtype=np.uint8)[places] * np.reshape(brightness, (-1, 1))
    return found.astype(np.uint8).reshape(-1, 1, 10, 1)


def standard(model: Plates) -> LabelPrior:
    """N(0, I) under every label: a label prior under which nothing differs."""
    n, latents = model.num_labels, model.latent_dim
    return LabelPrior(np.arange(n), np.ones(n), np.zeros((n, latents)), np.stack([np.eye(latents)] * n))


def settings(model: Plates) -> Config:
    about = {"dataset": "idx", "fingerprint": "0" * 64, "image_shape": model.image_shape, "num_labels": 10}
    return Config(**about, latent_dim=10, batch_size=1, learn_rate=0.1, schedule="constant", seed=0)


@pytest.fixture
def task_of(tmp_path) -> Callable[..., Task]:
    """Makes a task of a model and digits, by default 2,000 plates."""
    y = (np.arange(2000) % 10).astype(np.uint8)

    def make(model: Plates, digits: tuple[np.ndarray, np.ndarray] = (plates(y), y)) -> Task:
        settings(model).write(tmp_path)
        return Task(Trained(model, settings(model), tmp_path, 0), standard(model), digits, digits, digits, 0, tmp_path)

    return make


@pytest.fixture(scope="module")
def reader() -> keras.Model:
    """A judge that reads plates without having learnt to; its features are the pixels."""
    net = keras.Sequential([keras.Input((1, 10, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    net.set_weights([np.eye(10), np.zeros(10)])
    return net


def cells(path: Path, rows: int, columns: int, shape: tuple[int, int, int]) -> np.ndarray:
    """The grey images on a sheet that evaluate.py wrote, uint8 (rows, columns, H, W), read back from the PNG."""
    h, w, _ = shape
    grid = np.array(Image.open(path))[::2, ::2]  # two pixels a pixel
    head = len(grid) - (rows * (h + 1) + 1)
    assert grid.shape[1] == columns * (w + 1) + 1 and 0 <= head < 20
    grid = grid[head + 1 :, 1:]
    return np.stack([[grid[r * (h + 1) :][:h, c * (w + 1) :][:, :w] for c in range(columns)] for r in range(rows)])


def test_a_model_that_heeds_the_label(task_of, reader):
    task = task_of(Plates())
    found, drawn = samples.measure(task, reader, 20, STANDARD_NORMAL)
    assert all(found["per_temperature"][t]["accuracy"] == 1 for t in samples.TEMPERATURES)
    assert (found["confusion"] == 20 * np.eye(10)).all() and drawn.right.all()
    swapped = swap.measure(task, reader, STANDARD_NORMAL)
    assert (swapped["new_label"]["accuracy"], swapped["new_label"]["n"]) == (1, 18000)
    assert classifier.measure(task, 2)["elbo"]["accuracy"] == 1
    assert [path.name for path in task.folder.iterdir()] == ["config.json"]  # to measure is not to write


def test_a_model_deaf_to_the_label(task_of, reader):
    task = task_of(Plates(deaf=True))
    assert samples.measure(task, reader, 20, STANDARD_NORMAL)[0]["per_temperature"][1.0]["accuracy"] < 0.25
    swapped = swap.measure(task, reader, STANDARD_NORMAL)  # it redraws the old digit under any label
    assert (swapped["new_label"]["accuracy"], swapped["own_label"]["accuracy"]) == (0, 1)
    assert (swapped["new_label"]["n"], swapped["own_label"]["n"]) == (18000, 2000)
    assert [(p["accuracy"], p["n"]) for p in swapped["per_new_label"].values()] == [(0, 1800)] * 10
    assert classifier.measure(task, 2)["elbo"]["accuracy"] < 0.25
    assert latents.measure(task, 10**9)["probe"]["linear"]["accuracy"] > 0.9  # its z is the class


def test_the_kl_has_its_say_in_the_free_classifier(task_of):
    class Far(Plates):  # draws the same under every label, but only label 1 keeps q at the prior
        def encode(self, x, y):
            mean = 3.0 * tf.cast(y != 1, tf.float32)
            return tf.repeat(mean[:, None], 10, 1), tf.zeros((tf.shape(x)[0], 10))

        def decode(self, z, y):
            return super().decode(z, 0 * y)

    ones = plates(np.arange(2000) % 10), np.ones(2000, np.uint8)
    assert classifier.measure(task_of(Far(), ones), 2)["elbo"]["accuracy"] == 1


# --- samples -----------------------------------------------------------------------------------------------------


def test_temperature_scales_z(task_of, reader):
    class Shy(Plates):  # draws the next label where |z|² exceeds 9
        def decode(self, z, y):
            return super().decode(z, (y + tf.cast(tf.reduce_sum(z**2, 1) > 9, y.dtype)) % 10)

    found, drawn = samples.measure(task_of(Shy()), reader, 400, STANDARD_NORMAL)
    for temperature, p in found["per_temperature"].items():
        half = 4.5 / temperature**2  # of χ² with ten degrees of freedom, whose distribution function is a short sum
        truth = 1 - math.exp(-half) * sum(half**i / math.factorial(i) for i in range(5))
        assert p["accuracy"] == pytest.approx(truth, abs=4 * math.sqrt(truth * (1 - truth) / 4000)), temperature
    # everything else is about temperature 1
    assert drawn.right.mean() == found["per_temperature"][1.0]["accuracy"]
    assert np.mean([p["accuracy"] for p in found["per_label"].values()]) == pytest.approx(drawn.right.mean())
    assert found["confusion"].sum() == 4000 and (found["confusion"].sum(1) == 400).all()
    for label in range(10):  # a row per label asked for, a column per label read
        misread = 400 - found["confusion"][label, label]
        assert misread == found["confusion"][label, (label + 1) % 10] > 100


def drawn_plates(places: list[int], brightness: list[int], asked: list[int]) -> samples.Samples:
    return samples.Samples(plates(np.array(places), np.array(brightness)), np.array(asked), np.eye(10)[places])


def test_variety_is_ours_over_theirs(reader):
    drawn = drawn_plates([0, 0, 9, 1, 1, 2, 3, 3], [205, 255, 255, 55, 255, 9, 9, 9], [0, 0, 0, 1, 1, 2, 3, 3])
    real = [(0, 155, 0), (0, 255, 0), (8, 255, 0), (1, 155, 1), (1, 255, 1), (1, 5, 1), (2, 1, 2), (2, 2, 2)]
    real += [(3, 7, 3), (3, 7, 3)]  # all the same, so no unit
    places, brightness, y = (np.array(column) for column in zip(*real, strict=True))
    found = samples.variety(drawn, (plates(places, brightness), y), reader)
    # 50 over the 100 between two real zeros, what does not read as a zero aside; 200 over that of as many real ones
    assert found["per_label"] == {0: pytest.approx(0.5), 1: pytest.approx(2)} and found["mean"] == pytest.approx(1.25)
    nothing = samples.variety(drawn_plates([1], [9], [0]), (plates(places, brightness), y), reader)
    assert (nothing["mean"], nothing["per_label"]) == (None, {})


def test_the_misread_sheet_begins_with_the_worst(task_of):
    asked = np.repeat(np.arange(10), 15)
    sure = np.random.default_rng(0).permuted(np.tile(np.arange(15), (10, 1)), axis=1).reshape(-1) / 15
    p = np.full((150, 10), 0.5)
    p[np.arange(150), asked] = sure
    task = task_of(Plates())
    samples.write_misread(task, samples.Samples(plates(asked, 100 + np.rint(150 * sure)), asked, p), "misread")
    assert [path.name for path in (task.folder / "evaluation").iterdir()] == ["misread.png"]
    sheet = cells(task.folder / "evaluation" / "misread.png", 10, 10, (1, 10, 1))
    assert (sheet.argmax(-1)[..., 0] == np.arange(10)).all()  # a column per label
    assert (sheet.max((2, 3)) == 100 + 10 * np.arange(10)[:, None]).all()  # the least sure of 15 first


# --- reconstructions, latents and pictures of them ---------------------------------------------------------------


def test_the_worst_are_those_of_the_largest_loss_beyond_the_entropy(task_of):
    """Grey costs nats that no model can save; fifty plates at a wrong place cost nats, often fewer, that one could."""

    class Foggy(Plates):  # three more rows: grey under an even label, else black
        image_shape = (4, 10, 1)

        def encode(self, x, y):
            return super().encode(x[:, 0], y)

        def decode(self, z, y):
            fog = tf.reshape(-8.0 * tf.cast(y % 2, tf.float32), (-1, 1, 1, 1))
            return tf.concat([super().decode(z, y), tf.tile(fog, (1, 3, 10, 1))], axis=1)

    y = (np.arange(400) % 10).astype(np.uint8)
    bad = np.random.default_rng(0).permutation(np.flatnonzero(y % 2))[:50]
    brightness = np.full(400, 255)
    brightness[bad] = 100 + 3 * np.arange(50)  # the brighter, the worse
    x = np.zeros((400, 4, 10, 1), np.uint8)
    x[:, :1] = plates((y + np.isin(np.arange(400), bad)) % 10, brightness)
    x[y % 2 == 0, 1:] = 127
    task = task_of(Foggy(), (x, y))
    found, excess = likelihood.measure(task, 3)
    assert excess.min() >= 0 and found["grey"]["nll"]["mean"] > found["grey"]["least_nll_possible"] > 10
    reconstructions.write_worst(task, excess)
    sheet = cells(task.folder / "evaluation" / "worst_reconstructed.png", 10, 10, (4, 10, 1))
    assert (sheet[::2].reshape(50, 4, 10) == x[bad[::-1], ..., 0]).all()
    assert (sheet[1::2].reshape(50, 40).argmax(1) == y[bad[::-1]]).all()


def test_sheets_of_swaps_and_reconstructions(task_of):
    task = task_of(Plates())
    swap.write(task)
    sheet = cells(task.folder / "evaluation" / "swap.png", 10, 11, (1, 10, 1)).argmax(-1)[..., 0]
    assert (sheet[:, 0] == np.arange(10)).all() and (sheet[:, 1:] == np.arange(10)).all()
    deaf = task_of(Plates(deaf=True))
    swap.write(deaf)
    sheet = cells(deaf.folder / "evaluation" / "swap.png", 10, 11, (1, 10, 1)).argmax(-1)[..., 0]
    assert (sheet == np.arange(10)[:, None]).all()
    reconstructions.write(task)
    sheet = cells(task.folder / "evaluation" / "reconstructions.png", 10, 10, (1, 10, 1)).argmax(-1)[..., 0]
    assert (sheet == np.arange(10)).all()


def test_latents_are_those_of_the_test_digits(task_of):
    """The training images have a posterior of their own, which must not get into what is said of the test digits'."""
    y = (np.arange(3000) % 10).astype(np.uint8)
    digits = plates(y % 2, 200), y  # only two of ten places, so eight units do not stir
    task = task_of(Plates(), digits)._replace(train=(plates(y), y))
    found = latents.measure(task, 10**9)
    mean = 3 * (digits[0].reshape(-1, 10) / 255) - 1.5
    variance = math.exp(-6.0)
    kl = 0.5 * (mean**2 + variance + 6 - 1)
    np.testing.assert_allclose(found["kl_per_dimension"]["values"], kl.mean(0), rtol=1e-5)
    assert found["active_units"] == {"of": 10, "active": 2}
    q = found["aggregate_posterior"]
    np.testing.assert_allclose(q["mean_per_dimension"], mean.mean(0), atol=0.005)
    np.testing.assert_allclose(q["variance_per_dimension"], mean.var(0) + variance, rtol=0.2)
    assert q["largest_covariance"] == pytest.approx(mean[:, 0].var(), rel=0.02)
    centre, covariance = mean.mean(0), np.cov(mean.T) + variance * np.eye(10)
    kl = 0.5 * (np.trace(covariance) + centre @ centre - 10 - np.linalg.slogdet(covariance)[1])
    assert q["kl_of_gaussian_fit"] == pytest.approx(kl, rel=0.02)
    assert found["probe"]["majority"] == 0.1 and found["probe"]["z"] == 3000


def test_the_traversal_moves_one_unit_a_row(task_of):
    task = task_of(Plates(deaf=True))
    kl = np.array([3.0, 9, 1, 7, 5, 2, 8, 4, 6, 0])
    latents.write_traversal(task, kl)
    path = task.folder / "evaluation" / "latent_traversal.png"
    assert json.loads(Image.open(path).text["rows"]) == [1, 6, 3, 8, 4, 7, 0, 5, 2, 9]  # most KL first
    shown = cells(path, 10, 13, (1, 10, 1)).argmax(-1)[..., 0]  # the largest of z
    assert (shown[:, 7:] == np.argsort(-kl)[:, None]).all()
    assert (shown[:, :6] == np.where(np.argsort(-kl) == 0, 1, 0)[:, None]).all()  # below 0: another one, all being 0


# --- who learns from what ----------------------------------------------------------------------------------------


class Bars(Plates):
    """Draws label y as a bar at its place; z tells the place of the bar in the image that was encoded."""

    image_shape = (5, 40, 1)

    def encode(self, x, y):
        shown = tf.reduce_mean(tf.reshape(x, (-1, 5, 10, 4)), axis=(1, 3))
        return 4 * shown - 1.5, tf.fill((tf.shape(x)[0], 10), -3.0)

    def decode(self, z, y):
        row = tf.repeat(tf.one_hot(y, 10), 4, axis=1) * tf.tile([1.0, 1, 1, 0], [10])  # (B, 40)
        return tf.tile(tf.reshape(16 * row - 8, (-1, 1, 40, 1)), (1, 5, 1, 1))


def bars(places: np.ndarray) -> np.ndarray:
    """Images of a bar each, three of forty pixels wide, so that a shift by one mixes up none. uint8 (N, 5, 40, 1)"""
    row = np.repeat(np.eye(10)[places], 4, axis=1) * np.tile([1, 1, 1, 0], 10)
    return np.tile(255 * row.reshape(-1, 1, 40, 1), (1, 5, 1, 1)).astype(np.uint8)


@pytest.fixture(scope="module")
def planted(tmp_path_factory) -> tuple[dict, Path]:
    """What evaluate.py finds where training images and test images agree in half of the labels; and its folder.

    Whoever learnt from training images (or their z) reads half of the test images; whoever learnt from test images, or
    from what the model draws, reads all of them. There is no run in out/, so it takes the shipped one.
    """
    folder = tmp_path_factory.mktemp("planted")
    rng = np.random.default_rng(0)

    def split(n: int, places: list[int]) -> data.Split:
        y = rng.permutation(np.arange(n) % 10)
        return data.Split(bars(np.array(places)[y]), y.astype(np.uint8))

    train_split = split(1000, [0, 1, 2, 3, 4, 6, 7, 8, 9, 5])
    dataset = data.Dataset(
        "idx", "bars", train_split, split(300, [*range(5, 10), *range(5)]), split(400, range(10)), ""
    )
    loaded = []

    def load(folder: Path, checkpoint: str | None) -> Trained:
        loaded.append(folder)
        settings(Bars()).write(folder)
        return Trained(Bars(), settings(Bars()), folder, 7)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluate.trained, "load", load)
        patch.setattr(data, "of_run", lambda config, data_dir: dataset)
        patch.setattr(files, "OUT", folder / "out")
        patch.setattr(config, "REFERENCE", folder / "reference")
        patch.setattr(evaluate, "SIZES", {"default": evaluate.Size(10**9, 2, 2, 20, (10**9, 8), (10**9, 8), 10**9)})
        settings(Bars()).write(folder / "reference")
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            assert evaluate.main([]) == 0
    assert loaded == [folder / "reference"] and "using the shipped one" in said.getvalue()
    return json.loads((folder / "out" / "metrics.json").read_text())["evaluate"], folder


HALF, ALL = pytest.approx(0.5, abs=0.1), pytest.approx(1, abs=0.1)


def test_the_judge_learns_from_training_images(planted):
    assert planted[0]["judge"]["test_digits"]["accuracy"] == HALF
    assert planted[0]["samples"]["per_temperature"]["1.0"]["accuracy"] == HALF
    read = [p["accuracy"] for p in planted[0]["samples"]["per_label"].values()]
    assert read == [ALL] * 5 + [pytest.approx(0, abs=0.1)] * 5


class Shifted(Plates):
    """Heeds z only, but of training images of a label z is elsewhere than N(0, I): far out on the label's own axis."""

    def encode(self, x, y):
        mean, a = super().encode(x, y)
        return mean + 6 * tf.one_hot(y, 10), a


def test_what_goes_through_the_label_prior(task_of, reader):
    """A model deaf to its label draws what z says: at chance from N(0, I), always right through the label's prior."""
    task = task_of(Shifted(deaf=True))
    p = prior_fit.fit(*_moments_of(task), 10, (np.zeros((1, 10)), np.zeros(1, int)))
    task = task._replace(prior=p)
    found, drawn = samples.measure(task, reader, 40, STANDARD_NORMAL)
    by_prior, _ = samples.measure(task, reader, 40, p)
    assert found["per_temperature"][1.0]["accuracy"] < 0.25 and by_prior["per_temperature"][1.0]["accuracy"] == 1
    stays, moves = swap.measure(task, reader, STANDARD_NORMAL), swap.measure(task, reader, p)
    assert stays["new_label"]["accuracy"] == 0 and moves["new_label"]["accuracy"] == 1
    assert stays["own_label"] == moves["own_label"]
    read = classifier.measure(task, 2)
    assert read["label_prior"]["elbo"]["accuracy"] == 1
    shuffled = p.labels[::-1].argsort()  # every label's prior under another label
    wrong = LabelPrior(p.labels, p.weights[shuffled], p.means[shuffled], p.covariances[shuffled])
    assert samples.measure(task, reader, 40, wrong)[0]["per_temperature"][1.0]["accuracy"] < 0.05
    swapped = classifier.measure(task._replace(prior=wrong), 2)["label_prior"]["elbo"]["accuracy"]
    assert swapped < 0.05
    likely, _ = likelihood.measure(task, 3)
    label, plain = likely["label_prior"]["grey"], likely["grey"]
    assert label["nll"] == plain["nll"] and label["kl"]["mean"] < plain["kl"]["mean"] - 5
    assert label["negative_elbo"]["mean"] == pytest.approx(label["nll"]["mean"] + label["kl"]["mean"], abs=1e-6)


def test_trained_on_generated_is_trained_on_samples_of_either_prior(task_of, monkeypatch):
    """The "network" is what it learnt from; its score, how many of those images show their label."""
    task = task_of(Shifted(deaf=True))
    task = task._replace(prior=prior_fit.fit(*_moments_of(task), 10, (np.zeros((1, 10)), np.zeros(1, int))))
    monkeypatch.setattr(networks, "learn", lambda make, x, y, *rest: (x, y))
    monkeypatch.setattr(
        networks, "score", lambda net, x, y: (net[0].reshape(len(net[1]), 10).argmax(1) == net[1]).mean()
    )
    found = samples.train_on_generated(task, 500, 1)
    assert found["generated"] < 0.25 and found["generated_by_label_prior"] == found["real"] == 1


def _moments_of(task: Task) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x, y = task.train
    mean, a, _ = likelihood.posterior(task.trained.model, x, y)
    return mean, np.exp(2 * a.astype(np.float64)), y


def test_the_probes_learn_from_training_images(planted):
    assert planted[0]["latents"]["probe"]["linear"]["accuracy"] == HALF
    assert planted[0]["latents"]["probe"]["mlp"]["accuracy"] == HALF


def test_trained_on_generated_is_trained_on_generated(planted):
    assert planted[0]["train_on_generated"]["generated"]["accuracy"] == ALL
    assert planted[0]["train_on_generated"]["generated_by_label_prior"]["accuracy"] == ALL
    assert planted[0]["train_on_generated"]["real"]["accuracy"] == HALF


def test_results_of_the_shipped_run_go_to_out_and_tell_whose_they_are(planted):
    found, folder = planted
    assert (found["run"], found["step"], found["config"]) == ("reference", 7, settings(Bars()).digest)
    assert [path.name for path in (folder / "reference").iterdir()] == ["config.json"]
    assert len(list((folder / "out" / "evaluation").glob("*.png"))) == 6
    assert len(list((folder / "out").glob("judge-*.npz"))) == 1


def test_a_judge_of_another_recipe_is_never_taken(task_of, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "OUT", tmp_path / "out")
    learnt = []

    def learn(make, x, y, epochs, seed, what):
        learnt.append((len(y), epochs, seed))
        return make()

    monkeypatch.setattr(networks, "learn", learn)
    task = task_of(Plates())
    first = judge.keep_or_train(task, 500, 1)
    again = judge.keep_or_train(task._replace(seed=9), 500, 1)
    assert learnt == [(500, 1, 0)]
    assert all((one == other).all() for one, other in zip(first.get_weights(), again.get_weights(), strict=True))
    judge.keep_or_train(task, 500, 2)
    judge.keep_or_train(task, 600, 1)
    judge.keep_or_train(task, 10**9, 1)
    judge.keep_or_train(task, 2000, 1)  # which is all of them
    assert learnt == [(500, 1, 0), (500, 2, 0), (600, 1, 0), (2000, 1, 0)]
    for constant, value in ("RATE", 1e-3), ("BATCH", 64), ("RECIPE", 10**6):
        with monkeypatch.context() as patch:
            patch.setattr(networks, constant, value)
            judge.keep_or_train(task, 500, 1)
    other = task.trained._replace(config=Config(**vars(task.trained.config) | {"fingerprint": "1" * 64}))
    judge.keep_or_train(task._replace(trained=other), 500, 1)
    assert len(learnt) == 8 == len(list((tmp_path / "out").glob("judge-*.npz")))


@pytest.mark.parametrize("damage", ["cut", "not finite", "another network's"])
def test_a_damaged_judge_is_trained_anew(damage, task_of, monkeypatch, tmp_path):
    monkeypatch.setattr(files, "OUT", tmp_path / "out")
    learnt = []
    monkeypatch.setattr(networks, "learn", lambda make, *rest: learnt.append(1) or make())
    task = task_of(Plates())
    good = judge.keep_or_train(task, 500, 1).get_weights()
    (path,) = (tmp_path / "out").glob("judge-*.npz")
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        wrong = [w if damage == "not finite" else w[..., :-1] for w in good]
        wrong[3] = wrong[3] * np.nan
        np.savez(path, **{f"{i}": w for i, w in enumerate(wrong)})
    for _ in range(2):  # and then it is kept
        found = judge.keep_or_train(task, 500, 1).get_weights()
        assert len(learnt) == 2 and all(np.isfinite(w).all() for w in found)


def test_larger_images_wider_networks_and_more_labels_get_less_of_everything():
    plain = settings(Plates())
    of = [{"image_shape": (28, 28, 1)}, {"image_shape": (64, 64, 3), "width": 2}, {"image_shape": (28, 28, 1)}]
    of[2]["num_labels"] = 100
    found = [evaluate.fitting(evaluate.SIZES["default"], Config(**{**vars(plain), **more})) for more in of]
    assert [size.images for size in found] == [10_000, 1_000, 10_000]
    assert [size.samples for size in found] == [1_000, 95, 100]
    assert [size.judge for size in found] == [(60_000, 6), (5_742, 6), (60_000, 6)]
    assert [size.score for size in found] == [(30_000, 3), (2_871, 3), (30_000, 3)]
    assert [size.probe for size in found] == [60_000, 5_742, 60_000]
    assert evaluate.fitting(TINY, plain) == TINY


# --- the command -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn_run(tmp_path_factory) -> Iterator[Path]:
    """A run on fewer drawn digits than usual, for as long as this module's tests last."""
    folder = tmp_path_factory.mktemp("drawn") / "run"
    patch = pytest.MonkeyPatch()
    patch.setattr(data, "DRAWN", (2_000, 100, 300))
    assert train.main(["--dataset", "drawn", "--steps", "200", "--out", str(folder)]) == 0
    yield folder
    patch.undo()


@pytest.fixture
def small(monkeypatch, tmp_path) -> Path:
    """Every mode does little, and judges are kept in this folder, which is returned."""
    monkeypatch.setattr(evaluate, "SIZES", dict.fromkeys(evaluate.SIZES, TINY))
    monkeypatch.setattr(files, "OUT", tmp_path / "out")
    return tmp_path / "out"


def test_the_command_merges_and_repeats_itself(drawn_run, small, capsys, monkeypatch):
    monkeypatch.setattr(evaluate, "SIZES", {"quick": TINY})
    learn = networks.learn

    def judge(make, x, y, epochs, seed, what, **more):
        return learn(make, x, y, epochs, seed, what, **more) if what == "judge" else make()

    monkeypatch.setattr(networks, "learn", judge)  # the other networks only fill a table here
    before = json.loads((drawn_run / "metrics.json").read_text())
    text = []
    for attempt in range(2):
        if attempt:  # a damaged judge is trained anew, to the same numbers
            (kept,) = small.glob("judge-*.npz")
            whole = kept.read_bytes()
            kept.write_bytes(whole[: len(whole) // 2])
        assert evaluate.main(["--run", str(drawn_run), "--quick", "--seed", "3"]) == 0
        text.append((drawn_run / "metrics.json").read_text())
    assert text[0] == text[1] and kept.stat().st_size == len(whole)
    after = json.loads(text[0], parse_constant=pytest.fail)
    found = after.pop("evaluate")
    assert after == before and "test" in after
    assert (found["mode"], found["seed"], found["step"], found["dataset"]) == ("quick", 3, 200, "drawn")
    assert found["config"] == Config.read(drawn_run).digest
    grey = {key: found["likelihood"]["grey"][key]["mean"] for key in ("negative_elbo", "nll", "kl")}
    assert grey["negative_elbo"] == pytest.approx(grey["nll"] + grey["kl"], abs=1e-4)
    assert grey["negative_elbo"] == pytest.approx(before["test"]["negative_elbo"], rel=0.1)
    sheets = {path.stem for path in (drawn_run / "evaluation").glob("*.png")}
    assert sheets == {
        "reconstructions",
        "worst_reconstructed",
        "latent_traversal",
        "swap",
        "misread",
        "misread_by_label_prior",
    }
    out, err = capsys.readouterr()
    assert not err and max(len(line) for line in out.splitlines() if str(drawn_run) not in line) <= 100


def test_three_channels_of_an_idx_data_set(small, tmp_path, monkeypatch):
    monkeypatch.setattr(networks, "learn", lambda make, *_, **__: make())  # they score, and are not looked at here
    rng = np.random.default_rng(0)
    for part, n in ("train", 240), ("t10k", 30):
        y = (np.arange(n) % 7).astype(np.uint8)  # of the ten labels, three never occur
        idx.write(tmp_path / f"{part}-images-idx3-ubyte.gz", rng.integers(0, 256, (n, 11, 8), np.uint8))
        idx.write(tmp_path / f"{part}-labels-idx1-ubyte.gz", y)
    where = ["--data-dir", str(tmp_path)]
    out = str(tmp_path / "run")
    assert train.main([*where, "--channels", "3", "--steps", "5", "--latent-dim", "3", "--out", out]) == 0
    assert evaluate.main(["--run", out]) == 0
    found = json.loads((tmp_path / "run" / "metrics.json").read_text())["evaluate"]["likelihood"]
    assert len(found["grey"]["per_digit"]) == 7
    trained, single = found["grey"], found["grey_per_channel"]
    assert single["nll"]["mean"] == pytest.approx(trained["nll"]["mean"] / 3, rel=1e-4)
    assert single["kl"] == trained["kl"]
    assert single["negative_importance_weighted"]["mean"] < trained["negative_importance_weighted"]["mean"] / 2


def test_bad_input_is_one_line(drawn_run, small, tmp_path, capsys):
    assert evaluate.main(["--run", str(tmp_path)]) == 1
    assert "run python train.py first" in capsys.readouterr().err
    config = json.loads((drawn_run / "config.json").read_text())
    try:
        (drawn_run / "config.json").write_text(json.dumps(config | {"fingerprint": "0" * 64}))
        assert evaluate.main(["--run", str(drawn_run)]) == 1
    finally:
        (drawn_run / "config.json").write_text(json.dumps(config))
    err = capsys.readouterr().err
    assert "trained on other data" in err and err.count("\n") == 1
    for wrong in (["--quick", "--full"], ["--seed", "-1"], ["--seed", "x"], ["--nonsense"]):
        with pytest.raises(SystemExit) as stopped:
            evaluate.main(wrong)
        assert stopped.value.code == 2
