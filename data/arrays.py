"""Data sets that come as arrays: a .npz file, and the well-known ones that Keras knows how to get."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from data import parts
from data.dataset import Dataset, Split, dtype_for
from data.decode import recoloured
from engine import npz
from engine.startup import import_tensorflow
from engine.terminal import Failure, printable

MAX_BYTES = 1 << 30  # of a .npz file's content, and of its images in the channels asked for: all of it is in memory
MAX_SIDE = 512  # pixels
MOST_LABELS = 1_000
VALIDATION = 5_000  # of Keras' data sets: the first training images, or a twelfth of them if these are fewer
WAIT = 10.0  # seconds that a server may be silent

CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
FASHION_MNIST = "T-shirt/top trouser pullover dress coat sandal shirt sneaker bag ankle_boot"
LISTS = {"fashion_mnist": FASHION_MNIST, "cifar10": CIFAR10, "cifar100": CIFAR100}
NAMES = {name: tuple(label.replace("_", " ") for label in text.split()) for name, text in LISTS.items()}
TITLES = {"fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
# Where keras.datasets looks, below its folder.
FILES = {
    "fashion_mnist": (
        "fashion-mnist/train-labels-idx1-ubyte.gz",
        "fashion-mnist/train-images-idx3-ubyte.gz",
        "fashion-mnist/t10k-labels-idx1-ubyte.gz",
        "fashion-mnist/t10k-images-idx3-ubyte.gz",
    ),
    "cifar10": ("cifar-10-batches-py-target_archive",),
    "cifar100": ("cifar-100-python-target_archive",),
}
SOURCES = {
    "fashion_mnist": "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "cifar10": "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    "cifar100": "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
}


def missing(name: str) -> Path | None:
    """The first file of one of Keras' data sets that is not where Keras looks for it."""
    return next((path for path in _places(name) if not path.exists()), None)


def of_keras(name: str, channels: int | None) -> Dataset:
    """fashion_mnist, cifar10 or cifar100; Keras downloads what is missing.

    Raises:
        Failure: it cannot be had, or what is there is damaged.
    """
    lacking = missing(name)
    loader = getattr(import_tensorflow().datasets, name)
    try:
        with _patience(WAIT):
            (images, labels), (test_images, test_labels) = loader.load_data()
        first = min(VALIDATION, len(images) // 12)
        pairs = [(images[first:], labels[first:]), (images[:first], labels[:first]), (test_images, test_labels)]
        splits = [Split(x.reshape(*x.shape[:3], -1), y.ravel()) for x, y in pairs]
        return _dataset(name, TITLES[name], splits, channels, len(NAMES[name]), NAMES[name])
    except (
        Exception
    ) as error:  # Keras raises a bare Exception for the network, NumPy and zlib theirs for a damaged file
        why = str(error) or type(error).__name__
    if lacking:
        source = SOURCES[name] + (lacking.name if name == "fashion_mnist" else "")
        raise Failure(
            f"{TITLES[name]} could not be downloaded ({why}): download {source} yourself and keep it as {lacking}"
        )
    there = ", ".join(map(str, _places(name)))
    raise Failure(f"{TITLES[name]} is damaged ({why}): delete {there} to have it downloaded again")


def of_npz(path: Path, channels: int | None) -> Dataset:
    """The arrays `images`, `labels` and, if it has them, `label_names` of a .npz file, as `export.write_npz` writes it.

    Which part an image belongs to is decided by a hash of its number, as for folders by its path.

    Raises:
        Failure: the file cannot be read, or the arrays are not a data set; one line.
    """
    arrays = _arrays(path)
    images, labels = arrays.get("images"), arrays.get("labels")
    if images is None or labels is None:
        raise Failure(f"{path} needs the arrays images and labels: write them with numpy.savez")
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise Failure(f"images in {path} must be uint8 (N, H, W) or (N, H, W, 3), not {_form(images)}")
    if not 1 <= min(images.shape[1:3]) <= max(images.shape[1:3]) <= MAX_SIDE:
        raise Failure(f"images in {path} must have at most {MAX_SIDE} pixels a side, not {_form(images)}")
    if images.size // images.shape[-1] * (channels or images.shape[-1]) > MAX_BYTES:
        raise Failure(f"{path} has more than {MAX_BYTES >> 30} GB of pixels: use a folder of pictures instead")
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise Failure(f"labels in {path} must be integers ({len(images)},), not {_form(labels)}")
    names = _names(path, arrays.get("label_names", np.array([], str)))
    if not len(labels):
        raise Failure(f"{path} holds no images: add some")
    lowest, highest = int(labels.min()), int(labels.max())
    most = len(names) or MOST_LABELS
    if lowest < 0 or highest >= most:
        raise Failure(f"labels in {path} must go from 0 to {most - 1}, not {lowest} to {highest}")
    num_labels = len(names) or highest + 1
    if num_labels < 2:
        raise Failure(f"{path} has one label only: add images of another")
    labels = labels.astype(dtype_for(num_labels))
    counts = np.bincount(labels, minlength=num_labels)
    if counts.min() < 2:
        raise Failure(f"{path} has {counts.min()} images of the label {counts.argmin()}, and a label needs 2: add some")
    part = parts.by_hash([str(i) for i in range(len(labels))], labels)
    splits = [Split(images[part == i], labels[part == i]) for i in (parts.TRAIN, parts.VALIDATION, parts.TEST)]
    return _dataset("npz", f"images in {path}", splits, channels, num_labels, names)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays in a .npz file. Raises Failure if it is none, is damaged, or would fill the memory."""
    try:
        return npz.read(path, MAX_BYTES)
    except OSError as error:
        raise Failure(f"{path} cannot be read ({error.strerror or error}): name another file") from None
    except ValueError as error:
        remedy = "write it again with numpy.savez, or use a folder of pictures instead"
        raise Failure(f"{path} is damaged or no .npz file ({error}): {remedy}") from None


def _names(path: Path, names: np.ndarray) -> tuple[str, ...]:
    """Label names, printable and each once. Raises Failure."""
    if names.dtype.kind != "U" or names.ndim != 1 or len(names) > MOST_LABELS:
        raise Failure(f"label_names in {path} must be at most {MOST_LABELS:,} texts, not {_form(names)}")
    result = tuple(printable(name) for name in names.tolist())
    if len(set(result)) < len(result):
        raise Failure(f"label_names in {path} has the same name twice: rename one")
    return result


def _form(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"


def _dataset(
    name: str, title: str, splits: Sequence[Split], channels: int | None, num_labels: int, names: tuple[str, ...]
) -> Dataset:
    """The data set of these three parts. Its fingerprint does not depend on `channels`, as MNIST's does not."""
    digest = hashlib.sha256(json.dumps([num_labels, names]).encode())
    for array in (array for split in splits for array in split):
        digest.update(json.dumps(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    splits = [Split(recoloured(images, channels or images.shape[-1]), labels) for images, labels in splits]
    return Dataset(name, title, *splits, digest.hexdigest(), num_labels, names)


def _places(name: str) -> list[Path]:
    """The files that Keras looks for."""
    home = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"))
    return [home / "datasets" / file for file in FILES[name]]


@contextlib.contextmanager
def _patience(seconds: float) -> Iterator[None]:
    """Wait so long for any server that says nothing: Keras sets no limit of its own."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
