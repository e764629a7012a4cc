"""Data sets in .npz files: what export writes comes back, and whatever is no data set is told in one line."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import failure, same

import data
from data import arrays
from engine.export import datasets
from engine.terminal import Failure


@pytest.mark.parametrize("channels, names", [(1, ()), (3, ("rose", "tulip", "🌼"))])
def test_what_is_exported_comes_back(tmp_path, channels, names):
    images = np.random.default_rng(0).integers(0, 256, (90, 8, 8, channels), np.uint8)
    labels = np.repeat(np.arange(3), 30).astype(np.uint8)
    datasets.write_npz(tmp_path / "set.npz", images, labels, names)
    found = data.load("auto", tmp_path / "set.npz")
    assert (found.name, found.label_names, found.num_labels) == ("npz", names, 3)
    assert found.counts == (30, 30, 30) and found.train.images.shape[1:] == (8, 8, channels)
    pairs = {(x.tobytes(), int(y)) for split in found[2:5] for x, y in zip(*split, strict=True)}
    assert pairs == {(x.tobytes(), int(y)) for x, y in zip(images, labels, strict=True)}
    assert all(np.bincount(split.labels, minlength=3).min() > 0 for split in found[2:5])  # though sorted by label
    assert same(data.load("npz", tmp_path / "set.npz"), found)
    other = data.load("npz", tmp_path / "set.npz", 4 - channels)
    assert other.train.images.shape[-1] == 4 - channels and other.fingerprint == found.fingerprint
    datasets.write_npz(tmp_path / "set.npz", images, labels[::-1], names)
    assert data.load("npz", tmp_path / "set.npz").fingerprint != found.fingerprint


IMAGES, LABELS = np.zeros((8, 4, 4), np.uint8), np.arange(8) % 2
NPZ = {
    "no labels": ({"images": IMAGES}, "needs the arrays images and labels"),
    "floats": ({"images": IMAGES / 2, "labels": LABELS}, "must be uint8"),
    "four channels": ({"images": np.zeros((8, 4, 4, 4), np.uint8), "labels": LABELS}, "must be uint8"),
    "huge": ({"images": np.zeros((8, 1, 600), np.uint8), "labels": LABELS}, "at most 512 pixels"),
    "no pixels": ({"images": np.zeros((8, 0, 4), np.uint8), "labels": LABELS}, "at most 512 pixels"),
    "fewer labels": ({"images": IMAGES, "labels": LABELS[1:]}, r"must be integers \(8,\)"),
    "float labels": ({"images": IMAGES, "labels": LABELS / 1}, "must be integers"),
    "negative": ({"images": IMAGES, "labels": LABELS - 1}, "from 0 to 999"),
    "a label too many": ({"images": IMAGES, "labels": LABELS + 1, "label_names": np.array(["a", "b"])}, "from 0 to 1"),
    "2,000 labels": ({"images": IMAGES, "labels": LABELS * 2000}, "0 to 999"),
    "one label": ({"images": IMAGES, "labels": LABELS * 0}, "needs two labels"),
    "a gap": ({"images": IMAGES, "labels": LABELS * 2}, "0 images of the label 1"),
    "names twice": ({"images": IMAGES, "labels": LABELS, "label_names": np.array(["a", "a"])}, "different texts"),
    "names as bytes": (
        {"images": IMAGES, "labels": LABELS, "label_names": np.array([b"a", b"b"])},
        "different texts",
    ),
    "pickled": ({"images": IMAGES, "labels": LABELS, "label_names": np.array(["a", {}])}, "damaged or no .npz"),
    "empty": ({"images": IMAGES[:0], "labels": LABELS[:0]}, "must be uint8"),
}


@pytest.mark.parametrize("content, message", NPZ.values(), ids=NPZ)
def test_arrays_that_are_no_data_set_are_told(tmp_path, content, message):
    np.savez(tmp_path / "set.npz", **content)
    with pytest.raises(Failure, match=message) as error:
        data.load("auto", tmp_path / "set.npz")
    assert "\n" not in str(error.value) and str(tmp_path / "set.npz") in str(error.value)


def test_damaged_npz_files_are_told(tmp_path, monkeypatch):
    path = tmp_path / "set.npz"
    assert "cannot be read" in failure("npz", path)
    np.savez(path, images=IMAGES, labels=LABELS)
    whole = path.read_bytes()
    for content in (b"", whole[:200], b"X" * 500, whole[:300] + b"\xff" + whole[301:]):
        path.write_bytes(content)
        assert "damaged or no .npz file" in failure("npz", path)
    path.write_bytes(whole)
    assert data.load("npz", path).counts == (4, 4)
    monkeypatch.setattr(arrays, "MAX_BYTES", 100)
    assert "use a folder of pictures instead" in failure("npz", path)
