"""Claim, resume, archive and clean a run's folder; its metrics.json. Files that no run wrote are never touched."""

import argparse
import itertools
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from engine import files
from engine.config import Config
from engine.runs import checkpoints
from engine.terminal import Failure

# The files that training writes. A folder that has one of them, but no run's config.json, is not a run's.
TRAINING = ("checkpoint", "model.ckpt-*", "fake[12]*.png", "training.gif", "*prior.npz", "reader.npz")
TRAINING += ("images/img_*.png", "logs/**/events.out.tfevents.*", "damaged/*", "best.json")
# The files that generate.py and evaluate.py write. In out/ they may exist before any training.
LATER = ("metrics.json*", "explorer.html", "label_*.png", "style_*.png", "interpolate_*.*", "evaluation/*.png")
FOLDERS = ("images", "logs/train", "logs/validation", "logs", "evaluation", "damaged")


def products(folder: Path, patterns: Sequence[str] = TRAINING + LATER) -> list[Path]:
    """List the files in `folder` that have the names of a run's files. Sub-folders that are runs are left out."""
    paths = {path for pattern in patterns for path in folder.glob(pattern)}
    return sorted(path for path in paths if path.parent == folder or not (path.parent / "config.json").exists())


def existing_config(folder: Path) -> Config | None:
    """Read the config of the run in `folder` if it has a checkpoint to resume from. Raises Failure if damaged."""
    return Config.read(folder) if checkpoints.newest_first(folder) and (folder / "config.json").exists() else None


def refuse_foreign(folder: Path, config: Config) -> None:
    """Raise Failure if training would overwrite files in `folder` that no run wrote. Changes nothing.

    A folder is a run's if it has a run's config.json. The folder of the training pictures is refused, too: pictures
    that the run writes there would be training data next time.
    """
    resolved = folder.resolve()
    if config.dataset == "folder" and Path(config.data_dir) in (resolved, *resolved.parents):
        raise Failure(f"{folder} is in the folder of the pictures, {config.data_dir}: choose another --out")
    if os.path.lexists(folder / "config.json"):
        Config.read(folder)
        return
    foreign = products(folder, TRAINING)
    if foreign:
        raise Failure(f"{foreign[0]} was not written by a run of this program: choose another --out")


def move_aside(folder: Path) -> Path | None:
    """Move the run in `folder` into its sub-folder previous-<n>/. Returns that path, or None if there was no run.

    config.json moves last, so that `folder` still counts as a run's if the process is killed half-way.
    """
    paths = [*products(folder), *folder.glob("config.json")]
    if not paths:
        return None
    numbered = (folder / f"previous-{n}" for n in itertools.count(1))
    aside = next(path for path in numbered if not path.exists())
    for path in paths:
        target = aside / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(path, target)
    return aside


def remove_leftovers(folder: Path) -> None:
    """Delete unfinished files of killed processes in a run's folder. The caller must have its lock."""
    for path in (folder, *(folder / name for name in FOLDERS)):
        files.remove_stale_partials(path)
    for path in folder.glob("model.ckpt-*_temp"):
        shutil.rmtree(path, ignore_errors=True)
    for path in folder.glob("model.ckpt-*.data-*"):  # TensorFlow renames the data first and the index last
        if not (folder / f"{path.name.split('.data-')[0]}.index").exists():
            path.unlink()
    (folder / "checkpoint").unlink(missing_ok=True)  # of older versions; names checkpoints that are deleted


def adopt(args: argparse.Namespace, config: Config) -> str:
    """Start or resume the run in args.out: with --fresh move an earlier run aside; write the config.

    Returns the prefix of --reload's checkpoint if a new run starts from its weights, else "". Raises Failure if the run
    there has other settings (the text lists them), or --reload names no checkpoint.
    """
    folder = args.out
    existing = None if args.fresh else existing_config(folder)
    reload = checkpoints.prefix_of(args.reload) if args.reload and not existing else ""
    if reload and not Path(f"{reload}.index").exists():
        raise Failure(f"--reload {args.reload}: no such checkpoint; give its path without .index")
    aside = move_aside(folder) if args.fresh else None
    if aside:
        print(f"the run that was in {folder} is now in {aside}")
        if reload and not Path(f"{reload}.index").exists():  # it was part of that run
            reload = str(aside / Path(reload).name)
    remove_leftovers(folder)
    differences = existing.differences(config) if existing else []
    if differences:
        remedy = "leave them out to resume with the run's own, choose another --out, or move it aside with --fresh"
        if existing.decay_steps != config.decay_steps:
            remedy = "a cosine schedule has a fixed end; for more steps start a new run from its weights with --reload"
        raise Failure(f"the run in {folder} has other settings ({'; '.join(differences)}): {remedy}")
    config.write(folder)
    return reload


def merge_metrics(folder: Path, config: Config, entries: dict) -> None:
    """Merge entries of the run with this config into metrics.json. A damaged file is first moved into damaged/.

    Other entries stay unless they are of another run: evaluate.py writes the shipped run's results into out/, where
    the user's own training may start afterwards.
    """
    path = folder / "metrics.json"
    try:
        metrics = files.read_json(path) if path.exists() else {}
    except Failure:
        files.move([path], folder / "damaged")
        metrics = {}
    for key, entry in list(metrics.items()):
        if isinstance(entry, dict) and not config.matches(entry.get("config", config.digest)):
            del metrics[key]
    files.write_json(path, metrics | entries)
