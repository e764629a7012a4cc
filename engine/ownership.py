"""A run's folder: whose it is, taken over, moved aside, swept. Nothing that a run did not write is ever touched."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine import checkpoints, files, labels
from engine.config import Config
from engine.terminal import Failure

FOLDERS = ("images", "logs", "evaluation", "damaged")
_ALWAYS = (
    r"(damaged/)?metrics\.json(\.\d+)?"
    r"|(damaged/)?model\.ckpt-\d+\.(index|data-\d{5}-of-\d{5})(\.\d+)?"
    r"|checkpoint|fake[12](_label_prior)?\.png|training\.gif|(prior|reader)\.npz|explorer\.html"
    r"|images/img_\d+_(real|fake1|fake2)\.png"
    r"|logs/events\.out\.tfevents\.[^/]+"
    r"|evaluation/(reconstructions|worst_reconstructed|latent_traversal|swap|misread(_by_label_prior)?)\.png"
    r"|config\.json"
)


def _drawings(names: Sequence[str]) -> str:
    """A pattern of what generate.py names after labels."""
    word = "|".join(map(re.escape, labels.slugs(names)))
    these = rf"(all|({word})(_({word}))*(_and_\d+_more)?)"
    return rf"(label|style|interpolate)_{these}\.png|interpolate_{these}\.gif"


# What evaluate.py and generate.py may have left in out/ for the shipped run, before any training there.
_BEFORE_TRAINING = re.compile(rf"metrics\.json|explorer\.html|evaluation/\w+\.png|{_drawings('0123456789')}")


def _products(folder: Path) -> re.Pattern:
    """What a run writes into its folder, relative to it; the names of its labels are in its config."""
    try:
        names = Config.read(folder).names
    except Failure:
        names = tuple("0123456789")
    return re.compile(f"{_ALWAYS}|{_drawings(names)}")


def found(folder: Path) -> Iterator[Path]:
    """Everything in `folder` that has the name of something that a run writes, config.json last."""
    product = _products(folder)
    for place in (*(folder / name for name in FOLDERS), folder):
        if os.path.isdir(place) and (place == folder or not place.is_symlink()):
            names = sorted(place.iterdir(), key=lambda path: (path.name == "config.json", path.name))
            yield from (path for path in names if product.fullmatch(path.relative_to(folder).as_posix()))


def refuse_foreign(folder: Path, config: Config) -> None:
    """Raises Failure if training would write over something in `folder` that no run wrote. Touches nothing.

    A folder is a run's if its config.json is one beyond doubt; one that has nothing of a run's names may become one,
    unless it is among the pictures that the run of this config learns from: its own would be a label tomorrow.
    """
    place = folder.resolve()
    if config.dataset == "folder" and Path(config.data_dir) in (place, *place.parents):
        raise Failure(f"{folder} is in the folder of the pictures, {config.data_dir}: choose another --out")
    if os.path.isfile(folder / "config.json"):
        Config.read(folder)
        return
    names = [path.relative_to(folder).as_posix() for path in found(folder)]
    names = [name for name in names if not _BEFORE_TRAINING.fullmatch(name)]
    names += [name for name in ("config.json", "images", "logs") if os.path.lexists(folder / name)]
    if os.path.lexists(folder / "metrics.json"):
        known = files.read_json(folder / "metrics.json").keys() <= {"test", "evaluate"}
        names += [] if known else ["metrics.json"]
    if names:
        raise Failure(f"{folder / names[0]} was not written by a run of this program: choose another --out")


def move_aside(folder: Path) -> Path | None:
    """Move what an earlier run wrote in `folder` into previous-<n>/ there. Returns that folder, if there was anything.

    config.json goes last: a folder half moved when the process was killed is still a run's.
    """
    paths = list(found(folder))
    if not paths:
        return None
    aside, n = folder / "previous-1", 1
    while aside.exists():
        n += 1
        aside = folder / f"previous-{n}"
    for path in paths:
        target = aside / path.relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(path, target)
    for name in FOLDERS:
        if (folder / name).is_dir() and not any((folder / name).iterdir()):
            (folder / name).rmdir()
    return aside


def remove_half_written(folder: Path) -> None:
    """Remove what killed processes left half-written in a run's folder. Only for its owner (files.lock)."""
    for place in (folder, *(folder / name for name in FOLDERS)):
        for path in files.abandoned(place):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    for path in folder.glob("checkpoint.tmp*"):
        if re.fullmatch(r"checkpoint\.tmp[0-9a-f]{32}", path.name):  # TensorFlow's, of its list
            path.unlink(missing_ok=True)
    for path in folder.glob("model.ckpt-*"):
        prefix = path.name.split(".data-")[0]
        if re.fullmatch(r"model\.ckpt-\d+_temp", path.name) and path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif ".data-" in path.name and re.fullmatch(_ALWAYS, path.name) and not (folder / f"{prefix}.index").exists():
            path.unlink(missing_ok=True)  # data without an index: TensorFlow renames the data first, the index last


def adopt(args: argparse.Namespace, config: Config) -> tuple[Config, str]:
    """Write the config of the run that args.out is from now on, with --fresh after moving an earlier one aside.

    Returns that config, and the checkpoint of --reload if the run starts from it.

    Raises:
        Failure: a run with other settings is there, or --reload names nothing.
    """
    folder, reload = args.out, ""
    starts = args.fresh or not checkpoints.newest_first(folder)  # a config.json alone is a run that has not begun
    if starts and args.reload:
        reload = checkpoints.prefix_of(args.reload)
        if not Path(f"{reload}.index").exists():
            raise Failure(f"--reload {args.reload}: no such checkpoint; give its path without .index")
    aside = move_aside(folder) if args.fresh else None
    if aside:
        print(f"the run that was in {folder} is now in {aside}")
        if reload and not Path(f"{reload}.index").exists():  # it has just been moved there
            reload = str(aside / Path(reload).name)
    remove_half_written(folder)
    if not starts:
        old = Config.read(folder)
        # --reload said once is enough; and a run of before keeps the number of stages that its size had then.
        config = dataclasses.replace(
            config, reload=config.reload or old.reload, stages=old.stages, replicas=old.replicas
        )
        differences = "; ".join(old.differences(config))
        if differences:
            raise Failure(
                f"the run in {folder} has other settings ({differences}): go on with its own settings, "
                "choose another --out, or move it aside with --fresh"
            )
    config.write(folder)
    return config, reload
