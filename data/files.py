"""Files that are whole at every moment, and folders that belong to one process at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from data.console import Failure

try:
    import fcntl
except ImportError:  # Windows has no flock; there, nothing stops a second run
    fcntl = None

PARTIAL = ".partial"  # what a killed process may leave behind; safe to delete


@contextlib.contextmanager
def whole(path: str | os.PathLike) -> Iterator[Path]:
    """Write beside, then rename: readers see the old file or the new one, never half of one.

    Yields the path to write to, in the same folder. On any exception the old file stays as it was.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())  # the rename must not reach the disk before the content
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Own `folder` (made if need be) until the block or the process ends, however it ends.

    Raises:
        Failure: another process owns it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / ".lock", "w")
    except OSError as error:
        raise Failure(f"cannot write to {folder} ({error.strerror}): choose another folder with --out") from None
    with file:
        if fcntl:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Failure(f"another run is writing to {folder}: wait for it, or choose another --out") from None
        yield
