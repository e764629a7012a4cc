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
from engine.dataset import Dataset, Split
from engine.terminal import Failure, printable

MAX_BYTES = 1 << 30  # of a .npz file's content: all of it is in memory
MAX_SIDE = 512  # pixels
MOST_LABELS = 1_000


def of_npz(path: Path, channels: int | None) -> Dataset:
    """The arrays `images`, `labels` and, if it has them, `label_names` of a .npz file, as `export.write_npz` writes it.

    Which part an image belongs to is decided by a hash of its number, as for folders by its path. Raises Failure.
    """
    try:
        arrays = npz.read(path, MAX_BYTES)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        remedy = "write it again with numpy.savez, or use a folder of pictures instead"
        raise Failure(f"{path} cannot be read, is damaged or no .npz file ({why}): {remedy}") from None
    images, labels, names = (arrays.get(name) for name in ("images", "labels", "label_names"))
    if images is None or labels is None:
        raise Failure(f"{path} needs the arrays images and labels: write them with numpy.savez")
    images = images[..., None] if images.ndim == 3 else images
    is_form = images.dtype == np.uint8 and images.ndim == 4 and images.size and images.shape[-1] in (1, 3)
    if not is_form or max(images.shape[1:3]) > MAX_SIDE:
        form = f"uint8 (N, H, W) or (N, H, W, 3), at most {MAX_SIDE} pixels a side"
        raise Failure(f"images in {path} must be {form}, not {images.dtype} {images.shape}")
    names, most = _names(path, names), MOST_LABELS if names is None else len(names)
    is_form = labels.dtype.kind in "iu" and labels.shape == images.shape[:1]
    if not is_form or labels.min() < 0 or labels.max() >= most:
        raise Failure(f"labels in {path} must be integers ({len(images)},) from 0 to {most - 1}")
    num_labels = len(names) or int(labels.max()) + 1
    labels = labels.astype(np.min_scalar_type(num_labels - 1))
    counts = np.bincount(labels, minlength=num_labels)
    if num_labels < 2 or counts.min() < 2:
        few = f"{counts.min()} images of the label {counts.argmin()}"
        raise Failure(f"{path} has {few}: it needs two labels or more, and two images of each")
    part = splits.by_hash([str(i) for i in range(len(labels))], labels)
    parts = [Split(images[part == i], labels[part == i]) for i in (splits.TRAIN, splits.VALIDATION, splits.TEST)]
    return dataset("npz", f"images in {path}", parts, channels, num_labels, names)


def _names(path: Path, names: np.ndarray | None) -> tuple[str, ...]:
    """Label names, printable and each once. Raises Failure."""
    if names is None:
        return ()
    result = tuple(printable(str(name)) for name in names.ravel())
    if names.dtype.kind != "U" or names.ndim != 1 or not 2 <= len(set(result)) == len(result) <= MOST_LABELS:
        raise Failure(f"label_names in {path} must be 2 to {MOST_LABELS:,} different texts")
    return result


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
