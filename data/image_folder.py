"""A folder of pictures with a folder per label: its pictures, their labels, and which part they are in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np

from data import splits
from engine.terminal import Failure, printable

SUFFIXES = tuple(".jpg .jpeg .jpe .jfif .png .webp .bmp .gif .tif .tiff .ppm .pgm .pbm .pnm".split())
JUNK = ("__macosx", "thumbs.db", "desktop.ini")
SPLITS = {"train": splits.TRAIN, "test": splits.TEST} | dict.fromkeys(("validation", "val", "valid"), splits.VALIDATION)
MOST_LABELS = 1_000
ANY_PART = -1  # where no folder says it


class Picture(NamedTuple):
    path: str  # from the root, with "/"
    label: str  # the name of its label's folder
    part: int  # splits.TRAIN, VALIDATION or TEST, or ANY_PART
    size: int  # of the file, in bytes
    time: int  # of its last change, in nanoseconds
    touched: int  # when the system last noted a change, in nanoseconds: cp -p, tar and touch set `time`, but not this


def pictures(root: Path) -> list[Picture]:
    """All pictures under `root`, label by label, by the names of their files. Raises Failure if they have no labels.

    Left out: what is hidden or left behind by a system, folders that are links, and links that lead outside.
    """
    if not root.is_dir():
        raise Failure(f"{root} is not a folder: name one that has a folder of pictures for each label")
    seen = list(_pictures(root))
    tops = {path.split("/")[0].lower() for path, _ in seen if "/" in path}
    in_parts = "train" in tops and tops <= SPLITS.keys()
    result, loose = [], 0
    for path, stat in seen:
        folders = path.split("/")[:-1]
        if len(folders) < 1 + in_parts:
            loose += 1
            continue
        part = SPLITS[folders[0].lower()] if in_parts else ANY_PART
        result.append(Picture(path, folders[in_parts], part, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns))
    if len({picture.label for picture in result}) < 2:
        where = root / "train" if in_parts else root
        raise Failure(
            f"{where} needs a folder of pictures for each of at least two labels: such as {where}/rose/1.jpg, "
            f"{where}/tulip/2.png …; or MNIST's four IDX files"
        )
    if loose:
        print(f"left out {loose:,} of {len(seen):,} pictures, which are in no label's folder", flush=True)
    return sorted(result, key=lambda picture: (picture.label, picture.path))


def label_names(found: list[Picture]) -> tuple[str, ...]:
    """The labels' names in order, printable. Raises Failure if there are too many, or two that look the same."""
    folders = sorted({picture.label for picture in found})
    if len(folders) > MOST_LABELS:
        raise Failure(f"{len(folders):,} folders are more labels than {MOST_LABELS:,}: put fewer there")
    names = tuple(printable(name) for name in folders)
    if len(set(names)) < len(names):
        raise Failure("two folders' names differ only in what cannot be printed: rename one")
    return names


def split(found: list[Picture], labels: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """The part of each picture, uint8 (N,): its folder's, else by the hash of its path. Raises Failure if too few."""
    counts = np.bincount(labels, minlength=len(names))
    if counts.min() < 2:
        few = f"{names[counts.argmin()]!r} has {counts.min()} that can be read"
        raise Failure(f"a label needs 2 pictures, {few}: add some, or move its folder away")
    result = np.array([picture.part for picture in found])
    if (result == ANY_PART).all():
        return splits.by_hash([picture.path for picture in found], labels)
    carved = [part for part in (splits.VALIDATION, splits.TEST) if part not in result]
    training = np.flatnonzero(result == splits.TRAIN)
    counts = np.bincount(labels[training], minlength=len(names))
    if not counts.min():
        raise Failure(f"{names[counts.argmin()]!r} has no picture under train: put some there")
    result[training] = splits.by_hash([found[i].path for i in training], labels[training], carved)
    return result.astype(np.uint8)


def _pictures(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Path from the root, with "/", and status of every picture under it, in any order. Raises Failure."""

    def refuse(error: OSError) -> NoReturn:
        raise Failure(f"{error.filename} cannot be read ({error.strerror}): check its permissions")

    inside = os.path.join(os.path.realpath(root), "")
    for folder, folders, names in os.walk(root, onerror=refuse):  # it does not follow links to folders
        folders[:] = [name for name in folders if _visible(name)]
        below = os.path.relpath(folder, root).replace(os.sep, "/")
        for name in names:
            path = os.path.join(folder, name)
            if name.lower().endswith(SUFFIXES) and _visible(name) and os.path.isfile(path):
                if not os.path.islink(path) or os.path.realpath(path).startswith(inside):
                    yield name if below == "." else f"{below}/{name}", os.stat(path)


def _visible(name: str) -> bool:
    """Whether a file or folder is neither hidden nor left behind by a system."""
    return not name.startswith(".") and name.lower() not in JUNK
