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
from engine.dataset import Dataset
from engine.terminal import Failure, Progress

CSV = re.compile(rf"{file_sets.SET}(?P<kind>)\.csv")
LEAST = 64  # pixels: a table with fewer columns is of something else
LABEL = {*file_sets.LABELS, "class", "digit", "letter"}  # what the column of labels is called
NEITHER = {"id", "index", "", "unnamed: 0"}  # what columns are called that are neither labels nor pixels
NEEDS = "it needs a row for each image, a column of labels, and H·H or H·H·3 columns of pixels, such as 784"
ROWS = 1000  # that are read at a time


class Columns(NamedTuple):
    separator: str
    header: bool
    label: int | None
    pixels: list[int]


def columns(path: Path) -> Columns | None:
    """Which columns of a CSV file hold what, by its first line; None if it is no table of pixels. Raises OSError."""
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        line = file.readline(arrays.MAX_BYTES)
    separator = max(",;\t", key=line.count)
    cells = [cell.strip(' "\n').lower() for cell in line.split(separator)]
    texts = [cell for cell in cells if not re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", cell)]
    last = len(cells) - 1  # a header may have numbers for pixels, and without one a label may be a text
    by_number = cells[-2:] in ([str(last - 2), str(last - 1)], [str(last - 1), str(last)])
    header = len(texts) > 1 or not LABEL.isdisjoint(texts) or by_number
    label = next((i for i, cell in enumerate(cells) if header and cell in LABEL), None)
    pixels = [i for i, cell in enumerate(cells) if i != label and not (header and cell in NEITHER)]
    if label is None and len(pixels) > LEAST and not _are_image(pixels):
        label, *pixels = pixels
    return Columns(separator, header, label, pixels) if _are_image(pixels) else None


def _are_image(pixels: list[int]) -> bool:
    """Whether so many pixels are a square, of one or three channels."""
    return len(pixels) >= LEAST and any(len(pixels) == c * math.isqrt(len(pixels) // c) ** 2 for c in (1, 3))


def holds_tables(folder: Path) -> bool:
    """Whether a folder without folders holds a table of pixels."""
    return any(map(columns, folder.glob("*.csv"))) and not any(path.is_dir() for path in folder.glob("[!.]*"))


def dataset(place: Path, channels: int | None) -> Dataset:
    """The images of a CSV file, and of those of its parts beside it; or of a folder of such files. Raises Failure."""
    files, left_out = file_sets.files(place, CSV)
    tables: dict[int | None, Path] = {part: path for (part, _), path in files.items()}
    there = [place] if os.path.isfile(place) else sorted(place.glob("*.csv"))
    if TRAIN not in tables and len(there) != 1:
        raise Failure(
            f"{place} holds {len(there)} CSV files: name one by --data-dir, or call two train.csv and test.csv"
        )
    tables = tables if TRAIN in tables else {None: there[0]}
    forms = {part: columns(path) for part, path in tables.items()}
    for part, path in tables.items():
        if forms[part] is None or (part in (None, TRAIN) and forms[part].label is None):
            raise Failure(f"{path} is no table of pixels and labels: {NEEDS}")
    bare = [path.name for part, path in tables.items() if forms[part].label is None]
    left_out += file_sets.left_out("tables without labels", bare)
    left_out += file_sets.left_out(
        "other tables", {path.name for path in there} - {path.name for path in tables.values()}
    )
    turned = file_sets.is_emnist(place if place in there else there[0])
    given = {part: _read(path, forms[part], turned) for part, path in tables.items() if forms[part].label is not None}
    result = arrays.of_parts("csv", place, str(place), given, channels, left_out)
    return result._replace(notes=(file_sets.TURNED,) * turned + result.notes)


def _read(path: Path, form: Columns, turned: bool) -> arrays.Pair:
    """The images (N, H·W) and labels of a CSV file. Raises Failure if a row is too short, or a pixel no number."""
    how = {"delimiter": form.separator, "comments": None, "quotechar": '"'}
    order = np.reshape(form.pixels, (math.isqrt(len(form.pixels)), -1)).T.ravel() if turned else form.pixels
    images, labels = [], []
    with open(path, encoding="utf-8-sig", errors="replace") as file, Progress(path.stat().st_size, path.name) as bar:
        rows = itertools.islice(file, form.header, None)
        for block in iter(lambda: list(itertools.islice(rows, ROWS)), []):
            whole = not re.search(r"\d[.e]", "".join(block), re.IGNORECASE)  # and read five times as fast
            try:
                numbers = np.loadtxt(block, np.int64 if whole else np.float32, usecols=order, ndmin=2, **how)
                labels.append(np.loadtxt(block, str, usecols=form.label, ndmin=1, **how))
            except ValueError as error:
                raise Failure(
                    f"{path}, in rows {ROWS * len(images) + 1:,} to {ROWS * (len(images) + 1):,}: {error}"
                ) from None
            small = whole and 0 <= numbers.min() <= numbers.max() < 1 << 16
            images.append(numbers.astype(np.uint16 if small else np.float32))
            bar.advance(sum(map(len, block)))
    if not images:
        raise Failure(f"{path} has no rows: {NEEDS}")
    return np.concatenate(images), np.concatenate(labels)
