"""The README's links into the code point at what they name."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_links_point_at_the_definitions_they_name():
    links = re.findall(r"\[`([\w.]+)`\]\((\w+\.py)#L(\d+)\)", (ROOT / "README.md").read_text())
    assert len(links) >= 8
    for name, file, line in links:
        found = (ROOT / file).read_text().splitlines()[int(line) - 1]
        assert re.match(rf"\s*(def|class) {name.split('.')[-1]}\b", found), f"{file}:{line} is not {name}: {found}"


def test_every_file_that_is_shown_exists():
    for path in re.findall(r"\]\(([\w/]+\.(?:png|gif|py))(?:#L\d+)?\)", (ROOT / "README.md").read_text()):
        assert (ROOT / path).exists(), path
