"""The digit reader: what it reads, what counts as digits, who is asked about a picture, how its network is trained."""

import dataclasses
from pathlib import Path

import make_digit_reader
import numpy as np
import pytest
from helpers import settings, write_idx
from PIL import Image, ImageDraw, ImageFont

import data
import train
from data import mnist, synthetic
from engine.classifiers import digit_reader
from engine.drawing.sampling import Generator
from engine.latent import likelihood_bounds
from engine.latent.prior import STANDARD_NORMAL
from engine.runs import trained_model
from engine.runs.options import REFERENCE, config_for, fill_in
from engine.terminal import Failure


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """Digits that the shipped run draws: uint8 (400, 28, 28, 1), and their labels."""
    return Generator(trained_model.load(REFERENCE), STANDARD_NORMAL).labelled_set(range(10), 40, temperature=0.7)


def are_digits(folder: Path, images: np.ndarray, labels: np.ndarray) -> bool:
    """What the reader says of an IDX data set."""
    for part in ("train", "t10k"):
        write_idx(folder / f"{part}-images-idx3-ubyte", images[..., 0])
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
    return digit_reader.are_digits(data.load(data_dir=folder))


def test_the_shipped_reader_reads_mnist_in_one_channel_and_in_three(mnist_dir: Path):
    images, labels = (array[:1000] for array in mnist.read(mnist_dir)[1])
    assert np.mean(digit_reader.logits(digit_reader.load(), images[..., None]).argmax(1) == labels) >= 0.98
    grey, colour = (digit_reader.mnist_form(np.repeat(images[:50, ..., None], n, axis=3)) for n in (1, 3))
    np.testing.assert_allclose(colour, grey, atol=1e-3)


def test_mnists_form_is_bright_ink_on_black_whatever_the_paper(digits):
    images = digits[0][digits[0].max((1, 2, 3)) == 255][:50].astype(float)
    as_is = digit_reader.mnist_form(images)
    np.testing.assert_allclose(as_is, images, atol=1e-3)
    np.testing.assert_allclose(digit_reader.mnist_form(255 - images), as_is, atol=1e-3)
    coloured = np.array([200, 40, 90]) + images / 255 * np.array([-80, 120, 10])
    np.testing.assert_allclose(digit_reader.mnist_form(coloured), as_is, atol=1e-3)
    np.testing.assert_allclose(digit_reader.mnist_form(images.repeat(2, 1).repeat(2, 2)), as_is, atol=1e-3)
    assert not digit_reader.mnist_form(np.full((1, 20, 30, 3), 7, np.uint8)).any()


def test_digits_are_digits_and_letters_wrong_labels_and_flowers_are_none(digits, tmp_path: Path, capsys):
    (images, labels), letters = digits, np.zeros_like(digits[0])
    for letter, label in zip(letters, labels, strict=True):
        page = Image.new("L", (28, 28))
        ImageDraw.Draw(page).text((5, 2), "ABCDEFGHKM"[label], 255, ImageFont.load_default(size=22))
        letter[..., 0] = page
    assert are_digits(tmp_path / "digits", images, labels)
    assert "as their labels: they are digits\n" in capsys.readouterr().out
    assert not are_digits(tmp_path / "letters", letters, labels)
    assert not are_digits(tmp_path / "others", images, (labels + 1) % 10)
    five = labels < 5
    assert not are_digits(tmp_path / "five", images[five], labels[five]) and "five" not in capsys.readouterr().out
    flowers = np.random.default_rng(0).integers(0, 256, (len(labels), 32, 32, 3), np.uint8)
    np.savez(tmp_path / "flowers.npz", images=flowers, labels=labels)
    assert not digit_reader.are_digits(data.load(data_dir=tmp_path / "flowers.npz"))


def test_a_folder_of_dark_digits_on_white_is_digits_and_keeps_its_own_form(digits, tmp_path: Path):
    for i, (image, label) in enumerate(zip(*digits, strict=True)):
        path = tmp_path / "set" / str(label) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(255 - image[..., 0]).resize((40, 40)).save(path)
    loaded, picture = data.load(data_dir=tmp_path / "set"), str(next((tmp_path / "set" / "3").iterdir()))
    assert digit_reader.are_digits(loaded)
    prepared = data.picture_for(settings(dataset=loaded.name, digits=True), picture)
    assert np.median(prepared) > 200  # the paper stays white
    assert digit_reader.logits(digit_reader.load(), prepared[None]).argmax() == 3


@pytest.mark.parametrize("paper", ["dark", "bright"])
def test_a_photo_is_prepared_for_a_grey_folder_of_digits_as_for_idx_files(digits, tmp_path: Path, paper: str):
    images, labels = digits
    splits = [data.Split(255 - images if paper == "bright" else images, labels)] * 3
    args = train.parse([])
    fill_in(args, None)
    config = config_for(args, data.Dataset("folder", "", *splits, "", 10, tuple("0123456789")), True, None)
    page = Image.new("RGB", (500, 400), (236, 230, 215))
    ImageDraw.Draw(page).line([(300, 100), (360, 102), (315, 200)], (30, 40, 120), 7)
    page.save(tmp_path / "photo.png")
    prepared = data.picture_for(config, str(tmp_path / "photo.png"))
    as_idx = data.picture_for(dataclasses.replace(config, dataset="idx", paper="dark"), str(tmp_path / "photo.png"))
    assert config.paper == paper and (prepared == (255 - as_idx if paper == "bright" else as_idx)).all()
    assert digit_reader.logits(digit_reader.load(), prepared[None]).argmax() == 7


def test_without_the_readers_file_one_line_says_how_to_restore_it(monkeypatch, tmp_path: Path):
    monkeypatch.setattr(digit_reader, "WEIGHTS", tmp_path / "digit_reader.npz")
    for _ in range(2):
        with pytest.raises(Failure, match="digit_reader.npz is missing or damaged: git checkout restores it"):
            digit_reader.load()
        digit_reader.WEIGHTS.write_bytes(b"PK cut")


def test_the_reader_has_the_word_and_the_model_its_doubt(monkeypatch):
    scores, own, run = 4.0 * np.eye(10)[[7]], np.zeros((1, 10)), trained_model.load(REFERENCE)
    sure = f"{1 / (1 + 9 * np.exp(-4)):.1%} sure"
    monkeypatch.setattr(digit_reader, "logits", lambda reader, images: scores)
    monkeypatch.setattr(likelihood_bounds, "label_log_likelihoods", lambda *_, **__: own)
    doubts = {1: "the model itself takes it for 1: --style-label 1", 7: "--style-label tells it otherwise"}
    for label, words in doubts.items():
        own[:] = 50 * (np.arange(10) == label)
        assert digit_reader.reading(run, STANDARD_NORMAL, np.zeros((28, 28, 1)), 0) == (7, f"{sure}; {words}")


def test_the_network_that_the_tool_trains_is_the_one_that_reads():
    net, (x, _) = make_digit_reader.network(), synthetic.digits(20)
    reader = {f"{layer.name}/{w.name}": w.numpy() for layer in net.layers for w in layer.weights}
    assert {name: w.shape for name, w in reader.items()} == {k: v.shape for k, v in digit_reader.load().items()}
    expected = net.predict(digit_reader.mnist_form(x), verbose=0)
    np.testing.assert_allclose(digit_reader.logits(reader, x), expected, atol=1e-5)
