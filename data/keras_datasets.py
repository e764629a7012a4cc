"""Load data sets through keras.datasets, which downloads them to ~/.keras and verifies them: MNIST and three more."""

import os
import socket
import tempfile
import urllib.request
from multiprocessing.pool import ThreadPool
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np

from data import arrays
from data.splits import TRAIN, VALIDATION, by_hash
from engine.dataset import Dataset, Split
from engine.startup import import_tensorflow
from engine.terminal import Failure, say

HELD_OUT = 5_000  # images for validation, at most a twelfth of the training images
OWN = "the data's own test set; "
BY_HASH = f"{OWN}a hash of its number says whether a training image is for validation"
CONTACT = 5.0  # timeout of a server's first answer, in seconds
STALL = 30.0  # timeout of each read, in seconds

Pair = tuple[np.ndarray, np.ndarray]  # images uint8 (N, H, W) or (N, H, W, 3), labels (N,) or (N, 1)


class Source(NamedTuple):
    title: str
    files: dict[str, str]  # path below `folder()` → URL
    labels: str = ""  # the labels' names, "_" for a space


CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
GOOGLE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
TORONTO = "https://www.cs.toronto.edu/~kriz/"
FASHION_NAMES = "train-labels-idx1 train-images-idx3 t10k-labels-idx1 t10k-images-idx3".split()
FASHION_FILES = {f"fashion-mnist/{name}-ubyte.gz": f"{GOOGLE}{name}-ubyte.gz" for name in FASHION_NAMES}
FASHION = "T-shirt/top trouser pullover dress coat sandal shirt sneaker bag ankle_boot"
CIFAR10 = "airplane automobile bird cat deer dog frog horse ship truck"
SOURCES = {
    "mnist": Source("MNIST", {"mnist.npz": f"{GOOGLE}mnist.npz"}),
    "fashion_mnist": Source("Fashion-MNIST", FASHION_FILES, FASHION),
    "cifar10": Source("CIFAR-10", {"cifar-10-batches-py-target_archive": f"{TORONTO}cifar-10-python.tar.gz"}, CIFAR10),
    "cifar100": Source("CIFAR-100", {"cifar-100-python-target_archive": f"{TORONTO}cifar-100-python.tar.gz"}, CIFAR100),
}
NAMES = tuple(name for name in SOURCES if name != "mnist")  # MNIST may also be IDX files: see data/mnist.py


class Unreachable(Failure):
    """A data set could not be downloaded."""


def home() -> Path:
    """Return Keras' home folder."""
    return Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"))


def folder() -> Path:
    """Return the folder of Keras' data sets: in `home`, or in a temporary folder if `home` is not writable."""
    if home().exists() and not os.access(home(), os.W_OK):
        return Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()) / ".keras" / "datasets"
    return home() / "datasets"


def missing(name: str) -> Path | None:
    """Return the first file of a data set that Keras would have to download, or None."""
    return next((folder() / file for file in SOURCES[name].files if not (folder() / file).exists()), None)


def dataset(name: str) -> Dataset:
    """Load fashion_mnist, cifar10 or cifar100 as a Dataset. Raises Failure as `load` does."""
    source, (parts, split_from) = SOURCES[name], splits(*load(name))
    names = tuple(label.replace("_", " ") for label in source.labels.split())
    return arrays.dataset(name, source.title, parts, num_labels=len(names), label_names=names, split_from=split_from)


def splits(train: Pair, test: Pair) -> tuple[list[Split], str]:
    """Return training, validation and test set, and how they were split. Validation: the first HELD_OUT images.

    If these included all training images of a label, as in files sorted by label, a hash chooses the validation set.
    """
    images, labels = train[0], train[1].ravel()
    count = min(HELD_OUT, len(images) // 12)
    train, held_out = slice(count, None), slice(count)
    split_from = f"{OWN}the first {count:,} training images are validation"
    if len(np.unique(labels[train])) < len(np.unique(labels)):
        part = by_hash([str(i) for i in range(len(labels))], labels, [VALIDATION])
        train, held_out, split_from = part == TRAIN, part == VALIDATION, BY_HASH
    pairs = (images[train], labels[train]), (images[held_out], labels[held_out]), test
    return [Split(x.reshape(*x.shape[:3], -1), y.ravel()) for x, y in pairs], split_from  # (N, H, W, C), (N,)


def load(name: str) -> tuple[Pair, Pair]:
    """Return training and test images and labels; Keras downloads missing files. Raises Failure, also Unreachable."""
    keras, source, missing_file = import_tensorflow(), SOURCES[name], missing(name)
    old_timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALL)
    try:
        if missing_file:
            url = source.files[missing_file.relative_to(folder()).as_posix()]
            host = urlsplit(url).hostname
            why = "" if home() in folder().parents else f", Keras' folder as it cannot write to {home()}"
            say(f"{source.title} is not in {folder()}{why}: waiting for {host}, at most {CONTACT:g} seconds")
            _contact(url)
        return getattr(keras.datasets, name).load_data()
    except Exception as error:  # Keras raises a bare Exception for network errors, NumPy and zlib their own
        why = str(getattr(error, "reason", "") or str(error).rpartition(" -- ")[2]) or type(error).__name__
    finally:
        socket.setdefaulttimeout(old_timeout)
    if missing_file:
        alternative = ", or name the folder of its four IDX files with --data-dir" if name == "mnist" else ""
        remedy = f"download {url} yourself and keep it as {missing_file}{alternative}"
        raise Unreachable(f"{source.title} could not be downloaded ({why}): {remedy}")
    raise Failure(f"{source.title} cannot be read from {folder()} ({why}): check the files there")


def _contact(url: str) -> None:
    """Raise urllib's error, or TimeoutError, unless the server answers within CONTACT seconds."""
    request = urllib.request.Request(url, method="HEAD")
    with ThreadPool(1) as pool:  # of daemon threads: socket timeouts do not cover a DNS server that hangs
        answer = pool.apply_async(urllib.request.urlopen, [request], {"timeout": CONTACT})
        answer.wait(CONTACT)
        if not answer.ready():
            raise TimeoutError("no answer")
        answer.get().close()
