"""Write files and folders atomically, lock a folder for one process, read and write JSON and .npz files."""

import contextlib
import json
import os
import platform
import shutil
import tempfile
import time
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from engine.terminal import Failure, say

try:
    import fcntl
except ImportError:  # Windows has no flock: there, a second run in the same folder is not refused
    fcntl = None

OUT = Path(__file__).resolve().parent.parent / "out"  # of the repository
LOCK = ".lock"
PARTIAL = ".partial"  # suffix of a file or folder that is still being written
STALE = 3600  # seconds after which such a file is taken for the leftover of a killed process
LARGEST_JSON = 1 << 20  # bytes

_held: dict[Path, IO[str]] = {}  # folders that this process has locked, and their open lock files


def user_cache() -> Path:
    """Return the user's cache folder (decoded pictures, evaluation classifiers). It may not exist yet."""
    home = os.path.expanduser("~")
    if not os.path.isabs(home):  # a user without a home, as in a container
        home = tempfile.gettempdir()
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")) / "conditional-vae"


@contextlib.contextmanager
def whole(path: str | os.PathLike) -> Iterator[Path]:
    """Write a file or a new folder atomically: write a temporary one beside it, then rename. Readers see old or new.

    Yields the path of the temporary file or folder, for the block to create. On any exception an old file stays as it
    was. Raises Failure as `check_held` does.
    """
    path = Path(path)
    check_held(path)  # before mkdir, which would recreate a folder that was removed
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}{PARTIAL}")
    _remove(partial)
    try:
        yield partial
        sync(*partial.rglob("*"), partial)  # the rename must not reach the disk before the content
        os.replace(partial, path)
        sync(path.parent)
    except OSError as error:
        error.filename = str(path)  # for a failed write the system gives no name, else the temporary one
        raise
    finally:
        _remove(partial)


def sync(*paths: Path) -> None:
    """Flush files and the entries of folders to the disk (fsync), so that a power cut does not lose them."""
    for path in paths:
        folder = path.is_dir()
        # Not every system can flush a folder.
        with contextlib.suppress(OSError) if folder else contextlib.nullcontext():
            descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def remove_stale_partials(folder: Path) -> None:
    """Delete temporary files and folders of killed processes in `folder` that are older than an hour.

    A process may still be writing to younger ones.
    """
    for path in folder.glob(f".*{PARTIAL}"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > STALE:
                _remove(path)


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


@contextlib.contextmanager
def lock(folder: Path) -> Iterator[None]:
    """Lock `folder`, created if missing, until the block or the process ends, however it ends.

    Raises Failure if another process has the lock, or the folder is not writable.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = open(folder / LOCK, "a")  # not "w", which would empty a file of the user's
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
        absolute = Path(os.path.abspath(folder))
        _held[absolute] = file
        try:
            yield
        finally:
            del _held[absolute]


def check_held(path: Path) -> None:
    """Raise Failure if `path` is in a folder that this process locked and that was moved, removed or recreated since.

    The lock file at its path is then missing, or not the one that this process has open: as long as a file is open,
    its inode number is not reused.
    """
    absolute = Path(os.path.abspath(path))
    for folder, file in _held.items():
        same = (folder / LOCK).exists() and os.path.samefile(folder / LOCK, file.fileno())
        if folder in (absolute, *absolute.parents) and not same:
            raise Failure(f"{folder} was moved, removed or made anew meanwhile: go on with --out and its new path")


def move(paths: Sequence[Path], folder: Path) -> None:
    """Move files into `folder`, created if missing. A file whose name exists there gets a suffix .1, .2 …"""
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        target, suffix = folder / path.name, 1
        while target.exists():
            target, suffix = folder / f"{path.name}.{suffix}", suffix + 1
        os.rename(path, target)


def read_json(path: Path) -> dict:
    """Read the object in a JSON file of at most 1 MB. Raises Failure, naming the file, if it is anything else."""
    try:
        with open(path, "rb") as file:
            value = json.loads(file.read(LARGEST_JSON))  # a longer file is cut off, and so no valid JSON
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Failure(f"{path} is damaged (not a JSON object): restore it from a copy, or choose another folder")
    return value


def write_json(path: Path, value: dict) -> None:
    with whole(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n")


def read_npz(path: Path, most: int = 1 << 30) -> dict[str, np.ndarray]:
    """Read all arrays of a .npz file that has at most `most` bytes when decompressed. Nothing is unpickled.

    Raises ValueError if it is missing, larger, damaged, or has members that are not arrays.
    """
    try:
        if not path.is_file():  # opening a pipe would block
            raise ValueError("not a file")
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > most:
                raise ValueError(f"more than {most / 2**30:.3g} GB")
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("a member is no array")
        return arrays
    except Exception as error:  # zipfile, zlib and NumPy raise nearly anything on a damaged file
        raise ValueError(str(error) or type(error).__name__) from None


def write_npz(path: Path, **arrays: np.ndarray) -> None:
    """Write a .npz file atomically."""
    with whole(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)
