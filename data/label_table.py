"""A table beside pictures that names the label of each: metadata.csv, labels.csv or train.csv."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence, Set
from pathlib import Path
from typing import NamedTuple

from engine.terminal import Failure

NAMES = ("metadata.csv", "labels.csv", "train.csv", "train_labels.csv", "trainlabels.csv")  # the first that fits
LABEL_COLUMNS = ("label", "labels", "label_name", "class", "class_name", "category", "target")


class Table(NamedTuple):
    labels: dict[str, str]  # of each picture, by its path
    columns: tuple[str, str]  # of the file and of the label
    no_file: list[str]  # what rows name that is not there
    no_label: list[str]  # what rows name without a label, or once more with another


def read(path: Path, pictures: Sequence[str], flat: Set[str]) -> Table | None:
    """The labels of `pictures`, paths from the table's folder, with "/"; None if it names none that need them.

    The column whose values name most pictures, by path or file name, with or without the suffix, is that of the file;
    pictures in several folders have their labels from these, unless all of those are `flat`. Raises Failure.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
            first = file.readline()
            file.seek(0)
            rows = list(csv.reader(file, delimiter=max(",;\t", key=first.count)))
    except (OSError, csv.Error) as error:
        raise Failure(f"{path} cannot be read ({error}): write it again as CSV, or move it away") from None
    header, *rows = [row for row in rows if row] or [[]]
    rows = [[_path(cell) for cell in row] + [""] * (len(header) - len(row)) for row in rows]
    by_name: dict[str, str] = {}
    for picture in sorted(pictures, key=lambda p: (p.count("/"), "train" not in p.lower(), p)):
        name = picture.rpartition("/")[2]
        for key in (picture, os.path.splitext(picture)[0], name, os.path.splitext(name)[0]):
            by_name.setdefault(key, picture)
    named = [{by_name[row[i]] for row in rows if row[i] in by_name} for i in range(len(header))]
    file_column = max(range(len(header)), key=lambda i: len(named[i]), default=0)
    folders = {picture.rpartition("/")[0] for picture in named[file_column]} if named else set()
    if not folders or (len(folders) > 1 and not folders <= flat):
        return None
    label_column = _label_column(path, header, file_column)
    table = Table({}, (header[file_column], header[label_column]), [], [])
    for row in rows:
        picture, label = by_name.get(row[file_column]), row[label_column].strip()
        if picture is None:
            table.no_file.append(row[file_column])
        elif not label or table.labels.setdefault(picture, label) != label:
            table.no_label.append(row[file_column])
    return table


def _path(cell: str) -> str:
    return cell.strip().replace("\\", "/").removeprefix("./")


def _label_column(path: Path, header: list[str], file_column: int) -> int:
    """The column that a usual name says is the label, else the only one beside the file's. Raises Failure."""
    others = [i for i in range(len(header)) if i != file_column]
    called = [i for name in LABEL_COLUMNS for i in others if header[i].strip().lower() == name]
    if not called and len(others) != 1:
        columns = ", ".join(header)
        raise Failure(f"{path}: which column is the label? Name it label in the first row ({columns})")
    return (called or others)[0]
