"""metrics.json: what a run reached, an entry per script that measured it."""

from __future__ import annotations

from pathlib import Path

from engine import files
from engine.terminal import Failure


def read(folder: Path) -> dict:
    """The entries of the run in `folder`; none if there is no such file, or one that is damaged."""
    try:
        return files.read_json(folder / "metrics.json")
    except Failure:
        return {}


def merge(folder: Path, entries: dict) -> None:
    """Write these entries into metrics.json, the others kept; a damaged file is first moved into damaged/."""
    path, kept = folder / "metrics.json", {}
    if path.exists():
        try:
            kept = files.read_json(path)
        except Failure:
            files.move([path], folder / "damaged")
    files.write_json(path, kept | entries)


def is_result(test: object, step: int, digest: str) -> bool:
    """Whether an entry is the test result at this step of the run whose config has this digest, and can be printed."""
    if not isinstance(test, dict) or (test.get("step"), test.get("config")) != (step, digest):
        return False
    return all(isinstance(test.get(key), int | float) for key in ("images", "negative_elbo", "nll", "kl"))
