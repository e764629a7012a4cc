"""Kill everything at any instant, hundreds of times, and see that nothing is lost; repeat runs and compare their bits.

python tests/tools/stress.py --kills 500 --seed 1   train, generate.py, evaluate.py: killed, stopped, out of disk; again
python tests/tools/stress.py --lives idx   only runs that learn from IDX files (or: folder, evaluated, short)
python tests/tools/stress.py --compare out/a out/b …   are these finished runs the same, bit for bit?

A life is a run's folder and the commands that fill it, each repeated until it succeeds. At its end it has the bits of a
life that nobody disturbed. One process imports TensorFlow and never uses it; every command is a fork of it.
"""

from __future__ import annotations

import argparse
import collections
import functools
import gc
import json
import mmap
import os
import random
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from helpers import check_whole, complete, differences, digest, write_data
from make_pictures import shapes

import engine.training.run
import evaluate
import generate
import train
from data import decoded_folder
from engine import files, startup
from engine.classifiers import networks
from engine.evaluation import result_of_training
from engine.export.page import build
from engine.latent import prior_cache
from engine.runs import checkpoints
from engine.training.run import Run

startup.import_tensorflow()

import tensorflow as tf  # noqa: E402

STEPS, EVERY, KEPT = 24, 4, 3
STARTS = {"train": 12, "generate": 3, "evaluate": 6}  # with trouble, at most, before one without
RESTORING = 8  # events of a restore, about
ENDS = {signal.SIGTERM: 143, signal.SIGINT: 130}
LIVES = ("idx", "folder", "idx", "folder", "evaluated")  # in turn; the last takes four times as long
SHORT = "short"  # a few steps and nothing after them, for the suite
KINDS = ("kill", "kill", "kill", "full", "time", "stop")
NAME = 20  # bytes of a phase's name
# What is going on in a process while one of these runs; else the script itself.
PHASES = {
    "decoding": (decoded_folder, "_decoded"),
    "restoring": (Run, "restore"),
    "saving": (train, "save"),
    "testing": (result_of_training, "report"),
    "prior": (prior_cache, "load_or_fit"),
    "page": (build, "write"),
    "measuring": (evaluate, "measure"),
}


class Trouble(NamedTuple):
    """What happens to a process, and when."""

    kind: str = ""  # kill: SIGKILL at an event of a phase; full: no file grows from then on; time, stop: after `after`
    phase: str = ""
    event: int = 0
    after: float = 0.0  # seconds; of a kill, after the event
    signal: int = signal.SIGKILL


class Child(NamedTuple):
    pid: int
    output: int  # a pipe with what it says: a file could not grow, either
    phase: mmap.mmap  # what is going on in it


NONE = Trouble()


def watch(phase: mmap.mmap, base: str, place: Path, trouble: Trouble) -> collections.Counter:
    """Keep `phase` up to date, let the trouble happen, and count the events of each phase: a file in `place` is opened,
    renamed or removed, TensorFlow's writer begins or is done."""
    seen: collections.Counter = collections.Counter()

    def enter(name: str) -> None:
        phase[:NAME] = name.encode().ljust(NAME)

    def event() -> None:
        name = phase[:NAME].decode().strip()
        seen[name] += 1
        if (name, seen[name]) != (trouble.phase, trouble.event):
            return
        if trouble.kind == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        elif trouble.after:
            signal.setitimer(signal.ITIMER_REAL, trouble.after)  # SIGALRM's default is to die, in the midst of anything
        else:
            os.kill(os.getpid(), signal.SIGKILL)

    def hook(name: str, args: tuple) -> None:
        if name in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir") and str(args[0]).startswith(str(place)):
            event()

    def wrap(owner: object, attribute: str, before: Callable[[], object], after: Callable[[], object]) -> None:
        real = getattr(owner, attribute)

        @functools.wraps(real)
        def wrapped(*args: object, **kwargs: object) -> object:
            old = phase[:NAME].decode().strip()
            before()
            try:
                return real(*args, **kwargs)
            finally:
                after()
                enter(old)

        setattr(owner, attribute, wrapped)

    enter(base)
    for name, (owner, attribute) in PHASES.items():
        wrap(owner, attribute, functools.partial(enter, name), lambda: None)
    wrap(tf.train.Checkpoint, "write", event, event)
    wrap(engine.training.run.EventLog, "write", event, event)
    sys.addaudithook(hook)
    return seen


