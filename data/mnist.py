"""MNIST: its four IDX files in a folder, or what Keras keeps; or another data set under the files' names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from data import keras_datasets
from engine import idx
from engine.dataset import Dataset
from engine.idx import FILES, REMEDY, find
from engine.terminal import Failure

# Of the decompressed content: mirrors recompress, so the .gz files' own sums differ.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIN_TRAIN = 64


def missing(folder: Path) -> list[str]:
    """Which of the four files `folder` lacks."""
    return [name for name in FILES if find(folder, name) is None]


def read(folder: Path) -> tuple[dict[str, np.ndarray], bool, str]:
    """The arrays in the four files, by name, whether they are MNIST, byte for byte, and a fingerprint in hex.

    Images are uint8 (N, H, W), labels (N,). Raises Failure if a file is missing or damaged, or does not fit the others.
    """
    lacking = missing(folder)
    if lacking:
        raise Failure(
            f"{folder} has no {lacking[0]}.gz: put the four IDX files there, name another folder with --data-dir, or "
            "leave it out and data/mnist empty to have MNIST downloaded"
        )
    arrays = {name: idx.read(find(folder, name)) for name in FILES}
    sums = {name: idx.sha256(array) for name, array in arrays.items()}
    other = [name for name in FILES if sums[name] != SHA256[name]]
    if len(other) == 1:  # a raw file has no checksum of its own: a wrong bit shows only here
        raise Failure(f"{find(folder, other[0])} is damaged or not MNIST's, as the other three files are: {REMEDY}")
    images, labels, test_images, test_labels = (arrays[name] for name in FILES)
    sound = images.ndim == test_images.ndim == 3 and images.shape[1:] == test_images.shape[1:]
    if not sound or labels.shape != images.shape[:1] or test_labels.shape != test_images.shape[:1]:
        shapes = ", ".join(f"{name} {arrays[name].shape}" for name in FILES)
        raise Failure(f"the files in {folder} do not fit together ({shapes}): put four files of one data set there")
    if not 1 <= labels.max() >= test_labels.max():
        most = f"the labels in {folder} go to {labels.max()}, those of the test to {test_labels.max()}"
        raise Failure(f"{most}: training needs all of them, and two or more")
    return arrays, not other, _fingerprint(sums.values())


def of_files(name: str, folder: Path, channels: int) -> Dataset:
    """The data set of the four files in `folder`. Raises Failure, also if `name` is "mnist" and they are not."""
    arrays, is_mnist, fingerprint = read(folder)
    if is_mnist:
        return _dataset("mnist", "MNIST", arrays, channels, fingerprint)
    if name == "mnist":
        raise Failure(f"the files in {folder} are not MNIST: choose another --data-dir, or leave out --dataset")
    dataset = _dataset("idx", f"IDX data set in {folder} (not MNIST)", arrays, channels, fingerprint)
    if len(dataset.train.labels) < MIN_TRAIN:
        count = len(arrays[FILES[0]])
        raise Failure(f"{folder} has {count} training images, too few: {MIN_TRAIN} must be left after validation")
    return dataset


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
    splits = keras_datasets.splits((images, labels), (test_images, test_labels), channels)
    return Dataset(name, title, *splits, fingerprint, num_labels=int(labels.max()) + 1)


def _fingerprint(sums: Iterable[str]) -> str:
    return hashlib.sha256("".join(sums).encode()).hexdigest()
