"""Which files make one data set: their names differ only in the part (train, test) and in the kind (images, labels)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

from data.splits import TEST, TRAIN, VALIDATION
from engine.dataset import LeftOut
from engine.terminal import Failure, printable

PARTS = {TRAIN: ("train", "training"), VALIDATION: ("val", "valid", "validation"), TEST: ("test", "testing", "t10k")}
PART = {word: part for part, words in PARTS.items() for word in words}
SET = f"(?P<set>|.*[^a-z])(?P<part>{'|'.join(PART)})"  # how the pattern of a file's name begins, in lower case
LABELS = ("labels", "label", "y", "target", "targets")
SHOWN = 12  # names of what is left out
TURNED = "EMNIST's images, whose files have columns for rows, were turned"

Files = dict[tuple[int, bool], Path]  # by part, and by whether they are labels


def in_folder(folder: Path, pattern: re.Pattern) -> dict[str, Files]:
    """The sets in a folder, by name: the files that match, a raw one before a gzipped one.

    A folder of a file's name stands for the file of the same name in it: some archives have it so.
    """
    sets: dict[str, Files] = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) and os.access(folder, os.R_OK) else []:
        match, path = pattern.fullmatch(name.lower()), folder / name
        if match:
            key = PART[match["part"]], match["kind"] in LABELS
            sets.setdefault(match["set"], {}).setdefault(key, path / name if path.is_dir() else path)
    return sets


def files(place: Path, pattern: re.Pattern) -> tuple[Files, tuple[LeftOut, ...]]:
    """The files of the set in a folder, or of the set to which the file `place` belongs; and what is left out.

    Of several sets in a folder the one without a name counts. Raises Failure if all have names.
    """
    if not os.path.isdir(place):
        match = pattern.fullmatch(place.name.lower())
        there = in_folder(place.parent, pattern) if match and os.path.isfile(place) else {}
        return (there.get(match["set"], {}) if there else {}), ()
    sets = in_folder(place, pattern)
    names = [name.strip("-_. ") for name in sets if name]
    if len(names) > 1 and "" not in sets:
        raise Failure(f"{place} holds several data sets ({', '.join(names)}): name a file of one of them by --data-dir")
    chosen = min(sets, default="")
    return sets.get(chosen, {}), left_out("other data sets in the folder", [] if chosen else names)


def left_out(why: str, names: Iterable[str]) -> tuple[LeftOut, ...]:
    """What Dataset.left_out has of these: nothing, if there are none."""
    names = [printable(name) for name in names]
    return (LeftOut(why, len(names), tuple(sorted(set(names)))[:SHOWN]),) * bool(names)
