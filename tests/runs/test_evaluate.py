"""evaluate.py by models whose behaviour is known: who is measured on what, who learns from what, what is written."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import data
import evaluate
import train
from engine import files, idx
from engine.classifiers import networks
from engine.config import Config
from engine.evaluation import (
    bayes_classifier,
    evaluation_classifier,
    latents,
    likelihood,
    reconstructions,
    samples,
    swap,
)
from engine.evaluation.subject import Subject
from engine.latent import elbo, prior_fit
from engine.latent.prior import STANDARD_NORMAL, LabelPrior
from engine.runs import metrics, options
from engine.runs.trained_model import Trained
from model import bernoulli_nll

TINY = evaluate.Size(100, 3, 2, 20, (500, 1), (300, 1), 500)


# --- models whose behaviour is known -----------------------------------------------------------------------------


class Bars:
    """Draws label y as a bar at its place out of ten, heeding y, or (deaf) the largest of z instead.

    A bar is three of forty pixels wide and has a gap, so that a shift by a pixel mixes up none. The encoder's z tells
    the place of the bar in its image.
    """

    image_shape, latent_dim, num_labels, likelihood = (1, 40, 1), 10, 10, "bernoulli"

    def __init__(self, deaf: bool = False) -> None:
        self.deaf = deaf

    def nll(self, x, logits):
        return bernoulli_nll(x, logits)

    def generate(self, z, y):
        return tf.sigmoid(self.decode(z, y))

    def encode(self, x, y):
        shown = tf.reduce_sum(tf.reshape(x, (-1, 10, 4)), axis=2) / 3
        return 3 * shown - 1.5, tf.fill((tf.shape(x)[0], 10), -3.0)

    def decode(self, z, y):
        shown = tf.one_hot(tf.argmax(z, 1) if self.deaf else y, 10)
        row = tf.repeat(shown, 4, axis=1) * tf.tile([1.0, 1, 1, 0], [10])  # (B, 40)
        return tf.reshape(16 * row - 8, (-1, 1, 40, 1))


class Shifted(Bars):
    """Heeds z only, but of training images of a label z is elsewhere than N(0, I): far out on the label's own axis."""

    def encode(self, x, y):
        mean, a = super().encode(x, y)
        return mean + 6 * tf.one_hot(y, 10), a


def bars(places: np.ndarray, brightness: np.ndarray | int = 255) -> np.ndarray:
    """Images of a bar each, uint8 (N, 1, 40, 1)."""
    row = np.repeat(np.eye(10)[places], 4, axis=1) * np.tile([1, 1, 1, 0], 10) * np.reshape(brightness, (-1, 1))
    return row.astype(np.uint8).reshape(-1, 1, 40, 1)


def places(images: np.ndarray) -> np.ndarray:
    """Where the bars are, of (…, H, W): the label of the brightest pixel in the first row."""
    return images[..., 0, :].argmax(-1) // 4


def standard(model: Bars) -> LabelPrior:
    """N(0, I) under every label: a label prior under which nothing differs."""
    n, size = model.num_labels, model.latent_dim
    return LabelPrior(np.arange(n), np.ones(n), np.zeros((n, size)), np.stack([np.eye(size)] * n))


def fitted(subject: Subject) -> Subject:
    """The same with the label prior of its training images."""
    x, y = subject.train
    mean, a = elbo.posterior(subject.trained.model, x, y)
    variance = np.exp(2 * a.astype(np.float64))
    return subject._replace(prior=prior_fit.fit(mean, variance, y, 10, (np.zeros((1, 10)), np.zeros(1, int))))


def settings(model: Bars) -> Config:
    about = {"dataset": "idx", "fingerprint": "0" * 64, "image_shape": model.image_shape, "num_labels": 10}
    return Config(**about, latent_dim=10, batch_size=1, learn_rate=0.1, schedule="constant", seed=0)


@pytest.fixture
def subject_of(tmp_path) -> Callable[..., Subject]:
    """Makes a subject of a model and digits, by default 2,000 bars."""
    y = (np.arange(2000) % 10).astype(np.uint8)

    def make(model: Bars, digits: tuple[np.ndarray, np.ndarray] = (bars(y), y)) -> Subject:
        settings(model).write(tmp_path)
        return Subject(
            Trained(model, settings(model), tmp_path, 0), standard(model), digits, digits, digits, 0, tmp_path
        )

    return make


