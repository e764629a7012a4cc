"""Labels by name: what a person types, what stands on sheets, what goes into file names."""

import unicodedata

import numpy as np
import pytest

from engine.drawing import labels, sheets

NAMES = ("rose", "tulip", "7", "バラ", "a b/c", "..", "a-b-c")


def test_a_label_is_found_by_name_before_number():
    assert [labels.find(word, NAMES) for word in ("tulip", "1", "バラ")] == [1, 1, 3]
    assert labels.find("7", NAMES) == 2, "a name that looks like a number is a name"


@pytest.mark.parametrize(
    ("word", "names", "listed"),
    [
        *((word, ("rose", "tulip"), "rose, tulip|tulip, rose") for word in ("lily", "-1", "99", "", "²", "1" * 400)),
        ("tulpi", NAMES, "labels: tulip, .*rose"),  # the nearest name comes first
        ("x", [f"label number {i}" for i in range(1000)], "1,000 in all"),
    ],
)
def test_a_wrong_label_lists_the_names(word: str, names: tuple[str, ...], listed: str):
    with pytest.raises(ValueError, match=listed) as error:
        labels.find(word, names)
    assert len(str(error.value)) < 500


def test_words_for_file_names_are_safe_and_all_different():
    """Also where a file system ignores case and Unicode's forms."""
    names = [*NAMES, "Rose", "\u202egnp", "😀", "😁", "x" * 300, "x" * 299, "\x00\n", "CON:"]
    names += ["x-4", "x", "X", "é", "e\u0301", "straße", "STRASSE"]
    words = labels.slugs(names)
    assert (words[0], words[3], words[7]) == ("rose", "バラ", "Rose-7")
    assert len({unicodedata.normalize("NFC", word).casefold() for word in words}) == len(names)
    for word in words:
        assert word and len(word.encode()) < 200
        assert all(unicodedata.category(letter)[0] in "LNM" or letter == "-" for letter in word), word


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
    height = wide.height // -(-100 // columns)  # of a band
    for column in (0, columns - 1, columns, 99):
        band, place = divmod(column, columns)
        y, x = (band + 1) * height - 2 * (2 * 33 + 1) + 12, 2 * (1 + place * 33) + 10
        assert np.asarray(wide)[y, x] == column


def test_a_long_name_stays_in_its_column():
    images = np.zeros((1, 2, 28, 28, 1), np.uint8)
    short, long = (np.asarray(sheets.sheet(images, ["a", name])) for name in ("b", "w" * 300))
    half = short.shape[1] // 2
    np.testing.assert_array_equal(long[:, : half - 2], short[:, : half - 2])
    assert long.shape == short.shape and (long != short).any()
