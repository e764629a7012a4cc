"""What several test files use: small data sets, runs compared bit for bit, commands in this or another process."""

import contextlib
import functools
import gc
import gzip
import hashlib
import importlib
import io
import json
import multiprocessing
import multiprocessing.forkserver
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import numpy as np
import pytest
from PIL import Image, ImageSequence

import data
from data import synthetic
from engine import idx, startup
from engine.config import Config
from engine.terminal import Failure

startup.import_tensorflow()

import tensorflow as tf

from engine.runs import checkpoints

# --- data sets ---------------------------------------------------------------------------------------------------


def small(seed: int = 0, train: int = 240, test: int = 30, side: int = 6) -> dict[str, np.ndarray]:
    """A well-formed data set of MNIST's four names."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for part, count in (("train", train), ("t10k", test)):
        arrays[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (count, side, side), np.uint8)
        arrays[f"{part}-labels-idx1-ubyte"] = (np.arange(count) % 10).astype(np.uint8)
    return arrays


def sums(arrays: dict[str, np.ndarray]) -> dict[str, str]:
    """The SHA-256 of the IDX files of these arrays, in place of MNIST's."""
    return {name: hashlib.sha256(idx.encoded(array)).hexdigest() for name, array in arrays.items()}


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write an IDX file, gzipped if its name says so."""
    content = idx.encoded(array)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def config_of(loaded: data.Dataset, data_dir: object = "", **changed) -> SimpleNamespace:
    """What engine.config.Config says of a run's data."""
    settings = {key: getattr(loaded, key) for key in ("fingerprint", "num_labels", "label_names")}
    settings |= {"dataset": loaded.name, "data_dir": str(data_dir), "image_shape": loaded.train.images.shape[1:]}
    told = {"paper": "", "notes": loaded.notes, "levels": loaded.levels}
    return SimpleNamespace(
        **settings | {"fit": "crop", "background": "white", "digits": False, "mnist_form": False} | told | changed
    )


def same(one: data.Dataset, other: data.Dataset) -> bool:
    pairs = zip(one[2:5], other[2:5], strict=True)
    alike = [(a.images == b.images).all() and (a.labels == b.labels).all() for a, b in pairs]
    return all(alike) and one.fingerprint == other.fingerprint and one.label_names == other.label_names


