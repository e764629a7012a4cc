"""The pictures of a folder as arrays: decoded by all cores and split, or read from the cache."""

from __future__ import annotations

import functools
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from data import decode, image_folder, picture_cache, splits
from data.decode import Form
from data.image_folder import SHOWN, Contents, Picture
from data.picture_cache import Prepared
from engine.dataset import Dataset, LeftOut, Split
from engine.files import user_cache
from engine.terminal import Failure, Progress, cores, printable, say

SIDE, LOWEST = 64, 28  # pixels: the default, and the least
MOST_BAD = 0.1  # of the pictures may fail to decode
AHEAD = 64  # pictures for each core that are decoded before they are written


def dataset(root: Path, size: int | None, channels: int | None, fit: str, background: str) -> Dataset:
    """The pictures under `root`, every one of `size` and `channels`; None finds what suits them.

    Raises Failure as image_folder does, or if over a tenth of the pictures do not decode or the disk is full.
    """
    wanted = Form(size, channels, fit, decode.colour(background))
    held = image_folder.contents(root)
    image_folder.split(held.pictures, held.names)  # raises before anything is decoded
    stem = _hash([str(root.resolve()), fit, wanted.paper])
    key = _hash([picture_cache.ENTRY, picture_cache.VERSION, held.names, held.pictures])
    prepared = picture_cache.read(stem, key, size, channels)
    if prepared is None:
        say(f"decoding {len(held.pictures):,} pictures, once: they are kept in {printable(str(user_cache()))}")
        prepared = _decoded(root, held, wanted, f"{stem}-{key}")
    left_out, notes, levels = held.left_out, held.notes, tuple(prepared.levels.tolist())
    if len(prepared.left_out):
        bad = prepared.left_out.tolist()
        left_out = (LeftOut("cannot be decoded", len(bad), tuple(bad[:SHOWN])), *left_out)
    if levels:
        notes += (f"levels {levels[0]:g} to {levels[1]:g} of pictures of more than 8 bits become 0 to 255",)
    ends = np.cumsum(prepared.counts)[:-1]
    parts = map(Split, np.split(prepared.images, ends), np.split(prepared.labels, ends))
    about = {"split_from": held.split_from, "left_out": left_out, "notes": notes, "levels": levels}
    return Dataset("folder", f"pictures in {root}", *parts, prepared.fingerprint, len(held.names), held.names, **about)


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]


def _first(texts: list[str]) -> str:
    """The first of them, and whether there are more."""
    return ", ".join(sorted(texts)[:SHOWN]) + (", …" if len(texts) > SHOWN else "")


def _decoded(root: Path, held: Contents, wanted: Form, entry: str) -> Prepared:
    """Decode the pictures, put them into their parts, write the cache's entry. Raises Failure."""
    found = sorted(held.pictures, key=lambda picture: splits.fraction(picture.path))  # mixed; of a part: neighbours
    common_side, levels = _surveyed(root, found)
    side, channels = wanted.size or common_side, wanted.channels or 3
    form = wanted._replace(size=side, channels=channels, levels=levels)
    try:
        user_cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=user_cache()) as file:
            good, bad, grey = _decode(root, found, form, file)
            pixels = np.memmap(file, np.uint8, "r", shape=(len(good), side, side, channels))
            labels = np.array([picture.label for picture in good], np.min_scalar_type(len(held.names) - 1))
            part = image_folder.split(good, held.names)
            order = np.argsort(part, kind="stable")
            about = {
                "labels": labels[order],
                "counts": np.bincount(part, minlength=3),
                "names": np.array(held.names),
                "left_out": np.array(sorted(bad), str),
                "inferred": np.array([wanted.size is None, wanted.channels is None]),
                "levels": np.array(levels, float),
            }
            kept = wanted.channels or (1 if grey else 3)
            return picture_cache.write(f"{entry}-{side}x{kept}", pixels, order, kept, about)
    except OSError as error:
        megabytes = len(found) * side**2 * channels / 1e6
        raise Failure(
            f"cannot write to {user_cache()} ({error.strerror or error}): {megabytes:,.0f} MB of pixels go there, "
            "twice while they are decoded; make room, or name another folder by XDG_CACHE_HOME"
        ) from None


def _surveyed(root: Path, found: list[Picture]) -> tuple[int, tuple[float, ...]]:
    """The side that suits the pictures, and the levels of those of more than 8 bits, () where there are none.

    The side is their own, at least LOWEST, if all are square, of one size and smaller than SIDE; else SIDE.
    """
    sizes, ranges = set(), []
    for _, header in _each(decode.header, root, found, "reading headers"):
        if not isinstance(header, decode.Unreadable):
            sizes.add(header[0])
            ranges += [header[1]] if header[1] else []
    uniform = len(sizes) == 1 and all(width == height < SIDE for width, height in sizes)
    side = max(sizes.pop()[0], LOWEST) if uniform else SIDE
    return side, decode.common_levels(ranges) if ranges else ()


def _decode(root: Path, found: list[Picture], form: Form, file: BinaryIO) -> tuple[list[Picture], list[str], bool]:
    """Write the decoded pictures to `file`.

    Returns the pictures that are in it now, a text for each other one, and whether all are grey. Raises Failure.
    """
    good, bad, grey = [], [], True
    for picture, result in _each(functools.partial(decode.pixels, form=form), root, found, "decoding"):
        if isinstance(result, decode.Unreadable):
            bad.append(printable(f"{picture.path} ({result.why})"))
            if len(bad) > MOST_BAD * len(found):
                few = f"over a tenth of the {len(found):,} pictures in {root} cannot be decoded"
                raise Failure(f"{few}: mend or move {_first(bad)}")
            continue
        good.append(picture)
        file.write(result.data)
        grey = grey and bool((result == result[..., :1]).all())
    file.flush()
    return good, bad, grey


def _each(work: Callable[[Path], Any], root: Path, pictures: list[Picture], what: str) -> Iterator[tuple[Picture, Any]]:
    """Each picture with `work` of its path, or the Unreadable that it raises, in order.

    As many threads as there are cores do the work: Pillow lets them run at once.
    """

    def result(picture: Picture) -> Any:
        try:
            return work(root / picture.path)
        except decode.Unreadable as error:
            return error

    batch = AHEAD * cores()
    with Progress(len(pictures), what) as bar, ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(pictures), batch):
            chunk = pictures[start : start + batch]
            yield from zip(chunk, pool.map(result, chunk), strict=True)
            bar.advance(len(chunk))
