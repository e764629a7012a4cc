"""Data sets as files: what is written is what was given, under names that do not collide, and read by its readers."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import data
from data import mnist, synthetic
from engine.drawing import sheets
from engine.export import datasets
from engine.terminal import Failure

WORDS, ABOUT = "0123456789", {"run": "a test"}


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("channels", [1, 3])
def test_npz_holds_the_arrays_grey_ones_without_an_axis_for_it(tmp_path, channels):
    images, labels = synthetic.digits(30, channels)
    datasets.write_npz(tmp_path / "new" / "set.npz", images, labels)
    with np.load(tmp_path / "new" / "set.npz", allow_pickle=False) as archive:
        assert sorted(archive) == ["images", "labels"]
        assert archive["images"].shape == ((30, 28, 28) if channels == 1 else (30, 28, 28, 3))
        assert archive["images"].dtype == archive["labels"].dtype == np.uint8
        np.testing.assert_array_equal(archive["images"].reshape(images.shape), images)
        np.testing.assert_array_equal(archive["labels"], labels)


def test_npz_keeps_the_name_it_was_given_and_has_the_same_bytes_each_time(tmp_path):
    for name in ("set", "set.npz", "set.data"):
        datasets.write_npz(tmp_path / name, *synthetic.digits(10))
    assert names(tmp_path) == ["set", "set.data", "set.npz"]
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_npz_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    def half(file, **_):
        file.write(b"PK")
        raise KeyboardInterrupt

    (tmp_path / "set.npz").write_text("mine")
    monkeypatch.setattr(np, "savez", half)
    with pytest.raises(KeyboardInterrupt):
        datasets.write_npz(tmp_path / "set.npz", *synthetic.digits(10))
    assert names(tmp_path) == ["set.npz"] and (tmp_path / "set.npz").read_text() == "mine"


@pytest.mark.parametrize("called", [(), ("nought", "1", "zwei", "三", *"456789")])
def test_idx_files_are_read_by_the_loader(tmp_path, called):
    train, test = synthetic.digits(240), synthetic.digits(30, seed=1)
    datasets.write_idx(tmp_path / "set", train, test, called)
    assert names(tmp_path / "set") == sorted(mnist.FILES) if not called else ["labels.txt", *sorted(mnist.FILES)]
    found = data.load("idx", tmp_path / "set")
    assert (found.label_names, found.num_labels) == (called, 10)
    np.testing.assert_array_equal(np.concatenate([found.validation.images, found.train.images]), train[0])
    np.testing.assert_array_equal(np.concatenate([found.validation.labels, found.train.labels]), train[1])
    np.testing.assert_array_equal(found.test.images, test[0])
    np.testing.assert_array_equal(found.test.labels, test[1])


def test_idx_files_hold_grey_images_and_256_labels():
    datasets.check_idx(1, 256)
    with pytest.raises(Failure, match="at most 256 labels: use --npz or --each"):
        datasets.check_idx(1, 257)
    with pytest.raises(Failure, match="grey images"):
        datasets.check_idx(3, 10)


def test_a_set_of_files_goes_into_an_empty_folder(tmp_path):
    datasets.check_folder(tmp_path / "new")
    (tmp_path / "set").mkdir()
    datasets.check_folder(tmp_path / "set")
    datasets.write_idx(tmp_path / "set", synthetic.digits(20), synthetic.digits(10))
    with pytest.raises(Failure, match="set is not empty: choose another folder"):
        datasets.check_folder(tmp_path / "set")


@pytest.mark.parametrize("channels, scale", [(1, 2), (3, 1)])
def test_each_image_is_a_picture_of_its_own_numbered_within_its_label(tmp_path, channels, scale):
    images, labels = synthetic.digits(12, channels)[0], np.array([3, 3, 5] * 4, np.uint8)  # --label 3 3 5 --count 4
    datasets.write_each(tmp_path / "new", images, labels, WORDS, ABOUT, scale)
    assert names(tmp_path / "new") == ["3", "5"] and len(names(tmp_path / "new" / "3")) == 8
    for label in (3, 5):
        for i, image in enumerate(images[labels == label]):
            with Image.open(tmp_path / "new" / str(label) / f"{i:05d}.png") as picture:
                assert picture.size == (28 * scale, 28 * scale)
                assert picture.text == {"label": str(label), "run": "a test"}
                pixels = np.asarray(picture)[::scale, ::scale].reshape(28, 28, channels)
                np.testing.assert_array_equal(pixels, image)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_in_a_folder_per_label_are_a_data_set(tmp_path, monkeypatch, channels):
    """Under the labels' own names, where a folder can have them."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    images, labels = synthetic.digits(60, channels)
    called = ["ankle boot", "T-shirt/top", "Rose", "rose", "バラ", ".", "a (b)", "x", "-y", "z."]
    datasets.write_each(tmp_path / "set", images, labels, called, ABOUT)
    found = data.load("auto", tmp_path / "set")
    words = ["ankle boot", "T-shirt-top", "Rose", "rose-3", "バラ", "5", "a (b)", "x", "y", "z"]
    assert sorted(found.label_names) == sorted(words)
    pairs = [(x.tobytes(), found.label_names[y]) for split in found[2:5] for x, y in zip(*split, strict=True)]
    assert sorted(pairs) == sorted((x.tobytes(), words[y]) for x, y in zip(images, labels, strict=True))


def test_interrupted_pictures_leave_nothing_in_the_way(tmp_path, monkeypatch):
    real = sheets.write_png

    def write(path, *rest):
        if path.name == "00002.png":
            raise KeyboardInterrupt
        real(path, *rest)

    monkeypatch.setattr(sheets, "write_png", write)
    with pytest.raises(KeyboardInterrupt):
        datasets.write_each(tmp_path / "each", synthetic.digits(4)[0], np.full(4, 3), WORDS, ABOUT)
    assert not names(tmp_path)