@pytest.fixture(scope="module")
def reader() -> keras.Model:
    """A classifier that reads bars without having learnt to; its features are the pixels."""
    net = keras.Sequential([keras.Input((1, 40, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    net.set_weights([np.repeat(np.eye(10), 4, axis=0), np.zeros(10)])
    return net


@pytest.fixture(autouse=True)
def cache(monkeypatch, tmp_path) -> Path:
    """The user's cache: an empty folder for every test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return files.user_cache()


def sheet(subject: Subject, name: str, rows: int, columns: int) -> np.ndarray:
    """The grey images on a sheet that evaluate.py wrote, uint8 (rows, columns, H, W), read back from the PNG."""
    h, w, _ = subject.trained.model.image_shape
    grid = np.array(Image.open(subject.folder / "evaluation" / f"{name}.png"))[::2, ::2]  # two pixels a pixel
    head = len(grid) - (rows * (h + 1) + 1)
    assert grid.shape[1] == columns * (w + 1) + 1 and 0 <= head < 20
    grid = grid[head + 1 :, 1:]
    return np.stack([[grid[r * (h + 1) :][:h, c * (w + 1) :][:, :w] for c in range(columns)] for r in range(rows)])


def test_a_model_that_heeds_the_label(subject_of, reader):
    subject = subject_of(Bars())
    result, drawn = samples.measure(subject, reader, 20, STANDARD_NORMAL)
    assert all(result["per_temperature"][t]["accuracy"] == 1 for t in samples.TEMPERATURES)
    assert (result["confusion"] == 20 * np.eye(10)).all() and drawn.right.all()
    swapped = swap.measure(subject, reader, STANDARD_NORMAL)
    assert (swapped["new_label"]["accuracy"], swapped["new_label"]["n"]) == (1, 18000)
    assert bayes_classifier.measure(subject, 2)["elbo"]["accuracy"] == 1
    assert [path.name for path in subject.folder.iterdir()] == ["config.json"]  # to measure is not to write


def test_a_model_deaf_to_the_label(subject_of, reader):
    subject = subject_of(Bars(deaf=True))
    assert samples.measure(subject, reader, 20, STANDARD_NORMAL)[0]["per_temperature"][1.0]["accuracy"] < 0.25
    swapped = swap.measure(subject, reader, STANDARD_NORMAL)  # it redraws the old digit under any label
    assert (swapped["new_label"]["accuracy"], swapped["own_label"]["accuracy"]) == (0, 1)
    assert (swapped["new_label"]["n"], swapped["own_label"]["n"]) == (18000, 2000)
    assert [(p["accuracy"], p["n"]) for p in swapped["per_new_label"].values()] == [(0, 1800)] * 10
    assert bayes_classifier.measure(subject, 2)["elbo"]["accuracy"] < 0.25
    assert latents.measure(subject, 10**9)["probe"]["linear"]["accuracy"] > 0.9  # its z is the class


def test_temperature_scales_z(subject_of, reader):
    class Shy(Bars):  # draws the next label where |z|² exceeds 9
        def decode(self, z, y):
            return super().decode(z, (y + tf.cast(tf.reduce_sum(z**2, 1) > 9, y.dtype)) % 10)

    result, drawn = samples.measure(subject_of(Shy()), reader, 400, STANDARD_NORMAL)
    for temperature, p in result["per_temperature"].items():
        half = 4.5 / temperature**2  # of χ² with ten degrees of freedom, whose distribution function is a short sum
        truth = 1 - math.exp(-half) * sum(half**i / math.factorial(i) for i in range(5))
        assert p["accuracy"] == pytest.approx(truth, abs=4 * math.sqrt(truth * (1 - truth) / 4000)), temperature
    # everything else is about temperature 1
    assert drawn.right.mean() == result["per_temperature"][1.0]["accuracy"]
    assert np.mean([p["accuracy"] for p in result["per_label"].values()]) == pytest.approx(drawn.right.mean())
    assert result["confusion"].sum() == 4000 and (result["confusion"].sum(1) == 400).all()
    for label in range(10):  # a row per label asked for, a column per label read
        misread = 400 - result["confusion"][label, label]
        assert misread == result["confusion"][label, (label + 1) % 10] > 100


def drawn_bars(places: list[int], brightness: list[int], asked: list[int]) -> samples.Samples:
    return samples.Samples(bars(np.array(places), np.array(brightness)), np.array(asked), np.eye(10)[places])


def test_variety_is_ours_over_theirs(reader):
    drawn = drawn_bars([0, 0, 9, 1, 1, 2, 3, 3], [205, 255, 255, 55, 255, 9, 9, 9], [0, 0, 0, 1, 1, 2, 3, 3])
    real = [(0, 155, 0), (0, 255, 0), (8, 255, 0), (1, 155, 1), (1, 255, 1), (1, 5, 1), (2, 1, 2), (2, 2, 2)]
    real += [(3, 7, 3), (3, 7, 3)]  # all the same, so no unit
    at, brightness, y = (np.array(column) for column in zip(*real, strict=True))
    result = samples.variety(drawn, (bars(at, brightness), y), reader)
    # 50 over the 100 between two real zeros, what does not read as a zero aside; 200 over that of as many real ones
    assert result["per_label"] == {0: pytest.approx(0.5), 1: pytest.approx(2)} and result["mean"] == pytest.approx(1.25)
    nothing = samples.variety(drawn_bars([1], [9], [0]), (bars(at, brightness), y), reader)
    assert (nothing["mean"], nothing["per_label"]) == (None, {})


# --- sheets ------------------------------------------------------------------------------------------------------


def test_the_misread_sheet_begins_with_the_worst(subject_of):
    asked = np.repeat(np.arange(10), 15)
    sure = np.random.default_rng(0).permuted(np.tile(np.arange(15), (10, 1)), axis=1).reshape(-1) / 15
    p = np.full((150, 10), 0.5)
    p[np.arange(150), asked] = sure
    subject = subject_of(Bars())
    samples.write_misread(subject, samples.Samples(bars(asked, 100 + np.rint(150 * sure)), asked, p), "misread")
    assert [path.name for path in (subject.folder / "evaluation").iterdir()] == ["misread.png"]
    shown = sheet(subject, "misread", 10, 10)
    assert (places(shown) == np.arange(10)).all()  # a column per label
    assert (shown.max((2, 3)) == 100 + 10 * np.arange(10)[:, None]).all()  # the least sure of 15 first


def test_the_worst_are_those_of_the_largest_loss_beyond_the_entropy(subject_of):
    """Grey costs nats that no model can save."""
    rng, y = np.random.default_rng(0), (np.arange(400) % 10).astype(np.uint8)
    x = bars(rng.integers(10, size=400), rng.integers(1, 255, 400))
    subject = subject_of(Bars(), (x, y))
    result, excess = likelihood.measure(subject, 3)
    p = x.reshape(400, 40) / 255
    logits = 16 * np.repeat(np.eye(10)[y], 4, axis=1) * np.tile([1, 1, 1, 0], 10) - 8
    nll = (np.logaddexp(0, logits) - p * logits).sum(1)
    floor = -(p * np.log(np.maximum(p, 1e-12)) + (1 - p) * np.log1p(-p)).sum(1)
    np.testing.assert_allclose(excess, nll - floor, rtol=1e-4)
    assert result["grey"]["least_nll_possible"] == pytest.approx(floor.mean(), rel=1e-4)
    order = np.argsort(-excess, kind="stable")[:50]  # the truth has ties
    reconstructions.write_worst(subject, excess)
    shown = sheet(subject, "worst_reconstructed", 10, 10)
    assert (shown[::2].reshape(50, 1, 40) == x[order, ..., 0]).all()
    assert (places(shown[1::2].reshape(50, 1, 40)) == y[order]).all()


def test_sheets_of_swaps_and_reconstructions(subject_of):
    subject, deaf = subject_of(Bars()), subject_of(Bars(deaf=True))
    swap.write(subject)
    shown = places(sheet(subject, "swap", 10, 11))
    assert (shown[:, 0] == np.arange(10)).all() and (shown[:, 1:] == np.arange(10)).all()
    swap.write(deaf)
    assert (places(sheet(deaf, "swap", 10, 11)) == np.arange(10)[:, None]).all()
    reconstructions.write(subject)
    assert (places(sheet(subject, "reconstructions", 10, 10)) == np.arange(10)).all()


def test_the_traversal_moves_one_unit_a_row(subject_of):
    subject = subject_of(Bars(deaf=True))
    kl = np.array([3.0, 9, 1, 7, 5, 2, 8, 4, 6, 0])
    latents.write_traversal(subject, kl)
    text = Image.open(subject.folder / "evaluation" / "latent_traversal.png").text
    assert json.loads(text["rows"]) == [1, 6, 3, 8, 4, 7, 0, 5, 2, 9]  # most KL first
    shown = places(sheet(subject, "latent_traversal", 10, 13))  # the largest of z
    assert (shown[:, 7:] == np.argsort(-kl)[:, None]).all()
    assert (shown[:, :6] == np.where(np.argsort(-kl) == 0, 1, 0)[:, None]).all()  # below 0: another one, all being 0


# --- latents and the label prior ---------------------------------------------------------------------------------


def test_latents_are_those_of_the_test_digits(subject_of):
    """The training images have a posterior of their own, which must not get into what is said of the test digits'."""
    y = (np.arange(3000) % 10).astype(np.uint8)
    subject = subject_of(Bars(), (bars(y % 2, 200), y))._replace(
        train=(bars(y), y)
    )  # two of ten places: two units stir
    result = latents.measure(subject, 10**9)
    mean = 3 * np.eye(10)[y % 2] * 200 / 255 - 1.5
    variance = math.exp(-6.0)
    kl = 0.5 * (mean**2 + variance + 6 - 1)
    np.testing.assert_allclose(result["kl_per_dimension"]["values"], kl.mean(0), rtol=1e-5)
    assert result["active_units"] == {"of": 10, "active": 2}
    q = result["aggregate_posterior"]
    np.testing.assert_allclose(q["mean_per_dimension"], mean.mean(0), atol=0.005)
    np.testing.assert_allclose(q["variance_per_dimension"], mean.var(0) + variance, rtol=0.2)
    assert q["largest_covariance"] == pytest.approx(mean[:, 0].var(), rel=0.02)
    centre, covariance = mean.mean(0), np.cov(mean.T) + variance * np.eye(10)
    kl = 0.5 * (np.trace(covariance) + centre @ centre - 10 - np.linalg.slogdet(covariance)[1])
    assert q["kl_of_gaussian_fit"] == pytest.approx(kl, rel=0.02)
    assert result["probe"]["majority"] == 0.1 and result["probe"]["z"] == 3000


def test_what_goes_through_the_label_prior(subject_of, reader):
    """A model deaf to its label draws what z says: at chance from N(0, I), always right through the label's prior."""
    subject = fitted(subject_of(Shifted(deaf=True)))
    p = subject.prior
    result, _ = samples.measure(subject, reader, 40, STANDARD_NORMAL)
    by_prior, _ = samples.measure(subject, reader, 40, p)
    assert result["per_temperature"][1.0]["accuracy"] < 0.25 and by_prior["per_temperature"][1.0]["accuracy"] == 1
    stays, moves = swap.measure(subject, reader, STANDARD_NORMAL), swap.measure(subject, reader, p)
    assert stays["new_label"]["accuracy"] == 0 and moves["new_label"]["accuracy"] == 1
    assert stays["own_label"] == moves["own_label"]
    assert bayes_classifier.measure(subject, 2)["label_prior"]["elbo"]["accuracy"] == 1
    shuffled = p.labels[::-1].argsort()  # every label's prior under another label
    wrong = LabelPrior(p.labels, p.weights[shuffled], p.means[shuffled], p.covariances[shuffled])
    assert samples.measure(subject, reader, 40, wrong)[0]["per_temperature"][1.0]["accuracy"] < 0.05
    swapped = bayes_classifier.measure(subject._replace(prior=wrong), 2)["label_prior"]["elbo"]["accuracy"]
    assert swapped < 0.05
    likely, _ = likelihood.measure(subject, 3)
    label, plain = likely["label_prior"]["grey"], likely["grey"]
    assert label["nll"] == plain["nll"] and label["kl"]["mean"] < plain["kl"]["mean"] - 5
    assert label["negative_elbo"]["mean"] == pytest.approx(label["nll"]["mean"] + label["kl"]["mean"], abs=1e-6)


def test_trained_on_generated_is_trained_on_samples_of_either_prior(subject_of, monkeypatch):
    """The "network" is what it learnt from; its score, how many of those images show their label."""
    learnt = []
    monkeypatch.setattr(networks, "learn", lambda net, x, y, *rest: learnt.append((places(x[..., 0]) == y).mean()))
    monkeypatch.setattr(networks, "score", lambda *_: learnt[-1])
    result = samples.train_on_generated(fitted(subject_of(Shifted(deaf=True))), 500, 1)
    assert result["generated"] < 0.25 and result["generated_by_label_prior"] == result["real"] == 1


# --- the networks that learn -------------------------------------------------------------------------------------


def test_learning_is_a_function_of_the_seed_and_leaves_global_random_state_alone():
    def learnt(seed: int) -> list[np.ndarray]:
        y = np.arange(300) % 10
        net = networks.learn(networks.convnet((1, 40, 1), 10, seed), bars(y), y, 1, seed, "test")
        probe = networks.learn(networks.perceptron(10, 10, (8,), seed), np.eye(10, dtype=np.float32)[y], y, 1, seed, "")
        return net.get_weights() + probe.get_weights()

    random.seed(1), np.random.seed(1), tf.random.set_seed(1)
    before, expected = (random.getstate(), np.random.get_state()[1].tolist()), tf.random.uniform((3,)).numpy()
    tf.random.set_seed(1)
    first = learnt(0)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before
    assert (tf.random.uniform((3,)).numpy() == expected).all()
    random.seed(2), np.random.seed(2), tf.random.set_seed(2)
    assert all((a == b).all() for a, b in zip(first, learnt(0), strict=True))
    assert not any((a == b).all() for a, b in zip(first, learnt(1), strict=True))


@pytest.fixture
def learnt(monkeypatch) -> list[tuple]:
    """What networks.learn is called with, in place of learning: (images, epochs, seed)."""
    calls = []
    monkeypatch.setattr(
        networks, "learn", lambda net, x, y, epochs, seed, *_, **__: calls.append((len(y), epochs, seed))
    )
    return calls


def test_an_evaluation_classifier_of_another_recipe_is_never_taken(subject_of, learnt, cache, monkeypatch):
    subject, load = subject_of(Bars()), evaluation_classifier.load_or_train
    first = load(subject, 500, 1)
    again = load(subject._replace(seed=9), 500, 1)
    assert learnt == [(500, 1, 0)]
    assert all((one == other).all() for one, other in zip(first.get_weights(), again.get_weights(), strict=True))
    for count, epochs in (500, 2), (600, 1), (10**9, 1), (2000, 1):  # the last two are all of them
        load(subject, count, epochs)
    assert learnt == [(500, 1, 0), (500, 2, 0), (600, 1, 0), (2000, 1, 0)]
    for constant, value in ("RATE", 1e-3), ("BATCH", 64), ("RECIPE", 10**6):
        with monkeypatch.context() as patch:
            patch.setattr(networks, constant, value)
            load(subject, 500, 1)
    other = subject.trained._replace(config=Config(**vars(subject.trained.config) | {"fingerprint": "1" * 64}))
    load(subject._replace(trained=other), 500, 1)
    assert len(learnt) == 8 == len(list(cache.glob("evaluation-classifier-idx-1x40x1-????????????.npz")))


@pytest.mark.parametrize("damage", ["cut", "not finite", "another network's"])
def test_a_damaged_evaluation_classifier_is_trained_anew(damage, subject_of, learnt, cache):
    good = evaluation_classifier.load_or_train(subject_of(Bars()), 500, 1).get_weights()
    (path,) = cache.iterdir()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    else:
        wrong = [w if damage == "not finite" else w[..., :-1] for w in good]
        wrong[3] = wrong[3] * np.nan
        np.savez(path, **{f"{i}": w for i, w in enumerate(wrong)})
    for _ in range(2):  # the second time it is in the cache
        weights = evaluation_classifier.load_or_train(subject_of(Bars()), 500, 1).get_weights()
        assert len(learnt) == 2 and all((a == b).all() for a, b in zip(weights, good, strict=True))


def test_a_cache_that_cannot_be_written_is_no_failure(subject_of, learnt, cache, capsys):
    cache.parent.write_text("a file")
    evaluation_classifier.load_or_train(subject_of(Bars()), 500, 1)
    assert "cannot write" in capsys.readouterr().out and cache.parent.read_text() == "a file"


def test_larger_images_wider_networks_and_more_labels_get_less_of_everything():
    plain = settings(Bars())
    of = [{"image_shape": (28, 28, 1)}, {"image_shape": (64, 64, 3), "width": 2}, {"image_shape": (28, 28, 1)}]
    of[2]["num_labels"] = 100
    sizes = [evaluate.fitting(evaluate.SIZES["default"], Config(**{**vars(plain), **more})) for more in of]
    assert [size.images for size in sizes] == [10_000, 1_000, 10_000]
    assert [size.samples for size in sizes] == [1_000, 95, 100]
    assert [size.classifier for size in sizes] == [(60_000, 6), (5_742, 6), (60_000, 6)]
    assert [size.score for size in sizes] == [(30_000, 3), (2_871, 3), (30_000, 3)]
    assert [size.probe for size in sizes] == [60_000, 5_742, 60_000]
    assert evaluate.fitting(TINY, plain) == TINY


# --- the command -------------------------------------------------------------------------------------------------


def test_who_learns_from_what(monkeypatch, tmp_path, cache, capsys):
    """Training images and test images agree in half of the labels: who learnt from the first reads half of the second.

    Who learnt from test images, or from what the model draws, reads all of them. There is no run in out/: evaluate.py
    takes the shipped one, and writes into out/.
    """
    monkeypatch.setattr(networks, "EPOCH", 4000)  # images an epoch, or the linear probe stops before it has learnt
    rng, loaded = np.random.default_rng(0), []

    def split(n: int, at: list[int]) -> data.Split:
        y = rng.permutation(np.arange(n) % 10)
        return data.Split(bars(np.array(at)[y]), y.astype(np.uint8))

    parts = [split(1000, [*range(5), 6, 7, 8, 9, 5]), split(300, [*range(5, 10), *range(5)]), split(400, [*range(10)])]

    def load(folder: Path, checkpoint: str | None) -> Trained:
        loaded.append(folder)
        return Trained(Bars(), settings(Bars()), folder, 7)

    monkeypatch.setattr(evaluate.trained, "load", load)
    monkeypatch.setattr(data, "of_run", lambda config, data_dir: data.Dataset("idx", "bars", *parts, ""))
    monkeypatch.setattr(files, "OUT", tmp_path / "out")
    monkeypatch.setattr(options, "REFERENCE", tmp_path / "reference")
    monkeypatch.setattr(evaluate, "SIZES", {"default": evaluate.Size(10**9, 2, 2, 20, (10**9, 8), (10**9, 8), 10**9)})
    settings(Bars()).write(tmp_path / "reference")
    assert evaluate.main([]) == 0
    assert loaded == [tmp_path / "reference"] and "using the shipped one" in capsys.readouterr().out
    result = json.loads((tmp_path / "out" / "metrics.json").read_text())["evaluate"]
    half, every, none = (pytest.approx(share, abs=0.1) for share in (0.5, 1, 0))
    assert result["judge"]["test_images"]["accuracy"] == half
    assert result["samples"]["per_temperature"]["1.0"]["accuracy"] == half
    assert [p["accuracy"] for p in result["samples"]["per_label"].values()] == [every] * 5 + [none] * 5
    assert [result["latents"]["probe"][name]["accuracy"] for name in ("linear", "mlp")] == [half] * 2
    score = result["train_on_generated"]
    assert [score[name]["accuracy"] for name in ("generated", "generated_by_label_prior", "real")] == [
        every,
        every,
        half,
    ]
    assert (result["run"], result["step"], result["config"]) == ("reference", 7, settings(Bars()).digest)
    assert [path.name for path in (tmp_path / "reference").iterdir()] == ["config.json"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["evaluation", "metrics.json"]
    assert len(list((tmp_path / "out" / "evaluation").glob("*.png"))) == 6 and len(list(cache.iterdir())) == 1


def test_metrics_of_another_run_are_not_inherited(tmp_path):
    shipped, own = (Config.read(options.REFERENCE), settings(Bars()))
    metrics.merge(tmp_path, shipped, {"evaluate": {"config": shipped.digest, "step": 80_000}})
    (tmp_path / "metrics.json").write_text(json.dumps(metrics.read(tmp_path) | {"notes": {"by": "the user"}}))
    metrics.merge(tmp_path, own, {"test": {"config": own.digest}})
    assert metrics.read(tmp_path) == {"notes": {"by": "the user"}, "test": {"config": own.digest}}
    metrics.merge(tmp_path, own, {"evaluate": {"config": own.digest}})
    assert metrics.read(tmp_path).keys() == {"notes", "test", "evaluate"}


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path, monkeypatch) -> Path:
    """A copy of the tiny run; every mode does little."""
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 100))
    monkeypatch.setattr(evaluate, "SIZES", dict.fromkeys(evaluate.SIZES, TINY))
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def test_the_command_merges_and_repeats_itself(run, cache, capsys, monkeypatch):
    learn = networks.learn

    def only_the_classifier(net, x, y, epochs, seed, what, **more):
        return learn(net, x, y, epochs, seed, what, **more) if what == "evaluation classifier" else net

    monkeypatch.setattr(networks, "learn", only_the_classifier)  # the other networks only fill a table here
    before = json.loads((run / "metrics.json").read_text())
    text = []
    for _ in range(2):
        assert evaluate.main(["--run", str(run), "--quick", "--seed", "3"]) == 0
        text.append((run / "metrics.json").read_text())
        (cached,) = cache.iterdir()
        os.truncate(cached, cached.stat().st_size // 2)  # the second time it is trained anew, to the same numbers
    assert text[0] == text[1]
    after = json.loads(text[0], parse_constant=pytest.fail)
    result = after.pop("evaluate")
    assert after == before and "test" in after
    assert (result["mode"], result["seed"], result["step"], result["dataset"]) == ("quick", 3, 60, "drawn")
    assert result["config"] == Config.read(run).digest
    grey = {key: result["likelihood"]["grey"][key]["mean"] for key in ("negative_elbo", "nll", "kl")}
    assert grey["negative_elbo"] == pytest.approx(grey["nll"] + grey["kl"], abs=1e-4)
    assert grey["negative_elbo"] == pytest.approx(before["test"]["negative_elbo"], rel=0.1)
    sheets = {path.stem for path in (run / "evaluation").glob("*.png")}
    assert sheets >= {"reconstructions", "worst_reconstructed", "latent_traversal", "swap"} and len(sheets) == 6
    out, err = capsys.readouterr()
    assert not err and max(len(line) for line in out.splitlines() if str(run) not in line) <= 100


def test_three_channels_of_an_idx_data_set(tmp_path, monkeypatch, learnt):
    monkeypatch.setattr(evaluate, "SIZES", {"default": TINY})
    rng = np.random.default_rng(0)
    for part, n in ("train", 240), ("t10k", 30):
        y = (np.arange(n) % 7).astype(np.uint8)  # of the ten labels, three never occur
        idx.write(tmp_path / f"{part}-images-idx3-ubyte.gz", rng.integers(0, 256, (n, 11, 8), np.uint8))
        idx.write(tmp_path / f"{part}-labels-idx1-ubyte.gz", y)
    out = str(tmp_path / "run")
    words = ["--data-dir", str(tmp_path), "--channels", "3", "--steps", "5", "--latent-dim", "3", "--out", out]
    assert train.main(words) == 0
    assert evaluate.main(["--run", out]) == 0
    result = json.loads((tmp_path / "run" / "metrics.json").read_text())["evaluate"]["likelihood"]
    assert len(result["grey"]["per_label"]) == 7
    trained, single = result["grey"], result["grey_per_channel"]
    assert single["nll"]["mean"] == pytest.approx(trained["nll"]["mean"] / 3, rel=1e-4)
    assert single["kl"] == trained["kl"]
    assert single["negative_importance_weighted"]["mean"] < trained["negative_importance_weighted"]["mean"] / 2


def test_bad_input_is_one_line(run, tmp_path, capsys):
    assert evaluate.main(["--run", str(tmp_path / "none")]) == 1
    assert "run python train.py first" in capsys.readouterr().err
    settings = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps(settings | {"fingerprint": "0" * 64}))
    assert evaluate.main(["--run", str(run)]) == 1
    err = capsys.readouterr().err
    assert "trained on other data" in err and err.count("\n") == 1
    for wrong in (["--quick", "--full"], ["--seed", "-1"], ["--seed", "x"], ["--nonsense"], ["--qui"]):
        with pytest.raises(SystemExit, match="2"):
            evaluate.main(wrong)
