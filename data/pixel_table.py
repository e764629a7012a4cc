"""Load CSV files with a row per image, its label and its pixels, the format of MNIST on Kaggle."""

import itertools
import math
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data import arrays, splits
from data.splits import TRAIN
from engine.dataset import Dataset
from engine.terminal import Failure, Progress

CSV = re.compile(rf"{splits.SET}(?P<kind>)\.csv")
LEAST = 64  # columns of pixels; a table with fewer is not taken for images
LABEL = {*splits.LABELS, "class", "digit", "letter"}  # names of the column of labels
NEITHER = {"id", "index", "", "unnamed: 0"}  # names of columns that are neither labels nor pixels
NEEDS = "it needs a row for each image, a column of labels, and H·H or H·H·3 columns of pixels, such as 784"
LONGEST = 1 << 23  # characters that are read of the first line
ROWS = 1000  # rows that are parsed at a time


class Columns(NamedTuple):
    separator: str
    header: bool
    label: int | None
    pixels: np.ndarray  # column of each pixel, (H, H, 1 or 3)


def columns(path: Path) -> Columns | None:
    """Infer the columns of a CSV file from its first line; None if it has no image per row. Raises OSError."""
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        line = file.readline(LONGEST)
    separator = max(",;\t", key=line.count)
    cells = [cell.strip(' "\n').lower() for cell in line.split(separator)]
    texts = [cell for cell in cells if not re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", cell)]
    header = len(texts) > 1 or not LABEL.isdisjoint(texts)  # without a header, one cell, the label, may be a text
    label = next((i for i, cell in enumerate(cells) if header and cell in LABEL), None)
    others = [i for i, cell in enumerate(cells) if i != label and not (header and cell in NEITHER)]
    pixels = _image(others)
    if label is None and pixels is None and others:
        label, pixels = others[0], _image(others[1:])
    return None if pixels is None else Columns(separator, header, label, pixels)


def _image(numbers: list[int]) -> np.ndarray | None:
    """Reshape column numbers to (H, H, 1 or 3); None if their count does not fit."""
    sides = [(math.isqrt(len(numbers) // channels), channels) for channels in (1, 3)]
    fitting = [(side, side, channels) for side, channels in sides if LEAST <= channels * side**2 == len(numbers)]
    return np.reshape(numbers, fitting[0]) if fitting else None


def dataset(path: Path) -> Dataset:
    """Load a CSV file, with the files of its other splits beside it, or a folder of such files. Raises Failure."""
    csv_files = sorted(path.glob("*.csv")) if os.path.isdir(path) else [path]
    tables = {part: table for (part, _), table in splits.files(path, CSV).items()}
    if TRAIN not in tables and len(csv_files) != 1:
        raise Failure(f"{path} has {len(csv_files)} tables: name one by --data-dir, or call two train.csv and test.csv")
    tables = tables if TRAIN in tables else {TRAIN: csv_files[0]}
    layouts, unlabelled = {part: columns(table) for part, table in tables.items()}, []
    for part, layout in layouts.items():
        if layout is None or (part == TRAIN and layout.label is None):
            raise Failure(f"{tables[part]} is no table of pixels and labels: {NEEDS}")
        unlabelled += [part] * (layout.label is None)
    left_out = splits.left_out("tables without labels", [tables[part].name for part in unlabelled])
    left_out += splits.left_out("other tables", [p.name for p in csv_files if p not in (path, *tables.values())])
    turned = "emnist" in tables[TRAIN].name.lower()
    given = {part: _read(table, layouts[part], turned) for part, table in tables.items() if part not in unlabelled}
    result = arrays.of_parts("csv", path, str(path), given, "white")
    return result._replace(left_out=left_out + result.left_out, notes=(splits.TURNED,) * turned + result.notes)


def _read(path: Path, layout: Columns, turned: bool) -> arrays.Pair:
    """Read the images (N, H, H, 1 or 3) and labels of a CSV file. Raises Failure for short rows or non-numbers."""
    pixels, options = layout.pixels, {"delimiter": layout.separator, "comments": None, "quotechar": '"'}
    order = (np.swapaxes(pixels, 0, 1) if turned else pixels).ravel()
    images, labels = [], []
    if path.stat().st_size > arrays.MAX_BYTES:
        raise Failure(f"{path} has more than {arrays.MAX_BYTES / 2**30:.3g} GB: use a folder of pictures instead")
    with open(path, encoding="utf-8-sig", errors="replace") as file, Progress(path.stat().st_size, "reading") as bar:
        rows = itertools.islice(file, layout.header, None)
        for block in iter(lambda: list(itertools.islice(rows, ROWS)), []):
            integers = not re.search(r"\d[.e]", "".join(block), re.IGNORECASE)  # integers parse five times as fast
            try:
                numbers = np.loadtxt(block, np.int64 if integers else np.float32, usecols=order, ndmin=2, **options)
                labels.append(np.loadtxt(block, str, usecols=layout.label, ndmin=1, **options))
            except ValueError as error:
                raise Failure(f"{path}, {ROWS} rows from {ROWS * len(images) + 1:,} on: {error}") from None
            small = integers and 0 <= numbers.min() <= numbers.max() < 1 << 16
            images.append(numbers.astype(np.uint16 if small else np.float32).reshape(-1, *pixels.shape))
            bar.advance(sum(map(len, block)))
    if not images:
        raise Failure(f"{path} has no rows: {NEEDS}")
    return np.concatenate(images), np.concatenate(labels)
