"""Which picture is for training, validation or the test: decided by its name, so that it stays where it is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

import numpy as np

TRAIN, VALIDATION, TEST = range(3)
FRACTIONS = {TEST: (0, 1 / 6), VALIDATION: (1 / 6, 1 / 4)}  # of a name's hash; the rest is for training


def by_hash(names: Sequence[str], labels: np.ndarray, carved: Sequence[int] = (VALIDATION, TEST)) -> np.ndarray:
    """The part of each picture, uint8 (N,).

    A picture's place depends on its own name alone, so that adding others moves none. One exception: a label whose
    hashes leave a part without any gives it the one with the smallest hash. Of a label with two pictures only, one is
    for validation and none for the test; training always has one.

    Args:
        names: of the pictures, each once.
        labels: integers (N,).
        carved: the parts, besides training, to be given pictures.
    """
    place = np.array([fraction(name) for name in names])  # (N,) in 0 … 1
    parts = np.full(len(names), TRAIN, np.uint8)
    for part in carved:
        low, high = FRACTIONS[part]
        parts[(low <= place) & (place < high)] = part
    order = np.lexsort((place, labels))  # label by label, smallest hash first
    for rows in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        _repair(parts, rows, carved)
    return parts


def _repair(parts: np.ndarray, rows: np.ndarray, carved: Sequence[int]) -> None:
    """Change `parts` so that the `rows` of one label, smallest hash first, are in every part that there are enough for.

    Training comes first, then validation.
    """
    wanted = sorted([TRAIN, *carved])
    if len(rows) < len(wanted):
        parts[rows] = wanted[: len(rows)][::-1]
        return
    for part in wanted:
        counts = np.bincount(parts[rows], minlength=3)
        if not counts[part]:
            parts[rows[parts[rows] == counts.argmax()][0]] = part


def fraction(name: str) -> float:
    """A number in 0 … 1 that is the same for the same name everywhere."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8], "big") / 2**64
