"""MNIST: its four IDX files in a folder, or what Keras keeps; or another data set under the files' names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from data import keras_datasets
from data.decode import recoloured
from engine import idx
from engine.dataset import Dataset, Split
from engine.idx import FILES, REMEDY, find
from engine.terminal import Failure

# Of the decompressed content: mirrors recompress, so the .gz files' own sums differ.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
VALIDATION = 5_000  # the first training images; MNIST's split is 55,000 / 5,000 / 10,000
MIN_TRAIN = 64
MAX_BYTES = 1 << 31  # of the pixels of an IDX data set, in the channels asked for: they are all in memory


def missing(folder: Path) -> list[str]:
    """Which of the four files `folder` lacks."""
    return [name for name in FILES if find(folder, name) is None]


def read(folder: Path) -> tuple[dict[str, np.ndarray], bool, str]:
    """Read the four files in `folder`, MNIST or another IDX data set.

    Returns:
        The arrays by name, uint8: images (N, H, W), labels (N,); whether they are MNIST, byte for byte;
        and a fingerprint in hex.

    Raises:
        Failure: a file is missing, damaged, swapped with another, or does not fit the others.
    """
    paths, arrays, sums = {}, {}, {}
    for name in FILES:
        path = find(folder, name)
        if path is None:
            raise Failure(
                f"{folder} has no {name}.gz: put the four IDX files there, or pictures as in {folder}/rose/1.jpg, "
                f"{folder}/tulip/2.png …, name another folder with --data-dir, or leave it out and {folder} empty to "
                "have MNIST downloaded"
            )
        paths[name] = path
        arrays[name], sums[name] = _read_one(path, name)
    other = [name for name in FILES if sums[name] != SHA256[name]]
    if len(other) == 1:  # a raw file has no checksum of its own: one wrong bit shows only here
        raise Failure(f"{paths[other[0]]} is damaged or not MNIST's, as the other three files are: {REMEDY}")
    if other:
        _refuse_misfits(folder, paths, arrays)
    return arrays, not other, _fingerprint(sums.values())


def of_files(name: str, folder: Path, channels: int) -> Dataset:
    """The data set of the four files in `folder`.

    Raises:
        Failure: as `read`; `name` is "mnist" and they are not; there are too few images for training or too many for
            memory.
    """
    arrays, is_mnist, fingerprint = read(folder)
    images, _, test_images, _ = (arrays[file] for file in FILES)
    if is_mnist:
        return _dataset("mnist", "MNIST", arrays, channels, fingerprint)
    if name == "mnist":
        raise Failure(
            f"the files in {folder} are another data set, not MNIST: choose another folder with --data-dir, "
            "or ask for auto instead of mnist"
        )
    print(
        f"{folder} holds an IDX data set that is not MNIST: {len(images):,} training images of "
        f"{images.shape[1]} x {images.shape[2]} pixels, {len(test_images):,} for the test",
        flush=True,
    )
    if (images.nbytes + test_images.nbytes) * channels > MAX_BYTES:
        raise Failure(
            f"{folder} has more than {MAX_BYTES >> 30} GB of pixels in {channels} channels: choose fewer images"
        )
    if len(images) - _held_out(images) < MIN_TRAIN:
        raise Failure(
            f"{folder} has {len(images)} training images; {MIN_TRAIN} must be left after validation: "
            "choose a larger data set"
        )
    return _dataset("idx", f"IDX data set in {folder} (not MNIST)", arrays, channels, fingerprint)


def of_keras(channels: int) -> Dataset:
    """MNIST as Keras keeps or downloads it: the same data set, with the same fingerprint, as of MNIST's four files.

    Raises:
        keras_datasets.Unreachable: it could not be downloaded.
        Failure: it cannot be read, or this Keras' MNIST is another one.
    """
    (images, labels), (test_images, test_labels) = keras_datasets.load("mnist")
    arrays = dict(zip(FILES, (images, labels, test_images, test_labels), strict=True))
    sums = {name: idx.sha256(array) for name, array in arrays.items()}
    if sums != SHA256:
        raise Failure("what Keras has for MNIST is not MNIST: put its four IDX files into a folder named by --data-dir")
    return _dataset("mnist", "MNIST", arrays, channels, _fingerprint(sums.values()))


def _held_out(images: np.ndarray) -> int:
    """How many of the training images are for validation."""
    return min(VALIDATION, len(images) // 12)


def _dataset(name: str, title: str, arrays: dict[str, np.ndarray], channels: int, fingerprint: str) -> Dataset:
    images, labels, test_images, test_labels = (arrays[file] for file in FILES)
    first = _held_out(images)

    def split(images: np.ndarray, labels: np.ndarray) -> Split:
        return Split(recoloured(images[..., None], channels), labels)  # (N, H, W, C)

    train, validation = split(images[first:], labels[first:]), split(images[:first], labels[:first])
    test = split(test_images, test_labels)
    return Dataset(name, title, train, validation, test, fingerprint, num_labels=int(labels.max()) + 1)


def _fingerprint(sums: Iterable[str]) -> str:
    return hashlib.sha256("".join(sums).encode()).hexdigest()


def _read_one(path: Path, name: str) -> tuple[np.ndarray, str]:
    """The array of the file called `name`, and its SHA-256.

    Raises:
        Failure: it is damaged, is another one of MNIST's files, or holds images where labels are due.
    """
    array = idx.read(path)
    digest = idx.sha256(array)
    for known in FILES:
        if known != name and digest == SHA256[known]:
            raise Failure(f"{path} holds MNIST's {known}: give it that name, or put a good copy there")
    due = "images" if "images" in name else "labels"
    held = "images" if array.ndim == 3 else "labels"
    if held != due:
        raise Failure(f"{path} holds {held} where {due} are due: were two files swapped? {REMEDY}")
    return array, digest


def _refuse_misfits(folder: Path, paths: dict[str, Path], arrays: dict[str, np.ndarray]) -> None:
    """Raises Failure unless every image has its label, no label is in the test only and all images have one size."""
    for images, labels in FILES[:2], FILES[2:]:
        if len(arrays[images]) != len(arrays[labels]):
            raise Failure(
                f"{paths[images]} has {len(arrays[images]):,} images, but {paths[labels]} "
                f"{len(arrays[labels]):,} labels: put two files of one data set there"
            )
        highest, most = arrays[labels].max(), arrays[FILES[1]].max()
        if highest > most:
            raise Failure(f"{paths[labels]} has the label {highest}, but those of training go to {most}: {REMEDY}")
    if most < 1:
        raise Failure(f"{paths[FILES[1]]} has one label only: {REMEDY}")
    train, test = (arrays[images].shape[1:] for images in FILES[::2])
    if train != test:
        raise Failure(
            f"the training images in {folder} are {train[0]} x {train[1]} pixels, the test images "
            f"{test[0]} x {test[1]}: put four files of one data set there"
        )
