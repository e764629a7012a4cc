"""What evaluate.py measures, on a model whose behaviour is known, against closed forms and the literature."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import pytest
from known_models import Bars, bars, config_of, places, standard_prior
from PIL import Image

import evaluate
from engine import files
from engine.classifiers import networks
from engine.config import Config
from engine.dataset import Split
from engine.evaluation import latents, likelihood, redrawing, samples, statistics
from engine.latent import likelihood_bounds, prior_fit
from engine.latent.prior import STANDARD_NORMAL, LabelPrior
from engine.runs.trained_model import Trained


class Subject(NamedTuple):
    """What is measured: a run, its label prior, its training and test images."""

    run: Trained
    prior: LabelPrior
    train: Split
    test: Split

    @property
    def priors(self) -> dict:
        return {"standard": STANDARD_NORMAL, "label_prior": self.prior}


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
        prior = standard_prior(model)
        if fitted:
            mean, a = likelihood_bounds.posterior(model, *digits)
            held_out = np.zeros((1, 10)), np.zeros(1, int)
            prior = prior_fit.fit(mean, np.exp(2 * a.astype(np.float64)), digits.labels, 10, held_out, 0)
        return Subject(run, prior, digits, digits)._replace(**more)

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


def cells(sheet: Image.Image, rows: int, columns: int) -> np.ndarray:
    """The grey images on a sheet of bars, uint8 (rows, columns, H, W)."""
    h, w, _ = Bars.image_shape
    grid = np.array(sheet)[::2, ::2]  # two pixels a pixel
    head = len(grid) - (rows * (h + 1) + 1)
    assert grid.shape[1] == columns * (w + 1) + 1 and 0 <= head < 20
    grid = grid[head + 1 :, 1:]
    return np.stack([[grid[r * (h + 1) :][:h, c * (w + 1) :][:, :w] for c in range(columns)] for r in range(rows)])


def accuracy(subject: Subject, reader: keras.Model, prior: object) -> float:
    return samples.measure(subject.run.model, reader, 10, prior, 0)["accuracy"]


def test_a_model_deaf_to_the_label_is_read_at_chance_but_always_right_through_the_label_prior(subject_of, reader):
    """Deaf, it draws what z says."""
    assert accuracy(subject_of(Bars()), reader, STANDARD_NORMAL) == 1, "it heeds the label"
    subject = subject_of(Bars(deaf=True), fitted=True)
    model, p, test = subject.run.model, subject.prior, subject.test
    assert accuracy(subject, reader, STANDARD_NORMAL) < 0.3 and accuracy(subject, reader, p) == 1
    stays, moves = (redrawing.measure_swap(model, reader, test, prior) for prior in (STANDARD_NORMAL, p))
    assert stays["new_label"]["accuracy"] == 0 and moves["new_label"]["accuracy"] == 1
    assert stays["own_label"] == moves["own_label"] and stays["own_label"]["accuracy"] == 1
    assert (stays["new_label"]["n"], stays["own_label"]["n"]) == (2700, 300)
    read = likelihood.measure_bayes_classifier(model, test, subject.priors, 2, 0)
    assert read["standard"]["accuracy"] < 0.3 and read["label_prior"]["accuracy"] == 1
    shuffled = p.labels[::-1].argsort()  # every label's prior under another label
    wrong = LabelPrior(p.labels, p.weights[shuffled], p.means[shuffled], p.covariances[shuffled])
    assert accuracy(subject, reader, wrong) < 0.05
    measured = likelihood.measure(model, test, subject.priors, 3, 0)
    label, standard = measured["label_prior"], measured["standard"]
    assert label["nll"] == standard["nll"] and label["kl"]["mean"] < standard["kl"]["mean"] - 5
    assert label["negative_elbo"]["mean"] == pytest.approx(label["nll"]["mean"] + label["kl"]["mean"], abs=1e-6)
    assert [path.name for path in subject.run.folder.iterdir()] == ["config.json"]  # to measure is not to write


def test_samples_are_measured_overall_and_per_label(reader, monkeypatch):
    read = np.repeat([0, 0, 2, 3, 4, 5, 6, 7, 8, 9], 4)  # every 1 is read as a 0
    read[0] = 9
    monkeypatch.setattr(networks, "read", lambda *_: read)
    result = samples.measure(Bars(), reader, 4, STANDARD_NORMAL, 0)
    assert (result["accuracy"], result["n"]) == (35 / 40, 40)
    assert [share["accuracy"] for share in result["per_label"].values()] == [0.75, 0, *[1] * 8]


# --- sheets ------------------------------------------------------------------------------------------------------


def test_the_likelihood_is_that_of_the_images_under_their_labels():
    rng, y = np.random.default_rng(0), (np.arange(200) % 7).astype(np.uint8)
    x = bars(rng.integers(10, size=200), rng.integers(1, 255, 200))
    measured = likelihood.measure(Bars(), Split(x, y), {"standard": STANDARD_NORMAL}, 3, 0)
    result = measured["standard"]
    p = x.reshape(200, 40) / 255
    logits = 16 * np.repeat(np.eye(10)[y], 4, axis=1) * np.tile([1, 1, 1, 0], 10) - 8
    nll = (np.logaddexp(0, logits) - p * logits).sum(1)
    assert result["nll"]["mean"] == pytest.approx(nll.mean(), rel=1e-4)
    assert result["negative_importance_weighted"]["mean"] <= result["negative_elbo"]["mean"]
    error = 1 / (1 + np.exp(-logits)) - p
    assert measured["reconstruction_rmse"] == pytest.approx(np.sqrt(np.mean(error**2)), rel=1e-4)


def test_the_sheets_show_swaps_and_reconstructions(subject_of):
    subject, deaf, digits = subject_of(Bars()), subject_of(Bars(deaf=True)), np.arange(10)
    swap = redrawing.swap(subject.run, subject.test, subject.prior)
    assert (places(cells(swap, 10, 11)) == [[row, *digits] for row in digits]).all()
    swap = redrawing.swap(deaf.run, deaf.test, deaf.prior)
    assert (places(cells(swap, 10, 11)) == digits[:, None]).all()
    assert (places(cells(redrawing.reconstructions(subject.run, subject.test), 10, 10)) == digits).all()


# --- latents -----------------------------------------------------------------------------------------------------


def test_latents_are_those_of_the_test_digits(learnt):
    """The training images have a posterior of their own, which must not get into what is said of the test digits'."""
    y = (np.arange(3000) % 10).astype(np.uint8)
    test = Split(bars(y % 2, 200), y)  # at two of ten places: two units stir
    result = latents.measure(Bars(), Split(bars(y[:2000]), y[:2000]), test, 10**9, 0)
    assert [call[:3] for call in learnt] == [(2000, 10, 0)] * 2  # both probes, of all training images
    mean, variance = 3 * np.eye(10)[y % 2] * 200 / 255 - 1.5, math.exp(-6.0)
    kl = 0.5 * (mean**2 + variance + 6 - 1)
    np.testing.assert_allclose(result["kl_per_dimension"]["values"], kl.mean(0), rtol=1e-5)
    assert result["active_units"] == {"of": 10, "active": 2}
    assert result["probe"]["majority"] == 0.1 and result["probe"]["z"] == 2000


