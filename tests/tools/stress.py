"""Interrupt train.py, generate.py and evaluate.py at random instants, hundreds of times; check that nothing is lost.

python tests/tools/stress.py --kills 500 --seed 1   they are killed, stopped, or run out of disk space, and run again

A "life" is a run's folder and the commands that fill it, alternately from IDX files and from a folder of pictures. Each
command is interrupted a few times and started again until it succeeds. At the end the folder must be bit-identical to
that of an undisturbed life.
"""

import collections
import functools
import itertools
import random
import resource
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from helpers import Command, Result, check_whole, complete, differences, digest, end_at_the_last_step, write_data
from make_pictures import shapes

import engine.training.run
import evaluate
from engine import files, terminal
from engine.classifiers import networks
from engine.runs import checkpoints

STEPS, EVERY, KEPT = 24, 4, 3
STARTS = {"train": 12, "generate": 3, "evaluate": 6}  # most starts with trouble; the next start is undisturbed
ENDS = {signal.SIGTERM: 143, signal.SIGINT: 130}
OPERATIONS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir")
MOST = 500  # file operations of the longest command
ROOM = 1 << 14  # largest file in bytes on a "full" disk; the command's own output must fit


class Trouble(NamedTuple):
    """The interruption of a process: its kind and time."""

    kind: str = ""  # kill: SIGALRM at a file operation; full: disk full from one on; time, stop: a signal at any time
    operation: int = 0  # number of the file operation in the life's folder
    after: float = 0.0  # delay in seconds: for a kill after the operation, else after the start
    signal: int = signal.SIGKILL


NONE = Trouble()


def trouble_for(rng: random.Random, seconds: float) -> Trouble:
    """Draw a random trouble for a command that takes `seconds`."""
    kind = rng.choice(("kill", "kill", "full", "time", "stop"))
    if kind in ("time", "stop"):
        return Trouble(
            kind,
            after=rng.uniform(0, 0.7) * seconds,
            signal=signal.SIGKILL if kind == "time" else rng.choice(list(ENDS)),
        )
    return Trouble(kind, round(MOST ** rng.random()), rng.choice((1e-6, rng.uniform(1e-4, 0.03))))


def prepare(place: str, trouble: Trouble, short: bool) -> None:
    """In a command's process: reduce the amounts of work, and install the trouble for files in the folder `place`."""
    engine.training.run.LOG_EVERY, checkpoints.KEEP, files.STALE = 5, KEPT, 0
    evaluate.SIZES["quick"] = evaluate.Size(50, 2, 2, 10, (200, 1), 100)
    networks.EPOCH = 100
    if short:
        end_at_the_last_step()
    seen = itertools.count(1)

    def hook(name: str, args: tuple) -> None:
        if name not in OPERATIONS or not str(args[0]).startswith(place) or next(seen) != trouble.operation:
            return
        if trouble.kind == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        else:
            signal.setitimer(signal.ITIMER_REAL, trouble.after)  # SIGALRM ends the process at once, whatever it does

    sys.addaudithook(hook)
    print("ready", flush=True)


def start(words: list[str], place: Path, trouble: Trouble = NONE, short: bool = False) -> Result:
    """Start a command, apply the trouble, and return its result when it has ended."""
    cache = {"XDG_CACHE_HOME": str(place / "cache")}  # a cache per life, so that each decodes its pictures
    child = Command(*words, environment=cache, prepare=functools.partial(prepare, str(place), trouble, short))
    if trouble.kind in ("time", "stop"):
        child.wait_for("ready")
        child.process.join(trouble.after)
        child.kill(trouble.signal)
    return child.finish()


def check(result: Result, trouble: Trouble, before: int) -> None:
    """Assert the exit status and messages of a command after its trouble; `before` is the newest step saved earlier."""
    status, out, err = result
    # A Ctrl-C during a callback of the garbage collector is lost: Python prints the exception and goes on.
    lost = trouble.signal == signal.SIGINT and "Exception ignored in" in err
    assert lost or "Traceback" not in err, err
    if trouble.kind == "full":
        assert status == 0 or (status == 1 and len(err.splitlines()) == 1 and "error: " in err), result
    elif trouble.kind == "stop" and status > 0:
        assert status == ENDS[trouble.signal], result
        assert "saved; go on with: " in out or "interrupted" in err, result
    else:
        assert status == 0 or (status < 0 and trouble.kind), result
    if "parameters on" in out and before > 0:
        assert f"step {before:,}" in out, f"did not go on from step {before}: {result}"


def commands(source: str, work: Path, folder: Path, short: bool) -> list[list[str]]:
    """Return the commands of a life in `folder`, in order; a `short` life is a training of a few steps only."""
    pictures = work / source
    if not pictures.exists():
        shapes(pictures, 12, seed=0) if source == "shapes" else write_data(pictures)
    train = ["train", "--data-dir", str(pictures), "--save-every", str(EVERY), "--out", str(folder)]
    train += ["--size", "28"] if source == "shapes" else []
    if short:
        return [[*train, "--steps", "8", "--devices", "1"]]
    run = ["--run", str(folder)]
    draw = [["generate", "--label", "1", *run], ["generate", "--page", *run]]
    return [[*train, "--steps", str(STEPS)], *draw, ["evaluate", "--quick", *run]]


def stress(kills: int, seed: int, work: Path, short: bool = False) -> collections.Counter:
    """Run lives until `kills` commands have ended early. Returns their number by kind of trouble and script."""
    sources = ("digits",) if short else ("digits", "shapes")
    rng, ended, seconds, digests = random.Random(seed), collections.Counter(), {}, {}
    for n in itertools.count():
        if n >= len(sources) and ended.total() >= kills:
            return ended
        source, folder = sources[n % len(sources)], work / f"life{n}" / "run"
        life = commands(source, work, folder, short)
        for words in life:
            status, starts, place = None, 0, (source, words[0], words[1])
            while status != 0:
                before = complete(folder) if words[0] == "train" else -1
                undisturbed = n < len(sources) or starts == STARTS[words[0]] or ended.total() >= kills
                trouble = NONE if undisturbed else trouble_for(rng, seconds[place])
                began = time.monotonic()
                result = start(words, folder.parent, trouble, short)
                seconds.setdefault(place, time.monotonic() - began)
                check(result, trouble, before)
                check_whole(folder)
                status, starts = result.status, starts + 1
                if status:
                    ended[trouble.kind, words[0]] += 1
        assert start(life[0], folder.parent, short=short).status == 0  # a last start removes temporary files
        wrong = differences(digests.setdefault(source, digest(folder)), digest(folder))
        assert not wrong, f"{folder} differs from an undisturbed run in {wrong}"
        left = [p.name for p in folder.rglob("*") if p.name.endswith((files.PARTIAL, "_temp")) or ".tmp" in p.name]
        assert not left and len(checkpoints.newest_first(folder)) <= KEPT, left


def main(argv: list[str] | None = None) -> int:
    parser = terminal.Parser(__doc__)
    parser.add_argument("--kills", type=int, default=200, help="(default %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default %(default)s)")
    args = parser.parse_args(argv)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as work:
        ended = stress(args.kills, args.seed, Path(work))
    for (kind, script), number in sorted(ended.items()):
        print(f"{number:5}  {kind:5} of {script}.py")
    print(f"{ended.total()} ended early in {time.monotonic() - began:.0f} s: all whole, all with the same bits")
    return 0


if __name__ == "__main__":
    sys.exit(main())
