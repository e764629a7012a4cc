"""Labels by name: what a person types, what stands on sheets, what goes into file names."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest

from engine.drawing import labels, sheets

NAMES = ("rose", "tulip", "7", "バラ", "a b/c", "..", "a-b-c")


def test_a_label_is_found_by_name_before_number():
    assert labels.find("tulip", NAMES) == 1
    assert labels.find("1", NAMES) == 1
    assert labels.find("7", NAMES) == 2, "a name that looks like a number is a name"
    assert labels.find("バラ", NAMES) == 3


@pytest.mark.parametrize("word", ["lily", "-1", "99", "", "²", "1" * 400])
def test_a_wrong_label_lists_the_names(word: str):
    with pytest.raises(ValueError, match="rose, tulip|tulip, rose"):
        labels.find(word, ("rose", "tulip"))


def test_the_nearest_name_comes_first():
    with pytest.raises(ValueError, match=r"labels: tulip, .*rose"):
        labels.find("tulpi", NAMES)
    with pytest.raises(ValueError, match=r"1,000 in all") as error:
        labels.find("x", [f"label number {i}" for i in range(1000)])
    assert len(str(error.value)) < 500


def test_words_for_file_names_are_safe_and_all_different():
    words = labels.slugs([*NAMES, "\u202egnp", "😀", "😁", "x" * 300, "x" * 299, "\x00\n", "CON:"])
    assert len(set(words)) == len(words) and words[0] == "rose" and words[3] == "バラ"
    for word in words:
        assert word and len(word.encode()) < 200
        assert all(letter.isalnum() or letter == "-" for letter in word), word


def test_words_differ_where_a_file_system_ignores_case():
    names = ["Rose", "rose", "ROSE", "x-4", "x", "X", "é", "e\u0301", "straße", "STRASSE"]
    words = labels.slugs(names)
    keys = {unicodedata.normalize("NFC", word).casefold() for word in words}
    assert len(keys) == len(names) and words[:2] == ["Rose", "rose-1"]


def test_a_name_is_found_whatever_the_form_of_its_letters():
    assert labels.find("が", ("x", "か\u3099")) == labels.find("か\u3099", ("x", "が")) == 1


def test_where_all_names_are_numbers_no_other_number_is_a_label():
    assert [labels.find(word, "12345") for word in ("1", "5", "05")] == [0, 4, 4]
    for word in ("0", "6"):
        with pytest.raises(ValueError, match="labels: 1, 2, 3, 4, 5"):
            labels.find(word, "12345")


def test_a_title_of_long_names_fits_into_a_file_name():
    names = [f"{i} が Staffordshire bullterrier of the north" for i in range(20)]
    title = labels.title(range(1, 14), names)
    assert len(f".interpolate_{title}.gif".encode()) < 200 and title.endswith("_more")


def test_titles():
    assert labels.title([0, 1, 2], "012") == "all"
    assert labels.title([1, 0], NAMES) == "tulip_rose"
    assert labels.title(range(1, 40), [str(i) for i in range(40)]).endswith("_and_27_more")


def test_many_columns_go_on_below():
    images = np.arange(100, dtype=np.uint8)[None, :, None, None, None] * np.ones((2, 1, 32, 32, 1), np.uint8)
    wide = sheets.sheet(images, [str(i) for i in range(100)], scale=2)
    assert wide.width <= sheets.WIDEST + 40
    columns = (wide.width // 2 - 1) // 33
    bands = -(-100 // columns)
    pixels = np.asarray(wide)
    head = wide.height // bands - 2 * (2 * 33 + 1)
    for column in (0, columns - 1, columns, 99):
        band, place = divmod(column, columns)
        y, x = band * (wide.height // bands) + head + 2 + 10, 2 * (1 + place * 33) + 10
        assert pixels[y, x] == column


def test_a_long_name_stays_in_its_column():
    images = np.zeros((1, 2, 28, 28, 1), np.uint8)
    short = np.asarray(sheets.sheet(images, ["a", "b"]))
    long = np.asarray(sheets.sheet(images, ["a", "w" * 300]))
    assert long.shape == short.shape
    half = short.shape[1] // 2
    np.testing.assert_array_equal(long[:, : half - 2], short[:, : half - 2])
    assert (long != short).any()
