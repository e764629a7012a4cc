"""What a run is, bit for bit: a small data set for one, its digest, and whether its files are whole."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from data import synthetic
from engine import (
    idx,  # noqa: E402
    startup,  # noqa: E402
)

startup.import_tensorflow()

import tensorflow as tf  # noqa: E402

from engine.runs import checkpoints  # noqa: E402


def write_data(folder: Path, seed: int = 0, train: int = 600, test: int = 60) -> Path:
    """A small IDX data set of drawn digits: it loads at once, and learns something in a few steps."""
    for part, count in (("train", train), ("t10k", test)):
        images, labels = synthetic.digits(count, seed=(seed, count))
        idx.write(folder / f"{part}-images-idx3-ubyte", images[..., 0])
        idx.write(folder / f"{part}-labels-idx1-ubyte", labels)
    return folder


def tensors(prefix: str) -> dict[str, np.ndarray]:
    """All of a checkpoint but how often it was saved and TensorFlow's own description of it."""
    reader = tf.train.load_checkpoint(prefix)
    names = reader.get_variable_to_shape_map()
    return {n: reader.get_tensor(n) for n in names if "save_counter" not in n and not n.startswith("_CHECKPOINTABLE")}


def scalars(folder: Path) -> dict[tuple[str, int], bytes]:
    """The logged numbers by tag and step; one that was logged twice must not have changed."""
    found = {}
    for path in sorted(folder.glob("logs/*")):
        try:
            for event in tf.compat.v1.train.summary_iterator(str(path)):
                for value in event.summary.value:
                    key, content = (value.tag, event.step), value.tensor.tensor_content or str(value.tensor).encode()
                    assert found.setdefault(key, content) == content, f"{path}: {key} was logged with two values"
        except tf.errors.DataLossError:  # the last record of a killed process
            continue
    return found


def digest(folder: Path) -> dict[str, str]:
    """What a finished run is, by name: newest weights and moments, pictures, numbers. Equal means equal bits."""
    found = {}
    newest = checkpoints.newest_first(folder)[0]
    for name, value in tensors(newest).items():
        found[f"{Path(newest).name}: {name}"] = (
            f"{value.dtype}{value.shape} " + hashlib.sha256(value.tobytes()).hexdigest()
        )
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".png", ".gif"):
            with Image.open(path) as picture:  # not its text: that names the folder
                content = b"".join(frame.convert("RGB").tobytes() for frame in _frames(picture))
            found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    found["metrics.json"] = (folder / "metrics.json").read_text()
    for name in ("prior.npz", "explorer.html"):
        content = (folder / name).read_bytes().replace(f'"name":"{folder.name}"'.encode(), b"")  # as a page names it
        found[name] = hashlib.sha256(content).hexdigest()
    found |= {f"event {tag} {step}": value.hex() for (tag, step), value in scalars(folder).items()}
    return found


def _frames(picture: Image.Image):
    for i in range(getattr(picture, "n_frames", 1)):
        picture.seek(i)
        yield picture


def differences(a: dict[str, str], b: dict[str, str]) -> list[str]:
    return sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))


def check_whole(folder: Path) -> None:
    """Every picture opens, every JSON parses, whatever was killed when; hidden files are not promised."""
    for path in folder.rglob("*"):
        if path.name.startswith(".") or not path.is_file():
            continue
        if path.suffix in (".png", ".gif"):
            with Image.open(path) as picture:
                for frame in _frames(picture):
                    frame.load()
        elif path.suffix == ".json":
            assert isinstance(json.loads(path.read_bytes()), dict), path


def complete(folder: Path) -> int:
    """The step of the newest checkpoint that reads whole; −1 if there is none. Not by `restore`: that is judged."""
    for prefix in checkpoints.newest_first(folder):
        try:
            tensors(prefix)
            return checkpoints.step_of(prefix)
        except Exception:  # noqa: BLE001, S112 - any: it does not read
            continue
    return -1
