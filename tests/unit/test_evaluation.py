"""What evaluate.py measures, on a model whose behaviour is known, against closed forms and the literature."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from known_models import Bars, bars, config_of, places, standard_prior
from PIL import Image

import evaluate
from engine import files
from engine.classifiers import networks
from engine.config import Config
from engine.dataset import Split
from engine.evaluation import (
    bayes_classifier,
    evaluation_classifier,
    latents,
    likelihood,
    reconstructions,
    samples,
    statistics,
    swap,
)
from engine.evaluation.subject import Subject
from engine.latent import prior_cache
from engine.latent.prior import STANDARD_NORMAL, LabelPrior
from engine.runs.trained_model import Trained
from model import CVAE


@pytest.fixture
def subject_of(tmp_path) -> Callable[..., Subject]:
    """Makes a subject of a model and digits, by default 300 bars; its label prior is N(0, I) or fitted to them."""
    y = (np.arange(300) % 10).astype(np.uint8)

    def make(
        model: Bars, digits: tuple[np.ndarray, np.ndarray] = (bars(y), y), fitted: bool = False, **more: object
    ) -> Subject:
        digits = Split(*digits)
        config_of(model).write(tmp_path)
        run = Trained(model, config_of(model), tmp_path, 0)
        prior = prior_cache.fit(run, digits, digits) if fitted else standard_prior(model)
        return Subject(run, prior, digits, digits, digits, 0, tmp_path)._replace(**more)

    return make


@pytest.fixture(scope="module")
def reader() -> keras.Model:
    """A classifier that reads bars without having learnt to; its features are the pixels."""
    net = keras.Sequential([keras.Input((1, 40, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    net.set_weights([np.repeat(np.eye(10), 4, axis=0), np.zeros(10)])
    return net


@pytest.fixture
def learnt(monkeypatch) -> list[tuple]:
    """What networks.learn is called with, in place of learning: (images, epochs, seed, sum of the images)."""
    calls = []
    monkeypatch.setattr(
        networks, "learn", lambda net, x, y, epochs, seed, *_, **__: calls.append((len(y), epochs, seed, int(x.sum())))
    )
    return calls


def sheet(subject: Subject, name: str, rows: int, columns: int) -> np.ndarray:
    """The grey images on a sheet that evaluate.py wrote, uint8 (rows, columns, H, W), read back from the PNG."""
    h, w, _ = subject.trained.model.image_shape
    grid = np.array(Image.open(subject.folder / "evaluation" / f"{name}.png"))[::2, ::2]  # two pixels a pixel
    head = len(grid) - (rows * (h + 1) + 1)
    assert grid.shape[1] == columns * (w + 1) + 1 and 0 <= head < 20
    grid = grid[head + 1 :, 1:]
    return np.stack([[grid[r * (h + 1) :][:h, c * (w + 1) :][:, :w] for c in range(columns)] for r in range(rows)])


def accuracy(subject: Subject, reader: keras.Model, prior: object) -> float:
    return samples.measure(subject, reader, 10, prior)[0]["per_temperature"][1.0]["accuracy"]


def test_a_model_deaf_to_the_label_is_read_at_chance_but_always_right_through_the_label_prior(subject_of, reader):
    """Deaf, it draws what z says."""
    assert accuracy(subject_of(Bars()), reader, STANDARD_NORMAL) == 1, "it heeds the label"
    subject = subject_of(Bars(deaf=True), fitted=True)
    p = subject.prior
    assert accuracy(subject, reader, STANDARD_NORMAL) < 0.3 and accuracy(subject, reader, p) == 1
    stays, moves = swap.measure(subject, reader, STANDARD_NORMAL), swap.measure(subject, reader, p)
    assert stays["new_label"]["accuracy"] == 0 and moves["new_label"]["accuracy"] == 1
    assert stays["own_label"] == moves["own_label"] and stays["own_label"]["accuracy"] == 1
    assert (stays["new_label"]["n"], stays["own_label"]["n"]) == (2700, 300)
    assert [(share["accuracy"], share["n"]) for share in stays["per_new_label"].values()] == [(0, 270)] * 10
    read = bayes_classifier.measure(subject, 2)
    assert read["elbo"]["accuracy"] < 0.3 and read["label_prior"]["elbo"]["accuracy"] == 1
    shuffled = p.labels[::-1].argsort()  # every label's prior under another label
    wrong = LabelPrior(p.labels, p.weights[shuffled], p.means[shuffled], p.covariances[shuffled])
    assert accuracy(subject, reader, wrong) < 0.05
    likely, _ = likelihood.measure(subject, 3)
    label, standard = likely["label_prior"]["grey"], likely["grey"]
    assert label["nll"] == standard["nll"] and label["kl"]["mean"] < standard["kl"]["mean"] - 5
    assert label["negative_elbo"]["mean"] == pytest.approx(label["nll"]["mean"] + label["kl"]["mean"], abs=1e-6)
    assert [path.name for path in subject.folder.iterdir()] == ["config.json"]  # to measure is not to write


def test_trained_on_generated_is_trained_on_samples_of_either_prior(subject_of, monkeypatch):
    """The "network" is what it learnt from; its score, how many of those images show their label."""
    learnt = []
    monkeypatch.setattr(networks, "learn", lambda net, x, y, *rest: learnt.append((places(x[..., 0]) == y).mean()))
    monkeypatch.setattr(statistics, "accuracy", lambda *_: learnt[-1])
    result = samples.train_on_generated(subject_of(Bars(deaf=True), fitted=True), 300, 1)
    assert result["generated"] < 0.25 and result["generated_by_label_prior"] == result["real"] == 1


def test_temperature_scales_z(subject_of, reader):
    class Shy(Bars):  # draws the next label where |z|² exceeds 9
        def decode(self, z, y):
            return super().decode(z, (y + tf.cast(tf.reduce_sum(z**2, 1) > 9, y.dtype)) % 10)

    result, drawn = samples.measure(subject_of(Shy()), reader, 200, STANDARD_NORMAL)
    for temperature, p in result["per_temperature"].items():
        half = 4.5 / temperature**2  # of χ² with ten degrees of freedom, whose distribution function is a short sum
        truth = 1 - math.exp(-half) * sum(half**i / math.factorial(i) for i in range(5))
        assert p["accuracy"] == pytest.approx(truth, abs=4 * math.sqrt(truth * (1 - truth) / 2000)), temperature
    # everything else is about temperature 1
    assert drawn.right.mean() == result["per_temperature"][1.0]["accuracy"]
    assert np.mean([p["accuracy"] for p in result["per_label"].values()]) == pytest.approx(drawn.right.mean())
    right = np.diag(result["confusion"])  # a row per label asked for, a column per label read
    assert (
        result["confusion"] == np.diag(right) + np.roll(np.diag(200 - right), 1, axis=1)
    ).all() and right.max() < 150


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
    asked, subject = np.repeat(np.arange(10), 15), subject_of(Bars())
    sure = np.random.default_rng(0).permuted(np.tile(np.arange(15), (10, 1)), axis=1).reshape(-1)
    p = np.full((150, 10), 0.5)
    p[np.arange(150), asked] = sure / 15
    samples.write_misread(subject, samples.Samples(bars(asked, 100 + 10 * sure), asked, p), "misread")
    assert [path.name for path in (subject.folder / "evaluation").iterdir()] == ["misread.png"]
    shown = sheet(subject, "misread", 10, 10)
    assert (places(shown) == np.arange(10)).all()  # a column per label
    assert (shown.max((2, 3)) == 100 + 10 * np.arange(10)[:, None]).all()  # the least sure of 15 first


def test_the_worst_are_those_of_the_largest_loss_beyond_the_entropy(subject_of):
    """Grey costs nats that no model can save."""
    rng, y = np.random.default_rng(0), (np.arange(200) % 10).astype(np.uint8)
    x = bars(rng.integers(10, size=200), rng.integers(1, 255, 200))
    subject = subject_of(Bars(), (x, y))
    result, excess = likelihood.measure(subject, 3)
    p = x.reshape(200, 40) / 255
    logits = 16 * np.repeat(np.eye(10)[y], 4, axis=1) * np.tile([1, 1, 1, 0], 10) - 8
    nll = (np.logaddexp(0, logits) - p * logits).sum(1)
    floor = -(p * np.log(np.maximum(p, 1e-12)) + (1 - p) * np.log1p(-p)).sum(1)
    np.testing.assert_allclose(excess, nll - floor, rtol=1e-4)
    assert result["grey"]["least_nll_possible"] == pytest.approx(floor.mean(), rel=1e-4)
    assert result["grey"]["per_label"][3]["nll"]["mean"] == pytest.approx(nll[y == 3].mean(), rel=1e-4)
    order = np.argsort(-excess, kind="stable")[:50]  # the truth has ties
    reconstructions.write_worst(subject, excess)
    shown = sheet(subject, "worst_reconstructed", 10, 10)
    assert (shown[::2].reshape(50, 1, 40) == x[order, ..., 0]).all()
    assert (places(shown[1::2].reshape(50, 1, 40)) == y[order]).all()


def test_the_sheets_show_swaps_reconstructions_and_a_unit_a_row(subject_of):
    subject, deaf, digits = subject_of(Bars()), subject_of(Bars(deaf=True)), np.arange(10)
    swap.write(subject)
    assert (places(sheet(subject, "swap", 10, 11)) == [[row, *digits] for row in digits]).all()
    swap.write(deaf)
    assert (places(sheet(deaf, "swap", 10, 11)) == digits[:, None]).all()
    reconstructions.write(subject)
    assert (places(sheet(subject, "reconstructions", 10, 10)) == digits).all()
    latents.write_traversal(deaf, np.array([3.0, 9, 1, 7, 5, 2, 8, 4, 6, 0]))
    order = np.array([1, 6, 3, 8, 4, 7, 0, 5, 2, 9])  # most KL first
    assert json.loads(Image.open(deaf.folder / "evaluation" / "latent_traversal.png").text["rows"]) == order.tolist()
    shown = places(sheet(deaf, "latent_traversal", 10, 13))  # the largest of z
    assert (shown[:, 7:] == order[:, None]).all()
    assert (shown[:, :6] == np.where(order == 0, 1, 0)[:, None]).all()  # below 0: another one, all being 0


# --- latents, channels -------------------------------------------------------------------------------------------


def test_latents_are_those_of_the_test_digits(subject_of, learnt):
    """The training images have a posterior of their own, which must not get into what is said of the test digits'."""
    y = (np.arange(3000) % 10).astype(np.uint8)
    digits = bars(y % 2, 200), y  # at two of ten places: two units stir
    subject = subject_of(Bars(), digits, train=Split(bars(y[:2000]), y[:2000]))
    result = latents.measure(subject, 10**9)
    assert [call[:3] for call in learnt] == [(2000, 10, 0)] * 2  # both probes, of all training images
    mean, variance = 3 * np.eye(10)[y % 2] * 200 / 255 - 1.5, math.exp(-6.0)
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
    assert result["probe"]["majority"] == 0.1 and result["probe"]["z"] == 2000


