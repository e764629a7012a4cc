"""Find the pictures in a folder, their labels (one folder each, or a table), and the split of each picture."""

import os
import re
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from data import decode, label_table, splits
from data.label_table import Aside
from engine.config import MOST_LABELS
from engine.terminal import Failure, printable

JUNK = ("__macosx", "thumbs.db", "desktop.ini")
WORDS = splits.WORDS | dict.fromkeys(("dev", "eval"), splits.VALIDATION)
# The names of folders that are splits, such as seg_train, test2017.
PART = re.compile(rf"(.*[^a-z])?({'|'.join(WORDS)})([^a-z].*|set)?", re.IGNORECASE | re.DOTALL)

Tops = dict[str, set[str]]  # top-level folders, each with its subfolders that hold pictures
Labelled = dict[str, tuple[str, int | None]]  # label and split of each picture, by path; None: no folder says which


class Picture(NamedTuple):
    path: str  # relative to the root, with "/"
    label: int
    part: int  # splits.TRAIN, VALIDATION or TEST; TRAIN if no folder says which, see `split`
    size: int  # of the file, in bytes
    time: int  # of its last change, in nanoseconds
    touched: int  # ctime, in nanoseconds: cp -p, tar and touch can set `time`, but not this


def contents(root: Path) -> tuple[list[Picture], dict[str, Any]]:
    """Return all pictures under `root`, sorted by path, and the fields of Dataset that describe their labels and split.

    Raises Failure for no pictures or too many labels.
    """
    if not root.is_dir():
        raise Failure(f"{root} is not a folder: name one that has a folder of pictures for each label")
    aside: Aside = defaultdict(list)
    notes: list[str] = []
    files = dict(_walk(root, aside, notes))
    folders, tops, parts = _layout(files)
    labels = label_table.labels(root, folders, {name for name in parts if not tops[name]}, aside, notes)
    labelled = {path: (label, parts.get("".join(folders[path][:1]))) for path, label in labels.items()}
    labelled = labelled or _by_folder(folders, tops, parts, aside)
    left_out = tuple(entry for why in sorted(aside) for entry in splits.left_out(why, aside[why]))
    if not labelled:
        where = root.joinpath(next((name for name in parts if parts[name] == splits.TRAIN), ""))
        ignored = "".join(f"; left out {count:,}, {why}: {names[0]}" for why, count, names in left_out)
        needs = f"a folder of pictures for each label: such as {where}/rose/1.jpg, {where}/tulip/2.png …"
        raise Failure(f"{where} needs {needs}; or a table labels.csv; or MNIST's four IDX files{ignored}")
    ordered = _in_order({label for label, _ in labelled.values()})
    if ordered != sorted(ordered):
        notes.append("labels that are numbers are in the order of their values")
    label_number = {_nfc(label): i for i, label in enumerate(ordered)}
    present = {part for _, part in labelled.values()}
    has_splits = {splits.TRAIN} < present and None not in present
    split_from = "by a hash of each path"
    if has_splits:
        named = ", ".join(f"{name}/" for name in sorted(parts, key=parts.get) if parts[name] in present)
        split_from = f"by folder, {named}" + "; what is missing by a hash of each path" * (len(present) < 3)
    pictures = [
        Picture(path, label_number[_nfc(label)], part if has_splits else splits.TRAIN, *files[path])
        for path, (label, part) in labelled.items()
    ]
    if not parts:
        notes += _looks_like_a_split(root, tops)
    fields = {"num_labels": len(ordered), "label_names": label_names(ordered), "split_from": split_from}
    return sorted(pictures), fields | {"left_out": left_out, "notes": tuple(notes)}


def _in_order(labels: Set[str]) -> list[str]:
    """Sort the labels, numbers by value. Of labels that differ only in Unicode normalisation, keep one."""
    spelling: dict[str, str] = {}  # by NFC form: macOS decomposes accents in file names
    for label in sorted(labels):
        spelling.setdefault(_nfc(label), label)
    labels = sorted(spelling.values())
    return sorted(labels, key=int) if all(map(str.isdecimal, labels)) else labels


def label_names(labels: list[str]) -> tuple[str, ...]:
    """Return the labels' printable names. Raises Failure if there are too many, or if two names look the same."""
    if len(labels) > MOST_LABELS:
        raise Failure(f"{len(labels):,} are more labels than {MOST_LABELS:,}: put fewer there")
    names = tuple(printable(name) for name in labels)
    if len(set(names)) < len(names):
        raise Failure("two folders' names differ only in what cannot be printed: rename one")
    return names


def split(pictures: list[Picture], names: tuple[str, ...]) -> np.ndarray:
    """Return the split of each picture, uint8 (N,), by folder or by a hash of its path. Raises Failure for too few."""
    labels = np.array([picture.label for picture in pictures], int)
    counts = np.bincount(labels, minlength=len(names))
    if counts.min() < 2:
        shortage = f"{names[counts.argmin()]!r} has {counts.min()} that can be read"
        raise Failure(f"a label needs 2 pictures, {shortage}: add some, or move its folder away")
    parts = np.array([picture.part for picture in pictures], np.uint8)
    missing = [part for part in (splits.VALIDATION, splits.TEST) if part not in parts]
    training = np.flatnonzero(parts == splits.TRAIN)
    counts = np.bincount(labels[training], minlength=len(names))
    if not counts.min():
        raise Failure(f"{names[counts.argmin()]!r} has no picture under train: put some there, or move its folder away")
    parts[training] = splits.by_hash([pictures[i].path for i in training], labels[training], missing)
    return parts


