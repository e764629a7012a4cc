"""The rows and cells of evaluate.py's table on the terminal."""

from __future__ import annotations

FEW = 12  # labels that a table lists one by one; of more, those that come out worst


def head(title: str, *columns: str) -> None:
    print(f"\n{title}\n" + "".ljust(30) + "".join(f"{column:>17}" for column in columns))


def row(name: str, *cells: str) -> None:
    print(f"  {name:<28}" + "".join(f"{cell:>17}" for cell in cells))


def percentages(p: dict) -> tuple[str, str]:
    return f"{p['accuracy']:.2%}", f"{p['low']:.2%} – {p['high']:.2%}"


def proportion(name: str, p: dict, *cells: str) -> None:
    """A row of a proportion and its interval; then other cells, or else of how many it is."""
    row(name, *percentages(p), *(cells or [f"{p['n']:,}"]))


def worst(values: dict[int, float]) -> list[int]:
    """The labels, or of many those with the highest values, in their order."""
    return sorted(sorted(values, key=lambda label: -values[label])[:FEW])
