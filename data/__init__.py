"""Digits as NumPy arrays: MNIST, another IDX data set, or digits drawn on the spot."""

from __future__ import annotations

import argparse
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data import drawn, mnist, photo
from engine.terminal import Failure, bounded

MNIST_DIR = Path(__file__).resolve().parent / "mnist"  # the only folder that anything is downloaded into
VALIDATION = 5_000  # the first training images; MNIST's split is 55,000 / 5,000 / 10,000
MIN_TRAIN = 64
DRAWN = (20_000, 2_000, 2_000)  # train, validation, test
RULE = "=" * 78


class Split(NamedTuple):
    images: np.ndarray  # uint8 (N, H, W, C)
    labels: np.ndarray  # uint8 (N,), 0 to 9


class Dataset(NamedTuple):
    name: str  # "mnist" (verified), "idx" (another IDX data set) or "drawn"; `load` takes it back
    title: str  # for people
    train: Split
    validation: Split
    test: Split
    fingerprint: str  # SHA-256 in hex; the same data, the same fingerprint
    num_labels: int = 10
    label_names: tuple = ()

    @property
    def counts(self):
        return tuple(
            np.bincount(
                np.concatenate([s.labels for s in (self.train, self.validation, self.test)]), minlength=self.num_labels
            ).tolist()
        )

    def __str__(self) -> str:
        train, validation, test = (f"{len(split.labels):,}" for split in (self.train, self.validation, self.test))
        shape = "×".join(map(str, self.train.images.shape[1:]))
        return f"{self.title}: {train} training, {validation} validation and {test} test images, {shape}"


def load(
    name: str = "auto",
    data_dir: str | Path | None = None,
    channels: int | None = None,
    seed: int = 0,
    size=None,
    fit="crop",
    background="white",
) -> Dataset:
    channels = channels or 1
    """Load a data set, downloading MNIST to data/mnist if no other folder is named and it is not there yet.

    Args:
        name: "auto" takes the IDX files that it finds, MNIST or not, and draws digits, saying so, if there are none
            and MNIST cannot be had; "mnist" insists on MNIST; "idx" never downloads; "drawn" draws.
        data_dir: folder of the four IDX files; only read, never made or written to. None is data/mnist here.
        channels: 1 is grey; 3 copies the grey image three times, and gives each drawn digit its own colours.
        seed: of the drawn digits, at least 0.

    Raises:
        Failure: files are missing or damaged, do not fit together, are not what was asked for, or cannot be had.
    """
    if channels not in (1, 3):
        raise Failure(f"{channels} channels: choose 1 (grey) or 3 (colour)")
    if name == "drawn":
        return _from_font(channels, seed)
    if name not in ("auto", "mnist", "idx"):
        raise Failure(f"no data set is called {name!r}: choose auto, mnist, idx or drawn")
    if data_dir is None and name != "idx" and mnist.missing(MNIST_DIR):
        try:
            print(f"downloading MNIST (12 MB) to {MNIST_DIR}", flush=True)
            mnist.download(MNIST_DIR)
        except mnist.Unreachable as error:
            if name == "mnist":
                raise
            _say_not_mnist(error.why)
            return _from_font(channels, seed)
    return _from_files(name, _folder(data_dir), channels)


def of_run(config, data_dir: str | Path | None = None, download: bool = True) -> Dataset:
    """The very data that a run was trained on.

    Args:
        config: the run's, of which dataset, fingerprint, image_shape and data_dir ("" for data/mnist) are looked at.
            It may come from anywhere and name any folder: MNIST that is not there is looked for in data/mnist instead,
            for a config does not get to say where a download goes.
        data_dir: the folder of the run's IDX files, if it is not the one that `config` names.
        download: False raises Failure where MNIST would have to be downloaded.

    Raises:
        Failure: as `load`, or the data found are others than the run's.
    """
    if data_dir is None:
        data_dir = config.data_dir or None
        if config.dataset == "mnist" and mnist.missing(_folder(data_dir)):
            data_dir = None
    if not download and config.dataset == "mnist" and mnist.missing(_folder(data_dir)):
        raise Failure("the run's data is not here: --data-dir names its folder")
    dataset = load(config.dataset, data_dir, config.image_shape[-1])
    if dataset.fingerprint != config.fingerprint or dataset.test.images.shape[1:] != tuple(config.image_shape):
        remedy = f"name its folder with --data-dir (this is {dataset.title})"
        if dataset.name == "drawn":
            remedy = "digits are drawn otherwise by another Pillow, so train it again with this one"
        raise Failure(f"the run was trained on other data than these: {remedy}")
    return dataset


def picture_for(config, source: str, data_dir: str | Path | None = None) -> np.ndarray:
    """One picture as a run's model sees it, uint8 (H, W, C): "test:N" of the run's data, else the digit in a file.

    Raises:
        Failure: there is no such picture, or no digit on it; the run's data are not to be had.
    """
    h, w, c = config.image_shape
    if source.startswith("test:"):
        test = of_run(config, data_dir).test
        try:
            return test.images[bounded(int, 0, len(test.labels) - 1)(source[5:])]
        except argparse.ArgumentTypeError as error:
            raise Failure(f"--style-from {source}: {error}") from None
    if h != w:
        raise Failure(f"this run's images are {h}×{w}; --style-from takes pictures for square ones only")
    return np.repeat(photo.prepare(source, h)[..., None], c, axis=-1)


def _folder(data_dir: str | Path | None) -> Path:
    """`data_dir` as a path, ~ expanded. Whatever it holds, this does not raise: the folder will just not be there."""
    if data_dir is None:
        return MNIST_DIR
    try:
        return Path(os.path.expanduser(data_dir))
    except ValueError:  # "~" before what cannot be anybody's name
        return Path(data_dir)


def _from_files(name: str, folder: Path, channels: int) -> Dataset:
    arrays, is_mnist, fingerprint = mnist.read(folder)
    images, labels, test_images, test_labels = (arrays[file] for file in mnist.FILES)
    title = "MNIST" if is_mnist else f"IDX data set in {folder} (not MNIST)"
    if not is_mnist:
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
    first = min(VALIDATION, len(images) // 12)
    if len(images) - first < MIN_TRAIN:
        raise Failure(
            f"{folder} has {len(images)} training images; {MIN_TRAIN} must be left after validation: "
            "choose a larger data set"
        )

    def split(images: np.ndarray, labels: np.ndarray) -> Split:
        return Split(np.repeat(images[..., None], channels, axis=-1), labels)  # (N, H, W, C)

    return Dataset(
        name="mnist" if is_mnist else "idx",
        title=title,
        train=split(images[first:], labels[first:]),
        validation=split(images[:first], labels[:first]),
        test=split(test_images, test_labels),
        fingerprint=fingerprint,
    )


def _from_font(channels: int, seed: int) -> Dataset:
    splits = [Split(*drawn.digits(count, channels, (seed, part))) for part, count in enumerate(DRAWN)]
    digest = hashlib.sha256(f"drawn {drawn.VERSION} {seed} {channels} {DRAWN}".encode())
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
