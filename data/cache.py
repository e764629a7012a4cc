"""Decoded pictures in the user's cache, memory-mapped: an entry is written whole or not at all, and may be deleted.

An entry is a folder <set>-<state>-<side>x<channels> with images.npy, the pixels, and index.npz, all the rest. <set> is
a digest of the pictures' folder and of how they are prepared, <state> a digest of the list of their files.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from data.decode import recoloured
from engine import files, npz
from engine.terminal import Failure, Progress, printable, say

VERSION = 1  # of the pixels, part of the fingerprint: raise it whenever the same pictures give other pixels
BLOCK = 1 << 24  # bytes, about, of the images that are copied at a time and have a digest in the fingerprint
LARGEST_INDEX = 1 << 30  # bytes of an entry's index, decompressed
IMAGES, INDEX = "images.npy", "index.npz"


class Prepared(NamedTuple):
    """The pictures of a folder, decoded: first the training's, then the validation's, then the test's."""

    images: np.ndarray  # uint8 (N, H, W, C), memory-mapped, read-only
    labels: np.ndarray  # (N,)
    counts: np.ndarray  # (3,), of the parts
    names: np.ndarray  # of the labels
    left_out: np.ndarray  # a text for each picture that did not decode
    inferred: np.ndarray  # bool (2,), whether size and channels are those that suit the pictures
    fingerprint: str  # SHA-256 of the content in hex: neither times nor the folder's place count


def home() -> Path:
    """The folder of the cache."""
    return files.user_cache()


def read(stem: str, key: str, size: int | None, channels: int | None) -> Prepared | None:
    """The entry of these pictures, or None. Deletes entries of earlier states, and, after a line, a damaged one.

    Args:
        stem: the set.
        key: its state.
        size, channels: None asks for those that suit the pictures.
    """
    for entry in sorted(home().glob(f"{stem}-*")):
        if not entry.name.startswith(f"{stem}-{key}-"):
            _remove(entry)
            continue
        prepared = _read(entry)
        if prepared is None:
            say(f"the cache {printable(str(entry))} is damaged: its pictures are decoded again")
            _remove(entry)
            continue
        asked = zip((size, channels), prepared.images.shape[2:], prepared.inferred.tolist(), strict=True)
        if all(want == has or (want is None and inferred) for want, has, inferred in asked):
            return prepared
    return None


@contextlib.contextmanager
def scratch(shape: tuple[int, ...]) -> Iterator[np.ndarray]:
    """A uint8 array in a nameless file of the cache, for pictures as they are decoded.

    Raises:
        Failure: the block, or `keep` in it, cannot write to the disk.
    """
    size = math.prod(shape)
    try:
        home().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home()) as file:
            _reserve(file, size)
            yield np.memmap(file, np.uint8, "r+", shape=shape)
    except OSError as error:
        raise Failure(
            f"cannot write to {home()} ({error.strerror or error}): {size / 1e6:,.0f} MB of pixels go there, twice "
            "while they are decoded; make room, or name another folder by XDG_CACHE_HOME"
        ) from None


def keep(name: str, pixels: np.ndarray, order: np.ndarray, channels: int, **about: np.ndarray) -> Prepared:
    """Write an entry, and return it memory-mapped.

    Args:
        name: of the entry, "<set>-<state>-<side>x<channels>".
        pixels: uint8 (…, H, W, 1 or 3), all that were decoded.
        order: indices into `pixels`, (N,), in the order that the entry is to have.
        about: the fields of Prepared but images and fingerprint.

    Raises:
        OSError: it cannot be written.
    """
    files.remove_stale_partials(home())
    shape = (len(order), *pixels.shape[1:3], channels)
    try:
        with files.whole_folder(home() / name) as partial:
            partial.mkdir()
            images = np.lib.format.open_memmap(partial / IMAGES, "w+", np.uint8, shape)
            with open(partial / IMAGES, "rb+") as file:
                _reserve(file, os.path.getsize(partial / IMAGES))
            digests = _arrange(pixels, order, images)
            del images  # Windows does not move a file that is open
            np.savez(partial / INDEX, **about, fingerprint=_fingerprint(shape, digests, about))
    except OSError:
        if _read(home() / name) is None:  # else another process has written the same entry meanwhile
            raise
    prepared = _read(home() / name)
    if prepared is None:
        raise OSError(errno.ENOENT, "what was written is gone again")
    return prepared


def _read(entry: Path) -> Prepared | None:
    """An entry; None if it is not there or damaged: header and size of the images, checksums of the index."""
    try:
        index = npz.read(entry / INDEX, LARGEST_INDEX)
        images = np.load(entry / IMAGES, mmap_mode="r", allow_pickle=False)
        whole = images.offset + images.nbytes == os.path.getsize(entry / IMAGES)
        if not whole or images.dtype != np.uint8 or images.ndim != 4 or images.shape[:1] != index["labels"].shape:
            return None
        return Prepared(images.view(np.ndarray), **index | {"fingerprint": str(index["fingerprint"])})
    except Exception:  # a damaged header or index makes NumPy raise nearly anything
        return None


def _remove(entry: Path) -> None:
    """Delete an entry, or a file of one as earlier versions wrote them. On Windows one that is in use stays."""
    if entry.is_dir():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            entry.unlink()


def _reserve(file: BinaryIO, size: int) -> None:
    """Take `size` bytes of the disk for `file`. Raises OSError if it is full.

    Without, a full disk would end the process by a signal as soon as it writes to a mapped page.
    """
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    elif shutil.disk_usage(home()).free < size:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    file.truncate(size)


def _arrange(pixels: np.ndarray, order: np.ndarray, images: np.ndarray) -> list[bytes]:
    """Copy pixels[order] to `images`, in its channels, a block at a time. Returns the SHA-256 of each block."""
    rows = max(1, BLOCK // math.prod(images.shape[1:]))
    digests = []
    with Progress(len(order), "caching") as bar:
        for start in range(0, len(order), rows):
            block = recoloured(pixels[order[start : start + rows]], images.shape[-1])
            images[start : start + len(block)] = block
            digests.append(hashlib.sha256(np.ascontiguousarray(block).data).digest())
            bar.advance(len(block))
    return digests


def _fingerprint(shape: tuple[int, ...], digests: list[bytes], about: dict[str, np.ndarray]) -> str:
    """What config.json says of a run's pictures: it must stay what it is, or runs on folders no longer resume."""
    content = [VERSION, shape, about["counts"].tolist(), about["names"].tolist()]
    result = hashlib.sha256(json.dumps(content).encode())
    result.update(np.ascontiguousarray(about["labels"]).data)
    result.update(b"".join(digests))
    return result.hexdigest()
