"""metrics.json: what a run reached, an entry per script that measured it."""

from __future__ import annotations

from pathlib import Path

from engine import files
from engine.config import Config
from engine.terminal import Failure


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
    for key, entry in before.items():
        if key not in entries and (not isinstance(entry, dict) or config.matches(entry.get("config", config.digest))):
            entries = {key: entry} | entries
    files.write_json(path, entries)
