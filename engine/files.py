"""Files that are whole at every moment, and folders that belong to one process at a time."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from engine.terminal import Failure, say

try:
    import fcntl
except ImportError:  # Windows has no flock; there, nothing stops a second run
    fcntl = None

ROOT = Path(__file__).resolve().parent.parent  # of the repository
OUT = ROOT / "out"
LOCK = ".lock"
PARTIAL = ".partial"  # ends the name of a file that is not whole yet
STALE = 3600  # seconds after which such a file belongs to no living process
LARGEST_JSON = 1 << 20

_held: dict[Path, IO[str]] = {}  # folders that this process has locked, and their open lock files


def user_cache() -> Path:
    """The user's folder for what can be made again: decoded pictures, evaluation classifiers. It may not exist yet."""
    home = os.path.expanduser("~")
    if not os.path.isabs(home):  # a user without a home, as in a container
        home = tempfile.gettempdir()
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")) / "conditional-vae"


@contextlib.contextmanager
def whole(path: str | os.PathLike) -> Iterator[Path]:
    """Write beside, then rename: readers see the old file or the new one, never half of one.

    Yields the path to write to, in the same folder. On any exception the old file stays as it was. Raises what
    `check_held` does.
    """
    path = Path(path)
    check_held(path)  # or a folder that was removed would be made again
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}{PARTIAL}")
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())  # the rename must not reach the disk before the content
        os.replace(partial, path)
        sync(path.parent)
    except OSError as error:
        error.filename = str(path)  # of a write, the system does not say it; else it names the partial file
        raise
    finally:
        partial.unlink(missing_ok=True)


def sync(*paths: Path) -> None:
    """Wait until the disk has the content of these files, and the names in these folders: a power cut loses neither."""
    for path in paths:
        folder = path.is_dir()
        with (
            contextlib.suppress(OSError) if folder else contextlib.nullcontext()
        ):  # not every system knows it of folders
            number = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
            try:
                os.fsync(number)
            finally:
                os.close(number)


@contextlib.contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """As `whole`, for a folder that does not exist yet: it is there with all that was written, or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}{PARTIAL}")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield partial
        sync(*partial.rglob("*"), partial)
        os.rename(partial, path)
        sync(path.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def remove_stale_partials(folder: Path) -> None:
    """Delete what `whole` and `whole_folder` left in `folder` when their process was killed, an hour ago or longer.

    A younger one may belong to a process that is still writing it.
    """
    for path in folder.glob(f".*{PARTIAL}"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > STALE:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Own `folder` (made if need be) until the block or the process ends, however it ends.

    Raises:
        Failure: another process owns it, or it cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / LOCK, "a")  # not "w": it may be somebody's
    except OSError as error:
        raise Failure(f"cannot write to {folder} ({error.strerror}): choose another folder with --out") from None
    with file:
        if fcntl:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Failure(f"another run is writing to {folder}: wait for it, or choose another --out") from None
            except OSError as error:  # a network file system without locks
                say(f"no lock on {folder} ({error.strerror}): do not start a second run there")
        place = Path(os.path.abspath(folder))
        _held[place] = file
        try:
            yield
        finally:
            del _held[place]


def check_held(path: Path) -> None:
    """Raises Failure if `path` is, or is in, a folder that `lock` gave to this process and that is another one by now.

    Whoever removes the folder, or makes it anew, removes the lock file that this process has open; as long as it is
    open no other file has its number.
    """
    place = Path(os.path.abspath(path))
    for folder, file in _held.items():
        if folder in (place, *place.parents):
            try:
                same = os.path.samestat(os.stat(folder / LOCK), os.fstat(file.fileno()))
            except (FileNotFoundError, NotADirectoryError):
                same = False
            if not same:
                raise Failure(f"{folder} was moved, removed or made anew meanwhile: go on with --out and its new place")


def move(paths: Sequence[Path], folder: Path) -> None:
    """Move files into `folder`, made if need be; a name that is taken gets a suffix .1, .2 …"""
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        target, suffix = folder / path.name, 1
        while target.exists():
            target, suffix = folder / f"{path.name}.{suffix}", suffix + 1
        os.rename(path, target)


def read_json(path: Path) -> dict:
    """The object in a JSON file of at most 1 MB. Raises Failure naming the file when it is anything else."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_JSON + 1)
        value = json.loads(content) if len(content) <= LARGEST_JSON else None
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Failure(f"{path} is damaged (not a JSON object): restore it from a copy, or choose another folder")
    return value


def write_json(path: Path, value: dict) -> None:
    with whole(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n")
