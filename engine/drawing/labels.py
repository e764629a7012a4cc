"""Labels by name: found from what a person types, shown, and made into file names."""

from __future__ import annotations

import difflib
import re
import unicodedata
from collections.abc import Sequence

LONGEST = 40  # letters of a name in a file's name
MOST_BYTES = 160  # of a title, so that a file's name has less than 255
FOLDER = re.compile(rf"\w([\w .,()'&+-]{{,{LONGEST}}}[\w)])?")  # may be a folder's name on any system


def find(word: str, names: Sequence[str]) -> int:
    """The label that `word` names, or else numbers.

    Raises:
        ValueError: there is none; the text lists the names, nearest first.
    """
    composed = [unicodedata.normalize("NFC", name) for name in names]  # macOS writes accents as letters of their own
    if unicodedata.normalize("NFC", word) in composed:
        return composed.index(unicodedata.normalize("NFC", word))
    if word.isascii() and word.isdecimal() and len(word) < 10:
        numbers = [int(name) for name in names] if all(map(str.isdecimal, names)) else list(range(len(names)))
        if int(word) in numbers:  # where all names are numbers, no other number is a label
            return numbers.index(int(word))
    near = [] if word.isdecimal() else difflib.get_close_matches(word, names, 3, 0.4)
    listed = [*near, *(name for name in names if name not in near)]
    more = f" … ({len(names):,} in all)" if len(names) > 12 else ""
    raise ValueError(f"{word[:60]!r} is none of this run's labels: {', '.join(listed[:12])}{more}")


def find_all(words: Sequence[str], names: Sequence[str]) -> list[int]:
    """The labels that `words` name; `all` alone means every label. Raises ValueError as `find` does."""
    return list(range(len(names))) if list(words) == ["all"] else [find(word, names) for word in words]


def slugs(names: Sequence[str], as_they_are: re.Pattern | None = None) -> list[str]:
    """A word per name that is safe in a file's name: letters, digits and hyphens, no two equal but for their case.

    Names that match `as_they_are` stay so.
    """
    words: dict[str, str] = {}  # by what a file system that ignores case and Unicode's forms takes them for
    for number, name in enumerate(names):
        word = re.sub(r"[\W_]+", "-", name).strip("-")[:LONGEST]
        word = name if as_they_are and as_they_are.fullmatch(name) else word
        while not word or unicodedata.normalize("NFC", word).casefold() in words:
            word = f"{word}-{number}".strip("-")
        words[unicodedata.normalize("NFC", word).casefold()] = word
    return list(words.values())


def title(labels: Sequence[int], names: Sequence[str]) -> str:
    """These labels in a file's name: "all", "rose_tulip", "0_1_2_3_and_46_more"."""
    if list(labels) == list(range(len(names))):
        return "all"
    slug = slugs(names)
    words = [slug[label] for label in labels]
    shown = min(12, len(words))
    while shown > 1 and len("_".join(words[:shown]).encode()) > MOST_BYTES:
        shown -= 1
    return "_".join(words[:shown]) + (f"_and_{len(words) - shown}_more" if len(words) > shown else "")
