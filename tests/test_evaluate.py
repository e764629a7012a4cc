"""evaluate.py against independent truth: quadrature, models whose behaviour is known, intervals from the literature."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import data
import evaluate
import generate
import train
from data import mnist, readers, statistics
from model import CVAE

TINY = evaluate.Size(100, 3, 2, 20, (500, 1), (300, 1), 500)


class Pixel:
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


# --- the bounds --------------------------------------------------------------------------------------------------


def test_the_bound_reaches_the_marginal():
    toy, (x, bits, y) = Pixel(3.0, 0.4, -0.2), pixels(4)
    found = evaluate.bounds(toy, x, y, 4000, 0)
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
    found = evaluate.bounds(toy, x, y, k, 3)
    np.testing.assert_allclose(found.iw[:, 0], toy.log_p(bits, y), atol=1e-6)
    np.testing.assert_allclose(found.nll, -found.iw[:, 0], atol=1e-6)


def test_one_z_is_the_elbo_and_more_rise_towards_the_truth():
    toy, (x, bits, y) = Pixel(3.0, 0.4, -0.2), pixels(4000)
    many = [evaluate.bounds(toy, x, y, k, 1) for k in (1, 5, 25)]
    one, elbo = many[0].iw[:, 0], -many[2].nll - many[2].kl
    assert abs(one.mean() - elbo.mean()) < 4 * np.hypot(one.std(), elbo.std()) / np.sqrt(len(y))
    means = [m.iw.mean() for m in many]
    truth = toy.log_p(bits, y).mean()
    assert elbo.mean() + 0.1 < means[1] < means[2] - 0.01 < truth < 0


def test_the_bounds_are_those_of_model_log_weight():
    keras.utils.set_random_seed(0)
    model, (x, y) = CVAE((9, 6, 3), 10, 4), images(11)
    found = evaluate.bounds(model, x, y, 3, 5, shares=(1.0, 1 / 3))
    log_w, nll = [], []
    for draw in range(3):
        noise = generate.normal((11, 4), 5, "evaluate", evaluate.DRAWS + draw)
        log_w.append(model.log_weight(x, y, noise).numpy())
        p = tf.sigmoid(model(x, y, noise)[0]).numpy().astype(np.float64)
        nll.append(-(x * np.log(p) + (1 - x) * np.log(1 - p)).sum((1, 2, 3)))
    log_w, nll = np.array(log_w, np.float64), np.array(nll)
    np.testing.assert_allclose(found.nll, nll.mean(0), rtol=1e-5)
    np.testing.assert_allclose(found.iw[:, 0], np.log(np.exp(log_w).mean(0)), rtol=1e-5)
    np.testing.assert_allclose(found.iw[:, 1], np.log(np.exp(log_w + nll * 2 / 3).mean(0)), rtol=1e-5)
    other = evaluate.bounds(model, x, (y + 1) % 10, 3, 5)
    assert np.abs(other.nll - found.nll).mean() > 0.01  # the label matters


def test_batches_that_do_not_divide_change_nothing():
    keras.utils.set_random_seed(0)
    model, (x, y) = CVAE((9, 6, 3), 10, 4), images(11)
    whole, parts = (evaluate.bounds(model, x, y, 4, 0, batch=batch) for batch in (11, 4))
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_binarised_targets():
    x = np.repeat(np.tile(np.array([0, 64, 255], np.uint8), (4000, 1))[:, None, :, None], 3, axis=-1)  # (4000, 1, 3, 3)
    found = evaluate.binarise(x, 0)
    assert set(np.unique(found)) == {0, 1} and (found[..., :1] == found).all()
    np.testing.assert_allclose(found.mean((0, 1, 3)), [0, 64 / 255, 1], atol=0.03)
    assert (found == evaluate.binarise(x, 0)).all() and (found != evaluate.binarise(x, 1)).any()
    np.testing.assert_allclose(evaluate.entropy(np.full((2, 2, 2, 1), 0.5)), 4 * np.log(2))
    np.testing.assert_allclose(evaluate.entropy(found), 0, atol=1e-8)


# --- statistics --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hits", "n", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, 857-872, table I, method 3 (without continuity correction)
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson(hits, n, low, high):
    found = statistics.wilson(hits, n)
    assert found == {"accuracy": hits / n, "low": pytest.approx(low, abs=5e-5), "high": pytest.approx(high, abs=5e-5),
                     "n": n}  # fmt: skip
    assert statistics.wilson(np.arange(n) < hits) == found


def test_small_statistics():
    counts = statistics.confusion(np.array([0, 0, 1, 2, 2]), np.array([0, 1, 1, 0, 0]), 3)
    assert counts.tolist() == [[1, 1, 0], [0, 1, 0], [2, 0, 0]]
    p = np.array([[0.9, 0.1], [0.9, 0.1], [0.6, 0.4], [0.6, 0.4]])
    found = statistics.calibration(p, np.array([0, 0, 0, 1]))
    assert (found["accuracy"], found["mean_confidence"], found["ece"]) == pytest.approx((0.75, 0.75, 0.1))
    assert statistics.spread(np.array([[0.0, 0], [3, 4], [6, 8]])) == pytest.approx(20 / 3)
    assert statistics.average(np.array([1.0, 2, 3, 4])) == pytest.approx({"mean": 2.5, "se": np.sqrt(5 / 12)})
    odd = {"a": np.float32(0.1), 3: [np.int64(2), np.nan, np.array([1.0, 2.0])], "s": "x", "n": None}
    assert evaluate.tidy(odd) == {"a": 0.1, "3": [2, None, [1.0, 2.0]], "s": "x", "n": None}
    moved = readers.shifted(np.eye(5, dtype=np.uint8).reshape(1, 5, 5, 1).repeat(50, 0), np.random.default_rng(0))
    assert len({m.tobytes() for m in moved}) == 9 and moved.shape == (50, 5, 5, 1)


# --- what the judge reads ----------------------------------------------------------------------------------------


class Plates:
    """Draws label y as one bright pixel out of ten, heeding y, or (deaf) the largest of z instead."""

    image_shape, latent_dim, num_labels = (1, 10, 1), 10, 10

    def __init__(self, deaf: bool) -> None:
        self.deaf = deaf

    def encode(self, x, y):
        return 3 * tf.reshape(x, (-1, 10)) - 1.5, tf.fill((tf.shape(x)[0], 10), -3.0)

    def decode(self, z, y):
        shown = tf.argmax(z, 1) if self.deaf else y
        return tf.reshape(16 * tf.one_hot(shown, 10) - 8, (-1, 1, 10, 1))

    def generate(self, z, y):
        return tf.sigmoid(self.decode(z, y))


@pytest.fixture
def plates(tmp_path):
    def task(deaf: bool) -> evaluate.Task:
        y = np.arange(2000) % 10
        split = data.Split((255 * np.eye(10, dtype=np.uint8))[y].reshape(-1, 1, 10, 1), y.astype(np.uint8))
        run = generate.Run(Plates(deaf), {"dataset": "plates"}, tmp_path, 0)
        return evaluate.Task(run, data.Dataset("idx", "", split, split, split, "0"), split, TINY, 0, tmp_path)

    judge = keras.Sequential([keras.Input((1, 10, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
    judge.set_weights([np.eye(10), np.zeros(10)])
    return task, judge


def test_a_model_that_heeds_the_label(plates):
    task, judge = plates[0](deaf=False), plates[1]
    found = evaluate.label_accuracy(task, judge)
    assert all(found["per_temperature"][t]["accuracy"] == 1 for t in evaluate.TEMPERATURES)
    assert (found["confusion"] == 20 * np.eye(10)).all()
    swapped = evaluate.swap(task, judge)
    assert (swapped["new_label"]["accuracy"], swapped["new_label"]["n"]) == (1, 18000)
    assert evaluate.free_classifier(task)["elbo"]["accuracy"] == 1


def test_a_model_deaf_to_the_label(plates):
    task, judge = plates[0](deaf=True), plates[1]
    assert evaluate.label_accuracy(task, judge)["per_temperature"][1.0]["accuracy"] < 0.25
    swapped = evaluate.swap(task, judge)  # it redraws the old digit under any label
    assert (swapped["new_label"]["accuracy"], swapped["own_label"]["accuracy"]) == (0, 1)
    assert evaluate.free_classifier(task)["elbo"]["accuracy"] < 0.25
    found = evaluate.latent_use(task._replace(size=TINY._replace(probe=10**9)))
    assert found["probe"]["linear"]["accuracy"] > 0.9  # its z is the class


def test_the_kl_has_its_say_in_the_free_classifier(plates):
    class Far(Plates):  # draws the same under every label, but only label 1 keeps q at the prior
        def encode(self, x, y):
            mean = 3.0 * tf.cast(y != 1, tf.float32)
            return tf.repeat(mean[:, None], 10, 1), tf.zeros((tf.shape(x)[0], 10))

        def decode(self, z, y):
            return super().decode(z, 0 * y)

    task = plates[0](deaf=False)
    ones = data.Split(task.test.images, np.ones_like(task.test.labels))
    task = task._replace(run=task.run._replace(model=Far(deaf=False)), test=ones)
    assert evaluate.free_classifier(task)["elbo"]["accuracy"] == 1


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
    monkeypatch.setattr(evaluate, "CACHE", tmp_path / "cache")
    return tmp_path / "cache"


def test_the_command_merges_and_repeats_itself(drawn_run, small, capsys, monkeypatch):
    monkeypatch.setattr(evaluate, "SIZES", {"quick": TINY})
    before = json.loads((drawn_run / "metrics.json").read_text())
    text = []
    for attempt in range(2):
        if attempt:  # a damaged judge is trained anew, to the same numbers
            (judge,) = small.glob("judge-*-quick.npz")
            whole = judge.read_bytes()
            judge.write_bytes(whole[: len(whole) // 2])
        assert evaluate.main(["--run", str(drawn_run), "--quick", "--seed", "3"]) == 0
        text.append((drawn_run / "metrics.json").read_text())
    assert text[0] == text[1] and judge.stat().st_size == len(whole)
    after = json.loads(text[0], parse_constant=pytest.fail)
    found = after.pop("evaluate")
    assert after == before and "test" in after
    assert (found["mode"], found["seed"], found["step"], found["dataset"]) == ("quick", 3, 200, "drawn")
    grey = {key: found["likelihood"]["grey"][key]["mean"] for key in ("negative_elbo", "nll", "kl")}
    assert grey["negative_elbo"] == pytest.approx(grey["nll"] + grey["kl"], abs=1e-4)
    assert grey["negative_elbo"] == pytest.approx(before["test"]["negative_elbo"], rel=0.1)
    sheets = {path.stem for path in (drawn_run / "evaluation").glob("*.png")}
    assert sheets == {"reconstructions", "worst_reconstructed", "latent_traversal", "swap", "misread"}
    out, err = capsys.readouterr()
    assert not err and max(len(line) for line in out.splitlines() if str(drawn_run) not in line) <= 100


def test_three_channels_of_an_idx_data_set(small, tmp_path):
    rng = np.random.default_rng(0)
    for part, n in ("train", 240), ("t10k", 30):
        y = (np.arange(n) % 7).astype(np.uint8)  # of the ten labels, three never occur
        mnist.write_idx(tmp_path / f"{part}-images-idx3-ubyte.gz", rng.integers(0, 256, (n, 11, 8), np.uint8))
        mnist.write_idx(tmp_path / f"{part}-labels-idx1-ubyte.gz", y)
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
