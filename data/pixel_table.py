"""Tables of pixels: CSV files with a row for each image, its label and its pixels, as Kaggle hands out MNIST."""

from __future__ import annotations

import itertools
import math
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data import arrays, file_sets
from data.splits import TRAIN
from engine.dataset import Dataset, LeftOut
from engine.terminal import Failure, Progress, printable

CSV = re.compile(rf"{file_sets.SET}(?P<kind>)\.csv")
LEAST = 64  # pixels: a table with fewer columns is of something else
LABEL = {*file_sets.LABELS, "class", "digit", "letter"}  # what the column of labels is called
NEITHER = {"id", "index", "", "unnamed: 0"}  # what columns are called that are neither labels nor pixels
REMEDY = "it needs a row for each image, a column of labels, and columns of pixels, such as 784; or name another file"
ROWS = 1000  # that are read at a time


class Columns(NamedTuple):
    separator: str
    header: bool
    label: int | None
    pixels: list[int]
    shape: tuple[int, ...]  # (H, W) or (H, W, 3); (3·H·W,) where the order of the colours is open


def columns(path: Path) -> Columns | None:
    """Which columns of a CSV file hold what, by its first line; None if it is no table of pixels. Raises OSError."""
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        line = file.readline(arrays.MAX_BYTES)
    separator = max(",;\t", key=line.count)
    cells = [cell.strip(' "\n').lower() for cell in line.split(separator)]
    texts = [cell for cell in cells if not re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", cell)]
    header = len(texts) > 1 or bool(LABEL.intersection(texts))  # without one a label may be a text
    label = next((i for i, cell in enumerate(cells) if header and cell in LABEL), None)
    pixels = [i for i, cell in enumerate(cells) if i != label and not (header and cell in NEITHER)]
    shape = _shape([cells[i] for i in pixels])
    if label is None and not shape:
        label, *pixels = pixels or [0]
        shape = _shape([cells[i] for i in pixels])
    return Columns(separator, header, label, pixels, shape) if shape else None


def _shape(names: list[str]) -> tuple[int, ...]:
    """The shape of an image of these pixels: the last is called 28x28, or its pixels are a square; else ()."""
    count, named = len(names), re.fullmatch(r"(\d{1,3})x(\d{1,3})", names[-1] if names else "")
    h, w = map(int, named.groups()) if named else (math.isqrt(count), math.isqrt(count))
    if count < LEAST or count not in (h * w, 3 * h * w):
        third = math.isqrt(count // 3)
        return (count,) if count >= LEAST and count == 3 * third**2 else ()
    return (h, w) if count == h * w else (h, w, 3)


def holds_tables(folder: Path) -> bool:
    """Whether a folder that has no folders holds a table of pixels."""
    with os.scandir(folder) as entries:
        names = [None if entry.is_dir() else entry.name for entry in entries if not entry.name.startswith(".")]
    return None not in names and any(columns(folder / name) for name in names if name.lower().endswith(".csv"))


def dataset(place: Path, channels: int | None) -> Dataset:
    """The images of a CSV file, and of those of its parts beside it; or of a folder of such files. Raises Failure."""
    files, left_out = file_sets.files(place, CSV)
    tables: dict[int | None, Path] = {part: path for (part, _), path in files.items()}
    if TRAIN not in tables:
        alone = [place] if place.is_file() else sorted(place.glob("*.csv"))
        if len(alone) != 1:
            raise Failure(
                f"{place} holds {len(alone)} CSV files: name one by --data-dir, or call two train.csv, test.csv"
            )
        tables = {None: alone[0]}
    form = {part: columns(path) for part, path in tables.items()}
    for part, path in tables.items():
        if form[part] is None or (part in (None, TRAIN) and form[part].label is None):
            raise Failure(f"{path} is no table of pixels with labels: {REMEDY}")
    bare = [path.name for part, path in tables.items() if form[part].label is None]
    others = {path.name for path in place.glob("*.csv")} - {path.name for path in tables.values()}
    for why, names in (("tables without labels", bare), ("other tables", sorted(others))):
        left_out += (LeftOut(why, len(names), tuple(map(printable, names))),) * bool(names)
    given = {part: _read(path, form[part]) for part, path in tables.items() if path.name not in bare}
    notes = ()
    if file_sets.is_emnist(next(iter(tables.values()))):
        given = {part: (np.swapaxes(images, 1, 2), labels) for part, (images, labels) in given.items()}
        notes = (file_sets.TURNED,)
    result = arrays.of_parts("csv", place, str(place), given, channels, left_out=left_out)
    return result._replace(notes=notes + result.notes)


def _read(path: Path, form: Columns) -> arrays.Pair:
    """The images and labels of a CSV file. Raises Failure if a row has too few columns, or a pixel is no number."""
    how = {"delimiter": form.separator, "comments": None, "quotechar": '"'}
    labels, pixels = [], []
    with open(path, encoding="utf-8-sig", errors="replace") as file, Progress(path.stat().st_size, path.name) as bar:
        rows = itertools.islice(file, form.header, None)
        for block in iter(lambda: list(itertools.islice(rows, ROWS)), []):
            try:
                whole = not re.search(r"\d[.e]", "".join(block), re.IGNORECASE)  # and five times as fast
                numbers = np.loadtxt(block, np.int64 if whole else np.float32, usecols=form.pixels, ndmin=2, **how)
                labels.append(np.loadtxt(block, str, usecols=form.label, ndmin=1, **how))
            except ValueError as error:
                raise Failure(f"{path}, row {ROWS * len(labels) + 1:,} or later: {error}") from None
            small = whole and numbers.min() >= 0 and numbers.max() < 1 << 16
            pixels.append(numbers.astype(np.uint16 if small else np.float32).reshape(-1, *form.shape))
            bar.advance(sum(map(len, block)))
    return np.concatenate(pixels), np.concatenate(labels)
