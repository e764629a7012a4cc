"""MNIST and other IDX data sets, damaged IDX files, drawn digits, and the data of a run."""

import gzip
import os
import shutil
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from helpers import config_of, same, small, sums, write_idx

import data
from data import keras_datasets, mnist, synthetic
from engine import idx
from engine.classifiers import digit_reader
from engine.terminal import Failure


def put(folder: Path, arrays: dict[str, np.ndarray], end: str = ".gz") -> Path:
    for name, array in arrays.items():
        write_idx(folder / f"{name}{end}", array)
    return folder


@pytest.fixture(autouse=True)
def no_keras(monkeypatch) -> None:
    """Keras has no MNIST, and the network does not either."""

    def unreachable(name: str) -> None:
        raise keras_datasets.Unreachable("MNIST could not be downloaded (no network)")

    monkeypatch.setattr(keras_datasets, "load", unreachable)
    monkeypatch.setattr(keras_datasets, "missing", lambda name: Path("mnist.npz"))


@pytest.fixture
def default(tmp_path, monkeypatch) -> Path:
    """The folder in place of data/mnist; it does not exist yet."""
    monkeypatch.setattr(data, "MNIST_DIR", tmp_path / "default")
    return tmp_path / "default"


@pytest.fixture
def tiny(monkeypatch) -> dict[str, np.ndarray]:
    """A small data set that this test takes for MNIST."""
    arrays = small()
    monkeypatch.setattr(mnist, "SHA256", sums(arrays))
    return arrays


# --- MNIST and other IDX data sets -------------------------------------------------------------------------------


def test_mnist_is_split_as_in_the_article(mnist_dir):
    digits = data.load("auto", mnist_dir)
    assert (digits.name, digits.title) == ("mnist", "MNIST")
    assert [s.images.shape for s in digits[2:5]] == [(n, 28, 28, 1) for n in (55_000, 5_000, 10_000)]
    images, labels = (idx.read(mnist.files(mnist_dir)[name]) for name in mnist.FILES[:2])
    assert (digits.validation.images[..., 0] == images[:5_000]).all() and (digits.train.labels == labels[5_000:]).all()
    assert digits.train.labels[:8].tolist() == labels[5_000:5_008].tolist()
    assert np.bincount(digits.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert len(digits.fingerprint) == 64


@pytest.mark.parametrize("end", ["", ".gz"])
def test_three_channels_are_three_copies_of_the_same_data(tiny, tmp_path, end):
    grey, colour = (data.load("mnist", put(tmp_path, tiny, end), channels=c) for c in (1, 3))
    assert colour.train.images.shape == (220, 6, 6, 3) and colour.train.images.dtype == np.uint8
    assert (colour.train.images == grey.train.images).all() and colour.fingerprint == grey.fingerprint


def test_another_idx_data_set_loads_but_is_not_called_mnist(tmp_path):
    labels = {name: np.arange(len(array), dtype=np.uint8) % 26 for name, array in small().items() if "labels" in name}
    other = data.load("auto", put(tmp_path, small(1) | labels))
    assert other.name == "idx" and "not MNIST" in other.title and str(tmp_path) in other.title
    assert [len(s.labels) for s in other[2:5]] == [220, 20, 30] and (other.num_labels, other.label_names) == (26, ())
    assert data.load("idx", tmp_path).fingerprint == other.fingerprint
    assert data.load("idx", put(tmp_path / "2", small(2))).fingerprint != other.fingerprint
    with pytest.raises(Failure, match="not MNIST"):
        data.load("mnist", tmp_path)


def test_pictures_beside_idx_files_do_not_make_them_a_folder_of_pictures(tmp_path):
    put(tmp_path, small(1))
    for name in "rose", "tulip":
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"not looked at")
    assert data.load("auto", tmp_path).name == "idx"


def change(**replaced):
    return small(3) | {key.replace("_", "-"): value for key, value in replaced.items()}


SETS = {
    "more labels than images": (
        change(train_labels_idx1_ubyte=np.zeros(241, np.uint8)),
        "do not fit together.*240, 6, 6.*241",
    ),
    "label 10": (change(t10k_labels_idx1_ubyte=np.full(30, 10, np.uint8)), "no image of the test"),
    "labels for images": (change(train_images_idx3_ubyte=np.zeros(240, np.uint8)), "do not fit together"),
    "images for labels": (change(t10k_labels_idx1_ubyte=np.ones((30, 2, 2), np.uint8)), "do not fit together"),
    "two sizes": (change(t10k_images_idx3_ubyte=np.zeros((30, 5, 6), np.uint8)), "6, 6.*5, 6"),
    "too few": (small(train=60), "60 training images"),
}