def make_small() -> None:
    """Everything that a life does, in a second or two."""
    engine.training.run.LOG_EVERY, checkpoints.KEEP, files.STALE = 5, KEPT, 0
    evaluate.SIZES["quick"] = evaluate.Size(50, 2, 2, 10, (200, 1), (100, 1), 100)
    networks.EPOCH = 100


def fork(words: list[str], folder: Path, trouble: Trouble = NONE) -> Child:
    """Run a script in a child: words are its name and its command line."""
    sys.stdout.flush()
    reader, writer = os.pipe()
    phase = mmap.mmap(-1, NAME)
    pid = os.fork()
    if pid:
        os.close(writer)
        return Child(pid, reader, phase)
    status = 99
    try:
        os.dup2(writer, 1)
        os.dup2(writer, 2)
        sys.stdout = open(1, "w", buffering=1, closefd=False)  # the old one may be a file, where one can seek
        os.environ["XDG_CACHE_HOME"] = str(folder.parent / "cache")  # every life decodes its pictures itself
        make_small()
        main = {"train": train, "generate": generate, "evaluate": evaluate}[words[0]].main
        seen = watch(phase, words[0], folder.parent, trouble)
        status = main(words[1:])
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is done
        gc.collect()  # os._exit closes no event file
        print(f"\nevents {json.dumps(seen)}")
    except SystemExit as error:
        status = error.code
    except BaseException:
        traceback.print_exc()
    os._exit(status)


