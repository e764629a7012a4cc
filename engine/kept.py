"""What a run keeps in its folder and can make again from its data: taken as it is kept, or made now, and said."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from engine import files, npz
from engine.terminal import Failure, say

Kept = TypeVar("Kept")


class Unusable(Exception):
    """The file is missing, damaged, or of something else; the text says which."""


def write(path: Path, **arrays: np.ndarray) -> None:
    """Write an .npz file, whole or not at all."""
    with files.whole(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)


def read(path: Path, largest: int, take: Callable[[dict[str, np.ndarray]], Kept]) -> Kept:
    """What `take` makes of the arrays in an .npz file; it raises ValueError if they cannot be what they should.

    Args:
        largest: bytes of all arrays, decompressed.

    Raises:
        Unusable: there is no such file, or it is damaged.
    """
    if not path.is_file():
        raise Unusable(f"{path.parent} has no {path.name}")
    try:
        return take(npz.read(path, largest))
    except Exception as error:  # arrays of other kinds and shapes make nearly anything raise
        raise Unusable(f"{path} was damaged ({type(error).__name__})") from None


def or_made(
    path: Path,
    read: Callable[[], Kept],
    dataset: Callable[[], object],
    make: Callable[[object], tuple[Kept, str]],
    write: Callable[[Kept], None],
    without: str,
    keep: bool = True,
    needed: bool = True,
) -> Kept | None:
    """What `read` gives; else made now of the run's data, which a line says, and kept.

    Args:
        path: the file; for the line.
        read: raises Unusable.
        dataset: gives the run's data, or raises Failure.
        make: gives it and what the line says of it, or raises Failure.
        without: what the line says where it cannot be made.
        keep: False leaves what is kept as it is.
        needed: False: where it cannot be made, None, and a line that says why.
    """
    try:
        return read()
    except Unusable as error:
        why = str(error)
    try:
        split, began = dataset(), time.perf_counter()
        made, told = make(split)
    except Failure as error:
        if needed:
            raise
        say(f"{without}: {why}, and {error}")
        return None
    seconds = time.perf_counter() - began
    reason = f" ({why})" if path.exists() else ""
    if keep:
        write(made)
    place = f" → {path}" if keep else ", not kept"
    say(f"{told} in {seconds:.0f} s{place}{reason}")
    return made
