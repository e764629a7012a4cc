"""Cache of decoded pictures in the user's cache folder, memory-mapped. Entries are written atomically.

An entry is a folder <set>-<state>-<side>x<channels> with the pixels in images.npy and all else in index.npz. <set> is
a digest of the pictures' folder and of the options, <state> a digest of the list of files. Users may delete entries.
"""

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data.decode import recoloured
from engine import files
from engine.terminal import Progress, printable, say

ENTRY = 2  # version of the entry format, not in the fingerprint: increase it whenever the format changes
VERSION = 1  # version of the decoding, in the fingerprint: increase it whenever the same pictures give other pixels
BLOCK = 1 << 24  # bytes, roughly, of images that are copied at a time; the fingerprint has a digest of each block
IMAGES, INDEX = "images.npy", "index.npz"


class Prepared(NamedTuple):
    """The decoded pictures of a folder, ordered by split: training, validation, test."""

    images: np.ndarray  # uint8 (N, H, W, C), memory-mapped, read-only
    labels: np.ndarray  # (N,)
    counts: np.ndarray  # int (3,), images per split
    names: np.ndarray  # (L,), of the labels
    left_out: np.ndarray  # a text for each picture that cannot be decoded
    inferred: np.ndarray  # bool (2,): whether size and channels were inferred from the pictures
    levels: np.ndarray  # (2,), see decode.eight_bit; (0,) if no picture has more than 8 bits
    fingerprint: str  # SHA-256 of the content in hex, without times and paths


def read(stem: str, key: str, size: int | None, channels: int | None) -> Prepared | None:
    """Read the cache entry of set `stem` in state `key`; None if there is none. Size or channels None means inferred.

    Deletes entries of the set in other states. Reports and deletes damaged entries.
    """
    for entry in sorted(files.user_cache().glob(f"{stem}-*")):
        if not entry.name.startswith(f"{stem}-{key}-"):
            shutil.rmtree(entry, ignore_errors=True)
            continue
        try:
            prepared = _read(entry)
        except Exception:  # a damaged header or index makes NumPy raise nearly anything
            say(f"the cache {printable(str(entry))} is damaged: its pictures are decoded again")
            shutil.rmtree(entry, ignore_errors=True)
            continue
        checks = zip((size, channels), prepared.images.shape[2:], prepared.inferred.tolist(), strict=True)
        if all(wanted == actual or (wanted is None and inferred) for wanted, actual, inferred in checks):
            return prepared
    return None


def write(name: str, pixels: np.ndarray, order: np.ndarray, channels: int, index: dict[str, np.ndarray]) -> Prepared:
    """Write pixels[order] and `index`, the other fields of Prepared, as entry `name`; return it memory-mapped."""
    files.remove_stale_partials(files.user_cache())
    try:
        with files.whole(files.user_cache() / name) as partial:
            partial.mkdir()
            fingerprint = _write_images(partial / IMAGES, pixels, order, channels, index)
            np.savez(partial / INDEX, **index, fingerprint=fingerprint)
    except OSError:
        if not (files.user_cache() / name).exists():  # if it exists, another process has just written the same entry
            raise
    return _read(files.user_cache() / name)


def _read(entry: Path) -> Prepared:
    """Read an entry. Raises any exception if it is damaged: the index has checksums, the images a header and a size."""
    index = files.read_npz(entry / INDEX)
    images = np.load(entry / IMAGES, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    if len(images) != len(index["labels"]):
        raise ValueError("images and index are of different sets")
    return Prepared(images, **index | {"fingerprint": str(index["fingerprint"])})


def _write_images(path: Path, pixels: np.ndarray, order: np.ndarray, channels: int, index: dict) -> str:
    """Write pixels[order] in blocks and return the fingerprint. If its definition changed, no old run would resume."""
    shape = (len(order), *pixels.shape[1:3], channels)
    rows = max(1, BLOCK // math.prod(shape[1:]))
    content = [VERSION, shape, index["counts"].tolist(), index["names"].tolist()]
    fingerprint = hashlib.sha256(json.dumps(content).encode())
    fingerprint.update(index["labels"].data)
    with open(path, "wb") as file, Progress(len(order), "caching") as bar:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        for start in range(0, len(order), rows):
            block = recoloured(pixels[order[start : start + rows]], channels)
            file.write(block.data)
            fingerprint.update(hashlib.sha256(block.data).digest())
            bar.advance(len(block))
    return fingerprint.hexdigest()
