"""Decoded pictures, kept in the user's cache: written whole, verified when read, safe to delete at any time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.decode import recoloured
from data.ondisk import OnDisk, block_rows, digest, header
from engine import npz
from engine.files import remove_stale_partials, whole
from engine.terminal import Failure, printable, say

VERSION = 1  # raise it whenever the same pictures give other pixels, or an entry another form
IN_MEMORY = 1 << 29  # bytes of pixels; more are read from the cache as they are needed
LARGEST_INDEX = 1 << 30  # bytes of an entry's .npz, decompressed
VERIFIED = 1 << 30  # bytes of pixels that are compared with their digests at each start


class Prepared(NamedTuple):
    """The pictures of a folder, decoded: first the training's, then the validation's, then the test's."""

    images: np.ndarray | OnDisk  # uint8 (N, H, W, C)
    digests: np.ndarray  # uint8 (blocks, 32), of the images
    labels: np.ndarray  # (N,)
    counts: np.ndarray  # (3,), of the parts
    names: np.ndarray  # of the labels
    left_out: np.ndarray  # a text for each picture that did not decode
    found: np.ndarray  # bool (2,), whether size and channels are the ones found where none were asked for

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the content in hex: neither times nor the folder's place count."""
        about = [VERSION, self.images.shape, self.counts.tolist(), self.names.tolist()]
        result = hashlib.sha256(json.dumps(about).encode())
        for array in self.labels, self.digests:
            result.update(np.ascontiguousarray(array).data)
        return result.hexdigest()


def home() -> Path:
    """The folder of the cache. An entry is <stem>-<side>x<channels>.npy, the pixels, and .npz, all the rest."""
    return files.user_cache()


def read(stem: str, key: str, size: int | None, channels: int | None) -> Prepared | None:
    """An entry, verified. None if there is none; or, after a line, if it cannot be believed. Removes what is no use.

    Args:
        stem: says where the pictures come from and how they are prepared.
        key: changes whenever the pictures do.
        size, channels: None asks for the ones that are found if nobody says.
    """
    for path in sorted(home().glob(f"{stem}-*.npz")):
        try:
            prepared = _read(path, key, size, channels)
            if prepared:
                return prepared
            continue
        except _Changed:
            pass
        except _Unusable as error:
            say(f"the cache {printable(str(path))} {error}: its pictures are decoded again")
        except Exception:  # arrays of other kinds and shapes make nearly anything raise
            say(f"the cache {printable(str(path))} is damaged: its pictures are decoded again")
        for useless in path, path.with_suffix(".npy"):
            with contextlib.suppress(OSError):
                useless.unlink()
    return None


@contextlib.contextmanager
def room(shape: tuple[int, ...]) -> Iterator[np.ndarray | OnDisk]:
    """Where pictures go one by one as they are decoded: memory, or a file without a name if that does not hold them.

    Raises:
        Failure: the block, or `keep` in it, cannot write to the disk what memory does not hold.
    """
    if math.prod(shape) <= IN_MEMORY:
        yield np.empty(shape, np.uint8)
        return
    try:
        home().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home(), buffering=0) as file:
            yield OnDisk(file, shape, begin=0)
    except OSError as error:
        raise Failure(
            f"cannot write to {home()} ({error.strerror or error}): {math.prod(shape) / 1e9:.1f} GB of pixels go "
            "there, twice while they are decoded; make room, or name another folder by XDG_CACHE_HOME"
        ) from None


