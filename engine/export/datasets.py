"""Write data sets from arrays: NumPy's .npz, MNIST's IDX files, a folder of PNGs per label. train.py reads them all."""

import contextlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from engine import idx, npz
from engine.drawing import sheets
from engine.drawing.labels import FOLDER, slugs
from engine.files import whole
from engine.terminal import Failure

Labelled = tuple[np.ndarray, np.ndarray]  # images uint8 (N, H, W, C) and labels (N,)


def write_npz(path: str | os.PathLike, images: np.ndarray, labels: np.ndarray, names: Sequence[str] = ()) -> None:
    """Write an .npz file atomically: `images`, (N, H, W) if grey, `labels`, and `label_names` if there are any."""
    named = {"label_names": np.array(names)} if names else {}
    npz.write(Path(path), images=images[..., 0] if images.shape[-1] == 1 else images, labels=labels, **named)


def check_idx_folder(folder: Path, channels: int, num_labels: int) -> None:
    """Raise Failure if IDX files cannot hold these images or labels, or if `folder` already has such files."""
    if num_labels > 256:
        raise Failure(f"--idx holds at most 256 labels, and this run has {num_labels:,}: use --npz or --each")
    if channels != 1:
        raise Failure("--idx holds grey images only, and this run's have colour: use --npz or --each")
    for existing in filter(None, (idx.find(folder, name) for name in (*idx.FILES, idx.NAMES))):
        raise Failure(f"{existing} exists: choose another folder for --idx")


def write_idx(folder: Path, train: Labelled, test: Labelled, names: Sequence[str] = ()) -> None:
    """Write MNIST's four files, uncompressed, and labels.txt if the labels have names: all of them, or none."""
    arrays = train[0][..., 0], train[1], test[0][..., 0], test[1]
    with contextlib.ExitStack() as stack:  # an incomplete set would block the next attempt
        for name, array in zip(idx.FILES, arrays, strict=True):
            idx.write(stack.enter_context(whole(folder / name)), array)
        if names:
            stack.enter_context(whole(folder / idx.NAMES)).write_text("\n".join(names) + "\n", "utf-8")


def check_each_folder(folder: Path) -> None:
    """Raise Failure if `folder` is not empty: its files could be overwritten or mixed up with the new ones."""
    if folder.is_dir() and any(folder.iterdir()):
        raise Failure(f"{folder} is not empty: choose another folder for --each")


def write_each(
    folder: Path, images: np.ndarray, labels: np.ndarray, names: Sequence[str], about: dict[str, object], scale: int = 1
) -> None:
    """Write one PNG per image, <label>/<n>.png, numbered within each label, with `about` as metadata.

    On failure or interruption the files written so far are removed: they would block the next attempt.
    """
    count, folders = Counter(), slugs(names, FOLDER)
    with contextlib.ExitStack() as undo:
        for image, label in zip(images, labels.tolist(), strict=True):
            path = folder / folders[label] / f"{count[label]:05d}.png"
            if not count[label]:
                path.parent.mkdir(parents=True, exist_ok=True)
                undo.callback(path.parent.rmdir)
            count[label] += 1
            picture = sheets.sheet(image[None, None], scale=scale, gap=0)
            sheets.write_png(path, picture, about | {"label": names[label]})
            undo.callback(path.unlink)
        undo.pop_all()
