"""The reader: it learns, it is kept and mended, and it is asked before Bayes' rule. In the page: test_page.py."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import data
import generate
from data import drawn, mnist
from engine import augmentation, reader, trained
from engine.config import REFERENCE
from engine.evaluation import likelihood
from engine.kept import Unusable
from engine.trained import Trained


def main(run: Path, *flags: str) -> int:
    return generate.main(["--run", str(run), *flags])


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the tiny run, and its data at hand."""
    monkeypatch.setattr(data, "DRAWN", (1000, 100, 100))
    return Path(shutil.copytree(tiny_run, tmp_path / "run"))


def photo_of(digit: np.ndarray, path: Path) -> str:
    """A digit, uint8 (H, W, 1), dark on a white page."""
    Image.fromarray(255 - np.pad(digit[..., 0], 20)).resize((400, 400)).save(path)
    return str(path)


# ---- training ----


def test_the_same_digits_make_the_same_reader_and_others_another():
    images, labels = drawn.digits(500)
    one, same = (reader.train((28, 28, 1), data.Split(images, labels), 1) for _ in range(2))
    other = reader.train((28, 28, 1), data.Split(images, (labels + 1) % 10), 1)
    x, _ = drawn.digits(20, seed=5)
    np.testing.assert_array_equal(reader.logits(one, x), reader.logits(same, x))
    assert np.abs(reader.logits(one, x) - reader.logits(other, x)).max() > 0.1
    assert one.count_params() <= 105_000  # 200 kB of the page
    assert all((w == w.astype(np.float16)).all() for w in one.get_weights())  # as the file and the page have them


