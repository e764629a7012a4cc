"""Decoded pictures in the user's cache, memory-mapped: an entry is written whole or not at all, and may be deleted.

An entry is a folder <set>-<state>-<side>x<channels> with images.npy, the pixels, and index.npz, all the rest. <set> is
a digest of the pictures' folder and of how they are prepared, <state> a digest of the list of their files.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.decode import recoloured
from engine import files, npz
from engine.files import user_cache
from engine.terminal import Progress, printable, say

ENTRY = 2  # of an entry's form, not part of the fingerprint: raise it whenever entries hold something else
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
    levels: np.ndarray  # (2,) of pictures of more than 8 bits, see decode.eight_bit; (0,) where there are none
    fingerprint: str  # SHA-256 of the content in hex: neither times nor the folder's place count


def read(stem: str, key: str, size: int | None, channels: int | None) -> Prepared | None:
    """The entry of set `stem` in the state `key`, or None; size or channels None asks for those that suit the pictures.

    Deletes entries of earlier states, and, after a line, a damaged one.
    """
    for entry in sorted(user_cache().glob(f"{stem}-*")):
        if not entry.name.startswith(f"{stem}-{key}-"):
            shutil.rmtree(entry, ignore_errors=True)
            continue
        try:
            prepared = _read(entry)
        except Exception:  # a damaged header or index makes NumPy raise nearly anything
            say(f"the cache {printable(str(entry))} is damaged: its pictures are decoded again")
            shutil.rmtree(entry, ignore_errors=True)
            continue
        asked = zip((size, channels), prepared.images.shape[2:], prepared.inferred.tolist(), strict=True)
        if all(want == has or (want is None and inferred) for want, has, inferred in asked):
            return prepared
    return None


def write(name: str, pixels: np.ndarray, order: np.ndarray, channels: int, about: dict[str, np.ndarray]) -> Prepared:
    """Write the entry `name`: pixels[order], and `about`, the other fields of Prepared. Returns it memory-mapped."""
    files.remove_stale_partials(user_cache())
    try:
        with files.whole_folder(user_cache() / name) as partial:
            partial.mkdir()
            fingerprint = _write_images(partial / IMAGES, pixels, order, channels, about)
            np.savez(partial / INDEX, **about, fingerprint=fingerprint)
    except OSError:
        if not (user_cache() / name).exists():  # else another process has written the same entry meanwhile
            raise
    return _read(user_cache() / name)


def _read(entry: Path) -> Prepared:
    """An entry; raises anything if it is damaged: checksums of the index, header and size of the images."""
    index = npz.read(entry / INDEX, LARGEST_INDEX)
    images = np.load(entry / IMAGES, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    if len(images) != len(index["labels"]):
        raise ValueError("images and index are of different sets")
    return Prepared(images, **index | {"fingerprint": str(index["fingerprint"])})


def _write_images(path: Path, pixels: np.ndarray, order: np.ndarray, channels: int, about: dict) -> str:
    """Write pixels[order], a block at a time; returns the fingerprint. If that changed, no run would resume."""
    shape = (len(order), *pixels.shape[1:3], channels)
    rows = max(1, BLOCK // math.prod(shape[1:]))
    content = [VERSION, shape, about["counts"].tolist(), about["names"].tolist()]
    fingerprint = hashlib.sha256(json.dumps(content).encode())
    fingerprint.update(about["labels"].data)
    with open(path, "wb") as file, Progress(len(order), "caching") as bar:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for start in range(0, len(order), rows):
            block = recoloured(pixels[order[start : start + rows]], channels)
            file.write(block.data)
            fingerprint.update(hashlib.sha256(block.data).digest())
            bar.advance(len(block))
    return fingerprint.hexdigest()
