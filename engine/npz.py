"""NumPy's .npz files, whoever wrote them."""

from __future__ import annotations

import errno
import zipfile
from pathlib import Path

import numpy as np

from engine import files


def read(path: Path, most: int) -> dict[str, np.ndarray]:
    """All arrays in a .npz file of at most `most` bytes, decompressed.

    Raises OSError if it cannot be opened, ValueError if it is larger or holds anything but whole arrays.
    """
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise OSError(errno.EINVAL, "not a file", str(path))
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > most:
                raise ValueError(f"more than {most / 2**30:.3g} GB")
        with np.load(path, allow_pickle=False) as archive:
            found = dict(archive)
    except OSError:
        raise
    except Exception as error:  # zipfile, zlib and NumPy raise nearly anything on a damaged file
        raise ValueError(str(error) or type(error).__name__) from None
    if not all(isinstance(array, np.ndarray) for array in found.values()):
        raise ValueError("a member is no array")
    return found


def write(path: Path, **arrays: np.ndarray) -> None:
    """Write an .npz file, whole or not at all."""
    with files.whole(path) as partial, open(partial, "wb") as file:
        np.savez(file, **arrays)
