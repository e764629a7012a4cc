"""Data sets written from arrays: NumPy's .npz, MNIST's IDX files, one PNG per image."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from data import idx, mnist
from engine import pictures
from engine.files import whole
from engine.terminal import Failure

Labelled = tuple[np.ndarray, np.ndarray]  # images uint8 (N, H, W, C) and labels (N,)


def write_npz(path: str | os.PathLike, images: np.ndarray, labels: np.ndarray, label_names: Sequence[str] = ()) -> None:
    """Write `images`, grey ones as (N, H, W), `labels` and their names for numpy.load: all of it, or nothing."""
    names = {"label_names": np.array(label_names)} if label_names else {}
    with whole(path) as partial, open(partial, "wb") as file:
        np.savez(file, images=images[..., 0] if images.shape[-1] == 1 else images, labels=labels, **names)


def check_idx_folder(folder: Path, channels: int) -> None:
    """Raises Failure if images of so many channels do not go into IDX files, or `folder` holds such files already."""
    if channels != 1:
        raise Failure("--idx holds grey images only, and this run's have colour: use --npz or --each")
    found = (mnist.find(folder, name) for name in mnist.FILES)
    taken = next((path for path in found if path), None)
    if taken:
        raise Failure(f"{taken} exists: choose another folder for --idx")


def write_idx(folder: Path, train: Labelled, test: Labelled) -> None:
    """Write the four files of MNIST's names, raw."""
    for part, (images, labels) in ("train", train), ("t10k", test):
        idx.write(folder / f"{part}-images-idx3-ubyte", images[..., 0])
        idx.write(folder / f"{part}-labels-idx1-ubyte", labels)


def write_each(
    folder: Path, images: np.ndarray, labels: np.ndarray, about: Callable[[int], dict[str, object]], scale: int = 1
) -> None:
    """Write one PNG per image, <label>_<n>.png, counting the images of each label; `about` gives its metadata."""
    count: dict[int, int] = {}
    for image, label in zip(images, labels.tolist(), strict=True):
        nth = count.get(label, 0)
        count[label] = nth + 1
        picture = pictures.sheet(image[None, None], scale=scale, gap=0)
        pictures.write_png(folder / f"{label}_{nth:05d}.png", picture, about(label))
