"""Tables of pixels: CSV files as Kaggle hands out MNIST, their columns, their parts, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
from helpers import failure, same

import data
from data import arrays
from engine.dataset import LeftOut

X = np.arange(64, dtype=np.uint8).reshape(8, 8) * 3 + np.arange(60, dtype=np.uint8)[:, None, None]
X[0, 0], X[1, 0] = 0, 255
COLOUR = np.stack([X, 255 - X, X // 2], -1)
Y = np.tile(np.arange(3), 20)
PIXELS = [f"pixel{i}" for i in range(64)]


def table(path: Path, *columns: np.ndarray, header: list[str] | None = None, separator: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cells = np.concatenate([column.reshape(len(column), -1).astype(str) for column in columns], axis=1).tolist()
    path.write_text("".join(separator.join(row) + "\n" for row in [header] * bool(header) + cells), "utf-8-sig")
    return path


def archive(path: Path, **arrays: np.ndarray) -> data.Dataset:
    np.savez(path / "set.npz", **arrays)
    return data.load("npz", path / "set.npz")


TABLES = {
    "label first": ((Y, X), ["label", *PIXELS]),
    "no header": ((Y, X), None),
    "label last": ((X, Y), [*PIXELS, "label"]),
    "any name first": ((Y, X), ["Character", *PIXELS]),
    "an index": ((np.arange(60), Y, X), ["", "Class", *PIXELS]),
    "0 to 1": ((Y, X / 255), ["label", *PIXELS]),
    "texts": ((np.array(["null", "e1", "z"])[Y], X), None),
    "colour": ((COLOUR, Y), [*(f"pixel{i}" for i in range(192)), "label"]),
}


@pytest.mark.parametrize("columns, header", TABLES.values(), ids=TABLES)
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_table_is_the_data_set_of_its_arrays(tmp_path, columns, header, separator):
    table(tmp_path / "in" / "digits.csv", *columns, header=header, separator=separator)
    images = COLOUR if len(header or "") == 193 else X
    labels = columns[0] if columns[0].dtype.kind == "U" else Y
    found, truth = data.load("auto", tmp_path / "in" / "digits.csv"), archive(tmp_path, images=images, labels=labels)
    assert found.name == "csv" and same(found, truth), "pixels, labels, split"
    assert same(data.load("auto", tmp_path / "in"), found) and found.left_out == ()
    assert [note for note in found.notes if "0 to 1" not in note] == []


def test_tables_of_one_name_are_parts_of_a_data_set(tmp_path):
    for part, rows in ("train", slice(30)), ("test", slice(30, 45)), ("val", slice(45, 60)):
        table(tmp_path / f"a_{part}.csv", Y[rows], X[rows])
    truth = archive(
        tmp_path, x_train=X[:30], y_train=Y[:30], x_test=X[30:45], y_test=Y[30:45], x_val=X[45:], y_val=Y[45:]
    )
    for place in tmp_path, tmp_path / "a_train.csv", tmp_path / "a_test.csv":
        assert same(data.load("auto", place), truth)
    table(tmp_path / "b_train.csv", Y, X)
    assert "holds several data sets (a, b): name a file of one" in failure("auto", tmp_path)


def test_kaggles_test_without_labels_is_left_out(tmp_path):
    table(tmp_path / "train.csv", Y, X, header=["label", *PIXELS])
    table(tmp_path / "test.csv", X, header=PIXELS)
    (tmp_path / "sample_submission.csv").write_text("ImageId,Label\n1,0\n")
    found = data.load("auto", tmp_path)
    assert same(found, archive(tmp_path, images=X, labels=Y))
    assert found.left_out == (
        LeftOut("tables without labels", 1, ("test.csv",)),
        LeftOut("other tables", 1, ("sample_submission.csv",)),
    )


def test_emnists_tables_are_turned(tmp_path):
    found = data.load("auto", table(tmp_path / "emnist-digits-train.csv", Y, X.swapaxes(1, 2)))
    assert same(found, archive(tmp_path, images=X, labels=Y)) and "turned" in found.notes[0]


def test_a_table_beside_folders_of_pictures_is_not_looked_at(tmp_path):
    table(tmp_path / "digits.csv", Y, X)
    (tmp_path / "rose").mkdir()
    assert "needs a folder of pictures" in failure("auto", tmp_path)


BAD = {
    "few columns": ("a,b,label\n1,2,3\n", "is no table of pixels and labels: it needs a row for each image"),
    "no labels": (",".join(PIXELS) + "\n" + "0," * 63 + "0\n", "a column of labels"),
    "a short row": ("0," * 64 + "0\n0,1\n", "1000 rows from 1 on: "),
    "a hole": ("0," * 64 + "0\n" + "0," * 64 + "\n", "1000 rows from 1 on: "),
    "a word": ("0," * 64 + "0\n" + "0," * 64 + "x\n", "could not convert string 'x'"),
    "no rows": ("label," + ",".join(PIXELS) + "\n", "has no rows"),
    "too large": (10 * ("0," * 64 + "0\n"), "has more than 9.31e-07 GB"),
    "nothing": ("", "is no table of pixels"),
    "one image a label": ("1," + "0," * 63 + "0\n", "two images of a label"),
}


@pytest.mark.parametrize("content, message", BAD.values(), ids=BAD)
def test_what_is_no_table_of_pixels_is_told(tmp_path, monkeypatch, content, message):
    monkeypatch.setattr(arrays, "MAX_BYTES", 1000)
    (tmp_path / "x.csv").write_text(content)
    text = failure("auto", tmp_path / "x.csv")
    assert message in text and text.startswith(str(tmp_path / "x.csv"))
