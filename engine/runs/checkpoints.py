"""Checkpoints model.ckpt-<step>: write, verify, restore, list newest first, delete old ones."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import keras
import tensorflow as tf

from engine import files
from engine.terminal import Failure
from model import CVAE

KEEP = 5  # newest checkpoints in a run's folder
BEST = "best.json"  # there: the step and validation loss of the best checkpoint, and whether it is the one to load
_NAME = re.compile(r"model\.ckpt-(\d{1,18})")
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # how tf.train.Checkpoint ends a variable's key


class Damaged(Exception):
    """A checkpoint that cannot be restored; the text says why."""


def newest_first(folder: Path) -> list[str]:
    """The prefixes of the checkpoints in `folder`, highest step first. TensorFlow writes the index file last."""
    names = {path.stem for path in folder.glob("model.ckpt-*.index") if _NAME.fullmatch(path.stem)}
    return [str(folder / name) for name in sorted(names, key=step_of, reverse=True)]


def newest_step(folder: Path) -> int:
    """The step of the newest checkpoint in `folder`; −1: there is none."""
    return max(map(step_of, newest_first(folder)), default=-1)


def default_step(folder: Path) -> int:
    """The step to load where none is named: of the best checkpoint if it was taken, else of the newest."""
    best = _best(folder)
    return best["step"] if best.get("taken") else newest_step(folder)


def best_step(folder: Path) -> int:
    """The step of the checkpoint with the lowest validation loss of those noted; −1: there is none."""
    return _best(folder).get("step", -1)


def note_validation(folder: Path, step: int, loss: float) -> None:
    """Note which step has the lowest validation loss so far, this one or the one before; it is not taken yet."""
    best = min(_best(folder), {"step": step, "loss": loss}, key=lambda noted: noted.get("loss", math.inf))
    files.write_json(folder / BEST, best | {"taken": False})


def take_best(folder: Path) -> None:
    """Make the best checkpoint the one to load."""
    files.write_json(folder / BEST, _best(folder) | {"taken": True})


def _best(folder: Path) -> dict:
    """What best.json says; {} if it is missing or damaged, or its checkpoint is."""
    try:
        best = files.read_json(folder / BEST)
        return best if f"{folder}/model.ckpt-{best['step']}" in newest_first(folder) and best["loss"] < math.inf else {}
    except (Failure, KeyError, TypeError):
        return {}


def step_of(prefix: str) -> int:
    """The step in a checkpoint's name; 0 for a name without one."""
    match = _NAME.fullmatch(os.path.basename(prefix))
    return int(match[1]) if match else 0


def prefix_of(path: str) -> str:
    """A checkpoint's prefix, from the prefix or from the name of one of its files."""
    return re.sub(r"\.(index|data-\d+-of-\d+)$", "", path)


def files_of(prefix: str) -> list[Path]:
    """The index and data files of a checkpoint, the index last."""
    folder, name = os.path.split(prefix)
    return sorted(Path(folder).glob(f"{name}.[di]*"))


def variables(model: CVAE) -> dict[str, keras.Variable]:
    """The model's weights by stable names (conv1/kernel …), which do not depend on the version of Keras."""
    weights = {f"{layer.name}/{key}": getattr(layer, key) for layer in model.layers for key in ("kernel", "bias")}
    return weights | ({"likelihood/variance": model.variance} if model.likelihood == "gaussian" else {})


def trackable(model: CVAE) -> tf.train.Checkpoint:
    """The model's weights as the object that a checkpoint holds under the name `model`."""
    layers: dict[str, dict] = {}
    for name, variable in variables(model).items():
        layer, key = name.split("/")
        layers.setdefault(layer, {})[key] = variable.value
    return tf.train.Checkpoint(**{layer: tf.train.Checkpoint(**weights) for layer, weights in layers.items()})


def restore(state: tf.train.Checkpoint, prefix: str, model: CVAE) -> None:
    """Restore all of `state` from a checkpoint, which may hold more. After an exception `state` is undefined.

    Args:
        state: a Checkpoint whose `model` is trackable(model).
        prefix: the checkpoint's path, without .index or .data-….

    Raises:
        Damaged: a file is truncated, missing or has wrong bytes (TensorFlow verifies a checksum for each tensor).
        Failure: the checkpoint is of another architecture or another version, or TensorFlow cannot take its path.
        OSError: a file cannot be read, which does not mean that it is damaged.
    """
    if set(prefix) & set("*?["):
        raise Failure(f"{prefix}: TensorFlow takes *, ? and [ for patterns: move it to a path without them")
    for path in files_of(prefix):
        open(path, "rb").close()
    try:
        shapes = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
        size = sum(path.stat().st_size for path in files_of(prefix))
        if sum(math.prod(shape) for shape in shapes.values()) > size:  # checked before memory is allocated
            raise Damaged("its index names more numbers than its files have bytes")
        _check_architecture(prefix, shapes, model)
        state.read(prefix).expect_partial().assert_existing_objects_matched()
    except (Damaged, Failure, OSError, MemoryError, UnicodeEncodeError):
        raise
    except AssertionError as error:
        reason = str(error).splitlines()[0][:120]
        raise Failure(f"{prefix} was written by another version of this program or of Keras: {reason}") from None
    except Exception as error:  # TensorFlow raises OpError, IndexError, ValueError … on damaged bytes
        raise Damaged(str(error).splitlines()[0][:120] if str(error) else type(error).__name__) from None


def _check_architecture(prefix: str, shapes: dict[str, list[int]], model: CVAE) -> None:
    """Raises Failure, naming the first difference, unless the checkpoint's weights are those of `model`."""
    there = {key[6 : -len(_VALUE)]: tuple(shape) for key, shape in shapes.items() if key.startswith("model/")}
    here = {name: tuple(variable.shape) for name, variable in variables(model).items()}
    for key in sorted(there.keys() | here.keys()):
        if there.get(key) != here.get(key):
            raise Failure(
                f"{prefix} is of another architecture: {key} is {there.get(key, 'missing')} there and "
                f"{here.get(key, 'missing')} here"
            )


def save(state: tf.train.Checkpoint, folder: Path, step: int, replaced: int = -1) -> None:
    """Write the checkpoint of `step`, wait until the disk has it, then delete that of `replaced` and older ones.

    KEEP stay, and the best by validation loss, where that was noted.
    """
    files.check_held(folder)
    prefix = str(folder / f"model.ckpt-{step}")
    state.write(prefix)
    files.sync(*files_of(prefix), folder)
    steps = [step_of(prefix) for prefix in newest_first(folder)]
    kept = [step for step in steps if step != replaced][:KEEP]
    for old in sorted(set(steps) - {*kept, best_step(folder)}):
        for path in reversed(files_of(str(folder / f"model.ckpt-{old}"))):  # the index first: it makes a checkpoint
            path.unlink()


def set_aside(prefix: str) -> Path:
    """Move a damaged checkpoint's files into damaged/, replacing nothing there. Returns that folder."""
    folder = Path(prefix).parent / "damaged"
    files.move(files_of(prefix), folder)
    return folder