def ended(child: Child, seconds: float) -> int | None:
    """The child's exit status (negative: the signal it died of), or None when it still runs after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child.pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() >= end:
            return None
        time.sleep(0.002)


def finish(child: Child, trouble: Trouble = NONE) -> tuple[int, str, str]:
    """Its exit status, the phase it ended in, and what it said."""
    status = ended(child, trouble.after if trouble.kind in ("time", "stop") else 120)
    if status is None and trouble.kind in ("time", "stop"):
        os.kill(child.pid, trouble.signal)
        status = ended(child, 120)
    if status is None:
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)
    with open(child.output, encoding="utf-8", errors="replace") as file:
        said = file.read()
    assert status is not None, f"still running after two minutes\n{said}"
    # A Ctrl-C that comes in a callback of the garbage collector is lost: Python prints it there, and goes on.
    ignored = trouble.signal == signal.SIGINT and "Exception ignored in" in said
    assert ("Traceback" not in said or ignored) and status != 99, said
    return status, child.phase[:NAME].decode().strip(), said


def commands(kind: str, work: Path, folder: Path) -> list[list[str]]:
    """A life: what is to be done in `folder`, in order."""
    source = work / ("shapes" if kind == "folder" else "digits")
    if not source.exists():
        shapes(source, 12, seed=0) if kind == "folder" else write_data(source)
    go = ["train", "--data-dir", str(source), "--steps", str(STEPS), "--save-every", str(EVERY), "--out", str(folder)]
    run = ["--run", str(folder)]
    if kind == SHORT:
        return [[*go, "--steps", "8", "--devices", "1"]]
    if kind == "evaluated":
        return [go, ["evaluate", "--quick", *run]]
    size = ["--size", "28"] if kind == "folder" else []
    return [go + size, ["generate", "--label", "1", "--fit-prior", *run], ["generate", "--page", *run]]


def undisturbed(life: list[list[str]], folder: Path) -> tuple[dict[str, str], list[dict[str, int]], list[float]]:
    """A life without trouble: its digest, each command's events by phase, and each command's seconds."""
    events, seconds = [], []
    for words in life:
        began = time.monotonic()
        status, _, said = finish(fork(words, folder))
        assert status == 0, said
        events.append(json.loads(said.rsplit("events ", 1)[1]))
        seconds.append(time.monotonic() - began)
    return digest(folder), events, seconds


def trouble_for(rng: random.Random, events: dict[str, int], seconds: float) -> Trouble:
    kind, phase = rng.choice(KINDS), rng.choice(sorted(events))
    if kind in ("time", "stop"):
        number = signal.SIGKILL if kind == "time" else rng.choice(list(ENDS))
        return Trouble(kind, after=rng.uniform(0.02, 0.7) * seconds, signal=number)
    # A run that starts has nothing to restore; one that goes on has less to do than the undisturbed one had.
    most = RESTORING if phase == "restoring" else -(-events[phase] // 2)
    return Trouble(kind, phase, rng.randint(1, most), rng.choice((0, rng.uniform(1e-4, 0.03))))


def check(status: int, said: str, trouble: Trouble) -> None:
    """What a process says and returns after its trouble."""
    said = said.split("\nevents ")[0]
    last = said.splitlines()[-1] if said.strip() else ""
    if trouble.kind == "full":
        assert status == 0 or (status == 1 and said.count("error: ") == 1 and "error: " in last), f"{status}: {said}"
    elif trouble.kind == "stop" and status > 0:
        assert status == ENDS[trouble.signal], f"{status}: {said}"
        assert "go on with: python train.py" in last or "interrupted" in last, said
    else:
        assert status <= 0, f"{status}: {said}"


def disturbed(
    life: list[list[str]], folder: Path, rng: random.Random, events: list, seconds: list, most: int
) -> collections.Counter:
    """A life in which processes end before their time, at most `most` of them. Returns how many, of what, in which
    phase."""
    count: collections.Counter = collections.Counter()
    for words, of_phase, usual in zip(life, events, seconds, strict=True):
        status, starts = None, 0
        while status != 0:
            before = complete(folder) if folder.exists() else -1
            enough = starts == STARTS[words[0]] or count.total() >= most
            trouble = NONE if enough else trouble_for(rng, of_phase, usual)
            status, phase, said = finish(fork(words, folder, trouble), trouble)
            starts += 1
            check(status, said, trouble)
            assert trouble.kind or status == 0, said
            if status:
                count[trouble.kind, phase] += 1
            check_whole(folder) if folder.exists() else None
            if words[0] == "train" and "parameters on" in said and before > 0:
                assert f"step {before:,}" in said, f"did not go on from step {before}: {said}"
    return count


def stress(kills: int, seed: int, work: Path, kinds: Sequence[str]) -> collections.Counter:
    """Disturb lives until `kills` processes have ended early; compare each with an undisturbed one. Returns how many,
    of what, in which phase."""
    rng, total, references, n = random.Random(seed), collections.Counter(), {}, 0
    while total.total() < kills:
        kind = kinds[n % len(kinds)]
        if kind not in references:
            folders = [work / f"{kind}-{name}" / "run" for name in "ab"]
            first, second = (undisturbed(commands(kind, work, folder), folder) for folder in folders)
            assert not differences(first[0], second[0]), f"undisturbed, but {differences(first[0], second[0])}"
            assert any("train/loss" in key for key in first[0]) and len(first[0]) > 50
            references[kind] = first
        reference, events, seconds = references[kind]
        folder = work / f"life{n}" / "run"
        life = commands(kind, work, folder)
        total += disturbed(life, folder, rng, events, seconds, kills - total.total())
        assert finish(fork(life[0], folder))[0] == 0  # a last start sweeps
        wrong = differences(reference, digest(folder))
        assert not wrong, f"{folder} differs from an undisturbed run in {wrong}"
        left = [p.name for p in folder.rglob("*") if p.name.endswith((files.PARTIAL, "_temp")) or ".tmp" in p.name]
        assert not left and len(checkpoints.newest_first(folder)) <= KEPT, left
        n += 1
    return total


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
    parser.add_argument("--lives", choices={*LIVES, SHORT}, nargs="+", default=LIVES)
    parser.add_argument("--work", type=Path, help="keep what the runs write in this folder")
    parser.add_argument("--compare", type=Path, nargs="+", metavar="RUN")
    args = parser.parse_args(argv)
    if args.compare:
        return 0 if compare(args.compare) else 1
    if set(args.lives) == {SHORT}:
        train.finish = lambda run, dataset: 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        count = stress(args.kills, args.seed, args.work or Path(temporary), args.lives)
    for (kind, phase), number in sorted(count.items()):
        print(f"{number:5}  {kind:5} while {phase}")
    print(f"{count.total()} ended early in {time.monotonic() - began:.0f} s: all whole, all with the same bits")
    return 0


if __name__ == "__main__":
    sys.exit(main())
