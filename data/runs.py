"""A run's folder: config.json, metrics.json and the checkpoints model.ckpt-<step>. Nothing in it is ever executed."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data import mnist
from data.console import Failure, tensorflow
from data.files import PARTIAL, whole

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

# What a run writes, so what --fresh moves aside. Anything else in the folder is the user's own.
PRODUCTS = (
    *("config.json", "metrics.json", "checkpoint", "model.ckpt-*", "images", "logs", "damaged", "training.gif"),
    *("fake1.png", "fake2.png", "label_*.png", "style_*.png", "interpolate*.png", "interpolate*.gif"),
    "evaluation",
)
_NAME = re.compile(r"model\.ckpt-(\d{1,18})")
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # how tf.train.Checkpoint ends a variable's key


class Damaged(Exception):
    """A checkpoint that does not read whole; its text says what is wrong."""


# What config.json may say: (type, smallest, largest) for numbers, a tuple of choices or a type for the rest. The bounds
# keep a hostile file from asking for more memory than any real run needs.
_SCHEMA: dict[str, Any] = {
    "dataset": ("mnist", "idx", "drawn"),
    "fingerprint": str,
    "data_dir": str,
    "latent_dim": (int, 1, 4096),
    "num_labels": (int, 1, 1000),
    "batch_size": (int, 1, 1 << 20),
    "learn_rate": (float, 0.0, math.inf),
    "precision": ("float32", "mixed_bfloat16"),
    "schedule": ("constant", "cosine"),
    "seed": (int, 0, (1 << 31) - 1),
}


def read_json(path: Path) -> dict:
    """The object in a JSON file of at most 1 MB. Raises Failure naming the file when it is anything else."""
    try:
        with open(path, "rb") as file:
            content = file.read((1 << 20) + 1)
        value = json.loads(content) if len(content) <= 1 << 20 else None
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        raise Failure(f"{path} is damaged (not a JSON object): restore it from a copy, or start anew with --fresh")
    return value


def write_json(path: Path, value: dict) -> None:
    with whole(path) as partial:
        partial.write_text(json.dumps(value, indent=2) + "\n")


def read_config(folder: Path) -> dict:
    """What the run in `folder` is. Raises Failure if there is none or the file cannot be believed."""
    path = folder / "config.json"
    if not path.is_file():
        raise Failure(f"no run in {folder}: run python train.py first, or name another folder with --run")
    config = read_json(path)
    for key, rule in _SCHEMA.items():
        value = config.get(key)
        if isinstance(rule, type):
            good = isinstance(value, rule)
        elif rule[0] in (int, float):
            kind, low, high = rule
            number = isinstance(value, int) or (kind is float and isinstance(value, float))
            good = number and not isinstance(value, bool) and low <= value <= high
        else:
            good = value in rule
        if not good:
            raise Failure(f"{path} is damaged ({key}: {str(value)[:40]!r}): restore it from a copy, or use --fresh")
    shape = config.get("image_shape")
    if not (
        isinstance(shape, list)
        and len(shape) == 3
        and all(type(n) is int and 1 <= n <= 1024 for n in shape)
        and shape[2] <= 4
    ):
        raise Failure(f"{path} is damaged (image_shape: {str(shape)[:40]!r}): restore it from a copy, or use --fresh")
    (h, w, _), labels, latents = shape, config["num_labels"], config["latent_dim"]
    if math.ceil(h / 4) * math.ceil(w / 4) * (72 * latents + 8 * labels) + 4 * h * w * labels > 1 << 28:
        raise Failure(f"{path} is damaged (a model of more than 1 GB): restore it from a copy, or use --fresh")
    if config["dataset"] == "mnist" and mnist.missing(Path(config["data_dir"])):
        config["data_dir"] = ""  # MNIST is downloaded where it is missing, and a file must not say where to
    return config


def read_metrics(path: Path) -> dict:
    """What metrics.json holds; a damaged one is moved into damaged/, since its numbers can be had again."""
    try:
        return read_json(path) if path.exists() else {}
    except Failure:
        move([path], path.parent / "damaged")
        return {}


def checkpoints(folder: Path) -> list[str]:
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


def weights(model: keras.Model) -> tf.train.Checkpoint:
    """The model's weights under names of their own (conv1/kernel …), not those of one Keras version's private parts."""
    tf = tensorflow()
    return tf.train.Checkpoint(
        **{layer.name: tf.train.Checkpoint(kernel=layer.kernel.value, bias=layer.bias.value) for layer in model.layers}
    )


def restore(state: tf.train.Checkpoint, prefix: str, model: keras.Model, partly: bool = False) -> None:
    """Read a checkpoint into `state`, all of it or nothing.

    Args:
        state: a Checkpoint whose `model` is weights(model).
        prefix: the checkpoint's path, without .index or .data-….
        partly: the checkpoint may hold more than `state` asks for (the optimizer, when only pictures are wanted).

    Raises:
        Damaged: a file is truncated, has wrong bytes or is missing.
        Failure: it is whole, but of another architecture; the text says where they differ.
    """
    tf = tensorflow()
    try:
        for path in Path(prefix).parent.glob(f"{Path(prefix).name}.[id]*"):
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
    wanted = {
        f"{layer.name}/{name}": tuple(getattr(layer, name).shape)
        for layer in model.layers
        for name in ("kernel", "bias")
    }
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


def set_aside(prefix: str) -> Path:
    """Move a damaged checkpoint's files into damaged/, replacing nothing. Returns that folder."""
    folder = Path(prefix).parent / "damaged"
    move(sorted(Path(prefix).parent.glob(f"{Path(prefix).name}.*")), folder)
    return folder


