"""Kill training at any instant, hundreds of times, and see that nothing is lost; repeat runs and compare their bits.

python tests/stress.py --kills 200 --seed 1         SIGKILL, SIGTERM and SIGINT, then restart, until every run is done
python tests/stress.py --data-dir shapes --size 28   the same over a folder of pictures; any flag of train.py goes
python tests/stress.py --compare out/a out/b …      are these finished runs the same, bit for bit?

One process imports TensorFlow and never uses it; every run is a fork of it, so a start costs a second, not four.
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from data import drawn, idx  # noqa: E402
from engine import terminal  # noqa: E402

terminal.import_tensorflow()

import tensorflow as tf  # noqa: E402

import engine.run  # noqa: E402
import train  # noqa: E402
from engine import checkpoints  # noqa: E402

STEPS, EVERY = 60, 7
ALWAYS = {signal.SIGTERM: 143, signal.SIGINT: 130}


def write_data(folder: Path, seed: int = 0, train: int = 600, test: int = 60) -> Path:
    """A small IDX data set of drawn digits: it loads at once, and learns something in a few steps."""
    for part, count in (("train", train), ("t10k", test)):
        images, labels = drawn.digits(count, seed=(seed, count))
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
    found["prior.npz"] = hashlib.sha256((folder / "prior.npz").read_bytes()).hexdigest()
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


def arm(folder: Path, at: int, delay: float) -> list[int]:
    """Die `delay` seconds after the at-th event in and beside `folder`: a file opened, renamed or removed, a save begun
    or done; at the −at-th save for a negative `at`."""
    seen, saves, root = [0], [0], str(folder.parent)  # the cache of its pictures is there, too

    def event(saving: bool = False) -> None:
        seen[0] += 1
        saves[0] += saving
        if seen[0] == at or (saving and saves[0] == -at):
            if delay:
                signal.setitimer(signal.ITIMER_REAL, delay)  # SIGALRM's default is to die, in the midst of anything
            else:
                os.kill(os.getpid(), signal.SIGKILL)

    def hook(name: str, args: tuple) -> None:
        if name in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir") and str(args[0]).startswith(root):
            event()

    def save(*args: object, real=tf.train.CheckpointManager.save, **kwargs: object) -> object:
        event(saving=True)
        try:
            return real(*args, **kwargs)
        finally:
            event()

    sys.addaudithook(hook)
    tf.train.CheckpointManager.save = save
    return seen


def fork(argv: list[str], log: Path, folder: Path, at: int = 0, delay: float = 0.0) -> int:
    """Run train.main(argv) in a child; its process id. `at`: see arm."""
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    status = 99
    try:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout.reconfigure(line_buffering=True)
        engine.run.LOG_EVERY = 10
        os.environ["XDG_CACHE_HOME"] = str(folder.parent / "cache")  # every run decodes its pictures itself
        seen = arm(folder, at, delay)
        status = train.main(argv)
        gc.collect()  # os._exit closes no event file
        print(f"{seen[0]} events")
    except SystemExit as error:
        status = error.code
    except BaseException:
        traceback.print_exc()
    os._exit(status)


def wait(pid: int, seconds: float) -> int | None:
    """The child's exit status (negative: the signal it died of), or None when it still runs after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        time.sleep(0.002)


def finish(pid: int, log: Path, seconds: float = 120) -> int:
    status = wait(pid, seconds)
    if status is None:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise AssertionError(f"still running after {seconds} s\n{log.read_text()}")
    assert "Traceback" not in log.read_text() and status != 99, log.read_text()
    return status