@pytest.mark.parametrize("arrays, message", SETS.values(), ids=SETS)
def test_files_that_do_not_fit_are_refused_by_name(tmp_path, arrays, message):
    with pytest.raises(Failure, match=message) as error:
        data.load("auto", put(tmp_path, arrays))
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_mnist_under_the_wrong_name_is_told(tiny, tmp_path):
    put(tmp_path, tiny | {"train-labels-idx1-ubyte": tiny["t10k-labels-idx1-ubyte"]})
    with pytest.raises(Failure, match="train-labels-idx1-ubyte.gz is damaged or not MNIST's"):
        data.load("auto", tmp_path)


def test_one_wrong_pixel_among_mnist_is_damage_not_another_data_set(tiny, tmp_path):
    put(tmp_path, tiny, "")
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(Failure, match="t10k-images-idx3-ubyte is damaged"):
        data.load("auto", tmp_path)


def test_auto_does_not_hide_a_damaged_file(tiny, default):
    put(default, tiny)
    path = default / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:1000])
    for where in (default, None):
        with pytest.raises(Failure, match="cut off"):
            data.load("auto", where)


# --- one file ----------------------------------------------------------------------------------------------------

GOOD = b"\0\0\x08\3" + struct.pack(">3I", 3, 2, 2) + bytes(range(12))
DAMAGED = {
    "cut off": (GOOD[:-1], "cut off"),
    "a page of HTML": (b"<html>no</html>", "not an IDX file"),
    "4 G images": (b"\0\0\x08\3" + struct.pack(">3I", 2**32 - 1, 2, 2) + bytes(12), "claims the size"),
    "gz: CRC": (gzip.compress(GOOD)[:-8] + b"\0\0\0\0" + gzip.compress(GOOD)[-4:], "damaged"),
    "gz: bomb": (gzip.compress(GOOD + bytes(2**24)), "longer than"),
}