def failure(*args, **kwargs) -> str:
    """The one line that `load` fails with."""
    with pytest.raises(Failure) as error:
        data.load(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- folders of pictures ---------------------------------------------------------------------------------------


def numbered(number: int, side: int = 6) -> Image.Image:
    """A picture of one colour from which `number` can be read again, whatever is done to it."""
    return Image.new("RGB", (side, side), (number // 256, number % 256, 77))


def numbers(split: data.Split) -> list[int]:
    """The numbers of the pictures in a split."""
    return [256 * int(r) + int(g) for r, g, _ in split.images[:][:, 3, 3]]


def write_pictures(root: Path, names: Sequence[str], first: int = 0) -> Path:
    """Write numbered pictures under these paths."""
    for number, name in enumerate(names, first):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        numbered(number).save(root / name)
    return root


def flowers(root: Path, count: int = 12) -> Path:
    """Two labels, `count` pictures each."""
    return write_pictures(root, [f"{label}/{i}.png" for label in ("rose", "tulip") for i in range(count)])


# --- runs and their files ----------------------------------------------------------------------------------------

DRAWN = ("--dataset", "drawn", "--save-every", "20", "--devices", "1")  # with --steps 60, the options of tiny_run


def settings(**changed: object) -> Config:
    """A run's config of its own, without data."""
    default = {"dataset": "drawn", "fingerprint": "c655", "image_shape": (28, 28, 1), "num_labels": 10}
    default |= {"latent_dim": 20, "batch_size": 64, "learn_rate": 2e-3, "schedule": "constant", "seed": 0}
    return Config(**default | changed)


def go(*words: object) -> int:
    """train.py in this process. Returns its exit status."""
    return importlib.import_module("train").main([str(word) for word in words])


def steps(folder: Path) -> list[int]:
    """The steps of the checkpoints, the newest first."""
    return [checkpoints.step_of(prefix) for prefix in checkpoints.newest_first(folder)]


def listing(folder: Path) -> dict[str, bytes]:
    """Every file below a folder and its content, but for the lock."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def write_data(folder: Path, seed: int = 0, train: int = 600, test: int = 60) -> Path:
    """A small IDX data set of drawn digits: it loads at once, and learns something in a few steps."""
    for part, count in (("train", train), ("t10k", test)):
        images, labels = synthetic.digits(count, seed=(seed, count))
        write_idx(folder / f"{part}-images-idx3-ubyte", images[..., 0])
        write_idx(folder / f"{part}-labels-idx1-ubyte", labels)
    return folder


def tensors(prefix: str) -> dict[str, np.ndarray]:
    """All of a checkpoint but how often it was saved and TensorFlow's own description of it."""
    reader = tf.train.load_checkpoint(prefix)
    names = reader.get_variable_to_shape_map()
    return {n: reader.get_tensor(n) for n in names if "save_counter" not in n and not n.startswith("_CHECKPOINTABLE")}


def logged(folder: Path) -> dict[tuple[str, int], np.ndarray]:
    """What TensorBoard shows, by tag and step; an entry that was logged twice must not have changed."""
    entries = {}
    for path in sorted(folder.glob("logs/*/*")):
        try:
            for event in tf.compat.v1.train.summary_iterator(str(path)):
                for value in event.summary.value:
                    array = tf.make_ndarray(value.tensor)
                    if value.metadata.plugin_data.plugin_name == "images":  # the PNG's text names the run's folder
                        array = np.asarray(Image.open(io.BytesIO(array[2])))
                    key = f"{path.parent.name}/{value.tag}", event.step
                    same_twice = entries.setdefault(key, array).tobytes() == array.tobytes()
                    assert same_twice, f"{path}: {key} was logged with two values"
        except tf.errors.DataLossError:  # the last record of a killed process
            continue
    return entries


def pictures(folder: Path) -> dict[str, bytes]:
    """The pixels of every picture below a folder, frame after frame; hidden files are not promised to be whole."""
    pixels = {}
    for path in sorted(folder.rglob("[!.]*")):
        if path.suffix in (".png", ".gif"):
            with Image.open(path) as picture:  # not its text: that names the folder
                frames = [frame.convert("RGB").tobytes() for frame in ImageSequence.Iterator(picture)]
            pixels[str(path.relative_to(folder))] = b"".join(frames)
    return pixels


def digest(folder: Path) -> dict[str, str]:
    """What a finished run is, by name: newest weights and moments, pictures, numbers. Equal means equal bits."""
    newest = checkpoints.newest_first(folder)[0]
    parts = {f"{Path(newest).name}: {name}": value.tobytes() for name, value in tensors(newest).items()}
    parts |= pictures(folder)
    for path in filter(Path.exists, (folder / name for name in ("metrics.json", "prior.npz", "explorer.html"))):
        named = f'"name":"{folder.name}"'.encode()  # as a page names its run
        parts[path.name] = path.read_bytes().replace(named, b"")
    parts |= {f"event {tag} {step}": array.tobytes() for (tag, step), array in logged(folder).items()}
    return {name: hashlib.sha256(content).hexdigest() for name, content in parts.items()}


def differences(a: dict[str, str], b: dict[str, str]) -> list[str]:
    return sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key))


def check_whole(folder: Path) -> None:
    """Every picture opens, every JSON parses, whatever was killed when."""
    pictures(folder)
    for path in folder.rglob("[!.]*.json"):
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


@contextlib.contextmanager
def small_files(size: int):
    """No file may grow beyond `size` bytes: what a full disk does, without one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- commands ----------------------------------------------------------------------------------------------------


class Result(NamedTuple):
    """How a command ended."""

    status: int  # negative: the signal that ended it
    out: str
    err: str


def call(script: str, *words: object) -> Result:
    """Run a script's main in this process. It may raise nothing but argparse's SystemExit."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            status = importlib.import_module(script).main([str(word) for word in words])
        except SystemExit as error:
            status = error.code
    return Result(status, out.getvalue(), err.getvalue())


def is_one_line(err: str) -> bool:
    """Whether stderr is one error message and no traceback."""
    return len(err.splitlines()) == 1 and ": error: " in err and err.endswith("\n") and "Traceback" not in err


class Command:
    """A script in a process of its own, forked from a server that has imported TensorFlow and never uses it.

    Args:
        environment: variables besides those of this process.
        prepare: called in that process before the script's main.
    """

    def __init__(
        self, script: str, *words: object, environment: dict | None = None, prepare: Callable[[], None] | None = None
    ) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.files = [Path(self.folder.name, name) for name in ("out", "err")]
        for path in self.files:
            path.touch()
        argv, around = [f"{script}.py", *map(str, words)], dict(os.environ) | (environment or {})
        arguments = (script, argv, self.files, around, os.getcwd(), prepare)
        self.process = _server().Process(target=_in_fork, args=arguments, daemon=True)
        self.process.start()

    def said(self) -> list[str]:
        """What it has printed so far, on stdout and on stderr."""
        return [path.read_text(errors="replace") for path in self.files]

    def wait_for(self, text: str, seconds: float = 60) -> None:
        """Wait until it has printed `text`."""
        end = time.monotonic() + seconds
        while text not in self.said()[0]:
            assert self.process.is_alive() and time.monotonic() < end, (text, self.said())
            time.sleep(0.02)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send it a signal, if it has not ended."""
        if self.process.is_alive():
            os.kill(self.process.pid, number)

    def finish(self, seconds: float = 120) -> Result:
        """Wait for its end."""
        self.process.join(seconds)
        status = self.process.exitcode
        self.kill()
        assert status is not None, f"still running: {self.said()}"
        result = Result(status, *self.said())
        self.folder.cleanup()
        return result


def end_at_the_last_step() -> None:
    """For Command: train.py makes no test result, prior or page."""
    importlib.import_module("train").finish = lambda run, dataset: 0


@functools.cache
def _server() -> multiprocessing.context.ForkServerContext:
    """The server, started at its first use."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["helpers", "train", "generate", "evaluate"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(map(str, (ROOT, ROOT / "tests", ROOT / "tests" / "tools"))))
        multiprocessing.forkserver.ensure_running()
    return context


def _in_fork(script: str, argv: list, files: list, environment: dict, folder: str, prepare: Callable | None) -> None:
    for number, path in zip((1, 2), files, strict=True):
        os.dup2(os.open(path, os.O_WRONLY), number)
    sys.stdout, sys.stderr = open(1, "w", 1, closefd=False), open(2, "w", 1, closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # multiprocessing's server ignores it
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = argv
    if prepare:
        prepare()
    status = importlib.import_module(script).main(argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is done
    gc.collect()  # os._exit closes no event file
    sys.stdout.flush()
    os._exit(status)
