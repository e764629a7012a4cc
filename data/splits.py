"""Which picture is for training, validation or the test: decided by its name, so that it stays where it is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import numpy as np

TRAIN, VALIDATION, TEST = range(3)
BOUNDS = (1 / 6, 1 / 4)  # a name's hash is below the first: test; below the second: validation; else training


def by_hash(names: Sequence[str], labels: np.ndarray, carved: Sequence[int] = (VALIDATION, TEST)) -> np.ndarray:
    """The part of each picture, uint8 (N,): training or one of `carved`. Names are unique; labels are integers (N,).

    A picture's place depends on its own name alone, so that adding others moves none. One exception: a label whose
    hashes leave a part without any gives it the one with the smallest hash. Of a label with two pictures only, one is
    for validation and none for the test; training always has one.
    """
    place = np.array([fraction(name) for name in names])  # (N,) in 0 … 1
    parts = np.uint8(TEST - np.digitize(place, BOUNDS))
    parts[~np.isin(parts, carved)] = TRAIN
    wanted = sorted([TRAIN, *carved])
    order = np.lexsort((place, labels))  # label by label, smallest hash first
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
    """A number in 0 … 1 that is the same for the same name everywhere."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big") / 2**64
