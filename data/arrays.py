"""Data sets that come as arrays in a .npz file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from data import splits
from data.decode import recoloured
from engine import npz
from engine.dataset import Dataset, Split, dtype_for
from engine.terminal import Failure, printable

MAX_BYTES = 1 << 30  # of a .npz file's content, and of its images in the channels asked for: all of it is in memory
MAX_SIDE = 512  # pixels
MOST_LABELS = 1_000


def of_npz(path: Path, channels: int | None) -> Dataset:
    """The arrays `images`, `labels` and, if it has them, `label_names` of a .npz file, as `export.write_npz` writes it.

    Which part an image belongs to is decided by a hash of its number, as for folders by its path.

    Raises:
        Failure: the file cannot be read, or the arrays are not a data set; one line.
    """
    arrays = _arrays(path)
    images, labels = arrays.get("images"), arrays.get("labels")
    if images is None or labels is None:
        raise Failure(f"{path} needs the arrays images and labels: write them with numpy.savez")
    if images.ndim == 3:
        images = images[..., None]
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        raise Failure(f"images in {path} must be uint8 (N, H, W) or (N, H, W, 3), not {_form(images)}")
    if not 1 <= min(images.shape[1:3]) <= max(images.shape[1:3]) <= MAX_SIDE:
        raise Failure(f"images in {path} must have at most {MAX_SIDE} pixels a side, not {_form(images)}")
    if images.size // images.shape[-1] * (channels or images.shape[-1]) > MAX_BYTES:
        raise Failure(f"{path} has more than {MAX_BYTES >> 30} GB of pixels: use a folder of pictures instead")
    if labels.dtype.kind not in "iu" or labels.shape != images.shape[:1]:
        raise Failure(f"labels in {path} must be integers ({len(images)},), not {_form(labels)}")
    names = _names(path, arrays.get("label_names", np.array([], str)))
    if not len(labels):
        raise Failure(f"{path} holds no images: add some")
    lowest, highest = int(labels.min()), int(labels.max())
    most = len(names) or MOST_LABELS
    if lowest < 0 or highest >= most:
        raise Failure(f"labels in {path} must go from 0 to {most - 1}, not {lowest} to {highest}")
    num_labels = len(names) or highest + 1
    if num_labels < 2:
        raise Failure(f"{path} has one label only: add images of another")
    labels = labels.astype(dtype_for(num_labels))
    counts = np.bincount(labels, minlength=num_labels)
    if counts.min() < 2:
        raise Failure(f"{path} has {counts.min()} images of the label {counts.argmin()}, and a label needs 2: add some")
    part = splits.by_hash([str(i) for i in range(len(labels))], labels)
    parts = [Split(images[part == i], labels[part == i]) for i in (splits.TRAIN, splits.VALIDATION, splits.TEST)]
    return dataset("npz", f"images in {path}", parts, channels, num_labels, names)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays in a .npz file. Raises Failure if it is none, is damaged, or would fill the memory."""
    try:
        return npz.read(path, MAX_BYTES)
    except OSError as error:
        raise Failure(f"{path} cannot be read ({error.strerror or error}): name another file") from None
    except ValueError as error:
        remedy = "write it again with numpy.savez, or use a folder of pictures instead"
        raise Failure(f"{path} is damaged or no .npz file ({error}): {remedy}") from None


def _names(path: Path, names: np.ndarray) -> tuple[str, ...]:
    """Label names, printable and each once. Raises Failure."""
    if names.dtype.kind != "U" or names.ndim != 1 or len(names) > MOST_LABELS:
        raise Failure(f"label_names in {path} must be at most {MOST_LABELS:,} texts, not {_form(names)}")
    result = tuple(printable(name) for name in names.tolist())
    if len(set(result)) < len(result):
        raise Failure(f"label_names in {path} has the same name twice: rename one")
    return result


def _form(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"


def dataset(
    name: str, title: str, splits: Sequence[Split], channels: int | None, num_labels: int, names: tuple[str, ...]
) -> Dataset:
    """The data set of these three parts. Its fingerprint does not depend on `channels`, as MNIST's does not."""
    digest = hashlib.sha256(json.dumps([num_labels, names]).encode())
    for array in (array for split in splits for array in split):
        digest.update(json.dumps(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    splits = [Split(recoloured(images, channels or images.shape[-1]), labels) for images, labels in splits]
    return Dataset(name, title, *splits, digest.hexdigest(), num_labels, names)
