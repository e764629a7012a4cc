"""Data sets as arrays: MNIST or other IDX files, drawn digits, pictures in folders, .npz or CSV files, Keras' sets."""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path

import numpy as np

from data import arrays, decode, decoded_folder, digit_photo, file_sets, keras_datasets, mnist, pixel_table, synthetic
from engine.dataset import Dataset, Split
from engine.terminal import Failure, bounded

MNIST_DIR = Path(__file__).resolve().parent / "mnist"  # where MNIST's IDX files are looked for before Keras is asked
DRAWN = (20_000, 2_000, 2_000)  # train, validation, test
NAMES = ("auto", "mnist", "idx", "drawn", "folder", "npz", "csv", *keras_datasets.NAMES)
RULE = "=" * 78
NOT_MNIST = f"""
{RULE}
  NOT MNIST: it could not be downloaded ({{why}}).
  Going on with DRAWN DIGITS instead; figures measured on them are not MNIST's.
  To get MNIST, put its four files into a folder and add --data-dir FOLDER:
  {" ".join(f"{name}.gz" for name in mnist.FILES)}
{RULE}
"""


def load(
    name: str = "auto",
    data_dir: str | Path | None = None,
    channels: int | None = None,
    size: int | None = None,
    fit: str = "crop",
    background: str = "white",
) -> Dataset:
    """Load a data set. Raises Failure if files are missing or damaged, or are not what was asked for.

    Args:
        name: one of NAMES. "auto" takes what `data_dir` holds: pictures in a folder per label, .npz, CSV or IDX files;
            without one it is MNIST from data/mnist or from Keras, which downloads it, or else, saying so, drawn digits.
        data_dir: the folder or file; only read, never made or written to. None is data/mnist here.
        channels: 1 is grey; 3 is colour: grey images are copied three times, and each drawn digit gets colours of its
            own. None is what the data are: 3 as soon as one picture of a folder has colour.
        size, fit, background: of a folder's pictures, see `decoded_folder.dataset` and `decode.pixels`.
    """
    decode.colour(background)  # whatever the data set: it is part of what the run says of itself
    if channels not in (None, 1, 3):
        raise Failure(f"{channels} channels: choose 1 (grey) or 3 (colour)")
    if name not in NAMES:
        raise Failure(f"no data set is called {name!r}: choose {', '.join(NAMES[:-1])} or {NAMES[-1]}")
    place = MNIST_DIR if data_dir is None else Path(os.path.expanduser(data_dir))
    if name == "auto" and data_dir is not None:
        name = _kind(place)
    if size is not None and name != "folder":
        raise Failure("only a folder of pictures comes in any size: leave out --size, or name such a folder")
    if name in keras_datasets.NAMES and data_dir is not None:
        raise Failure(f"{name} is where Keras keeps its data sets: leave out --data-dir")
    if name in ("folder", "npz", "csv") and data_dir is None:
        raise Failure(f"where is the {name}? Name it with --data-dir")
    if name in keras_datasets.NAMES:
        return keras_datasets.dataset(name, channels)
    if name == "folder":
        return decoded_folder.dataset(place, size, channels, fit, background)
    if name == "npz":
        return arrays.of_npz(place, channels, background)
    if name == "csv":
        return pixel_table.dataset(place, channels)
    if name == "drawn":
        return _drawn(channels or 1)
    if data_dir is not None or name == "idx" or _has_idx(MNIST_DIR):
        return mnist.of_files(name, place, channels or 1)
    try:
        return mnist.of_keras(channels or 1)
    except keras_datasets.Unreachable as error:
        if name == "mnist":
            raise
        print(NOT_MNIST.format(why=error.why), flush=True)  # nobody can miss it
        return _drawn(channels or 1)