@pytest.mark.parametrize("content, message", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_one_line_with_a_remedy(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(Failure, match=message) as error:
        idx.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    text = str(error.value)
    assert str(path) in text and "put a good copy there" in text and "\n" not in text
    assert peak < 2**21


def test_a_folder_or_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(Failure, match="is not a file"):
        idx.read(tmp_path)
    with pytest.raises(Failure, match="is not a file"):
        idx.read(tmp_path / "absent")
    path = tmp_path / "closed"
    path.write_bytes(GOOD)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(Failure, match="cannot be read"):
        idx.read(path)


@pytest.mark.parametrize("shape", [(7,), (5, 4, 3)])
def test_encoded_arrays_are_read_back_and_always_the_same(tmp_path, shape):
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    (tmp_path / "a").write_bytes(idx.encoded(array))
    assert (idx.read(tmp_path / "a") == array).all() and idx.read(tmp_path / "a").shape == shape
    assert idx.encoded(array) == idx.encoded(np.asfortranarray(array))


@pytest.mark.parametrize("name", ["auto", "mnist", "idx"])
@pytest.mark.parametrize("there", [(), (2, 3), (0, 1, 3)])
def test_a_named_folder_without_the_files_is_refused_and_nothing_is_made(
    tiny, default, tmp_path, monkeypatch, name, there
):
    """A mistyped --data-dir: no folder of that name, no MNIST in it, no drawn digits in its place."""
    folder = tmp_path / "mnits"
    put(folder, {mnist.FILES[i]: tiny[mnist.FILES[i]] for i in there})
    before = sorted(tmp_path.rglob("*"))
    lacking = next(file for i, file in enumerate(mnist.FILES) if i not in there)
    text = f"{folder} has no {lacking}.gz: put the four IDX files there, .*leave it out"
    with pytest.raises(Failure, match=text if there or name != "auto" else f"{folder} does not exist") as e:
        data.load(name, folder)
    assert "\n" not in str(e.value) and "--data-dir" in str(e.value)
    assert sorted(tmp_path.rglob("*")) == before


# --- the data of a run -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
def test_a_run_gets_its_own_data_back(tiny, default, tmp_path, monkeypatch, channels):
    monkeypatch.setattr(data, "DRAWN", (200, 20, 20))
    drawn_digits = data.load("drawn", channels=channels)
    assert same(data.of_run(config_of(drawn_digits)), drawn_digits)
    other = data.load("auto", put(tmp_path / "other", small(4)), channels)
    assert same(data.of_run(config_of(other, tmp_path / "other")), other)
    (tmp_path / "other").rename(tmp_path / "moved")
    with pytest.raises(Failure, match="has no train-images"):
        data.of_run(config_of(other, tmp_path / "other"))
    assert same(data.of_run(config_of(other, tmp_path / "other"), tmp_path / "moved"), other)
    digits = data.load("mnist", put(default, tiny), channels)
    for where in ("", default, tmp_path / "gone", tmp_path / "moved" / "gone"):
        assert same(data.of_run(config_of(digits, where)), digits)
    with pytest.raises(Failure, match="gone has no train-images"):  # what the user names is taken at its word
        data.of_run(config_of(digits), tmp_path / "gone")


def test_a_run_on_other_data_is_told(tiny, default, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "DRAWN", (200, 20, 20))
    digits = data.load("mnist", put(default, tiny))
    other, folder = data.load("idx", put(tmp_path / "other", small(4))), put(tmp_path / "another", small(5))
    for config, where in (
        (config_of(digits, fingerprint="0" * 64), None),
        (config_of(digits, image_shape=(7, 6, 1)), None),
        (config_of(other, folder), None),
        (config_of(other, tmp_path / "other"), folder),
        (config_of(other), None),  # an IDX run whose folder is now MNIST's
    ):
        with pytest.raises(Failure, match="was trained on other data than these: name its folder with --data-dir") as e:
            data.of_run(config, where)
        assert "\n" not in str(e.value)
    with pytest.raises(Failure, match="was trained on other data than these: .*Pillow"):
        data.of_run(config_of(data.load("drawn"), fingerprint="0" * 64))
    with pytest.raises(Failure, match="not MNIST"):
        data.of_run(config_of(digits), folder)


ODD = ["\0", "a\0b", "\ud800", "/\udcff", "~root", "~nobody-of-this-name", "~", "/dev/null", "\n"]
ODD += [".", "x" * 5000, "~" + "x" * 5000, "/" * 5000]


def test_whatever_a_config_says_of_its_folder_it_is_data_or_a_failure(tiny, default, tmp_path, monkeypatch):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    digits = data.load("mnist", put(default, tiny))
    for text in ODD:
        assert same(data.of_run(config_of(digits, text)), digits)
    shutil.rmtree(default)
    for text in ODD:
        for name in ("mnist", "idx"):
            with pytest.raises(Failure):
                data.of_run(config_of(digits, text, dataset=name))
    assert list(tmp_path.rglob("*")) == [tmp_path / "cwd"]


# --- drawn digits ------------------------------------------------------------------------------------------------


def test_drawn_digits_are_pure_balanced_and_shaped():
    for channels in (1, 3):
        images, labels = synthetic.digits(500, channels, seed=4)
        again = synthetic.digits(500, channels, seed=4)
        assert images.shape == (500, 28, 28, channels) and images.dtype == labels.dtype == np.uint8
        assert (images == again[0]).all() and (labels == again[1]).all()
        assert np.bincount(labels).tolist() == [50] * 10 and labels[:10].tolist() != list(range(10))
        assert len(np.unique(images.reshape(500, -1), axis=0)) == 500
        assert not (images == synthetic.digits(500, channels, seed=5)[0]).all()


def test_drawn_ink_is_bright_on_black_and_stays_inside():
    images, _ = synthetic.digits(2000, seed=1)
    ring = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], 1)
    assert ring.max((1, 2)).mean() < 1 and images.max((1, 2, 3)).min() > 200 and 15 < images.mean() < 60


@pytest.mark.parametrize("channels", [1, 3])
def test_most_drawn_digits_are_read_as_their_labels(channels):
    """84 % of the font's digits as they are; at most 34 % if they were turned or mirrored (measured)."""
    images, labels = synthetic.digits(300, channels, seed=2)
    assert (digit_reader.logits(digit_reader.load(), images).argmax(axis=1) == labels).mean() > 0.8


def test_drawn_colours_differ_between_ink_and_paper_and_keep_the_shapes():
    grey, colour = synthetic.digits(300, 1, seed=3)[0], synthetic.digits(300, 3, seed=3)[0].astype(int)
    paper = colour[:, 0, 0]
    ink = np.stack([c[g[..., 0] == g.max()].mean(0) for c, g in zip(colour, grey, strict=True)])
    assert np.abs(ink - paper).min() > 70
    assert (colour[grey[..., 0] == 0] == np.repeat(paper, (grey[..., 0] == 0).sum((1, 2)), axis=0)).all()
    assert len(np.unique(paper, axis=0)) > 290


def test_drawn_splits_are_disjoint_and_pure(monkeypatch):
    monkeypatch.setattr(data, "DRAWN", (300, 100, 100))
    digits = data.load("drawn")
    assert digits.name == "drawn" and [len(s.labels) for s in digits[2:5]] == [300, 100, 100]
    everything = np.concatenate([s.images for s in digits[2:5]]).reshape(500, -1)
    assert len(np.unique(everything, axis=0)) == 500
    assert same(data.load("drawn"), digits) and data.load("drawn", channels=3).fingerprint != digits.fingerprint
