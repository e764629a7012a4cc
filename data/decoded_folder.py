"""The pictures of a folder as arrays: decoded by all cores and split, or read from the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from data import decode, image_folder, picture_cache, splits
from data.image_folder import Picture
from data.picture_cache import Prepared
from engine.dataset import Dataset, Split
from engine.files import user_cache
from engine.terminal import Failure, Progress, cores, printable, say

SIDE, LOWEST = 64, 28  # pixels: the default, and the least
MOST_BAD = 0.1  # of the pictures may fail to decode
AHEAD = 64  # pictures for each core that are decoded before they are written
SHOWN = 3  # names of pictures in a message


class Wanted(NamedTuple):
    """How pictures are to be; None is to be found."""

    size: int | None  # side in pixels
    channels: int | None
    fit: str  # see decode.pixels
    paper: tuple[int, int, int]  # the background's colour


def dataset(root: Path, size: int | None, channels: int | None, fit: str, background: str) -> Dataset:
    """The pictures under `root`, every one of `size` and `channels`; None finds what suits them.

    Raises Failure as image_folder does, or if over a tenth of the pictures do not decode or the disk is full.
    """
    wanted = Wanted(size, channels, fit, decode.colour(background))
    found = image_folder.pictures(root)
    names = image_folder.label_names(found)
    stem, key = _hash([str(root.resolve()), fit, wanted.paper]), _hash([picture_cache.VERSION, found])
    prepared = picture_cache.read(stem, key, size, channels)
    if prepared is None:
        say(f"decoding {len(found):,} pictures, once: they are kept in {printable(str(user_cache()))}")
        prepared = _decoded(root, found, names, wanted, f"{stem}-{key}")
    if len(prepared.left_out):
        bad = prepared.left_out.tolist()
        say(f"left out {len(bad):,} of {len(found):,} pictures, which cannot be decoded: {_first(bad)}")
    ends = np.cumsum(prepared.counts)[:-1]
    parts = map(Split, np.split(prepared.images, ends), np.split(prepared.labels, ends))
    return Dataset("folder", f"pictures in {root}", *parts, prepared.fingerprint, len(names), names)


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]


def _first(texts: list[str]) -> str:
    """The first of them, and whether there are more."""
    return ", ".join(sorted(texts)[:SHOWN]) + (", …" if len(texts) > SHOWN else "")


def _decoded(root: Path, found: list[Picture], names: tuple[str, ...], wanted: Wanted, entry: str) -> Prepared:
    """Decode the pictures, put them into their parts, write the cache's entry. Raises Failure."""
    side, channels = wanted.size or _common_side(root, found), wanted.channels or 3
    number = {label: i for i, label in enumerate(sorted({picture.label for picture in found}))}
    found = sorted(found, key=lambda picture: splits.fraction(picture.path))  # mixed; those of a part are neighbours
    try:
        user_cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=user_cache()) as file:
            good, bad, grey = _decode(root, found, wanted._replace(size=side, channels=channels), file)
            pixels = np.memmap(file, np.uint8, "r", shape=(len(good), side, side, channels))
            labels = np.array([number[picture.label] for picture in good], np.min_scalar_type(len(names) - 1))
            part = image_folder.split(good, labels, names)
            order = np.argsort(part, kind="stable")
            about = {
                "labels": labels[order],
                "counts": np.bincount(part, minlength=3),
                "names": np.array(names),
                "left_out": np.array(sorted(bad), str),
                "inferred": np.array([wanted.size is None, wanted.channels is None]),
            }
            kept = wanted.channels or (1 if grey else 3)
            return picture_cache.write(f"{entry}-{side}x{kept}", pixels, order, kept, about)
    except OSError as error:
        megabytes = len(found) * side**2 * channels / 1e6
        raise Failure(
            f"cannot write to {user_cache()} ({error.strerror or error}): {megabytes:,.0f} MB of pixels go there, "
            "twice while they are decoded; make room, or name another folder by XDG_CACHE_HOME"
        ) from None


def _decode(root: Path, found: list[Picture], wanted: Wanted, file: BinaryIO) -> tuple[list[Picture], list[str], bool]:
    """Write the decoded pictures to `file`. As many threads as there are cores decode: Pillow lets them run at once.

    Returns the pictures that are in it now, a text for each other one, and whether all are grey. Raises Failure.
    """

    def decoded(picture: Picture) -> np.ndarray | decode.Unreadable:
        try:
            pixels = decode.pixels(root / picture.path, wanted.size, wanted.fit, wanted.paper)
        except decode.Unreadable as error:
            return error
        return decode.recoloured(pixels, wanted.channels)

    good, bad, grey, batch = [], [], True, AHEAD * cores()
    with Progress(len(found), "decoding") as bar, ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(found), batch):
            chunk = found[start : start + batch]
            for picture, result in zip(chunk, pool.map(decoded, chunk), strict=True):
                if isinstance(result, decode.Unreadable):
                    bad.append(printable(f"{picture.path} ({result.why})"))
                    continue
                good.append(picture)
                file.write(result.data)
                grey = grey and bool((result == result[..., :1]).all())
            bar.advance(len(chunk))
            if len(bad) > MOST_BAD * len(found):
                few = f"over a tenth of the {len(found):,} pictures in {root} cannot be decoded"
                raise Failure(f"{few}: mend or move {_first(bad)}")
    file.flush()
    return good, bad, grey


def _common_side(root: Path, found: list[Picture]) -> int:
    """The side of the pictures, at least LOWEST, if all are square, of one size and smaller than SIDE; else SIDE."""
    sizes = set()
    for picture in found:
        with contextlib.suppress(decode.Unreadable):
            sizes.add(decode.opened(root / picture.path, lambda image: image.size))
        if len(sizes) > 1 or any(width != height or width >= SIDE for width, height in sizes):
            return SIDE
    return max(sizes.pop()[0], LOWEST) if sizes else SIDE
