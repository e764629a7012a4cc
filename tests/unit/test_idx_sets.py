"""IDX data sets under other names than MNIST's, and labels that are not 0, 1 …: EMNIST, Kaggle, torchvision."""

import struct
from pathlib import Path

import numpy as np
import pytest
from helpers import config_of, failure, same, settings, small, write_idx

import data
from data import mnist
from data.mnist import FILES
from engine.terminal import Failure

SET = small(1)
IMAGES, LABELS, TEST_IMAGES, TEST_LABELS = (SET[name] for name in FILES)
LETTERS = SET | {
    name: np.where(SET[name] == 3, 12, SET[name] + 1).astype(np.uint8) for name in FILES if "labels" in name
}
TURNED = {name: array.swapaxes(1, 2) if array.ndim == 3 else array for name, array in LETTERS.items()}


def write(folder: Path, arrays: dict[str, np.ndarray], form: str = "{}") -> Path:
    for name, array in arrays.items():
        write_idx(folder / form.format(name), array)
    return folder


def emnist(folder: Path, name: str) -> Path:
    return write(
        folder, {f"emnist-{name}-{file.replace('t10k', 'test')}": array for file, array in TURNED.items()}, "{}.gz"
    )


@pytest.mark.parametrize("form", ["{0}/{0}", "MNIST/raw/{}", "raw/{}.gz", "x-{}"])
def test_files_are_found_where_archives_and_torchvision_put_them(tmp_path, form):
    plain = data.load("auto", write(tmp_path / "plain", SET))
    assert same(data.load("auto", write(tmp_path / "other", SET, form)), plain)
    dotted = {name.replace("-idx", ".idx"): array for name, array in SET.items()}
    assert same(data.load("idx", write(tmp_path / "dotted", dotted)), plain)
    assert plain.split_from == "the data's own test set; the first 20 training images are validation"


def test_int32_labels_are_read(tmp_path):
    plain = data.load("auto", write(tmp_path, SET))
    for name in FILES[1], FILES[3]:
        (tmp_path / name).write_bytes(
            struct.pack(">BBBBI", 0, 0, 12, 1, len(SET[name])) + SET[name].astype(">i4").tobytes()
        )
    assert same(data.load("auto", tmp_path), plain)
    (tmp_path / FILES[1]).write_bytes(struct.pack(">BBBBIi", 0, 0, 12, 1, 1, -1))
    assert "has labels from -1 to -1" in failure("auto", tmp_path)


def test_emnist_is_turned_and_has_no_label_without_images(tmp_path):
    found = data.load("auto", emnist(tmp_path, "letters"))
    called = [str(label) for label in range(1, 13) if label not in (4, 11)]
    assert (found.name, list(found.label_names), found.num_labels) == ("idx", called, 10)
    for split, rows, part in (
        (found.train, slice(20, None), 0),
        (found.validation, slice(20), 0),
        (found.test, slice(None), 2),
    ):
        assert (split.images[..., 0] == SET[FILES[part]][rows]).all()
        assert [int(called[y]) for y in split.labels] == LETTERS[FILES[part + 1]][rows].tolist()
    assert "turned" in found.notes[0] and "keep their numbers as names, 1 … 12" in found.notes[1]


def test_of_several_sets_one_must_be_named(tmp_path):
    emnist(tmp_path, "letters")
    found = data.load("auto", tmp_path)
    emnist(tmp_path, "digits")
    assert f"{tmp_path} holds several data sets (emnist-digits, emnist-letters): name a file" in failure(
        "auto", tmp_path
    )
    assert same(data.load("auto", tmp_path / "emnist-letters-test-labels-idx1-ubyte.gz"), found)
    write(tmp_path / "set", SET)
    write(tmp_path / "set", SET, "x-{}")
    assert "(one without a name, x): name a file" in failure("auto", tmp_path / "set")
    for name in "MNIST", "KMNIST":
        write(tmp_path / "both" / name / "raw", SET)
    assert "both/KMNIST/raw, " in failure("auto", tmp_path / "both")


def test_a_run_with_a_label_without_images_is_told_why_its_data_are_others_now(tmp_path):
    found = data.load("auto", write(tmp_path, LETTERS))
    earlier = mnist.read(tmp_path)[2]  # such a run had 13 labels, and the fingerprint of the files
    with pytest.raises(Failure, match="changed since; labels without training images were dropped"):
        data.of_run(config_of(found, tmp_path, fingerprint=earlier, notes=()))
    now = settings(dataset="idx", num_labels=10, label_names=found.label_names, fingerprint="b", notes=found.notes)
    before = settings(dataset="idx", num_labels=13, fingerprint="a")
    assert f"now {found.notes[0]}" in before.differences(now)


def test_a_set_sorted_by_label_keeps_all_its_labels(tmp_path):
    order = np.argsort(np.arange(240) % 24, kind="stable")
    labels = {FILES[1]: (np.arange(240) % 24).astype(np.uint8)[order], FILES[3]: TEST_LABELS}
    found = data.load("auto", write(tmp_path, SET | labels))
    assert found.num_labels == 24 and min(np.bincount(found.train.labels)) > 0 and "hash" in found.split_from
    truth = {image.tobytes(): label for image, label in zip(IMAGES, labels[FILES[1]], strict=True)}
    assert all(truth[x.tobytes()] == y for split in found[2:4] for x, y in zip(*split, strict=True))


def test_names_come_from_labels_txt(tmp_path):
    (write(tmp_path, SET) / "labels.txt").write_text("\n".join("abcdefghijk") + "\n")
    found = data.load("auto", tmp_path)
    assert found.label_names == tuple("abcdefghij") and found.notes == (
        "labels without training images were dropped; the others keep their names",
    )
    (tmp_path / "labels.txt").write_text("a\nb\n")
    assert "with labels.txt: labels that have names must be whole numbers from 0 to 1" in failure("auto", tmp_path)
