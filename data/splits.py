"""Split pictures into training, validation and test set by a hash of their names: adding pictures moves none."""

import hashlib
import os
from collections.abc import Sequence

import numpy as np

TRAIN, VALIDATION, TEST = range(3)
BOUNDS = (1 / 6, 1 / 4)  # hash below 1/6: test; below 1/4: validation; else training


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