def of_run(config, data_dir: str | Path | None = None, download: bool = True) -> Dataset:
    """The very data that a run was trained on. Raises Failure as `load`, or if the data found are others.

    Args:
        config: the run's. MNIST that is not in its data_dir is looked for in data/mnist, then at Keras.
        data_dir: the folder or file of the run's data, if it is not the one that `config` names.
        download: False raises Failure where anything would have to be downloaded.
    """
    name, is_mnist = config.dataset, config.dataset == "mnist"
    if data_dir is None and not (is_mnist and mnist.missing(Path(config.data_dir or MNIST_DIR))):
        data_dir = config.data_dir or None
    of_keras = name in keras_datasets.SOURCES and data_dir is None and not (is_mnist and _has_idx(MNIST_DIR))
    if of_keras and not download and keras_datasets.missing(name):
        other = "--data-dir names its folder, or " if is_mnist else ""
        raise Failure(f"the run's data is not here: {other}python train.py --dataset {name} downloads it")
    h, _, channels = config.image_shape
    size = h if name == "folder" else None
    dataset = load(name, data_dir, channels, size=size, fit=config.fit, background=config.background)
    if dataset.fingerprint != config.fingerprint or dataset.train.images.shape[1:] != tuple(config.image_shape):
        news = [note for note in dataset.notes if note not in config.notes]
        other = "; ".join(["that is another, or has changed since", *news])
        remedy = f"name its folder with --data-dir ({dataset.title}: {other})"
        if name == "drawn":
            remedy = "digits are drawn otherwise by another Pillow, so train it again with this one"
        raise Failure(f"the run was trained on other data than these: {remedy}")
    return dataset


def picture_for(config, source: str, data_dir: str | Path | None = None) -> np.ndarray:
    """One picture as a run's model sees it, uint8 (H, W, C): "test:N" of the run's data, else the one in a file.

    A run on digits gets the digit on it as MNIST would have it, or dark on bright paper if its own are; any other run,
    and one on a folder in colour, the picture as its training had them. Raises Failure.
    """
    h, w, c = config.image_shape
    if source.startswith("test:"):
        test = of_run(config, data_dir).test
        if not len(test.labels):
            raise Failure(f"--style-from {source}: the run's data have no test images; name a picture's file")
        try:
            return test.images[bounded(int, 0, len(test.labels) - 1)(source[5:])]
        except argparse.ArgumentTypeError as error:
            raise Failure(f"--style-from {source}: {error}") from None
    if h != w:
        raise Failure(f"this run's images are {h}×{w}; --style-from takes pictures for square ones only")
    if config.mnist_form:
        digit = np.repeat(digit_photo.prepare(source, h)[..., None], c, axis=-1)
        return 255 - digit if config.paper == "bright" else digit
    if not os.path.isfile(source):
        raise Failure(f"{source} is not a file: name a picture")
    return decode.pixels(source, decode.Form(h, c, config.fit, decode.colour(config.background), config.levels))


def _kind(place: Path) -> str:
    """Which data set `place` holds. Raises Failure if that is nothing of which one could be made."""
    if mnist.files(place)[0]:
        return "auto"
    if os.path.isdir(place):
        holds_npz = file_sets.in_folder(place, arrays.KMNIST)
        return "npz" if holds_npz else "csv" if pixel_table.holds_tables(place) else "folder"
    is_file = os.path.isfile(place)
    suffix = place.suffix.lower()
    if is_file and suffix in (".npz", ".csv"):
        return suffix[1:]
    if is_file and suffix == ".npy":
        raise Failure(f"{place} holds one array: numpy.savez('set.npz', images=…, labels=…) makes a data set of two")
    what = "is a file, but no .npz or .csv" if is_file else "does not exist"
    raise Failure(f"{place} {what}: name a folder of pictures or of MNIST's files, an .npz or .csv, by --data-dir")


def _has_idx(place: Path) -> bool:
    """Whether `place` has any of the four IDX files."""
    return bool(mnist.files(place)[0])


def _drawn(channels: int) -> Dataset:
    splits = [Split(*synthetic.digits(count, channels, (0, part))) for part, count in enumerate(DRAWN)]
    digest = hashlib.sha256(f"drawn {synthetic.VERSION} 0 {channels} {DRAWN}".encode())
    for array in (array for split in splits for array in split):
        digest.update(array.data)
    return Dataset("drawn", "drawn digits", *splits, digest.hexdigest(), split_from="each part is drawn for itself")
