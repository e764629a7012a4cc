"""Data sets as arrays: MNIST or another IDX data set, drawn digits, a folder of pictures, a .npz file, Keras' sets."""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path

import numpy as np

from data import arrays, decode, decoded_folder, digit_photo, image_folder, keras_datasets, mnist, synthetic
from engine.dataset import Dataset, Split
from engine.terminal import Failure, bounded

MNIST_DIR = Path(__file__).resolve().parent / "mnist"  # where MNIST's IDX files are looked for before Keras is asked
DRAWN = (20_000, 2_000, 2_000)  # train, validation, test
NAMES = ("auto", "mnist", "idx", "drawn", "folder", "npz", *keras_datasets.NAMES)
RULE = "=" * 78


def load(
    name: str = "auto",
    data_dir: str | Path | None = None,
    channels: int | None = None,
    size: int | None = None,
    fit: str = "crop",
    background: str = "white",
) -> Dataset:
    """Load a data set; Keras downloads MNIST if no folder is named and neither data/mnist nor Keras' folder has it.

    Args:
        name: "auto" takes what `data_dir` holds: pictures in a folder per label, a .npz file, IDX files, MNIST's or
            not; without one it is MNIST, or drawn digits, saying so, if that cannot be had. "mnist" insists on MNIST;
            "idx", "folder" and "npz" on these, and nothing is downloaded; "drawn" draws; Keras knows fashion_mnist,
            cifar10 and cifar100.
        data_dir: the folder or file; only read, never made or written to. None is data/mnist here.
        channels: 1 is grey; 3 is colour: grey images are copied three times, and each drawn digit gets colours of its
            own. None is what the data are: 3 as soon as one picture of a folder has colour.
        size, fit, background: of a folder's pictures, see `decoded_folder.pictures` and `decode.pixels`.

    Raises:
        Failure: files are missing or damaged, do not fit together, are not what was asked for, or cannot be had.
    """
    decode.colour(background)  # whatever the data set: it is part of what the run says of itself
    if channels not in (None, 1, 3):
        raise Failure(f"{channels} channels: choose 1 (grey) or 3 (colour)")
    if name not in NAMES:
        raise Failure(f"no data set is called {name!r}: choose {', '.join(NAMES[:-1])} or {NAMES[-1]}")
    if name == "auto" and data_dir is not None:
        name = _kind(_folder(data_dir))
    if size is not None and name != "folder":
        raise Failure("only a folder of pictures comes in any size: leave out --size, or name such a folder")
    if name in keras_datasets.NAMES:
        if data_dir is not None:
            raise Failure(f"{name} is where Keras keeps its data sets: leave out --data-dir")
        return keras_datasets.dataset(name, channels)
    if name in ("folder", "npz") and data_dir is None:
        raise Failure(f"where is the {name}? Name it with --data-dir")
    if name == "folder":
        return _from_folder(_folder(data_dir), size, channels, fit, background)
    if name == "npz":
        return arrays.of_npz(_folder(data_dir), channels)
    if name == "drawn":
        return _from_font(channels or 1)
    if data_dir is not None or name == "idx" or _has_idx(MNIST_DIR):
        return mnist.of_files(name, _folder(data_dir), channels or 1)
    try:
        return mnist.of_keras(channels or 1)
    except keras_datasets.Unreachable as error:
        if name == "mnist":
            raise
        _say_not_mnist(error.why)
        return _from_font(channels or 1)


def of_run(config, data_dir: str | Path | None = None, download: bool = True) -> Dataset:
    """The very data that a run was trained on.

    Args:
        config: the run's, of which dataset, fingerprint, image_shape, label_names, fit, background and data_dir ("" for
            data/mnist) are looked at. MNIST that is not in that folder is looked for in data/mnist, then at Keras.
        data_dir: the folder or file of the run's data, if it is not the one that `config` names.
        download: False raises Failure where anything would have to be downloaded.

    Raises:
        Failure: as `load`, or the data found are others than the run's.
    """
    if data_dir is None:
        data_dir = config.data_dir or None
        if config.dataset == "mnist" and mnist.missing(_folder(data_dir)):
            data_dir = None
    of_keras = config.dataset in keras_datasets.NAMES or (
        config.dataset == "mnist" and data_dir is None and not _has_idx(MNIST_DIR)
    )
    if of_keras and not download and keras_datasets.missing(config.dataset):
        other = "--data-dir names its folder, or " if config.dataset == "mnist" else ""
        raise Failure(f"the run's data is not here: {other}python train.py --dataset {config.dataset} downloads it")
    h, _, channels = config.image_shape
    size = h if config.dataset == "folder" else None
    dataset = load(config.dataset, data_dir, channels, size=size, fit=config.fit, background=config.background)
    if dataset.fingerprint != config.fingerprint or dataset.train.images.shape[1:] != tuple(config.image_shape):
        raise Failure(f"the run was trained on other data than these: {_remedy(config, dataset)}")
    return dataset


