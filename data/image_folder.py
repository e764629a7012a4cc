"""A folder of pictures with a folder per label, or a table: its pictures, their labels, and which part they are in."""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data import decode, label_table, splits
from data.label_table import Aside
from engine.dataset import LeftOut
from engine.terminal import Failure, printable

JUNK = ("__macosx", "thumbs.db", "desktop.ini")
WORDS = dict.fromkeys(("train", "training"), splits.TRAIN) | dict.fromkeys(("test", "testing"), splits.TEST)
WORDS |= dict.fromkeys(("val", "valid", "validation", "dev", "eval"), splits.VALIDATION)
PART = re.compile(rf"(.*[^a-z])?({'|'.join(WORDS)})([^a-z].*|set)?", re.IGNORECASE | re.DOTALL)  # seg_train, test2017
MOST_LABELS = 1_000
ANY_PART = -1  # where no folder says it
SHOWN = 3  # names of a kind of files that are left out

Tops = dict[str, set[str]]  # folders, each with the folders in it that hold pictures
Places = dict[str, tuple[str, int]]  # label and part of a picture, by its path


class Picture(NamedTuple):
    path: str  # from the root, with "/"
    label: int
    part: int  # splits.TRAIN, VALIDATION or TEST, or ANY_PART
    size: int  # of the file, in bytes
    time: int  # of its last change, in nanoseconds
    touched: int  # when the system last noted a change, in nanoseconds: cp -p, tar and touch set `time`, but not this


class Contents(NamedTuple):
    """What a folder holds."""

    pictures: list[Picture]
    names: tuple[str, ...]  # of the labels, printable: as their folders or a table call them; numbers by their values
    split_from: str  # this and the others as in Dataset
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]


def contents(root: Path) -> Contents:
    """All pictures under `root` with their labels and parts. Raises Failure if there are none, or too many labels."""
    if not root.is_dir():
        raise Failure(f"{root} is not a folder: name one that has a folder of pictures for each label")
    aside: Aside = defaultdict(list)
    notes: list[str] = []
    seen = dict(_walk(root, aside, notes))
    folders, tops, parts = _layout(seen)
    labels = label_table.labels(root, folders, {name for name in parts if not tops[name]}, aside, notes)
    places = {path: (label, parts.get("".join(folders[path][:1]), ANY_PART)) for path, label in labels.items()}
    places = places or _by_folder(folders, tops, parts, aside)
    kinds = sorted((why, sorted(names)) for why, names in aside.items() if names)
    left_out = tuple(LeftOut(why, len(names), tuple(names[:SHOWN])) for why, names in kinds)
    if not places:
        where = root.joinpath(next((name for name in parts if parts[name] == splits.TRAIN), ""))
        besides = "".join(f"; left out {count:,}, {why}: {names[0]}" for why, count, names in left_out)
        raise Failure(
            f"{where} needs a folder of pictures for each label: such as {where}/rose/1.jpg, {where}/tulip/2.png …; "
            f"or a table labels.csv; or MNIST's four IDX files{besides}"
        )
    ordered = _in_order({label for label, _ in places.values()})
    if ordered != sorted(ordered):
        notes.append("labels that are numbers are in the order of their values")
    number = {_composed(label): i for i, label in enumerate(ordered)}
    there = {part for _, part in places.values()}
    in_parts = {splits.TRAIN} < there and ANY_PART not in there
    pictures = []
    for path, (label, part) in places.items():
        file = seen[path]
        placed = path, number[_composed(label)], part if in_parts else ANY_PART
        pictures.append(Picture(*placed, file.st_size, file.st_mtime_ns, file.st_ctime_ns))
    if not parts:
        notes += _looks_like_a_split(root, tops)
    return Contents(sorted(pictures), label_names(ordered), _split_from(pictures, parts), left_out, tuple(notes))


def _in_order(labels: Set[str]) -> list[str]:
    """The labels sorted, numbers by their values; of two spellings that look alike the first."""
    spelling: dict[str, str] = {}  # by the composed form: macOS writes accents as letters of their own
    for label in sorted(labels):
        spelling.setdefault(_composed(label), label)
    labels = sorted(spelling.values())
    return sorted(labels, key=int) if all(map(str.isdecimal, labels)) else labels


