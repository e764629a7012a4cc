"""metrics.json: the measured results of a run, an entry for each script that measured them."""

from pathlib import Path

from engine import files
from engine.config import Config
from engine.terminal import Failure


def merge(folder: Path, config: Config, entries: dict) -> None:
    """Merge entries of the run with this config into metrics.json. A damaged file is first moved into damaged/.

    Other entries stay unless they are of another run: evaluate.py writes the shipped run's results into out/, where
    the user's own training may start afterwards.
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