def _walk(root: Path, aside: Aside, notes: list[str]) -> Iterator[tuple[str, tuple[int, int, int]]]:
    """Yield the relative path, with "/", of every picture under `root`, and its size and times as Picture has them.

    Follows links. Adds all other files, and folders that are not searched, to `aside`. Raises Failure.
    """
    links, todo = 0, [(str(root), "", ())]
    while todo:
        folder, below, above = todo.pop()
        try:
            entries, status = list(os.scandir(folder)), os.stat(folder)
        except OSError as error:
            raise Failure(f"{error.filename} cannot be read ({error.strerror}): check its permissions") from None
        above += ((status.st_dev, status.st_ino),)
        for entry in entries:
            name, path, full_path = entry.name, below + entry.name, entry.path
            if name.startswith(".") or name.lower() in JUNK:
                aside["hidden, or left behind by a system"].append(path)
                continue
            try:
                status = os.stat(full_path)
            except OSError as error:
                aside[f"links that lead nowhere ({error.strerror})"].append(path)
                continue
            if not stat.S_ISDIR(status.st_mode):
                why = decode.why_no_picture(full_path) if stat.S_ISREG(status.st_mode) else "no regular file"
                if not why:
                    yield path, (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            elif (status.st_dev, status.st_ino) in above:
                why = "links back to a folder that they are in"
            else:
                why = ""
                todo.append((full_path, f"{path}/", above))
            links += entry.is_symlink() and not why
            if why:
                aside[why].append(path)
    if links:
        notes.append(f"links are followed: {links:,}")


def _layout(paths: Iterable[str]) -> tuple[dict[str, list[str]], Tops, dict[str, int]]:
    """Return the folders of each picture, from the split or label down; the top folders; and which tops are splits.

    Wrapping folders from archives are dropped: data/train/rose and train/train/rose become train/rose.
    """
    folders = {path: path.split("/")[:-1] for path in paths}
    doubled = {name for name, inner in _tops(folders).items() if inner == {name}}
    folders = {path: names[1:] if names and names[0] in doubled else names for path, names in folders.items()}
    tops = _tops(folders)
    if len(tops) == 1 and not _parts(tops):
        inside = {path: names[1:] for path, names in folders.items()}
        if _parts(_tops(inside)):
            folders, tops = inside, _tops(inside)
    return folders, tops, _parts(tops)


def _tops(folders: dict[str, list[str]]) -> Tops:
    tops: Tops = defaultdict(set)
    for names in folders.values():
        for name in names[:1]:
            tops[name].update(_nfc(inner) for inner in names[1:2])
    return tops


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _parts(tops: Tops) -> dict[str, int]:
    """Return which top folders are splits: train and others whose names differ only in the word for the split.

    If train holds no folders and there are other folders besides, all of them are labels like any others.
    """
    groups: dict[tuple[str, ...], dict[str, int]] = defaultdict(dict)
    for name in sorted(tops):
        match = PART.fullmatch(name)
        if match:
            affixes = tuple((match[i] or "").lower() for i in (1, 3))
            groups[affixes][name] = WORDS[match[2].lower()]
    for parts in groups.values():
        labelled = any(tops[name] for name in parts if parts[name] == splits.TRAIN)
        several = len(set(parts.values())) > 1
        if splits.TRAIN in parts.values() and (len(parts) == len(tops) or (labelled and several)):
            return parts
    return {}


def _by_folder(folders: dict[str, list[str]], tops: Tops, parts: dict[str, int], aside: Aside) -> Labelled:
    """Return label and split of every picture in a label's folder; the rest goes to `aside`."""
    result: Labelled = {}
    training = set().union(*(tops[name] for name in parts if parts[name] == splits.TRAIN))
    for path, names in folders.items():
        if parts and names and names[0] not in parts:
            aside["beside the folders of the split"].append(path)
        elif len(names) < 1 + bool(parts):
            aside["in no label's folder"].append(path)
        elif not parts:
            result[path] = names[0], None
        elif len(tops[names[0]]) == 1 and not tops[names[0]] <= training:  # such as val/images: pictures without labels
            aside["in a folder that is no label under train"].append(path)
        else:
            result[path] = names[1], parts[names[0]]
    return result


def _looks_like_a_split(root: Path, tops: Tops) -> list[str]:
    """Return a note, or none, on folders that may be splits or wrappers instead of labels."""
    largest = max(tops.values(), key=len, default=set())
    if len(largest) < 2 or not all(len(inner) > 1 and inner <= largest for inner in tops.values()):
        return []
    names = ", ".join(sorted(tops)[: splits.SHOWN])
    if len(tops) == 1:
        return [f"if the folders in {names}/ are the labels, name {root / names} by --data-dir"]
    return [f"{names} hold folders of the same names: if they are splits of one set, rename them train and test"]
