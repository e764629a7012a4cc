"""The data sets of keras.datasets, which Keras downloads, verifies and keeps in ~/.keras: MNIST and three others."""

from __future__ import annotations

import contextlib
import hashlib
import os
import queue
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import numpy as np

from data import arrays, idx
from data.dataset import Dataset, Split
from engine.terminal import Failure, Progress, import_tensorflow, say

VALIDATION = 5_000  # the first training images, or a twelfth of them if these are fewer
CONTACT = 5.0  # seconds until a server's first bytes
STALL = 30.0  # seconds without another byte; CIFAR's archives are verified and unpacked meanwhile

Pair = tuple[np.ndarray, np.ndarray]  # images uint8 (N, H, W) or (N, H, W, 3), labels (N,) or (N, 1)


class Source(NamedTuple):
    title: str
    url: str  # of the folder that has the files
    files: dict[str, str]  # where Keras keeps them, below `folder()`: their names below `url`
    sha256: str  # of the one file, by which Keras verifies it; "" where it does not
    labels: str  # their names, "_" for a space


GOOGLE = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
TORONTO = "https://www.cs.toronto.edu/~kriz/"
FASHION = ("train-labels-idx1-ubyte.gz", "train-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
FASHION += ("t10k-images-idx3-ubyte.gz",)
CIFAR100 = """
apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can castle
caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin elephant flatfish
forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster man maple_tree motorcycle
mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine
possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle wardrobe whale
willow_tree wolf woman worm
"""
SOURCES = {
    "mnist": Source(
        "MNIST",
        GOOGLE,
        {"mnist.npz": "mnist.npz"},
        "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
        "",
    ),
    "fashion_mnist": Source(
        "Fashion-MNIST",
        GOOGLE,
        {f"fashion-mnist/{name}": name for name in FASHION},
        "",
        "T-shirt/top trouser pullover dress coat sandal shirt sneaker bag ankle_boot",
    ),
    "cifar10": Source(
        "CIFAR-10",
        TORONTO,
        {"cifar-10-batches-py-target_archive": "cifar-10-python.tar.gz"},
        "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
        "airplane automobile bird cat deer dog frog horse ship truck",
    ),
    "cifar100": Source(
        "CIFAR-100",
        TORONTO,
        {"cifar-100-python-target_archive": "cifar-100-python.tar.gz"},
        "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
        CIFAR100,
    ),
}
NAMES = tuple(name for name in SOURCES if name != "mnist")  # MNIST comes as IDX files, too: see data/mnist.py


class Unreachable(Failure):
    """A data set that could not be downloaded. `why` says it in a few words."""

    def __init__(self, message: str, why: str) -> None:
        super().__init__(message)
        self.why = why


def folder() -> Path:
    """The folder where Keras looks: not ~/.keras if that cannot be written."""
    home = Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"))
    if home.exists() and not os.access(home, os.W_OK):
        home = Path("/tmp" if os.path.isdir("/tmp") else tempfile.gettempdir()) / ".keras"
    return home / "datasets"


def missing(name: str) -> Path | None:
    """The first file that Keras would download: one that is not there, or that is not the one it knows."""
    source = SOURCES[name]
    for file in source.files:
        path = folder() / file
        if not path.exists() or (source.sha256 and _sha256(path) != source.sha256):
            return path
    return None


def dataset(name: str, channels: int | None) -> Dataset:
    """fashion_mnist, cifar10 or cifar100. Raises Failure as `load` does."""
    (images, labels), test = load(name)
    first = min(VALIDATION, len(images) // 12)
    pairs = [(images[first:], labels[first:]), (images[:first], labels[:first]), test]
    splits = [Split(x.reshape(*x.shape[:3], -1), y.ravel()) for x, y in pairs]
    names = tuple(label.replace("_", " ") for label in SOURCES[name].labels.split())
    return arrays.dataset(name, SOURCES[name].title, splits, channels, len(names), names)


def load(name: str) -> tuple[Pair, Pair]:
    """Images and labels for training and for the test; Keras downloads what is missing.

    Raises:
        Unreachable: no answer within CONTACT seconds, or the download failed.
        Failure: what is there cannot be read.
    """
    keras, source = import_tensorflow(), SOURCES[name]
    read = getattr(keras.datasets, name).load_data
    lacking = missing(name)
    try:
        return read() if lacking is None else _download(keras, name, read, lacking)
    except Exception as error:  # Keras raises a bare Exception for the network, NumPy and zlib theirs for bad files
        why = str(error).rpartition(" -- ")[2] or type(error).__name__
    if lacking is None:
        damaged = [] if source.sha256 else [folder() / file for file in source.files if not _is_idx(folder() / file)]
        if damaged:
            raise Failure(f"{damaged[0]} is damaged ({why}): delete it to have it downloaded again")
        raise Failure(f"{source.title} cannot be read from {folder()} ({why}): check that folder")
    lacking = missing(name) or lacking  # the first that is still missing
    url = source.url + source.files[str(lacking.relative_to(folder()))]
    remedy = f"download {url} yourself and keep it as {lacking}"
    if name == "mnist":
        remedy += ", or name the folder of its four IDX files with --data-dir"
    raise Unreachable(f"{source.title} could not be downloaded ({why}): {remedy}", why)


def _download(keras: object, name: str, read: Callable[[], tuple[Pair, Pair]], lacking: Path) -> tuple[Pair, Pair]:
    """What `read` returns, called in a daemon thread: no socket timeout covers a name server that hangs.

    Raises:
        TimeoutError: nothing came for CONTACT seconds, or nothing more for STALL; what had come is deleted.
        Exception: what `read` raises.
    """
    source = SOURCES[name]
    host = urlsplit(source.url).hostname
    state = f"{lacking} is damaged" if lacking.exists() else f"{source.title} is not in {folder()}"
    say(f"{state}: waiting for {host}, at most {CONTACT:g} seconds")
    new = [folder() / file for file in source.files if not (folder() / file).exists()]
    answer: queue.SimpleQueue = queue.SimpleQueue()

    def work() -> None:
        try:
            keras.config.disable_interactive_logging()  # in this thread; the bar below shows what is done
            answer.put((read(), None))
        except Exception as error:
            answer.put((None, error))

    thread = threading.Thread(target=work, daemon=True)
    before = size = _bytes(name)
    since, patience = time.monotonic(), CONTACT
    thread.start()
    try:
        with Progress(0, f"{source.title}, kB:") as bar:
            while True:
                with contextlib.suppress(queue.Empty):
                    result, error = answer.get(timeout=0.05)
                    if error:
                        raise error
                    return result
                now = _bytes(name)
                if now != size:
                    if patience == CONTACT:
                        say(f"downloading {source.title} to {folder()}")
                    size, since, patience = now, time.monotonic(), STALL
                    bar.advance(max(0, now - before) // 1000 - bar.done)
                elif time.monotonic() - since > patience:
                    raise TimeoutError(f"no answer from {host}" if patience == CONTACT else f"{host} stopped sending")
    finally:
        if thread.is_alive() and patience == STALL:  # left behind by a timeout or by Ctrl-C
            for path in new:
                with contextlib.suppress(OSError):
                    path.unlink()


def _bytes(name: str) -> int:
    """How many bytes Keras keeps of a data set, unpacked files included."""
    total = 0
    for file in SOURCES[name].files:
        path = folder() / file
        for place in {path, path.with_name(path.name.removesuffix("_archive"))}:
            for each in (place, *place.rglob("*")):
                with contextlib.suppress(OSError):
                    total += each.stat().st_size
    return total


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_idx(path: Path) -> bool:
    try:
        idx.read(path)
    except Failure:
        return False
    return True
