"""Load a data set: MNIST or other IDX files, drawn digits, a folder of pictures, .npz or CSV files, Keras' sets."""

import argparse
import hashlib
import os
from pathlib import Path

import numpy as np

from data import arrays, decode, decoded_folder, digit_photo, keras_datasets, mnist, pixel_table, splits, synthetic
from engine.config import DATASETS
from engine.dataset import Dataset, Split
from engine.terminal import Failure, bounded, say

MNIST_DIR = Path(__file__).resolve().parent / "mnist"  # MNIST's IDX files here are used before Keras' copy
DRAWN = (20_000, 2_000, 2_000)  # drawn digits for training, validation and test
NAMES = ("auto", *DATASETS)


def load(
    name: str = "auto",
    data_dir: str | Path | None = None,
    channels: int | None = None,
    size: int | None = None,
    fit: str = "crop",
    background: str = "white",
) -> Dataset:
    """Load a data set. Raises Failure if files are missing or damaged, or are not the data set `name`.

    Args:
        name: one of NAMES. "auto" detects what `data_dir` holds. Without `data_dir` it loads MNIST from data/mnist or
            through Keras, which downloads it. If the download fails, it warns and draws digits instead.
        data_dir: the folder or file; only read, never created or written to. None means data/mnist of this repository.
        channels: 1 for grey, 3 for colour. Grey images are copied into 3 channels; drawn digits get random colours.
            None keeps what the data have; a folder has 3 as soon as one picture has colour.
        size, fit, background: for a folder of pictures, see `decoded_folder.dataset` and `decode.pixels`.
    """
    decode.colour(background)  # raises for an unknown colour; every run's config contains it, even if unused
    if channels not in (None, 1, 3):
        raise Failure(f"{channels} channels: choose 1 (grey) or 3 (colour)")
    if name not in NAMES:
        raise Failure(f"no data set is called {name!r}: choose {', '.join(NAMES[:-1])} or {NAMES[-1]}")
    path = MNIST_DIR if data_dir is None else Path(os.path.expanduser(data_dir))
    if name == "auto" and data_dir is not None:
        name = _kind(path)
    if size is not None and name != "folder":
        raise Failure("only a folder of pictures takes --size: leave out --size, or name a folder by --data-dir")
    if name in ("folder", "npz", "csv") and data_dir is None:
        raise Failure(f"--dataset {name} also needs its folder or file: name it with --data-dir")
    if name in keras_datasets.NAMES:
        if data_dir is not None:
            raise Failure(f"Keras downloads {name} to its own folder: leave out --data-dir")
        dataset = keras_datasets.dataset(name)
    elif name == "folder":
        dataset = decoded_folder.dataset(path, size, channels, fit, background)
    elif name == "npz":
        dataset = arrays.of_npz(path, background)
    elif name == "csv":
        dataset = pixel_table.dataset(path)
    elif name == "drawn":
        dataset = _drawn(channels or 1)
    elif data_dir is not None or name == "idx" or mnist.files(MNIST_DIR):
        dataset = mnist.of_files(name, path)
    else:
        try:
            dataset = mnist.of_keras()
        except keras_datasets.Unreachable as error:
            if name == "mnist":
                raise
            say(f"\nNOT MNIST but DRAWN DIGITS, so figures measured on them are not MNIST's:\n{error}\n")
            dataset = _drawn(channels or 1)
    channels = channels or dataset.train.images.shape[-1]
    parts = [Split(decode.recoloured(images, channels), labels) for images, labels in dataset[2:5]]
    return dataset._replace(**dict(zip(("train", "validation", "test"), parts, strict=True)))


def of_run(config, data_dir: str | Path | None = None, download: bool = True) -> Dataset:
    """Load the data that a run was trained on. Raises Failure as `load` does, or if the data differ from the run's.

    Args:
        config: the run's settings. If its data_dir has no MNIST, data/mnist is tried, then Keras' copy.
        data_dir: where the run's data are now, if no longer where `config` says.
        download: False raises Failure instead of downloading.
    """
    name, is_mnist = config.dataset, config.dataset == "mnist"
    if data_dir is None and config.data_dir and not (is_mnist and len(mnist.files(Path(config.data_dir))) < 4):
        data_dir = config.data_dir
    of_keras = name in keras_datasets.SOURCES and data_dir is None and not (is_mnist and mnist.files(MNIST_DIR))
    if of_keras and not download and keras_datasets.missing(name):
        hint = "--data-dir names its folder, or " if is_mnist else ""
        raise Failure(f"the run's data is not here: {hint}python train.py --dataset {name} downloads it")
    h, _, channels = config.image_shape
    dataset = load(name, data_dir, channels, h if name == "folder" else None, config.fit, config.background)
    if dataset.fingerprint != config.fingerprint or dataset.train.images.shape[1:] != tuple(config.image_shape):
        new_notes = [note for note in dataset.notes if note not in config.notes]
        hint = "; ".join(["that is another, or has changed since", *new_notes])
        remedy = f"name its folder with --data-dir ({dataset.title}: {hint})"
        if name == "drawn":
            remedy = "another version of Pillow draws the digits differently, so train the run again with this one"
        raise Failure(f"the run was trained on other data than these: {remedy}")
    return dataset


def picture_for(config, source: str, data_dir: str | Path | None = None) -> np.ndarray:
    """Load a picture in the form that a run's model expects, uint8 (H, W, C). Raises Failure.

    `source` is "test:N", the test image N of the run's data, or the path of a file. For a run on digits, the digit in
    the file is cut out and brought to MNIST's form, inverted if the run's own digits are dark on bright paper. For any
    other run, and for a folder in colour, the picture is prepared as the training pictures were.
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
    return decode.pixels(source, decode.Form(h, c, config.fit, decode.colour(config.background), config.levels))


def _kind(path: Path) -> str:
    """Detect which kind of data set `path` holds: a name for `load`. Raises Failure if it holds none."""
    if mnist.files(path):
        return "auto"
    if os.path.isdir(path):
        if splits.files(path, arrays.KMNIST):
            return "npz"
        has_table = any(map(pixel_table.columns, path.glob("*.csv")))
        return "csv" if has_table and not any(inner.is_dir() for inner in path.glob("[!.]*")) else "folder"
    suffix = path.suffix.lower()
    if suffix in (".npz", ".csv") and os.path.isfile(path):
        return suffix[1:]
    problem = "is a file, but no .npz or .csv" if os.path.isfile(path) else "does not exist"
    forms = "a folder of pictures or of MNIST's files, a .csv or an .npz (numpy.savez('set.npz', images=…, labels=…))"
    raise Failure(f"{path} {problem}: name {forms} by --data-dir")


def _drawn(channels: int) -> Dataset:
    parts = [Split(*synthetic.digits(count, channels, (0, part))) for part, count in enumerate(DRAWN)]
    digest = hashlib.sha256(f"drawn {synthetic.VERSION} 0 {channels} {DRAWN}".encode())
    for array in (array for part in parts for array in part):
        digest.update(array.data)
    return Dataset("drawn", "drawn digits", *parts, digest.hexdigest(), split_from="each part is drawn separately")
