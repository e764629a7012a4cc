"""Group files into data sets: their names differ only in the split (train, test) and the kind (images, labels)."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from data.splits import TEST, TRAIN, VALIDATION
from engine.dataset import LeftOut
from engine.terminal import Failure, printable

PARTS = {TRAIN: ("train", "training"), VALIDATION: ("val", "valid", "validation"), TEST: ("test", "testing", "t10k")}
PART = {word: part for part, words in PARTS.items() for word in words}
SET = f"(?P<set>|.*[^a-z])(?P<part>{'|'.join(PART)})"  # how a pattern of file names, in lower case, begins
LABELS = ("labels", "label", "y", "target", "targets")
SHOWN = 12  # names of left-out files or labels in a report
TURNED = "EMNIST's images, which are stored transposed, were turned"

Files = dict[tuple[int, bool], Path]  # by split, and by whether they are labels


def in_folder(folder: Path, pattern: re.Pattern) -> dict[str, Files]:
    """Return the data sets in a folder, by name. Their files match `pattern`; raw files take precedence over gzipped.

    Some archives unpack each file into a folder of the same name; then the file in that folder counts.
    """
    sets: dict[str, Files] = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) and os.access(folder, os.R_OK) else []:
        match, path = pattern.fullmatch(name.lower()), folder / name
        if match:
            key = PART[match["part"]], match["kind"] in LABELS
            sets.setdefault(match["set"], {}).setdefault(key, path / name if path.is_dir() else path)
    return sets


def files(path: Path, pattern: re.Pattern) -> tuple[Files, tuple[LeftOut, ...]]:
    """Return the files of the data set in the folder `path`, or of the one that the file `path` belongs to.

    Also returns the folder's other sets. Of several, the one without a name is chosen; Failure if all have names.
    """
    if not os.path.isdir(path):
        match = pattern.fullmatch(path.name.lower())
        sets_beside = in_folder(path.parent, pattern) if match and os.path.isfile(path) else {}
        return (sets_beside.get(match["set"], {}) if sets_beside else {}), ()
    sets = in_folder(path, pattern)
    names = [name.strip("-_. ") for name in sets if name]
    if len(names) > 1 and "" not in sets:
        raise Failure(f"{path} holds several data sets ({', '.join(names)}): name a file of one of them by --data-dir")
    chosen = min(sets, default="")
    return sets.get(chosen, {}), left_out("other data sets in the folder", [] if chosen else names)


def left_out(why: str, names: Iterable[str]) -> tuple[LeftOut, ...]:
    """Return an entry for Dataset.left_out, or () if there are no names."""
    names = [printable(name) for name in names]
    return (LeftOut(why, len(names), tuple(sorted(set(names)))[:SHOWN]),) * bool(names)
