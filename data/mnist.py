"""MNIST: its four IDX files in a folder, or what Keras keeps; or another data set under the files' names."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from data import file_sets, keras_datasets
from data.arrays import numbered
from data.keras_datasets import BY_HASH
from engine import idx
from engine.dataset import Dataset, LeftOut
from engine.idx import FILES, REMEDY
from engine.terminal import Failure

# Of the decompressed content: mirrors recompress, so the .gz files' own sums differ.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIN_TRAIN = 64
LONGEST = 1 << 20  # letters of a file of labels' names
IDX = re.compile(rf"{file_sets.SET}-(?P<kind>images|labels)[-.]idx[13]-(ubyte|int)(\.gz)?")
KEYS = {name: (file_sets.PART[name.partition("-")[0]], "labels" in name) for name in FILES}


def files(place: Path) -> tuple[dict[str, Path], tuple[LeftOut, ...]]:
    """The IDX files of a data set, by MNIST's names for them, and what is left out.

    They are in the folder `place`, or in its folders raw and */raw, torchvision's; or `place` is one of them. Raises
    Failure if there are several sets.
    """
    folders = [place, place / "raw", *sorted(place.glob("*/raw"))] if os.path.isdir(place) else []
    hold = [folder for folder in folders if file_sets.in_folder(folder, IDX)] or [place]
    if len(hold) > 1 and hold[0] != place:
        raise Failure(f"{place} holds several data sets: name one by --data-dir, of {', '.join(map(str, hold))}")
    paths, left_out = file_sets.files(hold[0], IDX)
    return {name: paths[key] for name, key in KEYS.items() if key in paths}, left_out


def missing(place: Path) -> list[str]:
    """Which of the four files `place` lacks. Raises Failure as `files`."""
    there, _ = files(place)
    return [name for name in FILES if name not in there]


def read(place: Path) -> tuple[dict[str, np.ndarray], bool, str]:
    """The arrays in the four files, by name, whether they are MNIST, byte for byte, and a fingerprint in hex.

    Images are uint8 (N, H, W), labels (N,). Raises Failure if a file is missing or damaged, or does not fit the others.
    """
    paths, _ = files(place)
    lacking = [name for name in FILES if name not in paths]
    if lacking:
        raise Failure(
            f"{place} has no {lacking[0]}.gz: put the four IDX files there, name another folder with --data-dir, or "
            "leave it out and data/mnist empty to have MNIST downloaded"
        )
    arrays = {name: idx.read(paths[name]) for name in FILES}
    sums = {name: idx.sha256(array) for name, array in arrays.items()}
    other = [name for name in FILES if sums[name] != SHA256[name]]
    if len(other) == 1:  # a raw file has no checksum of its own: a wrong bit shows only here
        raise Failure(f"{paths[other[0]]} is damaged or not MNIST's, as the other three files are: {REMEDY}")
    images, labels, test_images, test_labels = (arrays[name] for name in FILES)
    sound = images.ndim == test_images.ndim == 3 and images.shape[1:] == test_images.shape[1:]
    if not sound or labels.shape != images.shape[:1] or test_labels.shape != test_images.shape[:1]:
        shapes = ", ".join(f"{name} {arrays[name].shape}" for name in FILES)
        raise Failure(f"the files in {place} do not fit together ({shapes}): put four files of one data set there")
    return arrays, not other, _fingerprint(sums.values())


def of_files(name: str, place: Path, channels: int) -> Dataset:
    """The data set of the IDX files at `place`. Raises Failure, also if `name` is "mnist" and they are not."""
    arrays, is_mnist, fingerprint = read(place)
    paths, left_out = files(place)
    if is_mnist:
        return _dataset("mnist", "MNIST", arrays, channels, fingerprint)._replace(left_out=left_out)
    if name == "mnist":
        raise Failure(f"the files in {place} are not MNIST: choose another --data-dir, or leave out --dataset")
    turned, names = "emnist" in paths[FILES[0]].name.lower(), _names(paths[FILES[1]].parent)
    if turned:
        arrays |= {file: np.swapaxes(arrays[file], 1, 2) for file in FILES if "images" in file}
    dataset = _dataset("idx", f"IDX data set in {place} (not MNIST)", arrays, channels, fingerprint)
    try:
        parts, about = numbered(dataset[2:5], names)
    except ValueError as error:
        raise Failure(f"the labels in {place}{f', with {idx.NAMES}' if names else ''}: {error}") from None
    changed = [turned, dataset.split_from == BY_HASH, about["label_names"] if about["notes"] else ()]
    if any(changed):  # what is done to the files' content counts
        about["fingerprint"] = _fingerprint([fingerprint, json.dumps(changed)])
    about |= {"left_out": left_out + about["left_out"], "notes": (file_sets.TURNED,) * turned + about["notes"]}
    if len(parts[0].labels) < MIN_TRAIN:
        count = len(arrays[FILES[0]])
        raise Failure(f"{place} has {count} training images, too few: {MIN_TRAIN} must be left after validation")
    return dataset._replace(**dict(zip(("train", "validation", "test"), parts, strict=True)), **about)


def _names(folder: Path) -> list[str]:
    """The labels' names in a folder's labels.txt, a line each; [] without such a file."""
    path = folder / idx.NAMES
    if not os.path.isfile(path):
        return []
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(LONGEST).rstrip().splitlines()


def of_keras(channels: int) -> Dataset:
    """MNIST as Keras keeps or downloads it: the same data set, with the same fingerprint, as of MNIST's four files."""
    train, test = keras_datasets.load("mnist")
    arrays = dict(zip(FILES, (*train, *test), strict=True))
    sums = {name: idx.sha256(array) for name, array in arrays.items()}
    if sums != SHA256:
        raise Failure("what Keras has for MNIST is not MNIST: put its four IDX files into a folder named by --data-dir")
    return _dataset("mnist", "MNIST", arrays, channels, _fingerprint(sums.values()))


def _dataset(name: str, title: str, arrays: dict[str, np.ndarray], channels: int, fingerprint: str) -> Dataset:
    images, labels, test_images, test_labels = (arrays[file] for file in FILES)
    splits, split_from = keras_datasets.splits((images, labels), (test_images, test_labels), channels)
    return Dataset(name, title, *splits, fingerprint, int(labels.max()) + 1, split_from=split_from)


def _fingerprint(sums: Iterable[str]) -> str:
    return hashlib.sha256("".join(sums).encode()).hexdigest()
