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
LONGEST = 1 << 23  # letters of a first line that is looked at
ROWS = 1000  # that are read at a time


class Columns(NamedTuple):
    separator: str
    header: bool
    label: int | None
    pixels: np.ndarray  # (H, H, 1 or 3)


def columns(path: Path) -> Columns | None:
    """Which columns of a CSV file hold what, by its first line; None if it is no table of pixels. Raises OSError."""
    if not os.path.isfile(path):
        return None
    with open(path, encoding="utf-8-sig", errors="replace") as file:
        line = file.readline(LONGEST)
    separator = max(",;\t", key=line.count)
    cells = [cell.strip(' "\n').lower() for cell in line.split(separator)]
    texts = [cell for cell in cells if not re.fullmatch(r"-?[\d.]+(e[+-]?\d+)?", cell)]
    header = len(texts) > 1 or not LABEL.isdisjoint(texts)  # without one a label may be a text
    label = next((i for i, cell in enumerate(cells) if header and cell in LABEL), None)
    others = [i for i, cell in enumerate(cells) if i != label and not (header and cell in NEITHER)]
    pixels = _image(others)
    if label is None and pixels is None and others:
        label, pixels = others[0], _image(others[1:])
    return None if pixels is None else Columns(separator, header, label, pixels)


def _image(numbers: list[int]) -> np.ndarray | None:
    """The numbers of columns as (H, H, 1 or 3); None if they are too few or too many."""
    sides = [(math.isqrt(len(numbers) // channels), channels) for channels in (1, 3)]
    fitting = [(side, side, channels) for side, channels in sides if LEAST <= channels * side**2 == len(numbers)]
    return np.reshape(numbers, fitting[0]) if fitting else None


def holds_tables(folder: Path) -> bool:
    """Whether a folder without folders holds a table of pixels."""
    return any(map(columns, folder.glob("*.csv"))) and not any(path.is_dir() for path in folder.glob("[!.]*"))


def dataset(place: Path, channels: int | None) -> Dataset:
    """The images of a CSV file, and of those of its parts beside it; or of a folder of such files. Raises Failure."""
    files, left_out = file_sets.files(place, CSV)
    there = sorted(place.glob("*.csv")) if os.path.isdir(place) else [place]
    tables = {part: path for (part, _), path in files.items()}
    if TRAIN not in tables and len(there) != 1:
        raise Failure(
            f"{place} holds {len(there)} CSV files: name one by --data-dir, or call two train.csv and test.csv"
        )
    tables = tables if TRAIN in tables else {TRAIN: there[0]}
    forms, bare = {part: columns(path) for part, path in tables.items()}, []
    for part, form in forms.items():
        if form is None or (part == TRAIN and form.label is None):
            raise Failure(f"{tables[part]} is no table of pixels and labels: {NEEDS}")
        bare += [part] * (form.label is None)
    left_out += file_sets.left_out("tables without labels", [tables[part].name for part in bare])
    left_out += file_sets.left_out("other tables", [p.name for p in there if p not in (place, *tables.values())])
    turned = "emnist" in tables[TRAIN].name.lower()
    given = {part: _read(path, forms[part], turned) for part, path in tables.items() if part not in bare}
    result = arrays.of_parts("csv", place, str(place), given, channels, "white")
    return result._replace(left_out=left_out + result.left_out, notes=(file_sets.TURNED,) * turned + result.notes)


def _read(path: Path, form: Columns, turned: bool) -> arrays.Pair:
    """The images (N, H, H, 1 or 3) and labels of a CSV file. Raises Failure if a row is short or a pixel no number."""
    pixels, how = form.pixels, {"delimiter": form.separator, "comments": None, "quotechar": '"'}
    order = (np.swapaxes(pixels, 0, 1) if turned else pixels).ravel()
    images, labels = [], []
    if path.stat().st_size > arrays.MAX_BYTES:
        raise Failure(
            f"{path} has more than {arrays.MAX_BYTES / 2**30:.3g} GB: use an .npz or a folder of pictures instead"
        )
    with open(path, encoding="utf-8-sig", errors="replace") as file, Progress(path.stat().st_size, "reading") as bar:
        rows = itertools.islice(file, form.header, None)
        for block in iter(lambda: list(itertools.islice(rows, ROWS)), []):
            whole = not re.search(r"\d[.e]", "".join(block), re.IGNORECASE)  # and read five times as fast
            try:
                numbers = np.loadtxt(block, np.int64 if whole else np.float32, usecols=order, ndmin=2, **how)
                labels.append(np.loadtxt(block, str, usecols=form.label, ndmin=1, **how))
            except ValueError as error:
                raise Failure(f"{path}, {ROWS} rows from {ROWS * len(images) + 1:,} on: {error}") from None
            small = whole and 0 <= numbers.min() <= numbers.max() < 1 << 16
            images.append(numbers.astype(np.uint16 if small else np.float32).reshape(-1, *pixels.shape))
            bar.advance(sum(map(len, block)))
    if not images:
        raise Failure(f"{path} has no rows: {NEEDS}")
    return np.concatenate(images), np.concatenate(labels)
