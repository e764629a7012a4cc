"""Checkpoints model.ckpt-<step>: read whole or refused, newest first. Nothing in them is ever executed."""

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

_NAME = re.compile(r"model\.ckpt-(\d{1,18})")
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # how tf.train.Checkpoint ends a variable's key


class Damaged(Exception):
    """A checkpoint that does not read whole; its text says what is wrong."""


def newest_first(folder: Path) -> list[str]:
    """The prefixes of the checkpoints in `folder`, newest (highest step) first. TensorFlow writes the index last."""
    names = {path.stem for path in folder.glob("model.ckpt-*.index") if _NAME.fullmatch(path.stem)}
    return [str(folder / name) for name in sorted(names, key=step_of, reverse=True)]


def step_of(prefix: str) -> int:
    """The step in a checkpoint's name; 0 for a name that holds none."""
    match = _NAME.fullmatch(os.path.basename(prefix))
    return int(match[1]) if match else 0


def prefix_of(path: str) -> str:
    """A checkpoint's prefix, from the prefix or from the name of one of its files."""
    return re.sub(r"\.(index|data-\d+-of-\d+)$", "", path)


def variables(model: CVAE) -> dict[str, keras.Variable]:
    """The model's weights under names of their own (conv1/kernel …), not those of one Keras version's private parts."""
    found = {f"{layer.name}/{key}": getattr(layer, key) for layer in model.layers for key in ("kernel", "bias")}
    return found | ({"likelihood/variance": model.variance} if model.likelihood == "gaussian" else {})


def weights(model: CVAE) -> tf.train.Checkpoint:
    """What a checkpoint holds as its `model`."""
    parts: dict[str, dict] = {}
    for name, variable in variables(model).items():
        part, key = name.split("/")
        parts.setdefault(part, {})[key] = variable.value
    return tf.train.Checkpoint(**{part: tf.train.Checkpoint(**some) for part, some in parts.items()})


def restore(state: tf.train.Checkpoint, prefix: str, model: CVAE, partly: bool = False) -> None:
    """Read a checkpoint into `state`, all of it or nothing.

    Args:
        state: a Checkpoint whose `model` is weights(model).
        prefix: the checkpoint's path, without .index or .data-….
        partly: the checkpoint may hold more than `state` asks for (the optimizer, when only pictures are wanted).

    Raises:
        Damaged: a file is truncated, has wrong bytes or is missing.
        Failure: it is whole, but of another architecture; the text says where they differ.
    """
    try:
        for path in Path(prefix).parent.glob(f"{Path(prefix).name}.[id]*"):
            files.refuse_special(path)
            with open(path, "rb") as file:  # what may not be read, or not just now, is not damaged: OSError says so
                while file.read(1 << 20):
                    pass
        reader = tf.train.load_checkpoint(prefix)
        shapes = reader.get_variable_to_shape_map()
        size = sum(os.path.getsize(path) for path in Path(prefix).parent.glob(f"{Path(prefix).name}.data-*"))
        if sum(math.prod(shape) for shape in shapes.values()) > size:  # before any memory is taken
            raise Damaged("its index speaks of more numbers than its data file has bytes")
        for key in shapes:
            reader.get_tensor(key)  # verifies the tensor's checksum
    except (Damaged, OSError, MemoryError, UnicodeEncodeError):
        raise
    except Exception as error:  # OpError, DataLossError, NotFoundError, IndexError, ValueError …: TensorFlow raises all
        raise Damaged(str(error).splitlines()[0][:120] if str(error) else type(error).__name__) from None
    found = {key[6 : -len(_VALUE)]: tuple(shape) for key, shape in shapes.items() if key.startswith("model/")}
    wanted = {name: tuple(variable.shape) for name, variable in variables(model).items()}
    for key in sorted(found.keys() | wanted.keys()):
        if found.get(key) != wanted.get(key):
            raise Failure(
                f"{prefix} is of another architecture: {key} is {found.get(key, 'missing')} there and "
                f"{wanted.get(key, 'missing')} here"
            )
    try:
        status = state.read(prefix)
        status.expect_partial().assert_existing_objects_matched() if partly else status.assert_consumed()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0][:120]
        raise Failure(f"{prefix} was written by another version of this program or of Keras: {reason}") from None


def save(manager: tf.train.CheckpointManager, step: int) -> None:
    """Write the checkpoint of `step`; it has reached the disk, name and all, when this returns.

    The manager deletes the oldest one in between, before this one is safe: those of the saves before are.
    """
    files.check_held(Path(manager.directory))
    prefix = Path(manager.save(step))
    files.sync(*prefix.parent.glob(f"{prefix.name}.*"), prefix.parent)


def set_aside(prefix: str) -> Path:
    """Move a damaged checkpoint's files into damaged/, replacing nothing. Returns that folder."""
    folder = Path(prefix).parent / "damaged"
    files.move(sorted(Path(prefix).parent.glob(f"{Path(prefix).name}.*")), folder)
    return folder


def rewrite_list(folder: Path) -> None:
    """Write anew the file `checkpoint`, where TensorFlow lists what a CheckpointManager may delete: just what is here.

    Whatever stood there is not read: TensorFlow would delete what it names, wherever that is.
    """
    (folder / "checkpoint").unlink(missing_ok=True)
    known = newest_first(folder)
    if known:
        times = [float(i) for i, _ in enumerate(known, 1)]  # without them TensorFlow would never delete these
        tf.compat.v1.train.update_checkpoint_state(
            str(folder), known[0], known[::-1], all_model_checkpoint_timestamps=times
        )
