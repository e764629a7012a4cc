"""A folder of pictures with a folder per label: its pictures, their labels, and which part they are in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data import splits
from engine.terminal import Failure, printable

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
SUFFIXES += (".ppm", ".pgm", ".pbm", ".pnm")
JUNK = ("__macosx", "thumbs.db", "desktop.ini")
SPLITS = {"train": splits.TRAIN, "validation": splits.VALIDATION, "val": splits.VALIDATION, "valid": splits.VALIDATION}
SPLITS |= {"test": splits.TEST}
MOST_LABELS = 1_000
ANY_PART = -1  # where no folder says it


class Picture(NamedTuple):
    path: str  # from the root, with "/"
    label: str  # the name of its label's folder
    part: int  # splits.TRAIN, VALIDATION or TEST, or ANY_PART
    size: int  # of the file, in bytes
    time: int  # of its last change, in nanoseconds
    touched: int  # when the system last noted a change, in nanoseconds: cp -p, tar and touch set `time`, but not this


def has_pictures(root: Path) -> bool:
    """Whether there is a picture in `root` itself or in a folder below. Raises Failure if a folder cannot be read."""
    return next(_pictures(root, ""), None) is not None


def pictures(root: Path) -> list[Picture]:
    """All pictures under `root`, label by label, by the names of their files: nothing has been opened yet.

    Hidden files and folders, what systems leave behind, folders that are links and links that lead outside are left
    out.

    Raises:
        Failure: there is no such folder, it cannot be read, or its pictures are not in a folder per label.
    """
    if not root.is_dir():
        raise Failure(f"{root} is not a folder: name one with a folder of pictures per label, {_arranged(root)}")
    top = _entries(root, "")
    loose = sum(entry.is_file() and entry.name.lower().endswith(SUFFIXES) for entry in top)
    folders = [entry.name for entry in top if entry.is_dir(follow_symlinks=False)]
    below = {name: list(_pictures(root, name)) for name in folders}
    used = {name.lower() for name, some in below.items() if some}
    result, where = [], root
    if "train" in used and used <= SPLITS.keys():
        where = root / "train"
        for name, some in below.items():
            inside = [(path, *stat) for path, *stat in some if path.count("/") > 1]
            loose += len(some) - len(inside)
            result += [Picture(path, path.split("/")[1], SPLITS[name.lower()], *stat) for path, *stat in inside]
    else:
        for name, some in below.items():
            result += [Picture(path, name, ANY_PART, *stat) for path, *stat in some]
    if len({picture.label for picture in result}) < 2:
        raise Failure(f"{where} needs a folder of pictures for each of at least two labels: {_arranged(where)}")
    if loose:
        noun = "picture that is" if loose == 1 else "pictures that are"
        print(f"left out: {loose:,} {noun} in no label's folder", flush=True)
    return sorted(result, key=lambda picture: (picture.label, picture.path))


def label_names(found: list[Picture]) -> tuple[str, ...]:
    """The labels' names in order, printable. Raises Failure if there are too many, or two that look the same."""
    folders = sorted({picture.label for picture in found})
    if len(folders) > MOST_LABELS:
        raise Failure(f"{len(folders):,} folders are more labels than {MOST_LABELS:,}: put fewer there")
    names = tuple(printable(name) for name in folders)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise Failure(f"two folders look like {twice!r} without what cannot be printed: rename one")
    return names


def split(found: list[Picture], labels: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """The part of each picture, uint8 (N,): its folder's, else by the hash of its path.

    Args:
        found: pictures that can be decoded.
        labels: theirs, integers (N,).
        names: of the labels.

    Raises:
        Failure: a label has fewer than two pictures, or none for training.
    """
    counts = np.bincount(labels, minlength=len(names))
    if counts.min() < 2:
        least = int(counts.argmin())
        raise Failure(
            f"{names[least]!r} has {counts[least]} picture{'' if counts[least] == 1 else 's'} that can be read, "
            "and a label needs 2: add some, or move its folder away"
        )
    result = np.array([picture.part for picture in found])
    if (result == ANY_PART).all():
        return splits.by_hash([picture.path for picture in found], labels)
    carved = [part for part in (splits.VALIDATION, splits.TEST) if part not in result]
    mine = np.flatnonzero(result == splits.TRAIN)
    lacking = np.bincount(labels[mine], minlength=len(names)) == 0
    if lacking.any():
        raise Failure(f"{names[int(lacking.argmax())]!r} has no picture under train: put some there")
    result[mine] = splits.by_hash([found[i].path for i in mine], labels[mine], carved)
    return result.astype(np.uint8)


def _arranged(root: Path) -> str:
    return f"such as {root}/rose/1.jpg, {root}/tulip/2.png …"


def _entries(root: Path, below: str) -> list[os.DirEntry]:
    """What is to be looked at in root/below, sorted by name. Raises Failure if it cannot be read."""
    try:
        with os.scandir(root / below) as entries:
            seen = [entry for entry in entries if not entry.name.startswith(".") and entry.name.lower() not in JUNK]
    except OSError as error:
        raise Failure(f"{root / below} cannot be read ({error.strerror}): check its permissions") from None
    return sorted(seen, key=lambda entry: entry.name)


def _pictures(root: Path, below: str) -> Iterator[tuple[str, int, int, int]]:
    """Path from the root, size and times of every picture in root/below and under it, in any order. Raises Failure."""
    home, folders = os.path.realpath(root), [below]
    while folders:
        folder = folders.pop()
        for entry in _entries(root, folder):
            path = f"{folder}/{entry.name}" if folder else entry.name
            if entry.is_dir(follow_symlinks=False):
                folders.append(path)
            elif entry.name.lower().endswith(SUFFIXES) and entry.is_file() and _inside(entry, home):
                stat = entry.stat()
                yield path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns


def _inside(entry: os.DirEntry, home: str) -> bool:
    """Whether a file is in the folder `home`, or a link to one that is."""
    return not entry.is_symlink() or os.path.realpath(entry.path).startswith(os.path.join(home, ""))
