"""Load a folder of pictures as arrays: decode them on all cores and split them, or read the cache."""

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
from data.image_folder import Picture
from engine.dataset import Dataset, Split
from engine.files import user_cache
from engine.terminal import Failure, Progress, cores, printable, say

SIDE, LOWEST = 64, 28  # pixels of an image's side: the default, and the minimum
MOST_BAD = 0.1  # share of the pictures that may fail to decode
AHEAD = 64  # pictures per core that are decoded before they are written to disk


def dataset(root: Path, size: int | None, channels: int | None, fit: str, background: str) -> Dataset:
    """Load the pictures under `root`, all of one size and number of channels. None infers these from the pictures.

    Raises Failure as image_folder does, or if over a tenth of the pictures cannot be decoded, or the disk is full.
    """
    wanted = Form(size, channels, fit, decode.colour(background))
    pictures, fields = image_folder.contents(root)
    names = fields["label_names"]
    image_folder.split(pictures, names)  # raises before anything is decoded
    stem = _hash([str(root.resolve()), fit, wanted.paper])
    key = _hash([picture_cache.ENTRY, picture_cache.VERSION, names, pictures])
    entry = picture_cache.read(stem, key, size, channels)
    if entry is None:
        say(f"decoding {len(pictures):,} pictures, once: they are cached in {printable(str(user_cache()))}")
        entry = _decode_and_cache(root, pictures, names, wanted, f"{stem}-{key}")
    fields["left_out"] = splits.left_out("cannot be decoded", entry.left_out.tolist()) + fields["left_out"]
    levels = tuple(entry.levels.tolist())
    if levels:
        fields["notes"] += (f"levels {levels[0]:g} to {levels[1]:g} of pictures of more than 8 bits become 0 to 255",)
    ends = np.cumsum(entry.counts)[:-1]
    parts = map(Split, np.split(entry.images, ends), np.split(entry.labels, ends))
    return Dataset("folder", f"pictures in {root}", *parts, entry.fingerprint, levels=levels, **fields)


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:24]


def _decode_and_cache(
    root: Path, pictures: list[Picture], names: tuple[str, ...], wanted: Form, entry: str
) -> picture_cache.Prepared:
    """Decode the pictures, split them and write them to the cache. Raises Failure."""
    pictures = sorted(pictures, key=lambda p: splits.fraction(p.path))  # shuffled; contiguous per split
    common_side, levels = _infer_side_and_levels(root, pictures)
    side, channels = wanted.size or common_side, wanted.channels or 3
    form = wanted._replace(size=side, channels=channels, levels=levels)
    try:
        user_cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=user_cache()) as file:
            good, bad, grey = _decode_to(root, pictures, form, file)
            pixels = np.memmap(file, np.uint8, "r", shape=(len(good), side, side, channels))
            labels = np.array([picture.label for picture in good], np.min_scalar_type(len(names) - 1))
            part = image_folder.split(good, names)
            order = np.argsort(part, kind="stable")
            index = {
                "labels": labels[order],
                "counts": np.bincount(part, minlength=3),
                "names": np.array(names),
                "left_out": np.array(sorted(bad), str),
                "inferred": np.array([wanted.size is None, wanted.channels is None]),
                "levels": np.array(levels, float),
            }
            kept_channels = wanted.channels or (1 if grey else 3)
            return picture_cache.write(f"{entry}-{side}x{kept_channels}", pixels, order, kept_channels, index)
    except OSError as error:
        megabytes = 2 * len(pictures) * side**2 * channels / 1e6  # all pixels, before and after they are ordered
        remedy = f"free {megabytes:,.0f} MB there, or name another folder by XDG_CACHE_HOME"
        raise Failure(f"cannot write to {user_cache()} ({error.strerror or error}): {remedy}") from None


def _infer_side_and_levels(root: Path, pictures: list[Picture]) -> tuple[int, tuple[float, ...]]:
    """Infer the side of the images, and the levels of pictures with more than 8 bits, () if there are none.

    If all pictures are square, of one size and smaller than SIDE, the side is theirs, at least LOWEST; else it is SIDE.
    """
    sizes, ranges = set(), []
    for _, header in _in_threads(decode.header, root, pictures, "reading headers"):
        if not isinstance(header, decode.Unreadable):
            sizes.add(header[0])
            ranges += [header[1]] if header[1] else []
    uniform = len(sizes) == 1 and all(width == height < SIDE for width, height in sizes)
    side = max(sizes.pop()[0], LOWEST) if uniform else SIDE
    return side, decode.common_levels(ranges) if ranges else ()


def _decode_to(root: Path, pictures: list[Picture], form: Form, out: BinaryIO) -> tuple[list[Picture], list[str], bool]:
    """Decode the pictures and write their pixels to `out`. Raises Failure if too many cannot be decoded.

    Returns the pictures that are in the file, a text for each that cannot be decoded, and whether all are grey.
    """
    good, bad, grey = [], [], True
    for picture, result in _in_threads(functools.partial(decode.pixels, form=form), root, pictures, "decoding"):
        if isinstance(result, decode.Unreadable):
            bad.append(printable(f"{picture.path} ({result.why})"))
            if len(bad) > MOST_BAD * len(pictures):
                problem = f"over a tenth of the {len(pictures):,} pictures in {root} cannot be decoded"
                raise Failure(f"{problem}: mend or move {', '.join(sorted(bad)[: splits.SHOWN])} …")
            continue
        good.append(picture)
        out.write(result.data)
        grey = grey and bool((result == result[..., :1]).all())
    out.flush()
    return good, bad, grey


def _in_threads(work: Callable, root: Path, pictures: list[Picture], title: str) -> Iterator[tuple[Picture, Any]]:
    """Yield each picture, in order, with the result of `work(path)`, or with the Unreadable that it raised.

    Runs a thread per core: Pillow releases the GIL.
    """

    def result(picture: Picture) -> Any:
        try:
            return work(root / picture.path)
        except decode.Unreadable as error:
            return error

    batch = AHEAD * cores()
    with Progress(len(pictures), title) as bar, ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(pictures), batch):
            chunk = pictures[start : start + batch]
            yield from zip(chunk, pool.map(result, chunk), strict=True)
            bar.advance(len(chunk))
