"""Read untrusted .npz files safely; write .npz files atomically."""

import errno
import zipfile
from pathlib import Path

import numpy as np

from engine import files


def read(path: Path, most: int) -> dict[str, np.ndarray]:
    """Read all arrays of a .npz file that has at most `most` bytes when decompressed. Nothing is unpickled.

    Raises OSError if it cannot be opened, ValueError if it is larger, damaged, or has members that are not arrays.
    """
    if path.exists() and not path.is_file():  # opening a pipe would block
        raise OSError(errno.EINVAL, "not a file", str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > most:
                raise ValueError(f"more than {most / 2**30:.3g} GB")
        with np.load(path, allow_pickle=False) as archive:
            arrays = dict(archive)
    except OSError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise nearly anything on a damaged file
        raise ValueError(str(error) or type(error).__name__) from None
    if not all(isinstance(array, np.ndarray) for array in arrays.values()):
        raise ValueError("a member is no array")
    return arrays


def write(path: Path, **arrays: np.ndarray) -> None:
    """Write a .npz file atomically."""
    with files.whole(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)