def stress(kills: int, seed: int, work: Path, options: list[str]) -> dict[str, int]:
    """Kill and restart runs until `kills` have died, every one going on until it is finished; compare each with an
    undisturbed one. Returns counts of what happened."""
    rng = random.Random(seed)
    argv = ["--data-dir", str(write_data(work / "data")), "--steps", str(STEPS), "--save-every", str(EVERY), *options]
    log = work / "undisturbed.log"
    references, began = [], time.monotonic()
    for name in ("a", "b"):
        folder = work / name / "run"
        assert finish(fork([*argv, "--out", str(folder)], log, folder), log) == 0, log.read_text()
        references.append(digest(folder))
    life = (time.monotonic() - began) / 2
    events = int(re.findall(r"(\d+) events", log.read_text())[-1])
    assert not differences(*references), f"two undisturbed runs differ: {differences(*references)}"
    assert any("train/loss" in key for key in references[0]) and len(references[0]) > 50

    count = dict.fromkeys(
        (
            "runs",
            "starts",
            "killed at a point",
            "killed in a save",
            "killed in time",
            "stopped",
            "half checkpoints",
            "half files",
        ),
        0,
    )
    died = 0
    while died < kills:
        count["runs"] += 1
        folder, log, status = work / f"run{count['runs']}" / "run", work / f"run{count['runs']}.log", None
        while status != 0:
            before = complete(folder) if folder.exists() else -1
            steps = [checkpoints.step_of(prefix) for prefix in checkpoints.newest_first(folder)]
            count["half checkpoints"] += before < max([*steps, -1])
            names = {path.name for path in folder.rglob("*")}
            data = {name for name in names if ".data-" in name and name.split(".data-")[0] + ".index" not in names}
            count["half files"] += bool(data) or any(name.endswith((".partial", "_temp")) for name in names)
            start = log.stat().st_size if log.exists() else 0
            kind = rng.choice(("point", "point", "save", "save", "time", "stop")) if died < kills else "none"
            at = {"point": rng.randint(1, events // 2), "save": -rng.randint(1, 4)}.get(kind, 0)
            delay = rng.choice((0, rng.uniform(1e-4, 0.03)))
            pid = fork([*argv, "--out", str(folder)], log, folder, at, delay)
            count["starts"] += 1
            status = wait(pid, rng.uniform(0.2, 1) * life) if kind in ("time", "stop") else None
            if status is None:
                if kind in ("time", "stop"):
                    number = signal.SIGKILL if kind == "time" else rng.choice((signal.SIGTERM, signal.SIGINT))
                    os.kill(pid, number)
                status = finish(pid, log)
            died += status != 0
            said = log.read_bytes()[start:].decode()
            assert "Traceback" not in said, said
            if status < 0:
                count[{"point": "killed at a point", "save": "killed in a save"}.get(kind, "killed in time")] += 1
            elif status:
                count["stopped"] += 1
                assert kind == "stop" and status == ALWAYS[number], f"{kind} {status}: {said}"
                assert "go on with: python train.py" in said or "interrupted" in said, said
            check_whole(folder) if folder.exists() else None
            if "parameters on" in said and before > 0:
                assert f"step {before:,}" in said, f"did not go on from step {before}: {said}"
        wrong = differences(references[0], digest(folder))
        assert not wrong, f"{folder} differs from an undisturbed run in {wrong}\n{log.read_text()}"
        left = [p.name for p in folder.iterdir() if p.name.endswith((".partial", "_temp"))]
        assert not left and len(checkpoints.newest_first(folder)) <= 5, left
    return count


def compare(folders: list[Path]) -> bool:
    """Print how finished runs differ from the first."""
    first, same = digest(folders[0]), True
    for folder in folders[1:]:
        other = digest(folder)
        wrong = differences(first, other)
        same = same and not wrong
        both = [key for key in wrong if key in first and key in other]
        print(f"{folder}: {len(both)} of {len(first)} differ, {len(wrong) - len(both)} only in one  {both[:3]}")
    return same


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--work", type=Path, help="keep what the runs write in this folder")
    parser.add_argument("--compare", type=Path, nargs="+", metavar="RUN")
    args, options = parser.parse_known_args(argv)  # the rest goes to train.py
    if args.compare:
        return 0 if compare(args.compare) else 1
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        count = stress(args.kills, args.seed, args.work or Path(temporary), options)
    print(
        ", ".join(f"{value} {key}" for key, value in count.items()), f"in {time.monotonic() - began:.0f} s: all whole"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