def still(folder: Path) -> None:
    """Raises Failure when the run's folder was moved or removed while it trains."""
    if not (folder / "config.json").exists():
        raise Failure(f"{folder} was moved or removed while its run went on: continue it with --out and its new place")


def move(paths: list[Path], folder: Path) -> None:
    """Move files and folders into `folder`; a name that is taken gets a number."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        target, number = folder / path.name, 1
        while target.exists():
            target, number = folder / f"{path.name}.{number}", number + 1
        os.rename(path, target)


def move_aside(folder: Path) -> Path | None:
    """Move all that an earlier run wrote in `folder` into previous-<number>/ there. Returns that folder, if any."""
    found = sorted({path for pattern in PRODUCTS for path in folder.glob(pattern)})
    if not found:
        return None
    number = 1
    while (target := folder / f"previous-{number}").exists():
        number += 1
    move(found, target)
    return target


def sweep(folder: Path) -> None:
    """Remove what a killed process left half-written. Only for the folder's owner (files.lock)."""
    for path in [*folder.glob(f".*{PARTIAL}"), *folder.glob(f"images/.*{PARTIAL}")]:
        path.unlink(missing_ok=True)
    for path in folder.glob("model.ckpt-*"):
        prefix = path.name.split(".data-")[0]
        if path.is_dir() and path.name.endswith("_temp"):
            shutil.rmtree(path, ignore_errors=True)
        elif ".data-" in path.name and not path.with_name(f"{prefix}.index").exists():
            path.unlink(missing_ok=True)  # data without an index: TensorFlow renames the data first, the index last


def adopt(folder: Path, config: dict, settings: Sequence[str], fresh: bool) -> Path | None:
    """Make `folder` this run's: go on with the run of the same settings, start one, or (fresh) move one aside first.

    Returns the folder that --fresh moved an earlier run into, if there was one.

    Raises:
        Failure: a run with other settings is there; the text lists the differences.
    """
    aside = move_aside(folder) if fresh else None
    if aside:
        print(f"the run that was in {folder} is now in {aside}")
    sweep(folder)
    if checkpoints(folder):  # a config.json alone is a run that has not begun
        old = read_config(folder)
        differences = [f"{key} {old.get(key)!r} → {config[key]!r}" for key in settings if old.get(key) != config[key]]
        if differences:
            raise Failure(
                f"the run in {folder} has other settings ({'; '.join(differences)}): go on with its own settings, "
                "choose another --out, or move it aside with --fresh"
            )
    write_json(folder / "config.json", config)
    return aside


def resume(state: tf.train.Checkpoint, model: keras.Model, folder: Path) -> bool:
    """Restore the newest checkpoint that reads whole; damaged ones are kept in damaged/. False if there is none."""
    for prefix in checkpoints(folder):
        try:
            restore(state, prefix, model)
            return True
        except Damaged as error:
            print(f"{prefix} is damaged ({error}): moved to {set_aside(prefix)}, trying the one before")
    return False


def manager(state: tf.train.Checkpoint, folder: Path, keep: int) -> tf.train.CheckpointManager:
    """Keeps the last `keep` checkpoints, whatever became of the file `checkpoint` where TensorFlow lists them."""
    tf = tensorflow()
    (folder / "checkpoint").unlink(missing_ok=True)  # else TensorFlow deletes what it names, wherever that is
    if known := checkpoints(folder):
        times = [float(i) for i, _ in enumerate(known, 1)]  # without them TensorFlow would never delete these
        tf.compat.v1.train.update_checkpoint_state(
            str(folder), known[0], known[::-1], all_model_checkpoint_timestamps=times
        )
    return tf.train.CheckpointManager(state, str(folder), keep, checkpoint_name="model.ckpt")


class Diary:
    """TensorBoard events in logs/, opened at the first entry: a run that never logs leaves no file.

    By tf.summary.write, because tf.summary.scalar and .histogram need TensorBoard itself installed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.writer = folder / "logs", None

    def write(self, step: int, scalars: dict[str, float], histograms: dict[str, np.ndarray] | None = None) -> None:
        tf = tensorflow()
        self.writer = self.writer or tf.summary.create_file_writer(str(self.folder))

        def entry(name: str, value: np.ndarray, plugin: str, data_class: int) -> None:
            about = tf.compat.v1.SummaryMetadata(data_class=data_class)
            about.plugin_data.plugin_name = plugin
            tf.summary.write(name, value, step, about)

        with self.writer.as_default():
            for name, value in scalars.items():
                entry(name, np.float32(value), "scalars", 1)
            for name, values in (histograms or {}).items():
                counts, edges = np.histogram(values.astype(np.float64), 30)  # float32 may not hold 30 edges so close
                entry(name, np.stack([edges[:-1], edges[1:], counts], axis=1), "histograms", 2)  # (30, 3)
        if histograms:
            self.writer.flush()