def keep(
    path: Path, key: str, pixels: np.ndarray | OnDisk, order: np.ndarray, channels: int, **about: np.ndarray
) -> Prepared:
    """Write an entry; one that fits memory and cannot be written is said and returned all the same.

    Args:
        path: of the entry, without suffix.
        pixels: all that were decoded.
        order: which of them, in the order that they are to have.
        about: the fields of Prepared but images and digests.

    Raises:
        OSError: it cannot be written, and does not fit memory.
    """
    shape = (len(order), *pixels.shape[1:3], channels)
    with contextlib.suppress(OSError):
        remove_stale_partials(home())
    if math.prod(shape) > IN_MEMORY:
        with whole(path.with_suffix(".npy")) as partial, open(partial, "wb+", buffering=0) as file:
            file.write(header(shape))
            digests = _arrange(pixels, order, OnDisk(file, shape))
            images = OnDisk(open(partial, "rb", buffering=0), shape)
        prepared = Prepared(images, digests, **about)
        _write_index(path, key, prepared)
        return prepared
    images = np.empty(shape, np.uint8)
    prepared = Prepared(images, _arrange(pixels, order, images), **about)
    try:
        with whole(path.with_suffix(".npy")) as partial, open(partial, "wb") as file:
            file.write(header(shape))
            file.write(images.data)
        _write_index(path, key, prepared)
    except OSError as error:
        say(f"cannot write to {home()} ({error.strerror or error}): the pictures will be decoded again next time")
    return prepared


class _Unusable(Exception):
    """What is wrong with an entry."""


class _Changed(Exception):
    """An entry's pictures are others by now."""


def _read(path: Path, key: str, size: int | None, channels: int | None) -> Prepared | None:
    """As `read`, of one entry; None if it is of another size. Raises _Changed, _Unusable, and what NumPy raises."""
    entry = npz.read(path, LARGEST_INDEX)
    if entry.pop("version") != VERSION:
        raise _Unusable("is of another version")
    if entry.pop("key") != key:
        raise _Changed
    shape, fingerprint = tuple(entry.pop("shape").tolist()), entry.pop("fingerprint")
    if entry["left_out"].dtype.kind != "U" or entry["left_out"].ndim != 1:  # no digest covers it
        raise _Unusable("is damaged")
    asked = zip((size, channels), shape[2:], entry["found"].tolist(), strict=True)
    if not all(want == has or (want is None and found) for want, has, found in asked):
        return None
    images = OnDisk(open(path.with_suffix(".npy"), "rb", buffering=0), shape)
    prepared = Prepared(images, **entry)
    if prepared.fingerprint != fingerprint or not _is_whole(images, prepared.digests):
        raise _Unusable("is damaged")
    return prepared if images.nbytes > IN_MEMORY else prepared._replace(images=images[:])


def _is_whole(images: OnDisk, digests: np.ndarray) -> bool:
    """Whether an entry's pixels are the ones that were written. Of very many, evenly spread ones are looked at."""
    if os.fstat(images.file.fileno()).st_size != images.begin + images.nbytes:
        return False
    if images.file.read(images.begin) != header(images.shape):
        return False
    rows = block_rows(images.shape)
    looked_at = min(len(digests), max(1, VERIFIED // (rows * images.row)))
    blocks = np.linspace(0, len(digests) - 1, looked_at).astype(int).tolist()
    return all(digest(images[i * rows : (i + 1) * rows]) == digests[i].tobytes() for i in blocks)


def _arrange(pixels: np.ndarray | OnDisk, order: np.ndarray, into: np.ndarray | OnDisk) -> np.ndarray:
    """Copy pixels[order], in the channels of `into`, to `into`, a block at a time; returns the blocks' digests."""
    rows, digests = block_rows(into.shape), []
    for start in range(0, len(order), rows):
        block = recoloured(pixels[order[start : start + rows]], into.shape[-1])
        into[start : start + len(block)] = block
        digests.append(digest(block))
    return np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32)


def _write_index(path: Path, key: str, prepared: Prepared) -> None:
    fields = {name: value for name, value in prepared._asdict().items() if name != "images"}
    about = {"version": VERSION, "key": key, "shape": prepared.images.shape, "fingerprint": prepared.fingerprint}
    with whole(path.with_suffix(".npz")) as partial, open(partial, "wb") as file:
        np.savez(file, **fields, **about)
