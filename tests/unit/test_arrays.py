"""Data sets in .npz files: as others write them, as export does; and what is refused in one line."""

import numpy as np
import pytest
from helpers import failure, same

import data
from data import arrays
from engine.dataset import LeftOut
from engine.export import datasets

RAMP = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3 + np.arange(60, dtype=np.uint8)[:, None, None]  # smooth in a row
RAMP[0, 0], RAMP[1, 0] = 0, 255
COLOUR = np.stack([RAMP, 255 - RAMP, RAMP // 2], -1)
Y = np.tile(np.arange(3), 20)
ROWS, OPAQUE = RAMP.reshape(60, -1), np.full((60, 8, 8, 1), 255, np.uint8)
FORMS = {  # each is the same data set, grey or in colour
    "flat floats and texts": {"X": ROWS.astype(float), "y": Y.astype(str)},
    "bytes": {"x": RAMP, "y": Y.astype("S")},
    "a column": {"data": RAMP, "target": Y[:, None]},
    "one-hot": {"imgs": RAMP, "labels": np.eye(3)[Y]},
    "0 to 1": {"images": RAMP / np.float32(255), "labels": Y / 1},
    "-1 to 1": {"images": RAMP / 127.5 - 1, "labels": Y},
    "0 to 16": {"images": RAMP * (16 / 255), "labels": Y},  # as scikit-learn's digits
    "16 bits": {"images": RAMP.astype(np.uint16) * 16, "labels": Y},
    "(N, 1, H, W)": {"images": RAMP[:, None], "labels": Y},
    "(N, 3, H, W)": {"images": np.moveaxis(COLOUR, 3, 1), "labels": Y},
    "RGBA": {"images": np.concatenate([COLOUR, OPAQUE], -1), "labels": Y},
}
NOTES = {"flat floats and texts": "0 to 255", "0 to 1": "0 to 1", "-1 to 1": "-1 to 1", "16 bits": "0 to 4080"}
NOTES |= {"0 to 16": "0 to 16", "RGBA": "transparent"}


def load(path, **content):
    np.savez(path / "set.npz", **content)
    return data.load("auto", path / "set.npz")


@pytest.mark.parametrize("form", FORMS)
def test_one_data_set_in_any_form_is_the_same(tmp_path, form):
    found = load(tmp_path, **FORMS[form])
    colour = found.train.images.shape[-1] == 3
    assert colour == (form in ("(N, 3, H, W)", "RGBA"))
    assert same(found, load(tmp_path, images=COLOUR if colour else RAMP, labels=Y)), "pixels, labels, split"
    assert [NOTES[form] in note for note in found.notes] == [True] * (form in NOTES)


def test_an_archive_without_a_split_is_split_by_a_hash_of_the_numbers(tmp_path):
    found = load(tmp_path, images=RAMP, labels=Y, test_images=RAMP, test_labels=Y)
    pairs = [(x.tobytes(), int(y)) for split in found[2:5] for x, y in zip(*split, strict=True)]
    assert sorted(pairs) == sorted((x.tobytes(), int(y)) for x, y in zip(RAMP, Y, strict=True))
    assert "hash" in found.split_from and min(len(split.labels) for split in found[2:5]) > 0
    assert found.left_out == (LeftOut("other arrays in the file", 2, ("test_images", "test_labels")),)
    assert found.fingerprint.startswith("1dd37272980d"), "runs that exist resume"


@pytest.mark.parametrize("names", ["x_{} y_{}", "{}_images {}_labels", "{}_x {}_y"])
@pytest.mark.parametrize("parts", [("train", "val", "test"), ("train", "test"), ("train",)])
def test_parts_of_their_own_are_used(tmp_path, names, parts):
    """As Keras and MedMNIST write them; what is missing comes from the training images only."""
    content, rows = {}, dict(zip(parts, np.split(np.arange(60), [30, 45]), strict=False))
    for part, at in rows.items():
        images, labels = names.format(part, part).split()
        content |= {images: RAMP[at], labels: Y[at, None]}
    found = load(tmp_path, **content)
    given = dict(zip(("train", "validation", "test"), found[2:5], strict=True))
    for part in set(parts) - {"train"}:
        split = given.pop({"val": "validation"}.get(part, part))
        assert (split.images[..., 0] == RAMP[rows[part]]).all() and (split.labels == Y[rows[part]]).all()
    pairs = sorted((x.tobytes(), int(y)) for split in given.values() for x, y in zip(*split, strict=True))
    assert pairs == sorted((x.tobytes(), int(y)) for x, y in zip(RAMP[:30], Y[:30], strict=True))
    assert all(len(split.labels) for split in found[2:5]) and ("own" in found.split_from) == (len(parts) > 1)


LABELLED = {  # labels, names: what the labels are called
    "from 1": (Y + 1, None, ("1", "2", "3")),
    "with a gap": (Y * 2, None, ("0", "2", "4")),
    "negative": (Y - 1, None, ("-1", "0", "1")),
    "texts": (np.array(["b", "a", "ü"])[Y], None, ("a", "b", "ü")),
    "a name without images": (Y + (Y == 2), np.array(["a", "b", "none", "c"]), ("a", "b", "c")),
    "one only": (Y * 0, None, ()),
}


@pytest.mark.parametrize("labels, names, called", LABELLED.values(), ids=LABELLED)
def test_labels_of_any_kind_keep_what_they_are_called(tmp_path, labels, names, called):
    found = load(tmp_path, images=RAMP, labels=labels, **({} if names is None else {"label_names": names}))
    assert found.label_names == called and found.num_labels == len(np.unique(labels)) and min(found.counts) > 0
    truth = {x.tobytes(): str(label if names is None else names[label]) for x, label in zip(RAMP, labels, strict=True)}
    words = called or ("0",)
    assert all(truth[x.tobytes()] == words[y] for split in found[2:5] for x, y in zip(*split, strict=True))
    assert bool(found.notes) == (labels.dtype.kind != "U" and bool(called))


def test_images_of_labels_that_no_training_image_has_are_left_out(tmp_path):
    test = {"x_test": RAMP[:20], "y_test": np.where(Y[:20] == 1, 7, Y[:20])}
    found = load(tmp_path, x_train=RAMP, y_train=Y, **test)
    assert (found.test.images[..., 0] == RAMP[:20][Y[:20] != 1]).all() and set(found.test.labels) == {0, 2}
    assert found.left_out == (LeftOut("images of labels without training images", 7, ("7",)),)


def test_transparent_pixels_become_the_background(tmp_path):
    np.savez(tmp_path / "set.npz", images=np.concatenate([COLOUR, OPAQUE * 0], -1), labels=Y)
    assert (data.load("npz", tmp_path / "set.npz", background="#102030").train.images == [16, 32, 48]).all()


def test_kmnist_is_four_files_beside_one_another(tmp_path):
    for part, at in ("train", slice(40)), ("test", slice(40, None)):
        np.savez(tmp_path / f"kmnist-{part}-imgs.npz", RAMP[at])
        np.savez(tmp_path / f"kmnist-{part}-labels.npz", Y[at])
    found = data.load("auto", tmp_path)
    assert same(found, load(tmp_path, x_train=RAMP[:40], y_train=Y[:40], x_test=RAMP[40:], y_test=Y[40:]))
    np.savez(tmp_path / "k49-train-imgs.npz", RAMP)
    assert "several data sets (k49, kmnist): name a file of one" in failure("auto", tmp_path)
    assert same(data.load("auto", tmp_path / "kmnist-test-labels.npz"), found)


@pytest.mark.parametrize("channels, names", [(1, ()), (3, ("rose", "tulip", "🌼"))])
def test_what_is_exported_comes_back(tmp_path, channels, names):
    images = RAMP[..., None] if channels == 1 else COLOUR
    datasets.write_npz(tmp_path / "set.npz", images, np.sort(Y), names)
    found = data.load("auto", tmp_path / "set.npz")
    assert (found.name, found.label_names, found.counts, found.notes) == ("npz", names, (20, 20, 20), ())
    pairs = {(x.tobytes(), int(y)) for split in found[2:5] for x, y in zip(*split, strict=True)}
    assert pairs == {(x.tobytes(), int(y)) for x, y in zip(images, np.sort(Y), strict=True)}
    assert all(np.bincount(split.labels, minlength=3).min() > 0 for split in found[2:5])  # though sorted by label
    other = data.load("npz", tmp_path / "set.npz", 4 - channels)
    assert other.train.images.shape[-1] == 4 - channels and other.fingerprint == found.fingerprint
    datasets.write_npz(tmp_path / "set.npz", images, Y, names)
    assert data.load("npz", tmp_path / "set.npz").fingerprint != found.fingerprint


IMAGES, LABELS = RAMP[:8, :4, :4], Y[:8]
NPZ = {
    "no labels": ({"images": IMAGES}, "it has images uint8 (8, 4, 4)) needs the arrays images and labels"),
    "only a test": ({"x_test": IMAGES, "y_test": LABELS}, "needs the arrays images and labels, or x_train"),
    "normalised": ({"images": IMAGES / 100 - 0.6, "labels": LABELS}, "bring them to 0 … 1 or 0 … 255"),
    "a little below 0": ({"images": IMAGES / 255 - 0.2, "labels": LABELS}, "go from -0.2 to 0.8"),
    "NaN": ({"images": IMAGES * np.nan, "labels": LABELS}, "go from nan to nan"),
    "two readings": ({"images": np.zeros((8, 4, 4, 4), np.uint8), "labels": LABELS}, "readable in one way only"),
    "huge": ({"images": np.zeros((8, 1, 600), np.uint8), "labels": LABELS}, "at most 512 pixels"),
    "no pixels": ({"images": np.zeros((8, 0, 4), np.uint8), "labels": LABELS}, "not uint8 (8, 0, 4)"),
    "no square": ({"images": np.zeros((8, 15), np.uint8), "labels": LABELS}, "not uint8 (8, 15)"),
    "fewer labels": ({"images": IMAGES, "labels": LABELS[1:]}, "as many labels as images"),
    "several labels": ({"images": IMAGES, "labels": np.ones((8, 3), int)}, "one for each image"),
    "fractions": ({"images": IMAGES, "labels": LABELS / 2}, "whole numbers or texts, not float64 (8,)"),
    "a label too many": ({"images": IMAGES, "labels": LABELS, "label_names": ["a", "b"]}, "from 0 to 1"),
    "a label below its names": ({"images": IMAGES, "labels": Y[:8] - 1.0, "label_names": ["a", "b"]}, "from 0 to 1"),
    "2,000 labels": ({"images": np.zeros((4000, 2, 2), np.uint8), "labels": np.arange(4000) // 2}, "are 2,000"),
    "names twice": ({"images": IMAGES, "labels": LABELS, "label_names": ["a", "a", "b"]}, "different names"),
    "an image a label": ({"images": IMAGES, "labels": np.arange(8)}, "two images of a label"),
    "other sizes": ({"train_x": IMAGES, "train_y": LABELS, "test_x": RAMP, "test_y": Y}, "of one form"),
    "other labels": (
        {"train_x": IMAGES, "train_y": LABELS, "test_x": IMAGES, "test_y": LABELS + 9},
        "no image of the test",
    ),
    "pickled": ({"images": IMAGES, "labels": LABELS, "label_names": np.array(["a", {}])}, "damaged or no .npz"),
}


@pytest.mark.parametrize("content, message", NPZ.values(), ids=NPZ)
def test_arrays_that_are_no_data_set_are_told(tmp_path, content, message):
    np.savez(tmp_path / "set.npz", **content)
    text = failure("auto", tmp_path / "set.npz")
    assert message in text and text.startswith(str(tmp_path / "set.npz"))


def test_damaged_npz_files_and_bare_arrays_are_told(tmp_path, monkeypatch):
    path = tmp_path / "set.npz"
    assert "cannot be read" in failure("npz", path)
    np.savez(path, images=IMAGES, labels=LABELS)
    whole = path.read_bytes()
    for content in (b"", whole[:200], b"X" * 500, whole[:300] + b"\xff" + whole[301:]):
        path.write_bytes(content)
        assert "damaged or no .npz file" in failure("npz", path)
    path.write_bytes(whole)
    assert data.load("npz", path).counts == (3, 3, 2)
    monkeypatch.setattr(arrays, "MAX_BYTES", 100)
    assert "use a folder of pictures instead" in failure("npz", path)
    np.save(tmp_path / "x.npy", IMAGES)
    assert "numpy.savez('set.npz', images=…, labels=…)" in failure("auto", tmp_path / "x.npy")
