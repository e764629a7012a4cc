"""Encode and read IDX, the format of MNIST: one array per file, raw or gzipped. Files are not trusted."""

import gzip
import math
import os
import struct
import zlib
from typing import BinaryIO

import numpy as np

from engine.terminal import Failure

MAX_BYTES = 600 * 2**20  # of a file, decompressed; MNIST's largest has 47 MB, EMNIST's 547 MB
MAX_SIDE = 512  # of an image, in pixels
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
NAMES = "labels.txt"  # a file beside them with the labels' names, one per line
REMEDY = "put a good copy there, or move the folder's files away and leave out --data-dir to have MNIST downloaded"


def encoded(array: np.ndarray) -> bytes:
    """Return a uint8 array of rank 1 (labels) or 3 (images) as IDX: magic number, sizes, content."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def read(path: str | os.PathLike) -> np.ndarray:
    """Read the array in an IDX file, gzipped or raw, whatever its name: uint8, or uint16 for int32 labels above 255.

    Raises Failure if the file cannot be read or is not exactly one array of rank 1 or 3, of MAX_BYTES at most.
    """
    try:
        if not os.path.isfile(path):  # a folder, or a pipe, which would block
            raise ValueError("it is not a file")
        with open(path, "rb") as raw:
            gzipped = raw.read(2) == b"\x1f\x8b"
        with gzip.open(path) if gzipped else open(path, "rb") as file:
            return _parse(file)
    except (OSError, EOFError, ValueError, struct.error, zlib.error) as error:
        why = getattr(error, "strerror", None) or error
        raise Failure(f"{path} cannot be read, or is cut off or damaged ({why}): {REMEDY}") from None


def _parse(file: BinaryIO) -> np.ndarray:
    """Parse the array in `file`. Raises ValueError or struct.error if it is invalid."""
    magic = file.read(4)
    if magic not in (b"\0\0\x08\x01", b"\0\0\x08\x03", b"\0\0\x0c\x01"):
        raise ValueError(f"it is not an IDX file of bytes, or of int32 labels, but begins with {magic.hex(' ')}")
    shape = struct.unpack(f">{magic[3]}I", file.read(4 * magic[3]))
    count = math.prod(shape) * (4 if magic[2] == 0x0C else 1)  # bytes
    if not 0 < count <= MAX_BYTES or max(shape[1:], default=1) > MAX_SIDE:
        raise ValueError(f"it claims the size {' x '.join(f'{n:,}' for n in shape)}, which is not a data set's")
    content = file.read(count + 1)  # to the end, so that gzip verifies its checksum
    if len(content) != count:
        raise ValueError("it is shorter or longer than its header says")
    if magic[2] == 0x08:
        return np.frombuffer(content, np.uint8).reshape(shape)
    labels = np.frombuffer(content, ">i4")
    if not 0 <= labels.min() <= labels.max() < 1 << 16:
        raise ValueError(f"it has labels from {labels.min():,} to {labels.max():,}")
    return labels.astype(np.min_scalar_type(labels.max()))
