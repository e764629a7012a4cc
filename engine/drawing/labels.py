"""Look labels up by the name or number that a user types, and turn their names into file names."""

import difflib
import re
import unicodedata
from collections.abc import Sequence

LONGEST = 40  # characters of a label's name that a file name keeps
MOST_BYTES = 160  # of a title: the whole file name must stay below 255
FOLDER = re.compile(rf"\w([\w .,()'&+-]{{,{LONGEST}}}[\w)])?")  # names that are valid folder names on every system


def find(word: str, names: Sequence[str]) -> int:
    """Return the number of the label whose name is `word`, or else whose number it is.

    Raises:
        ValueError: there is no such label; the message lists the names, the most similar first.
    """
    composed = [unicodedata.normalize("NFC", name) for name in names]  # macOS decomposes accented letters
    if unicodedata.normalize("NFC", word) in composed:
        return composed.index(unicodedata.normalize("NFC", word))
    if word.isascii() and word.isdecimal() and len(word) < 10:
        numbers = [int(name) for name in names] if all(map(str.isdecimal, names)) else list(range(len(names)))
        if int(word) in numbers:  # if all names are numbers, they are the only valid numbers
            return numbers.index(int(word))
    near = [] if word.isdecimal() else difflib.get_close_matches(word, names, 3, 0.4)
    listed = [*near, *(name for name in names if name not in near)]
    more = f" … ({len(names):,} in all)" if len(names) > 12 else ""
    raise ValueError(f"{word[:60]!r} is none of this run's labels: {', '.join(listed[:12])}{more}")


def find_all(words: Sequence[str], names: Sequence[str]) -> list[int]:
    """Return the numbers of the labels `words`; the single word `all` means every label. Raises as `find` does."""
    return list(range(len(names))) if list(words) == ["all"] else [find(word, names) for word in words]


def slugs(names: Sequence[str], as_they_are: re.Pattern | None = None) -> list[str]:
    """Return a slug per name, for file names: letters, digits and hyphens, all different even if case is ignored.

    Names that match `as_they_are` stay unchanged.
    """
    words: dict[str, str] = {}  # by case-folded NFC form, which some file systems do not tell apart
    for number, name in enumerate(names):
        word = re.sub(r"[\W_]+", "-", name).strip("-")[:LONGEST]
        word = name if as_they_are and as_they_are.fullmatch(name) else word
        while not word or unicodedata.normalize("NFC", word).casefold() in words:
            word = f"{word}-{number}".strip("-")
        words[unicodedata.normalize("NFC", word).casefold()] = word
    return list(words.values())


def title(labels: Sequence[int], names: Sequence[str]) -> str:
    """Return a title of these labels for a file name: "all", "rose_tulip", "0_1_2_3_and_46_more"."""
    if list(labels) == list(range(len(names))):
        return "all"
    slug = slugs(names)
    words = [slug[label] for label in labels]
    shown = min(12, len(words))
    while shown > 1 and len("_".join(words[:shown]).encode()) > MOST_BYTES:
        shown -= 1
    return "_".join(words[:shown]) + (f"_and_{len(words) - shown}_more" if len(words) > shown else "")