def test_a_digit_is_varied_and_placed_as_mnists_are(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(augmentation, "PLAIN", 0.0)
    grey, labels = drawn.digits(300)
    varied, again = (augmentation.varied(grey, labels, np.random.default_rng(0)) for _ in range(2))
    assert varied.dtype == np.uint8 and varied.shape == grey.shape
    np.testing.assert_array_equal(varied, again)
    varied = varied[..., 0].astype(float)
    ink = varied.sum((1, 2))
    ratio = ink / grey.sum((1, 2, 3))
    assert 0.6 < np.median(ratio) < 1.5 and np.log(ratio).std() > 0.2  # wider, narrower; thicker, thinner
    rows, columns = (np.arange(28) @ varied.sum(axis).T / ink for axis in (2, 1))
    assert np.abs(rows - 14).max() < 4.5 and np.abs(columns - 14).max() < 4.5
    sides = np.stack([(varied > 60).any(axis).sum(1) for axis in (1, 2)])
    assert 18 <= np.percentile(sides.max(0), 5) and np.percentile(sides.max(0), 95) <= 22
    assert varied.max((1, 2)).min() > 200  # no digit fades


def test_some_stay_as_they_are_and_most_ones_get_a_flag():
    images, labels = drawn.digits(1000)
    varied = augmentation.varied(images, labels, np.random.default_rng(0))
    same = (varied == images).all((1, 2, 3)).mean()
    assert abs(same - augmentation.PLAIN) < 0.05
    begun = augmentation._begun(images, labels, np.random.default_rng(0))
    flagged = [(begun != images).any((1, 2, 3))[labels == label].mean() for label in (1, 3)]
    assert abs(flagged[0] - augmentation.FLAGGED) < 0.15 and abs(flagged[1] - augmentation.BEGUN) < 0.1
    blank = np.zeros((3, 28, 28, 1), np.uint8)
    with np.errstate(all="raise"):
        assert augmentation.varied(blank, np.zeros(3, int), np.random.default_rng(0)).shape == blank.shape


@pytest.mark.parametrize("size", [20, 28, 48])
def test_digits_of_any_size(size: int):
    images, labels = drawn.digits(64, size=size)
    net = reader.network(images.shape[1:])
    assert net(images).shape == (64, 10) and net.count_params() < 150_000
    assert augmentation.varied(images, labels, np.random.default_rng(0)).shape == images.shape


# ---- kept ----


def test_training_leaves_a_reader_that_the_next_step_keeps(run: Path, capsys):
    loaded = trained.load(run)
    x, _ = drawn.digits(20, seed=5)
    found = reader.logits(reader.read(loaded), x)
    assert reader.read(loaded._replace(step=7)) is not None  # it is the data's, not the checkpoint's
    before = (run / reader.NAME).read_bytes()
    assert main(run, "--style-from", "test:0") == 0
    assert "reader: " not in capsys.readouterr().out and (run / reader.NAME).read_bytes() == before
    (run / reader.NAME).unlink()
    assert main(run, "--style-from", "test:0") == 0
    out = capsys.readouterr().out
    assert out.count("reader: ") == 1 and f"s → {run / reader.NAME}\n" in out
    np.testing.assert_array_equal(reader.logits(reader.read(loaded), x), found)


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    if how == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        with np.load(path) as archive:
            arrays = dict(archive)
        if how == "pickle":
            arrays["dense/bias"] = np.array([{}], dtype=object)
        elif how == "not finite":
            arrays["dense/bias"][3] = np.inf
        elif how == "another size":
            arrays["dense/bias"] = arrays["dense/bias"][:-1]
        elif how == "a layer short":
            del arrays["logits/kernel"]
        elif how == "other data":
            arrays["data"] = np.str_("0" * 64)
        elif how == "older recipe":
            arrays["recipe"] = np.int64(reader.RECIPE - 1)
        elif how == "huge":
            arrays["more"] = np.zeros(reader.LARGEST_FILE + 1, np.uint8)
        np.savez_compressed(path, **arrays)


DAMAGES = [
    "cut",
    "empty",
    "pickle",
    "not finite",
    "another size",
    "a layer short",
    "huge",
    "other data",
    "older recipe",
]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_or_foreign_reader_is_never_used_silently(how: str, run: Path, monkeypatch, capsys):
    damage(run / reader.NAME, how)
    why = how if how in ("other data", "older recipe") else "damaged"
    with pytest.raises(Unusable, match=why):
        reader.read(trained.load(run))
    path = photo_of(drawn.digits(1)[0][0], run / "photo.png")
    if how in ("cut", "other data"):  # enough of them
        monkeypatch.setattr(data, "DRAWN", (1000, 100, 101))  # other digits than the run's: its data is not to be had
        assert main(run, "--style-from", path) == 0
        out, err = capsys.readouterr()
        assert not err and out.startswith("no reader, so Bayes' rule alone reads pictures: ") and why in out
        monkeypatch.setattr(data, "DRAWN", (1000, 100, 100))
    assert main(run, "--style-from", path) == 0
    out, err = capsys.readouterr()
    assert not err and out.startswith("reader: ") and why in out
    reader.read(trained.load(run))  # mended


def test_what_has_no_reader(run: Path):
    """A run whose labels have names: its pictures are never made digits of."""
    config = trained.load(run).config
    assert reader.suits(config)
    for other in ({"label_names": tuple("abcdefghij")}, {"num_labels": 9}, {"image_shape": (28, 30, 1)}):
        no_digits = Trained(None, dataclasses.replace(config, **other), run, 60)
        assert reader.keep_or_train(no_digits, lambda: pytest.fail("asked for the data")) is None


def test_the_shipped_reader_is_left_alone(monkeypatch, tmp_path: Path, capsys):
    """No training for the shipped run, which has one; and --style-label asks nobody."""
    monkeypatch.setattr(reader, "train", lambda *_: pytest.fail("trained"))
    path = photo_of(drawn.digits(1)[0][0], tmp_path / "photo.png")
    assert main(REFERENCE, "--style-from", path, "--out", str(tmp_path / "style.png")) == 0
    monkeypatch.setattr(reader, "reading", lambda *_: pytest.fail("read"))
    words = ["--style-from", path, "--style-label", "3", "--out", str(tmp_path / "style.png")]
    assert main(REFERENCE, *words) == 0 and "read as 3 (as told)" in capsys.readouterr().out


def test_a_run_on_the_data_of_the_shipped_one_takes_its_reader(run: Path, monkeypatch, tmp_path: Path):
    shipped = Path(shutil.copytree(run, tmp_path / "shipped"))
    (run / reader.NAME).unlink()
    loaded = trained.load(run)
    monkeypatch.setattr(reader, "REFERENCE", shipped)
    assert reader.keep_or_train(loaded, lambda: pytest.fail("asked for the data"), keep=False) is not None
    assert not (run / reader.NAME).exists()
    reader.keep_or_train(loaded, lambda: pytest.fail("asked for the data"))
    assert (run / reader.NAME).read_bytes() == (shipped / reader.NAME).read_bytes()
    (run / reader.NAME).unlink()
    other = loaded._replace(config=dataclasses.replace(loaded.config, fingerprint="another"))
    asked = []
    reader.keep_or_train(other, lambda: asked.append(1) or data.load("drawn"), keep=False)
    assert asked


# ---- asked ----


def test_the_reader_has_the_word_and_the_model_its_doubt(run: Path, monkeypatch, capsys):
    scores = np.full((1, 10), -4.0)
    scores[0, 7] = 0
    sure = 1 / (1 + 9 * np.exp(-4))
    monkeypatch.setattr(reader, "logits", lambda net, images: scores)
    own = np.zeros((1, 10))
    for label, words in (
        (1, "the model itself takes it for 1: --style-label 1"),
        (7, "--style-label tells it otherwise"),
    ):
        own[:] = 0
        own[0, label] = 50
        monkeypatch.setattr(likelihood, "label_log_likelihoods", lambda *_, **__: own)
        assert main(run, "--style-from", "test:0") == 0
        assert f"read as 7 ({sure:.1%} sure; {words})" in capsys.readouterr().out


def test_on_real_digits_the_shipped_reader_is_right(mnist_dir: Path):
    arrays, _, _ = mnist.read(mnist_dir)
    images, labels = (arrays[name] for name in mnist.FILES[2:])
    net = reader.read(trained.load(REFERENCE))
    assert np.mean(reader.logits(net, images[..., None]).argmax(1) == labels) >= 0.985
