"""The IDX format of MNIST's files: one uint8 array each, raw or gzipped. A file is never trusted."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import math
import os
import struct
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from engine.files import whole
from engine.terminal import Failure

MAX_BYTES = 600 * 2**20  # of one file's content, decompressed; MNIST's largest has 47 MB, EMNIST's 547 MB
MAX_SIDE = 512  # of an image, in pixels
EXPANSION = 1032  # deflate cannot shrink further than 1032:1
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")

REMEDY = "put a good copy there, or move the folder's files away and leave out --data-dir to have MNIST downloaded"


def find(folder: Path, name: str) -> Path | None:
    """The raw or else the gzipped file of this name; None if there is neither."""
    paths = (folder / name, folder / f"{name}.gz")
    return next((path for path in paths if os.path.exists(path)), None)


def header(shape: tuple[int, ...]) -> bytes:
    """The bytes in front of a uint8 array of this shape, rank 1 (labels) or 3 (images): magic, then sizes."""
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)


def sha256(array: np.ndarray) -> str:
    """SHA-256, in hex, of the decompressed IDX file that holds `array`."""
    digest = hashlib.sha256(header(array.shape))
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def write(path: str | os.PathLike, array: np.ndarray) -> None:
    """Write a uint8 array of rank 1 or 3, gzipped if the name ends in .gz: all of it, or nothing.

    The same array gives the same bytes: no time is written.
    """
    if array.dtype != np.uint8 or array.ndim not in (1, 3):
        raise ValueError(f"an IDX file holds uint8 of rank 1 or 3, not {array.dtype} of rank {array.ndim}")
    with whole(path) as partial, open(partial, "wb") as raw:
        gz = str(path).endswith(".gz")
        with gzip.GzipFile("", "wb", 6, raw, mtime=0) if gz else contextlib.nullcontext(raw) as file:
            file.write(header(array.shape))
            file.write(np.ascontiguousarray(array).data)


def read(path: str | os.PathLike) -> np.ndarray:
    """The uint8 array in an IDX file, gzipped or raw (told by its bytes, not by its name).

    Memory is taken only after the header, the file's own size and MAX_BYTES have agreed to it.

    Raises:
        Failure: the file cannot be read, or is not exactly one array of rank 1 or 3; one line, with a remedy.
    """
    path = Path(path)
    try:
        if not path.is_file():  # a folder, or a pipe that would block
            raise Failure(f"{path} is not a file: {REMEDY}")
        size = path.stat().st_size
        with open(path, "rb") as raw:
            gz = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            with gzip.GzipFile(fileobj=raw, mode="rb") if gz else contextlib.nullcontext(raw) as file:
                return _parse(path, file, EXPANSION * size if gz else size)
    except EOFError:
        raise Failure(f"{path} is cut off: {REMEDY}") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise Failure(f"{path} is damaged ({error}): {REMEDY}") from None
    except OSError as error:
        raise Failure(f"{path} cannot be read ({error.strerror or error}): check its permissions") from None


def _parse(path: Path, file: BinaryIO, most: int) -> np.ndarray:
    """Header and array from `file`, which cannot yield more than `most` bytes.

    Raises:
        EOFError: the file ends early.
        Failure: it is not an IDX file, claims an absurd size, or goes on after its array.
    """
    magic = file.read(4)
    if len(magic) < 4:
        raise EOFError
    if magic not in (b"\0\0\x08\x01", b"\0\0\x08\x03"):
        raise Failure(f"{path} is not an IDX file of bytes (it begins with {magic.hex(' ')}): {REMEDY}")
    sizes = file.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise EOFError
    shape = struct.unpack(f">{magic[3]}I", sizes)
    count = math.prod(shape)
    if not count or count > MAX_BYTES or max(shape[1:], default=1) > MAX_SIDE:
        what = " x ".join(f"{n:,}" for n in shape)
        raise Failure(f"{path} claims the size {what}, which is not a data set's: {REMEDY}")
    if count + len(magic) + len(sizes) > most:
        raise EOFError
    array = np.empty(count, np.uint8)
    at = 0
    while at < count:
        got = file.readinto(array[at : at + 2**20].data)
        if not got:
            raise EOFError
        at += got
    if file.read(1):  # this also makes gzip compare its checksum
        raise Failure(f"{path} is longer than its header says: {REMEDY}")
    return array.reshape(shape)
