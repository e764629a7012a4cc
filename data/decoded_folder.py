"""The pictures of a folder as arrays: decoded by all cores and split, or read from the cache."""

from __future__ import annotations

import hashlib
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data import cache, decode, image_folder, splits
from data.cache import Prepared
from data.image_folder import Picture
from engine.dataset import dtype_for
from engine.terminal import Failure, Progress, cores, printable, say

SIDE, LOWEST, HIGHEST = 64, 28, 128  # pixels: the default, and what can be asked for
MOST_BAD = 0.1  # of the pictures may fail to decode
CHUNK = 16  # pictures that a thread takes at a time
SHOWN = 3  # names of pictures in a message


class Wanted(NamedTuple):
    """How pictures are to be; None is to be found."""

    size: int | None  # side in pixels
    channels: int | None
    fit: str  # see decode.pixels
    paper: tuple[int, int, int]  # what shows where a picture is transparent, and beside one that is padded


def pictures(root: Path, size: int | None, channels: int | None, fit: str, background: str) -> Prepared:
    """The pictures under `root`, every one of `size` and `channels`; None finds what suits them.

    Raises:
        Failure: as image_folder.pictures, .label_names and .split; over a tenth of the pictures do not decode; no such
            fit, colour or size; or they fit neither memory nor the disk.
    """
    if fit not in decode.FITS:
        raise Failure(f"there is no fit {fit!r}: choose {', '.join(decode.FITS)}")
    if size is not None and not LOWEST <= size <= HIGHEST:
        raise Failure(f"pictures cannot be made {size} pixels large: choose a --size from {LOWEST} to {HIGHEST}")
    paper = decode.colour(background)
    found = image_folder.pictures(root)
    names = image_folder.label_names(found)
    stem, key = _hash([str(root.resolve()), fit, paper])[:24], _hash([cache.VERSION, found])[:24]
    prepared = cache.read(stem, key, size, channels)
    if prepared is None:
        say(f"decoding {len(found):,} pictures, once: they are kept in {printable(str(cache.home()))}")
        prepared = _decoded(root, found, names, Wanted(size, channels, fit, paper), stem, key)
    if len(prepared.left_out):
        number = len(prepared.left_out)
        noun = "picture that" if number == 1 else "pictures that"
        say(f"left out: {number:,} {noun} cannot be decoded: {_first(prepared.left_out.tolist())}")
    return prepared


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _first(texts: list[str]) -> str:
    """The first of them, and whether there are more."""
    return ", ".join(sorted(texts)[:SHOWN]) + (", …" if len(texts) > SHOWN else "")


def _decoded(root: Path, found: list[Picture], names: tuple[str, ...], wanted: Wanted, stem: str, key: str) -> Prepared:
    """Decode the pictures, put them into their parts, write the cache's entry. Raises Failure."""
    side = wanted.size or _common_side(root, found)
    found = sorted(found, key=lambda picture: splits.fraction(picture.path))  # mixed; those of a part are neighbours
    with cache.scratch((len(found), side, side, wanted.channels or 3)) as pixels:
        bad, grey = _decode(root, found, pixels, wanted)
        rows = np.array([row for row in range(len(found)) if row not in bad])
        good = [found[row] for row in rows]
        number = {name: i for i, name in enumerate(sorted({picture.label for picture in found}))}
        labels = np.array([number[picture.label] for picture in good], dtype_for(len(names)))
        part = image_folder.split(good, labels, names)
        order = np.argsort(part, kind="stable")
        channels = wanted.channels or (1 if grey else 3)
        return cache.keep(
            f"{stem}-{key}-{side}x{channels}",
            pixels,
            rows[order],
            channels,
            labels=labels[order],
            counts=np.bincount(part, minlength=3),
            names=np.array(names),
            left_out=np.array(sorted(_why(found[row], why) for row, why in bad.items()), str),
            inferred=np.array([wanted.size is None, wanted.channels is None]),
        )


def _why(picture: Picture, why: str) -> str:
    return printable(f"{picture.path} ({why})")


def _decode(root: Path, found: list[Picture], pixels: np.ndarray, wanted: Wanted) -> tuple[dict[int, str], bool]:
    """Decode into the rows of `pixels`, by as many threads as there are cores: Pillow lets them run at once.

    Returns:
        Why a row was left out, for those that were; and whether all the others are grey.

    Raises:
        Failure: over a tenth were left out.
    """
    bad: dict[int, str] = {}
    coloured, stop = threading.Event(), threading.Event()
    side, channels = pixels.shape[2:]

    def work(start: int) -> int:
        chunk = range(start, min(start + CHUNK, len(found)))
        for row in chunk:
            if stop.is_set():
                break
            try:
                picture = decode.pixels(root / found[row].path, side, wanted.fit, wanted.paper)
            except decode.Unreadable as error:
                bad[row] = error.why
                continue
            if not coloured.is_set() and not decode.is_grey(picture):
                coloured.set()
            pixels[row] = decode.recoloured(picture, channels)
        return len(chunk)

    with Progress(len(found), "decoding") as bar, ThreadPoolExecutor(cores()) as pool:
        try:
            for done in pool.map(work, range(0, len(found), CHUNK)):
                bar.advance(done)
                if len(bad) > MOST_BAD * len(found):
                    break
        finally:  # at once, whatever ended it
            stop.set()
            pool.shutdown(cancel_futures=True)
    if len(bad) > MOST_BAD * len(found):
        some = _first([_why(found[row], why) for row, why in bad.items()])
        raise Failure(f"over a tenth of the {len(found):,} pictures in {root} cannot be decoded: mend or move {some}")
    return bad, not coloured.is_set()


def _common_side(root: Path, found: list[Picture]) -> int:
    """The side of the pictures, at least LOWEST, if all are square, of one size and smaller than SIDE; else SIDE."""
    common = None
    for picture in found:
        try:
            width, height = decode.opened(root / picture.path, lambda image: image.size)
        except decode.Unreadable:
            continue
        if width != height or width >= SIDE or common not in (None, width):
            return SIDE
        common = width
    return max(common or SIDE, LOWEST)