def label_names(labels: list[str]) -> tuple[str, ...]:
    """What the labels are called, printable. Raises Failure if there are too many, or two that look the same."""
    if len(labels) > MOST_LABELS:
        raise Failure(f"{len(labels):,} are more labels than {MOST_LABELS:,}: put fewer there")
    names = tuple(printable(name) for name in labels)
    if len(set(names)) < len(names):
        raise Failure("two folders' names differ only in what cannot be printed: rename one")
    return names


def split(found: list[Picture], names: tuple[str, ...]) -> np.ndarray:
    """The part of each picture, uint8 (N,): its folder's, else by the hash of its path. Raises Failure if too few."""
    labels = np.array([picture.label for picture in found], int)
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
        raise Failure(f"{names[counts.argmin()]!r} has no picture under train: put some there, or move its folder away")
    result[training] = splits.by_hash([found[i].path for i in training], labels[training], carved)
    return result.astype(np.uint8)


def _walk(root: Path, aside: Aside, notes: list[str]) -> Iterator[tuple[str, os.stat_result]]:
    """Path from the root, with "/", and status of every picture under it; links are followed. Raises Failure.

    All other files, and folders that are not looked into, go to `aside`.
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
            name, path, place = entry.name, below + entry.name, entry.path
            if name.startswith(".") or name.lower() in JUNK:
                aside["hidden, or left behind by a system"].append(path)
                continue
            try:
                status = os.stat(place)
            except OSError as error:
                aside[f"links that lead nowhere ({error.strerror})"].append(path)
                continue
            if not stat.S_ISDIR(status.st_mode):
                why = decode.why_no_picture(place) if stat.S_ISREG(status.st_mode) else "no regular file"
                if not why:
                    yield path, status
            elif (status.st_dev, status.st_ino) in above:
                why = "links back to a folder that they are in"
            else:
                why = ""
                todo.append((place, f"{path}/", above))
            links += entry.is_symlink() and not why
            if why:
                aside[why].append(path)
    if links:
        notes.append(f"links are followed: {links:,}")


def _layout(paths: Iterable[str]) -> tuple[dict[str, list[str]], Tops, dict[str, int]]:
    """The folders that each picture is in, the first of them that of a part or label; these; which of them are parts.

    What archives unpack around them does not count: data/train/rose and train/train/rose are train/rose.
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
            tops[name].update(_composed(inner) for inner in names[1:2])
    return tops


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _parts(tops: Tops) -> dict[str, int]:
    """Which folders are the parts of a split: one for training and another, named alike but for the words for them.

    Folders of these names are labels like any others if they hold no folders and others stand beside them.
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


def _by_folder(folders: dict[str, list[str]], tops: Tops, parts: dict[str, int], aside: Aside) -> Places:
    """Label and part of every picture that is in a label's folder."""
    result: Places = {}
    training = set().union(*(tops[name] for name in parts if parts[name] == splits.TRAIN))
    for path, names in folders.items():
        if parts and names and names[0] not in parts:
            aside["beside the folders of the split"].append(path)
        elif len(names) < 1 + bool(parts):
            aside["in no label's folder"].append(path)
        elif not parts:
            result[path] = names[0], ANY_PART
        elif len(tops[names[0]]) == 1 and not tops[names[0]] <= training:  # val/images: they have no labels
            aside["in a folder that is no label under train"].append(path)
        else:
            result[path] = names[1], parts[names[0]]
    return result


def _split_from(found: list[Picture], parts: dict[str, int]) -> str:
    """Where the split comes from, in a phrase."""
    there = {picture.part for picture in found}
    if there == {ANY_PART}:
        return "by a hash of each path"
    named = ", ".join(f"{name}/" for name in sorted(parts, key=parts.get) if parts[name] in there)
    carved = [name for name, part in (("validation", splits.VALIDATION), ("test", splits.TEST)) if part not in there]
    return f"by folder, {named}" + f"; {' and '.join(carved)} by a hash of each path" * bool(carved)


def _looks_like_a_split(root: Path, tops: Tops) -> list[str]:
    """A line where folders could be something else than labels."""
    largest = max(tops.values(), key=len, default=set())
    if len(largest) < 2 or not all(len(inner) > 1 and inner <= largest for inner in tops.values()):
        return []
    names = ", ".join(sorted(tops)[:SHOWN])
    if len(tops) == 1:
        return [f"if the folders in {names}/ are the labels, name {root / names} by --data-dir"]
    return [f"{names} hold folders of the same names: if they are parts of one set, rename them train and test"]
