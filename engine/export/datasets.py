"""Write data sets from arrays: NumPy's .npz, MNIST's IDX files, a folder of PNGs per label. train.py reads them all."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine import files, idx
from engine.drawing import sheets
from engine.drawing.labels import FOLDER, slugs
from engine.terminal import Failure

Labelled = tuple[np.ndarray, np.ndarray]  # images uint8 (N, H, W, C) and labels (N,)


def write_npz(path: str | os.PathLike, images: np.ndarray, labels: np.ndarray, names: Sequence[str] = ()) -> None:
    """Write an .npz file atomically: `images`, (N, H, W) if grey, `labels`, and `label_names` if there are any."""
    named = {"label_names": np.array(names)} if names else {}
    files.write_npz(Path(path), images=images[..., 0] if images.shape[-1] == 1 else images, labels=labels, **named)


def check_folder(folder: Path) -> None:
    """Raise Failure if `folder` is not empty: its files could be overwritten or mixed up with the new ones."""
    if folder.is_dir() and any(folder.iterdir()):
        raise Failure(f"{folder} is not empty: choose another folder for the data set")


def check_idx(channels: int, num_labels: int) -> None:
    """Raise Failure if IDX files cannot hold these images or labels."""
    if channels != 1 or num_labels > 256:
        raise Failure("--idx holds grey images of at most 256 labels: use --npz or --each for this run")


def write_idx(folder: Path, train: Labelled, test: Labelled, names: Sequence[str] = ()) -> None:
    """Write a folder of MNIST's four files, and labels.txt if the labels have names, atomically."""
    arrays = train[0][..., 0], train[1], test[0][..., 0], test[1]
    with files.whole(folder) as partial:
        partial.mkdir()
        for name, array in zip(idx.FILES, arrays, strict=True):
            (partial / name).write_bytes(idx.encoded(array))
        if names:
            (partial / idx.NAMES).write_text("\n".join(names) + "\n", "utf-8")


def write_each(
    folder: Path, images: np.ndarray, labels: np.ndarray, names: Sequence[str], about: dict[str, object], scale: int = 1
) -> None:
    """Write a folder of one PNG per image, <label>/<n>.png, numbered within each label, atomically.

    The PNGs contain `about` as metadata.
    """
    count, folders = Counter(), slugs(names, FOLDER)
    with files.whole(folder) as partial:
        for image, label in zip(images, labels.tolist(), strict=True):
            path = partial / folders[label] / f"{count[label]:05d}.png"
            count[label] += 1
            picture = sheets.sheet(image[None, None], scale=scale, gap=0)
            sheets.write_png(path, picture, about | {"label": names[label]})