def test_three_channels_are_measured_as_trained_and_per_channel(subject_of):
    rng, y = np.random.default_rng(0), (np.arange(30) % 7).astype(np.uint8)  # of the ten labels, three never occur
    model, digits = CVAE((11, 8, 3), 10, 10), Split(rng.integers(0, 256, (30, 11, 8, 3), np.uint8), y)
    result, _ = likelihood.measure(subject_of(model, digits), 3)
    trained, single = result["grey"], result["grey_per_channel"]
    assert trained["per_label"].keys() == set(range(7))
    assert single["nll"]["mean"] == pytest.approx(trained["nll"]["mean"] / 3, rel=1e-4)
    assert single["kl"] == trained["kl"]
    assert single["negative_importance_weighted"]["mean"] < trained["negative_importance_weighted"]["mean"] / 2


# --- the evaluation classifier -----------------------------------------------------------------------------------


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """The user's cache: an empty folder for every test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return files.user_cache()


def test_an_evaluation_classifier_of_another_recipe_is_never_taken(subject_of, learnt, cache, monkeypatch):
    y = np.arange(300) % 10
    images, load = Split(bars(y, y + 1), y), evaluation_classifier.load_or_train
    subject = subject_of(Bars(), train=images)
    first, again = load(subject, 200, 1), load(subject._replace(seed=9), 200, 1)
    assert learnt == [(200, 1, 0, int(images.subset(200, 0).images.sum()))]
    assert all((a == b).all() for a, b in zip(first.get_weights(), again.get_weights(), strict=True))
    for count, epochs in (200, 2), (250, 1), (10**9, 1), (300, 1):  # the last two are all of them
        load(subject, count, epochs)
    for constant, value in ("RATE", 1e-3), ("BATCH", 64), ("RECIPE", 10**6):
        with monkeypatch.context() as patch:
            patch.setattr(networks, constant, value)
            load(subject, 200, 1)
    other = subject.trained._replace(config=Config(**vars(subject.trained.config) | {"fingerprint": "1" * 64}))
    load(subject._replace(trained=other, seed=9), 200, 1)
    assert [call[:2] for call in learnt] == [(200, 1), (200, 2), (250, 1), (300, 1), *[(200, 1)] * 4]
    assert learnt[-1] == learnt[0] and len(list(cache.glob("evaluation-classifier-npz-1x40x1-????????????.npz"))) == 8


def test_a_damaged_evaluation_classifier_is_trained_anew_and_a_cache_need_not_be_writable(
    subject_of, learnt, cache, capsys
):
    good = evaluation_classifier.load_or_train(subject_of(Bars()), 200, 1).get_weights()
    (path,) = cache.iterdir()
    not_finite, another_networks = [*good[:3], good[3] * np.nan, *good[4:]], [w[..., :-1] for w in good]
    for number, weights in enumerate(([], not_finite, another_networks), 2):
        np.savez(path, **{f"{i}": w for i, w in enumerate(weights)})
        for _ in range(2):  # the second time it is in the cache
            weights = evaluation_classifier.load_or_train(subject_of(Bars()), 200, 1).get_weights()
            assert len(learnt) == number and all((a == b).all() for a, b in zip(weights, good, strict=True))
    shutil.rmtree(cache.parent)
    cache.parent.write_text("a file")
    evaluation_classifier.load_or_train(subject_of(Bars()), 200, 1)
    assert "cannot write" in capsys.readouterr().out and cache.parent.read_text() == "a file"


def test_larger_images_wider_networks_and_more_labels_get_less_of_everything():
    large = Config(**vars(config_of(Bars())) | {"image_shape": (64, 64, 3), "width": 2, "num_labels": 20})
    less = evaluate.Size(1_000, 100, 10, 47, (5_742, 6), (2_871, 3), 5_742)
    assert evaluate.fitting(evaluate.SIZES["default"], large) == less


# --- statistics --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3 (without continuity correction)
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilsons_interval_is_that_of_the_literature(hits, n, low, high):
    interval = {"low": pytest.approx(low, abs=5e-5), "high": pytest.approx(high, abs=5e-5)}
    assert statistics.wilson(np.arange(n) < hits) == {"accuracy": hits / n, **interval, "n": n}


def test_small_statistics_are_what_can_be_reckoned_by_hand():
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    result = statistics.calibration(p, np.array([0, 0, 0, 1]))
    assert (result["accuracy"], result["mean_confidence"], result["ece"]) == pytest.approx((0.75, 0.75, 0.1))
    assert statistics.spread(np.array([[0.0, 0], [3, 4], [6, 8]])) == pytest.approx(20 / 3)
    assert statistics.average(np.array([1.0, 2, 3, 4])) == pytest.approx({"mean": 2.5, "se": np.sqrt(5 / 12)})
    odd = {"a": np.float32(0.1), 3: [np.int64(2), np.nan, np.array([1.0, 2.0])], "s": "x", "n": None}
    assert statistics.tidy(odd) == {"a": 0.1, "3": [2, None, [1.0, 2.0]], "s": "x", "n": None}


def test_images_are_shifted_every_way_and_blurred_by_1_2_1_twice():
    images = np.eye(5, dtype=np.uint8).reshape(1, 5, 5, 1).repeat(50, 0)
    moved = networks.shifted(images, np.zeros(50, int), np.random.default_rng(0))
    assert len({m.tobytes() for m in moved}) == 9 and moved.shape == (50, 5, 5, 1)
    point = np.zeros((1, 7, 7, 1), np.uint8)
    point[0, 3, 3] = 255
    soft = np.pad(np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1]), 1) * 255 / 256
    assert (evaluation_classifier.blurred(point)[0, ..., 0] == np.rint(soft)).all()


def test_a_subset_keeps_images_and_labels_together():
    y = np.arange(100)
    split = Split(y.reshape(-1, 1, 1, 1), y)
    part = split.subset(30, 1)
    assert (part[0].reshape(-1) == part[1]).all() and (np.diff(part[1]) > 0).all() and len(part[1]) == 30
    assert (part[1] != split.subset(30, 2)[1]).any() and split.subset(100, 1) is split
