"""metrics.json: what a run reached, an entry per script that measured it."""

from __future__ import annotations

from pathlib import Path

from engine import files
from engine.config import Config
from engine.terminal import Failure


def read(folder: Path) -> dict:
    """The entries of the run in `folder`; none if there is no such file, or a damaged one."""
    try:
        return files.read_json(folder / "metrics.json")
    except Failure:
        return {}


def merge(folder: Path, config: Config, entries: dict) -> None:
    """Write entries of the run with this config into metrics.json; a damaged file is first moved into damaged/.

    The other entries stay, except those of another run: evaluate.py leaves the shipped run's in out/, where the user's
    own training may begin afterwards.
    """
    path = folder / "metrics.json"
    try:
        before = files.read_json(path) if path.exists() else {}
    except Failure:
        files.move([path], folder / "damaged")
        before = {}
    own = {key: entry for key, entry in before.items() if _is_of(entry, config)}
    files.write_json(path, own | entries)


def _is_of(entry: object, config: Config) -> bool:
    """Whether an entry is of the run with this config, or does not say of which."""
    return not isinstance(entry, dict) or "config" not in entry or config.matches(entry["config"])