def _remedy(config, dataset: Dataset) -> str:
    """What to do about a data set that is not the run's."""
    if dataset.name == "drawn":
        return "digits are drawn otherwise by another Pillow, so train it again with this one"
    remedy = f"name its folder with --data-dir (this is {dataset.title})"
    if dataset.name != "folder":
        return remedy
    added = sorted({*dataset.label_names} - {*config.label_names})
    gone = sorted({*config.label_names} - {*dataset.label_names})
    if not added and not gone:
        return f"{remedy}; its labels are the same, so pictures were added, removed or changed"
    return f"{remedy}; labels added: {', '.join(added) or 'none'}, gone: {', '.join(gone) or 'none'}"


def picture_for(config, source: str, data_dir: str | Path | None = None) -> np.ndarray:
    """One picture as a run's model sees it, uint8 (H, W, C): "test:N" of the run's data, else the one in a file.

    A run on digits gets the digit on it as MNIST would have it, any other run, and one on a folder, the picture as its
    training had them.

    Raises:
        Failure: there is no such picture, or no digit on it; the run's data are not to be had.
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
        return np.repeat(digit_photo.prepare(source, h)[..., None], c, axis=-1)
    return decode.prepare(source, h, c, config.fit, config.background)


def _folder(data_dir: str | Path | None) -> Path:
    """`data_dir` as a path, ~ expanded. Whatever it holds, this does not raise: the folder will just not be there."""
    if data_dir is None:
        return MNIST_DIR
    try:
        return Path(os.path.expanduser(data_dir))
    except ValueError:  # "~" before what cannot be anybody's name
        return Path(data_dir)


def _kind(place: Path) -> str:
    """Which data set `place` holds, by what is there. Raises Failure if that is nothing of which one could be made."""
    if not os.path.exists(place):
        raise Failure(
            f"{place} does not exist: name a folder of pictures or of MNIST's files, or an .npz, by --data-dir"
        )
    if place.suffix.lower() == ".npz" and os.path.isfile(place):
        return "npz"
    if os.path.isfile(place):
        raise Failure(f"{place} is a file, but no .npz: name a folder, or such a file")
    if os.path.isdir(place) and not _has_idx(place) and image_folder.has_pictures(place):
        return "folder"
    return "auto"


def _has_idx(place: Path) -> bool:
    """Whether `place` has any of the four IDX files."""
    return len(mnist.missing(place)) < len(mnist.FILES)


def _from_folder(root: Path, size: int | None, channels: int | None, fit: str, background: str) -> Dataset:
    pictures = decoded_folder.pictures(root, size, channels, fit, background)
    ends = np.cumsum(pictures.counts).tolist()
    splits = [Split(pictures.images[a:b], pictures.labels[a:b]) for a, b in zip([0, *ends], ends, strict=False)]
    names = tuple(pictures.names.tolist())
    return Dataset("folder", f"pictures in {root}", *splits, pictures.fingerprint, len(names), names)


def _from_font(channels: int) -> Dataset:
    splits = [Split(*synthetic.digits(count, channels, (0, part))) for part, count in enumerate(DRAWN)]
    digest = hashlib.sha256(f"drawn {synthetic.VERSION} 0 {channels} {DRAWN}".encode())
    for array in (array for split in splits for array in split):
        digest.update(array.data)
    return Dataset("drawn", "drawn digits", *splits, digest.hexdigest())


def _say_not_mnist(why: str) -> None:
    """Print a block that nobody can miss: results on drawn digits are not results on MNIST."""
    images, labels, test_images, test_labels = (f"{name}.gz" for name in mnist.FILES)
    print(
        f"""
{RULE}
  NOT MNIST: it could not be downloaded
  ({why}).
  Going on with DRAWN DIGITS instead; figures measured on them are not MNIST's.

  To get MNIST, put these four files into a folder and add --data-dir FOLDER:
    {images}    {labels}
    {test_images}     {test_labels}
{RULE}
""",
        flush=True,
    )
