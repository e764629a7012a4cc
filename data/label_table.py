"""Read the labels of a folder's pictures from a table in it: metadata.csv, labels.csv or train.csv."""

import csv
import os
from collections import defaultdict
from collections.abc import Iterable, Set
from pathlib import Path

from data.decode import NO_PICTURE
from engine.terminal import Failure

NAMES = ("metadata.csv", "labels.csv", "train.csv", "train_labels.csv", "trainlabels.csv")  # the first usable is read
MOST_COLUMNS = 100  # a wider table holds pixels, not labels
LABEL_COLUMNS = ("label", "labels", "label_name", "class", "class_name", "category", "target")

Aside = defaultdict[str, list[str]]  # paths that are left out, by reason


def labels(root: Path, pictures: Iterable[str], flat: Set[str], aside: Aside, notes: list[str]) -> dict[str, str]:
    """Return the label of every picture that a table lists, by relative path; {} without a usable table.

    The table is in the root, or there is one in each of several folders. It is ignored if its pictures are in several
    folders, because these are the labels then, unless all are in `flat`: splits without subfolders. Raises Failure.
    """
    result: dict[str, str] = {}
    tables = [path for path in aside[NO_PICTURE] if path.count("/") < 2 and os.path.basename(path).lower() in NAMES]
    for path in sorted(tables, key=lambda path: (path.count("/"), NAMES.index(os.path.basename(path).lower()))):
        prefix = path.removesuffix(os.path.basename(path))
        rows = _rows(root / path)
        by_name = _by_name(picture[len(prefix) :] for picture in pictures if picture.startswith(prefix))
        matches = [{by_name[cell] for cell in column if cell in by_name} for column in zip(*rows[1:], strict=True)]
        file_column = max(range(len(matches)), key=lambda i: len(matches[i]), default=0)
        folders = {picture.rpartition("/")[0] for picture in matches[file_column]} if matches else set()
        if not folders or (len(folders) > 1 and not folders <= flat):
            continue
        label_column = _label_column(root / path, rows[0], file_column)
        aside[NO_PICTURE].remove(path)
        notes.append(f"labels are from {path}, its columns {rows[0][file_column]} and {rows[0][label_column]}")
        for row in rows[1:]:
            picture, label = by_name.get(row[file_column]), row[label_column]
            if not picture or not label or result.setdefault(prefix + picture, label) != label:
                aside[f"rows of {path} without a picture, or without one label"].append(row[file_column])
        if not prefix:
            break
    if result:
        aside["in no row of a table"] += [picture for picture in pictures if picture not in result]
    return result


def _rows(path: Path) -> list[list[str]]:
    """Read the rows of a CSV file, padded or cut to the length of the first row, paths with "/". Raises Failure.

    Returns [] for a table so wide that it must hold pixels.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig", errors="replace") as file:
            first = file.readline()
            file.seek(0)
            delimiter = max(",;\t", key=first.count)
            if first.count(delimiter) >= MOST_COLUMNS:
                return []
            rows = [row for row in csv.reader(file, delimiter=delimiter) if row]
    except (OSError, csv.Error) as error:
        raise Failure(f"{path} cannot be read ({error}): write it again as CSV, or move it away") from None
    rows = [[cell.strip().replace("\\", "/").removeprefix("./") for cell in row] for row in rows]
    return [(row + [""] * len(rows[0]))[: len(rows[0])] for row in rows]


def _by_name(pictures: Iterable[str]) -> dict[str, str]:
    """Index pictures by path and by name, with and without suffix; upper and training folders take precedence."""
    result: dict[str, str] = {}
    for picture in sorted(pictures, key=lambda p: (p.count("/"), "train" not in p.lower(), p)):
        for key in (picture, os.path.basename(picture)):
            result.setdefault(key, picture)
            result.setdefault(os.path.splitext(key)[0], picture)
    return result


def _label_column(path: Path, header: list[str], file_column: int) -> int:
    """Return the index of the column of labels: by its name, or the only one beside the file's. Raises Failure."""
    others = [i for i in range(len(header)) if i != file_column]
    candidates = [i for name in LABEL_COLUMNS for i in others if header[i].lower() == name]
    if not candidates and len(others) != 1:
        raise Failure(f"{path}: which column is the label? Name it label in the first row ({', '.join(header)})")
    return (candidates or others)[0]
