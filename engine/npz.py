"""NumPy's .npz files, whoever wrote them."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import numpy as np

from engine import files


def read(path: Path, most: int) -> dict[str, np.ndarray]:
    """All arrays in a .npz file.

    Args:
        most: bytes that it may hold, decompressed.

    Raises:
        OSError: it cannot be opened, or is no file.
        ValueError: it holds no arrays, or a damaged one, or a larger one; the text says which.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > most:
                raise ValueError(f"more than {most / 2**30:.3g} GB")
        with warnings.catch_warnings(), np.load(path, allow_pickle=False) as archive:
            warnings.simplefilter("ignore")
            found = {name: archive[name] for name in archive.files}
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
