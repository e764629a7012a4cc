"""Pictures that do not fit into memory: an array in a .npy file, of which only the rows asked for are read."""

from __future__ import annotations

import hashlib
import io
import math
import threading
from typing import BinaryIO

import numpy as np

BLOCK = 1 << 24  # bytes, about, of the rows that have one digest
_LOCK = threading.Lock()  # an open file has one position, and several threads may read


def header(shape: tuple[int, ...]) -> bytes:
    """The bytes in front of a uint8 array of this shape in a .npy file."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return file.getvalue()


def block_rows(shape: tuple[int, ...]) -> int:
    """How many rows of an array of this shape have one digest."""
    return max(1, BLOCK // math.prod(shape[1:]))


def digest(rows: np.ndarray) -> bytes:
    """SHA-256 of a block of rows."""
    return hashlib.sha256(np.ascontiguousarray(rows).data).digest()


class OnDisk:
    """uint8 (N, H, W, C) in an open file. Indexed as an array is along N, it reads these rows, and keeps none.

    It keeps its file open, not mapped: mapped pages would count as this process' memory. So it also goes on reading
    the same pictures when another file takes the name.

    Args:
        file: a .npy file, unbuffered, as `header` begins it.
        shape: of the part that this object shows.
        start: the part's first row in the file.
        begin: bytes in front of the file's rows.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, file: BinaryIO, shape: tuple[int, ...], start: int = 0, begin: int | None = None) -> None:
        self.file, self.shape, self.start = file, tuple(shape), start
        self.begin = len(header(self.shape)) if begin is None else begin
        self.row = math.prod(shape[1:])  # bytes

    def __len__(self) -> int:
        return self.shape[0]

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape)

    def part(self, start: int, stop: int) -> OnDisk:
        """Rows start … stop - 1 in the same file; nothing is read."""
        return OnDisk(self.file, (stop - start, *self.shape[1:]), self.start + start, self.begin)

    def __getitem__(self, index: int | slice | np.ndarray) -> np.ndarray:
        """Rows as NumPy has it: a number, a slice, an array of integers of any shape, or of N truth values.

        Raises:
            IndexError: there is no such row.
            OSError: the file cannot be read, or has become shorter.
        """
        if isinstance(index, slice):
            rows = np.arange(*index.indices(len(self)))
        else:
            rows = np.asarray(index)
            if rows.dtype == bool:
                if rows.shape != self.shape[:1]:
                    raise IndexError(f"a mask of shape {rows.shape} for {len(self)} rows")
                rows = np.flatnonzero(rows)
        if not rows.size:
            return np.empty((*rows.shape, *self.shape[1:]), np.uint8)
        if rows.dtype.kind not in "iu" or rows.min() < -len(self) or rows.max() >= len(self):
            raise IndexError(f"{index!r} for {len(self)} rows")
        found = np.empty((rows.size, self.row), np.uint8)
        flat = np.where(rows < 0, rows + len(self), rows).astype(np.int64).ravel()
        breaks = (np.flatnonzero(np.diff(flat) != 1) + 1).tolist()
        for first, last in zip([0, *breaks], [*breaks, len(flat)], strict=True):  # runs of neighbours, read at once
            self._read(int(flat[first]), found[first:last])
        return found.reshape(*rows.shape, *self.shape[1:])

    def __setitem__(self, index: int | slice, rows: np.ndarray) -> None:
        """Write one row, or the neighbours from a slice's start on. Raises OSError if the file is not for writing."""
        first = index.start if isinstance(index, slice) else index
        left = memoryview(np.ascontiguousarray(rows, np.uint8)).cast("B")
        with _LOCK:
            self.file.seek(self.begin + (self.start + first) * self.row)
            while left:
                left = left[self.file.write(left) :]

    def _read(self, first: int, into: np.ndarray) -> None:
        left = memoryview(into).cast("B")
        with _LOCK:
            self.file.seek(self.begin + (self.start + first) * self.row)
            while left:
                got = self.file.readinto(left)
                if not got:
                    raise OSError(f"{self.file.name} has become shorter")
                left = left[got:]
