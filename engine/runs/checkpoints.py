"""Checkpoints model.ckpt-<step>: write, verify, restore, list newest first, delete old ones."""

import math
import os
import re
from pathlib import Path

import keras
import tensorflow as tf

from engine import files
from engine.terminal import Failure
from model import CVAE

KEEP = 5  # number of newest checkpoints that a run keeps
BEST = "best.json"  # the step and validation loss of the best checkpoint, and whether it is the default to load
_NAME = re.compile(r"model\.ckpt-(\d{1,18})")
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # suffix of a variable's key in tf.train.Checkpoint


class Damaged(Failure):
    """A checkpoint that cannot be restored."""


def newest_first(folder: Path) -> list[str]:
    """List the prefixes of the complete checkpoints in `folder`, highest step first. The index file is written last."""
    names = {path.stem for path in folder.glob("model.ckpt-*.index") if _NAME.fullmatch(path.stem)}
    return [str(folder / name) for name in sorted(names, key=step_of, reverse=True)]


def default_step(folder: Path) -> int:
    """Return the step to load by default: after `take_best` the best checkpoint's, else the newest's; −1: none."""
    noted = best(folder)
    return noted["step"] if noted.get("taken") else max(map(step_of, newest_first(folder)), default=-1)


def note_validation(folder: Path, step: int, loss: float) -> None:
    """Record in best.json the step with the lowest validation loss so far. Undoes `take_best`."""
    lower = min(best(folder), {"step": step, "loss": loss}, key=lambda noted: noted.get("loss", math.inf))
    files.write_json(folder / BEST, lower | {"taken": False})


def take_best(folder: Path) -> None:
    """Make the best checkpoint the default to load."""
    files.write_json(folder / BEST, best(folder) | {"taken": True})


def best(folder: Path) -> dict:
    """Read best.json, the best checkpoint's step and loss; {} if it is missing or damaged, or has no checkpoint."""
    try:
        noted = files.read_json(folder / BEST)
        return noted if noted["step"] in map(step_of, newest_first(folder)) and noted["loss"] < math.inf else {}
    except (Failure, OSError, KeyError, TypeError):
        return {}


def step_of(prefix: str) -> int:
    """Return the step in a checkpoint's name; 0 if the name has none."""
    match = _NAME.fullmatch(os.path.basename(prefix))
    return int(match[1]) if match else 0


def prefix_of(path: str) -> str:
    """Return a checkpoint's prefix, given the prefix or the path of one of its files."""
    return re.sub(r"\.(index|data-\d+-of-\d+)$", "", path)


def files_of(prefix: str) -> list[Path]:
    """List the data and index files of a checkpoint, the index last."""
    folder, name = os.path.split(prefix)
    return sorted(Path(folder).glob(f"{name}.[di]*"))


def variables(model: CVAE) -> dict[str, keras.Variable]:
    """Return the model's weights by name (conv1/kernel …). The names do not depend on the version of Keras."""
    weights = {f"{layer.name}/{key}": getattr(layer, key) for layer in model.layers for key in ("kernel", "bias")}
    return weights | ({"likelihood/variance": model.variance} if model.likelihood == "gaussian" else {})


def trackable(model: CVAE) -> tf.train.Checkpoint:
    """Return the object with the model's weights that checkpoints store under the key `model`."""
    layers = {layer.name: {"kernel": layer.kernel.value, "bias": layer.bias.value} for layer in model.layers}
    if model.likelihood == "gaussian":
        layers["likelihood"] = {"variance": model.variance.value}
    return tf.train.Checkpoint(**{name: tf.train.Checkpoint(**weights) for name, weights in layers.items()})


def restore(state: tf.train.Checkpoint, prefix: str, model: CVAE) -> None:
    """Restore all of `state`, whose `model` is trackable(model), from a checkpoint, which may hold more.

    Raises, and leaves `state` undefined:
        Damaged: a file is truncated, missing or has wrong bytes (TensorFlow verifies a checksum for each tensor).
        Failure: the checkpoint is of another architecture or version, or its path has *, ? or [.
        OSError: a file cannot be read, which does not mean that it is damaged.
    """
    if set(prefix) & set("*?["):
        raise Failure(f"{prefix}: TensorFlow takes *, ? and [ for patterns: move it to a path without them")
    for path in files_of(prefix):
        open(path, "rb").close()  # raises OSError here; below it would count as damage
    try:
        shapes = tf.train.load_checkpoint(prefix).get_variable_to_shape_map()
        if sum(map(math.prod, shapes.values())) > sum(path.stat().st_size for path in files_of(prefix)):
            raise ValueError("its index names more numbers than its files have bytes")  # before memory is allocated
        _check_architecture(prefix, shapes, model)
        state.read(prefix).expect_partial().assert_existing_objects_matched()
    except (Failure, OSError, MemoryError, UnicodeEncodeError):
        raise
    except AssertionError as error:
        reason = str(error).splitlines()[0][:120]
        raise Failure(f"{prefix} was written by another version of this program or of Keras: {reason}") from None
    except Exception as error:  # TensorFlow raises OpError, IndexError, ValueError … on damaged bytes
        why = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise Damaged(f"{prefix} is damaged ({why}), so another checkpoint is needed") from None


def _check_architecture(prefix: str, shapes: dict[str, list[int]], model: CVAE) -> None:
    """Raise Failure, naming the first difference, if names or shapes of weights differ between checkpoint and model."""
    there = {key[6 : -len(_VALUE)]: tuple(shape) for key, shape in shapes.items() if key.startswith("model/")}
    here = {name: tuple(variable.shape) for name, variable in variables(model).items()}
    for name in sorted(name for name, _ in there.items() ^ here.items()):
        shapes = f"{name} is {there.get(name, 'missing')} there and {here.get(name, 'missing')} here"
        raise Failure(f"{prefix} is of another architecture: {shapes}")


def save(state: tf.train.Checkpoint, folder: Path, step: int, replaced: int = -1) -> None:
    """Write the checkpoint of `step` and flush it to the disk, then delete the one of step `replaced` and old ones.

    The newest KEEP stay, and the one with the lowest recorded validation loss.
    """
    files.check_held(folder)
    prefix = str(folder / f"model.ckpt-{step}")
    state.write(prefix)
    files.sync(*files_of(prefix), folder)
    steps = [step_of(prefix) for prefix in newest_first(folder)]
    kept = [step for step in steps if step != replaced][:KEEP]
    for old in sorted(set(steps) - {*kept, best(folder).get("step")}):
        for path in reversed(files_of(str(folder / f"model.ckpt-{old}"))):  # first the index, which marks it complete
            path.unlink()
