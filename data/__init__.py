"""Digits as NumPy arrays: MNIST, another IDX data set, or digits drawn on the spot."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data import drawn, mnist
from data.console import Failure

MNIST_DIR = Path(__file__).resolve().parent / "mnist"
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


def load(name: str = "auto", data_dir: str | Path | None = None, channels: int = 1, seed: int = 0) -> Dataset:
    """Load a data set, downloading MNIST if need be.

    Args:
        name: "auto" takes the IDX files in `data_dir`, else downloads MNIST, else draws digits and says so;
            "mnist" insists on MNIST; "idx" takes the files in `data_dir` and never downloads; "drawn" draws.
        data_dir: folder of the four IDX files; None is data/mnist in this repository.
        channels: 1 is grey; 3 copies the grey image three times, and gives each drawn digit its own colours.
        seed: of the drawn digits, at least 0.

    Raises:
        Failure: files are damaged, do not fit together, are not what was asked for, or cannot be had.
    """
    if channels not in (1, 3):
        raise Failure(f"{channels} channels: choose 1 (grey) or 3 (colour)")
    if name == "drawn":
        return _draw(channels, seed)
    if name not in ("auto", "mnist", "idx"):
        raise Failure(f"no data set is called {name!r}: choose auto, mnist, idx or drawn")
    folder = Path(data_dir).expanduser() if data_dir is not None else MNIST_DIR
    if name != "idx" and mnist.missing(folder):
        try:
            print(f"downloading MNIST (12 MB) to {folder}", flush=True)
            mnist.download(folder)
        except mnist.Unreachable as error:
            if name == "mnist":
                raise
            _say_drawn(error.why)
            return _draw(channels, seed)
    return _read(name, folder, channels)


def _read(name: str, folder: Path, channels: int) -> Dataset:
    arrays, is_mnist, fingerprint = mnist.read(folder)
    images, labels, test_images, test_labels = (arrays[file] for file in mnist.FILES)
    title = "MNIST" if is_mnist else f"IDX data set in {folder} (not MNIST)"
    if not is_mnist:
        if name == "mnist":
            raise Failure(f"the files in {folder} are another data set, not MNIST: choose another folder with "
                          "--data-dir, or ask for auto instead of mnist")  # fmt: skip
        print(
            f"{folder} holds an IDX data set that is not MNIST: {len(images):,} training images of "
            f"{images.shape[1]} x {images.shape[2]} pixels, {len(test_images):,} for the test",
            flush=True,
        )
    first = min(VALIDATION, len(images) // 12)
    if len(images) - first < MIN_TRAIN:
        raise Failure(f"{folder} has {len(images)} training images; {MIN_TRAIN} must be left after validation: "
                      "choose a larger data set")  # fmt: skip

    def split(images: np.ndarray, labels: np.ndarray) -> Split:
        return Split(np.repeat(images[..., None], channels, axis=-1), labels)  # (N, H, W, C)

    return Dataset(
        "mnist" if is_mnist else "idx", title,
        split(images[first:], labels[first:]), split(images[:first], labels[:first]), split(test_images, test_labels),
        fingerprint,
    )  # fmt: skip


def _draw(channels: int, seed: int) -> Dataset:
    splits = [Split(*drawn.draw(count, channels, (seed, part))) for part, count in enumerate(DRAWN)]
    digest = hashlib.sha256(f"drawn {drawn.VERSION} {seed} {channels} {DRAWN}".encode())
    for array in (array for split in splits for array in split):
        digest.update(array.data)
    return Dataset("drawn", "drawn digits", *splits, digest.hexdigest())


def _say_drawn(why: str) -> None:
    """A block that nobody can miss: results on drawn digits are not results on MNIST."""
    print(f"""
{RULE}
  NOT MNIST: it could not be downloaded
  ({why}).
  Going on with DRAWN DIGITS instead; figures measured on them are not MNIST's.

  To get MNIST, put these four files into a folder and add --data-dir FOLDER:
    {mnist.FILES[0]}.gz    {mnist.FILES[1]}.gz
    {mnist.FILES[2]}.gz     {mnist.FILES[3]}.gz
{RULE}
""", flush=True)  # fmt: skip
