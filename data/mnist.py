"""Load MNIST, from its four IDX files or through Keras; or another data set in IDX files of those names."""

import hashlib
import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from data import keras_datasets, splits
from data.arrays import numbered
from data.keras_datasets import BY_HASH, Pair
from engine import idx
from engine.dataset import Dataset
from engine.idx import FILES, REMEDY
from engine.terminal import Failure

# Of the decompressed files, because mirrors recompress them.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIN_TRAIN = 64  # training images
IDX = re.compile(rf"{splits.SET}-(?P<kind>images|labels)[-.]idx[13]-(ubyte|int)(\.gz)?")
KEYS = {name: (splits.WORDS[name.partition("-")[0]], "labels" in name) for name in FILES}


def files(path: Path) -> dict[str, Path]:
    """Return a data set's IDX files, by MNIST's names for them.

    `path` is one of the files, or their folder, or a folder with raw/ or */raw/, as torchvision creates them. Raises
    Failure if there are several data sets.
    """
    folders = [path, path / "raw", *sorted(path.glob("*/raw"))] if os.path.isdir(path) else []
    holding = [folder for folder in folders if splits.files(folder, IDX)] or [path]
    if len(holding) > 1 and holding[0] != path:
        raise Failure(f"{path} holds several data sets: name one by --data-dir, of {', '.join(map(str, holding))}")
    paths = splits.files(holding[0], IDX)
    return {name: paths[key] for name, key in KEYS.items() if key in paths}


def read(path: Path) -> tuple[Pair, Pair, str]:
    """Read the four files: training set, test set, and a fingerprint in hex.

    Images are uint8 (N, H, W), labels (N,). Raises Failure if files are missing, damaged, or of different data sets.
    """
    paths = files(path)
    absent = next((name for name in FILES if name not in paths), None)
    if absent:
        remedy = "name another folder with --data-dir, or leave it out and data/mnist empty to have MNIST downloaded"
        raise Failure(f"{path} has no {absent}.gz: put the four IDX files there, {remedy}")
    arrays = {name: idx.read(paths[name]) for name in FILES}
    sums = {name: hashlib.sha256(idx.encoded(array)).hexdigest() for name, array in arrays.items()}
    wrong = [name for name in FILES if sums[name] != SHA256[name]]
    if len(wrong) == 1:  # raw files have no checksum, so only this detects a flipped bit
        raise Failure(f"{paths[wrong[0]]} is damaged or not MNIST's, as the other three files are: {REMEDY}")
    images, labels, test_images, test_labels = (arrays[name] for name in FILES)
    consistent = images.ndim == test_images.ndim == 3 and images.shape[1:] == test_images.shape[1:]
    if not consistent or labels.shape != images.shape[:1] or test_labels.shape != test_images.shape[:1]:
        shapes = ", ".join(f"{name} {arrays[name].shape}" for name in FILES)
        raise Failure(f"the files in {path} do not fit together ({shapes}): put four files of one data set there")
    return (images, labels), (test_images, test_labels), _fingerprint(sums.values())


def of_files(name: str, path: Path) -> Dataset:
    """Load the IDX files at `path`. Raises Failure, also if `name` is "mnist" and they are not MNIST."""
    train, test, fingerprint = read(path)
    if fingerprint == _fingerprint(SHA256.values()):
        return _mnist(train, test)
    if name == "mnist":
        raise Failure(f"the files in {path} are not MNIST: choose another --data-dir, or leave out --dataset")
    paths = files(path)
    turned, labels_txt = "emnist" in paths[FILES[0]].name.lower(), paths[FILES[1]].with_name(idx.NAMES)
    names = labels_txt.read_text("utf-8", "replace").rstrip().splitlines() if labels_txt.is_file() else []
    if turned:
        train, test = ((np.swapaxes(images, 1, 2), labels) for images, labels in (train, test))
    parts, split_from = keras_datasets.splits(train, test)
    try:
        parts, fields = numbered(parts, names)
    except ValueError as error:
        raise Failure(f"the labels in {path}{f', with {idx.NAMES}' if names else ''}: {error}") from None
    if len(parts[0].labels) < MIN_TRAIN:
        raise Failure(f"{path} has {len(train[1])} training images, too few: {MIN_TRAIN} must be left after validation")
    changed = [turned, split_from == BY_HASH, fields["label_names"] if fields["notes"] else ()]
    if any(changed):  # the fingerprint also covers changes to the files' content
        fingerprint = _fingerprint([fingerprint, json.dumps(changed)])
    fields |= {"notes": (splits.TURNED,) * turned + fields["notes"], "split_from": split_from}
    return Dataset("idx", f"IDX data set in {path} (not MNIST)", *parts, fingerprint, **fields)


def of_keras() -> Dataset:
    """Load MNIST through Keras, which verifies it: the same Dataset, and fingerprint, as from the four IDX files."""
    return _mnist(*keras_datasets.load("mnist"))


def _mnist(train: Pair, test: Pair) -> Dataset:
    parts, split_from = keras_datasets.splits(train, test)
    return Dataset("mnist", "MNIST", *parts, _fingerprint(SHA256.values()), split_from=split_from)


def _fingerprint(sums: Iterable[str]) -> str:
    return hashlib.sha256("".join(sums).encode()).hexdigest()