# --- the evaluation classifier -----------------------------------------------------------------------------------


def classifier_of(subject: Subject, count: int, epochs: int) -> keras.Model:
    return networks.evaluation_classifier(subject.run.config, subject.train, count, epochs)


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """The user's cache: an empty folder for every test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return files.user_cache()


def test_an_evaluation_classifier_of_another_recipe_is_never_taken(subject_of, learnt, cache, monkeypatch):
    y = np.arange(300) % 10
    images, load = Split(bars(y, y + 1), y), classifier_of
    subject = subject_of(Bars(), train=images)
    first, again = load(subject, 200, 1), load(subject, 200, 1)
    assert learnt == [(200, 1, 0, int(images.subset(200, 0).images.sum()))]
    assert all((a == b).all() for a, b in zip(first.get_weights(), again.get_weights(), strict=True))
    for count, epochs in (200, 2), (250, 1), (10**9, 1), (300, 1):  # the last two are all of them
        load(subject, count, epochs)
    for constant, value in ("RATE", 1e-3), ("BATCH", 64), ("RECIPE", 10**6):
        with monkeypatch.context() as patch:
            patch.setattr(networks, constant, value)
            load(subject, 200, 1)
    other = subject.run._replace(config=Config(**vars(subject.run.config) | {"fingerprint": "1" * 64}))
    load(subject._replace(run=other), 200, 1)
    assert [call[:2] for call in learnt] == [(200, 1), (200, 2), (250, 1), (300, 1), *[(200, 1)] * 4]
    assert learnt[-1] == learnt[0] and len(list(cache.glob("evaluation-classifier-npz-1x40x1-????????????.npz"))) == 8


def test_a_damaged_evaluation_classifier_is_trained_anew_and_a_cache_need_not_be_writable(
    subject_of, learnt, cache, capsys
):
    good = classifier_of(subject_of(Bars()), 200, 1).get_weights()
    (path,) = cache.iterdir()
    not_finite, another_networks = [*good[:3], good[3] * np.nan, *good[4:]], [w[..., :-1] for w in good]
    for number, weights in enumerate(([], not_finite, another_networks), 2):
        np.savez(path, **{f"{i}": w for i, w in enumerate(weights)})
        for _ in range(2):  # the second time it is in the cache
            weights = classifier_of(subject_of(Bars()), 200, 1).get_weights()
            assert len(learnt) == number and all((a == b).all() for a, b in zip(weights, good, strict=True))
    shutil.rmtree(cache.parent)
    cache.parent.write_text("a file")
    classifier_of(subject_of(Bars()), 200, 1)
    assert "cannot write" in capsys.readouterr().out and cache.parent.read_text() == "a file"


def test_many_labels_leave_fewer_images_for_what_goes_through_every_label(subject_of, reader, monkeypatch):
    monkeypatch.setattr(networks, "evaluation_classifier", lambda *_: reader)
    monkeypatch.setattr(networks, "learn", lambda *_, **__: None)
    run, prior, train, test = subject_of(Bars())
    for pairs, images in (2000, 200), (10, 100):
        monkeypatch.setattr(evaluate, "PAIRS", pairs)
        result = evaluate.measure(run, prior, train, test, evaluate.Size(300, 1, 1, 2, (1, 1), 300), 0)
        swap = result["swap_standard"]
        assert swap["new_label"]["n"] + swap["own_label"]["n"] == 10 * images
        assert result["bayes_classifier"]["standard"]["n"] == images and result["likelihood"]["images"] == 300


def test_larger_images_wider_networks_and_more_labels_get_less_of_everything():
    large = Config(**vars(config_of(Bars())) | {"image_shape": (64, 64, 3), "width": 2, "num_labels": 20})
    less = evaluate.Size(1_000, 100, 10, 47, (5_742, 6), 5_742)
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
    assert statistics.average(np.array([1.0, 2, 3, 4])) == pytest.approx({"mean": 2.5, "se": np.sqrt(5 / 12)})
    odd = {"a": np.float32(0.1), 3: [np.int64(2), np.nan, np.array([1.0, 2.0])], "s": "x", "n": None}
    assert statistics.tidy(odd) == {"a": 0.1, "3": [2, None, [1.0, 2.0]], "s": "x", "n": None}


def test_images_are_shifted_every_way():
    images = np.eye(5, dtype=np.uint8).reshape(1, 5, 5, 1).repeat(50, 0)
    moved = networks.shifted(images, np.random.default_rng(0))
    assert len({m.tobytes() for m in moved}) == 9 and moved.shape == (50, 5, 5, 1)


def test_a_subset_keeps_images_and_labels_together():
    y = np.arange(100)
    split = Split(y.reshape(-1, 1, 1, 1), y)
    part = split.subset(30, 1)
    assert (part[0].reshape(-1) == part[1]).all() and (np.diff(part[1]) > 0).all() and len(part[1]) == 30
    assert (part[1] != split.subset(30, 2)[1]).any() and split.subset(100, 1) is split
