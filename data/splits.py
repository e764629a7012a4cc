"""Training, validation and test set: found by words in the names of files, or made by a hash of names."""

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from engine.dataset import LeftOut
from engine.terminal import Failure, printable

TRAIN, VALIDATION, TEST = range(3)
PARTS = ("training", "validation", "test")
BOUNDS = (1 / 6, 1 / 4)  # hash below 1/6: test; below 1/4: validation; else training
WORDS = dict.fromkeys(("train", "training"), TRAIN) | dict.fromkeys(("test", "testing", "t10k"), TEST)
WORDS |= dict.fromkeys(("val", "valid", "validation"), VALIDATION)
SET = f"(?P<set>|.*[^a-z])(?P<part>{'|'.join(WORDS)})"  # how a pattern of file names, in lower case, begins
LABELS = ("labels", "label", "y", "target", "targets")
SHOWN = 3  # names of left-out files or labels in a report
TURNED = "EMNIST's images, which are stored transposed, were turned"


def by_hash(names: Sequence[str], labels: np.ndarray, held_out: Sequence[int] = (VALIDATION, TEST)) -> np.ndarray:
    """Return the split of each picture, uint8 (N,): TRAIN or one of `held_out`. Names are unique; labels integers (N,).

    A picture's split depends on its own name only, so adding pictures does not move others. The exception: if a split
    has no picture of a label, it gets one from the label's largest split, the one with the smallest hash. A label with
    only two pictures has one for training, one for validation and none for the test.
    """
    fractions = np.array([fraction(name) for name in names])  # (N,) in 0 … 1
    parts = np.uint8(TEST - np.digitize(fractions, BOUNDS))
    parts[~np.isin(parts, held_out)] = TRAIN
    wanted = sorted([TRAIN, *held_out])
    order = np.lexsort((fractions, labels))  # label by label, smallest hash first
    for rows in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        if len(rows) < len(wanted):
            parts[rows] = wanted[: len(rows)][::-1]
            continue
        for part in wanted:
            counts = np.bincount(parts[rows], minlength=3)
            if not counts[part]:
                parts[rows[parts[rows] == counts.argmax()][0]] = part
    return parts


def fraction(name: str) -> float:
    """Hash a name to a number in 0 … 1, the same on every machine."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big") / 2**64


def files(path: Path, pattern: re.Pattern) -> dict[tuple[int, bool], Path]:
    """Return the files of the data set in the folder `path`, or of the one that the file `path` belongs to.

    Keys: the split, and whether the file holds labels. Names match `pattern`; raw files take precedence over gzipped.
    Some archives unpack each file into a folder of the same name; then the file in that folder counts. Raises Failure
    if a folder holds several data sets.
    """
    is_folder = os.path.isdir(path)
    folder, sets = path if is_folder else path.parent, defaultdict(dict)
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) and os.access(folder, os.R_OK) else []:
        match, file = pattern.fullmatch(name.lower()), folder / name
        if match:
            key = WORDS[match["part"]], match["kind"] in LABELS
            sets[match["set"]].setdefault(key, file / name if file.is_dir() else file)
    if not is_folder:
        match = pattern.fullmatch(path.name.lower())
        return sets[match["set"]] if match else {}
    if len(sets) > 1:
        names = ", ".join(name.strip("-_. ") or "one without a name" for name in sets)
        raise Failure(f"{path} holds several data sets ({names}): name a file of one of them by --data-dir")
    return next(iter(sets.values()), {})


def left_out(why: str, names: Iterable[str]) -> tuple[LeftOut, ...]:
    """Return an entry for Dataset.left_out, or () if there are no names."""
    names = [printable(name) for name in names]
    return (LeftOut(why, len(names), tuple(sorted(set(names)))[:SHOWN]),) * bool(names)
