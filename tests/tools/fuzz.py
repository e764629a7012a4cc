"""Ten thousand inputs that no program likes, for all that the scripts read: what do they answer?

python tests/tools/fuzz.py --count 10000 --seed 1             all kinds; a table, and every finding, at the end
python tests/tools/fuzz.py --only idx --count 500             one kind; --help lists them
python tests/tools/fuzz.py --only idx --seed 1 --first 37 --count 1 --keep DIR     that one again, and what it wrote

Asked for: exit status 0, 1 or 2; on failure one clear line on stderr; no traceback, no hang, at most 3 GB of memory;
and nothing that was on the disk lost or changed by a command that fails. One process imports TensorFlow and never uses
it; every input is made and run in a fork of it, without root's privileges, so that what may not be read cannot be.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import ctypes
import gc
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import stat
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

from fuzz_inputs import KINDS, MAINS, Base, make_base  # and TensorFlow

import data
import evaluate
from engine import files, terminal

SECONDS = 120  # for one input
MEMORY = 3 << 30  # bytes, of a process, TensorFlow's own 0.5 GB included
ADDRESSES = 16 << 30  # bytes: what asks for more must not take this machine with it
INPUTS = ("data", "set.npz", "photo", "pictures")  # never to be changed, whatever comes of it
NAMES = {kind.__name__: kind for kind in KINDS}


class Result(dict):
    """What became of one input: kind, number, script, argv, status, wrong, seconds, memory."""


# --- one input ---------------------------------------------------------------------------------------------------


def listing() -> dict[str, str]:
    """What is on the disk: paths, and the content of files (of large ones the size and time)."""
    found = {}
    for place, folders, names in os.walk("."):
        for name in folders + names:
            path = os.path.join(place, name)[2:]
            about = os.lstat(path)
            found[path] = str(stat.S_IFMT(about.st_mode))
            if stat.S_ISREG(about.st_mode):
                found[path] = f"{about.st_size} {about.st_mtime_ns}"
                if about.st_size < 1 << 22 and os.access(path, os.R_OK):
                    found[path] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    return found


def complaints(status: int, said: str, err: str, before: dict[str, str], after: dict[str, str]) -> Iterator[str]:
    """What is wrong with how a command ended."""
    if "Traceback" in said + err:
        yield "traceback: " + next((line for line in err.splitlines()[::-1] if line.strip()), "")
        return
    if status not in (0, 1, 2):
        yield f"exit status {status}"
    errors = [line for line in err.splitlines() if ": error: " in line]
    others = [line for line in err.splitlines() if line not in errors and "trying the one before" not in line]
    if others or len(errors) != (status != 0):
        yield f"status {status}, and on stderr {len(errors)} errors and {others[:1]}"
    if any(len(line) > 1200 or not line.isprintable() for line in errors):
        yield "an error that is no line to read"
    kept = set(after.values())
    for path, content in before.items():
        same = after.get(path) == content or (status and content in kept)  # moved into damaged/, say
        mine = path.startswith(INPUTS) or (status and not path.startswith("cache") and path != "run/checkpoint")
        if mine and not same:
            yield f"lost or changed: {path}"
    yield from (f"left behind: {path}" for path in after.keys() - before.keys() if path.endswith((".partial", "_temp")))


def drop_privileges() -> None:
    """What root may and others may not, this process may not any more, from here on: what is unreadable, is."""
    if sys.platform == "linux":
        version, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
        assert ctypes.CDLL(None, use_errno=True).capset(version, none) == 0, "capset"


def run(kind: Callable, seed: int, number: int, base: Base, here: Path) -> None:
    """Make an input and run it, in this process, in `here`; what is wrong goes into here.json."""
    out, err, verdict = (open(f"{here}.{ending}", "w+", errors="backslashreplace") for ending in ("out", "err", "json"))
    (here / "in").mkdir()  # so that ".." is its own, too
    os.chdir(here / "in")
    drop_privileges()
    tempfile.tempdir = str(here)  # what autograph leaves behind
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    os.environ |= {"HOME": str(here), "XDG_CACHE_HOME": str(here / "in" / "cache"), "KERAS_HOME": str(here / "keras")}
    os.environ |= {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}  # no network
    files.OUT, data.MNIST_DIR, data.DRAWN = here / "out", here / "mnist", (100, 20, 20)
    evaluate.SIZES = dict.fromkeys(evaluate.SIZES, evaluate.Size(20, 2, 2, 20, (100, 1), (60, 1), 100))
    script, argv = kind(random.Random(f"{seed} {kind.__name__} {number}"), base)
    before, status = listing(), 99
    json.dump({"script": script, "argv": argv}, verdict)
    verdict.flush()
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    sys.argv = [f"{script}.py", *argv]
    try:
        status = MAINS[script](argv)
    except SystemExit as error:
        status = error.code
    except BaseException:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    out.seek(0)
    err.seek(0)
    wrong = list(complaints(status, out.read(), err.read(), before, listing()))
    verdict.seek(0)
    json.dump({"script": script, "argv": argv, "status": status, "wrong": wrong}, verdict)
    verdict.flush()


# --- all of them -------------------------------------------------------------------------------------------------


def plan(count: int, first: int, only: str | None) -> list[tuple[str, int]]:
    """Kind and number of every input; each kind has its share."""
    shares = {name: KINDS[kind] for name, kind in NAMES.items() if only in (None, name)}
    per_kind = {name: -(-count * share // sum(shares.values())) for name, share in shares.items()}
    found = [(name, number) for name, most in per_kind.items() for number in range(first, first + most)]
    random.Random(0).shuffle(found)  # the slow ones among the quick
    return found[:count]


def outcome(
    name: str, number: int, here: Path, status: int | None, used: resource.struct_rusage, began: float
) -> Result:
    """What one process left: its own verdict, and what it cannot say of itself."""
    try:
        result = Result(json.loads(Path(f"{here}.json").read_text()))
    except ValueError:
        result = Result(script="?", argv=[])
    wrong = result.setdefault("wrong", [])
    if status is None:
        wrong.append(f"still running after {SECONDS} s")
    elif status:
        wrong.append(f"died: {status} {Path(f'{here}.err').read_text()[-300:]}")
    if used.ru_maxrss << 10 > MEMORY:
        wrong.append(f"memory: {used.ru_maxrss / 2**20:.1f} GB")
    return Result(result, kind=name, number=number, seconds=time.monotonic() - began, memory=used.ru_maxrss << 10)


def fuzz(todo: list[tuple[str, int]], seed: int, base: Base, work: Path, jobs: int, keep: bool) -> list[Result]:
    """Run all of `todo`, `jobs` at a time; or, after SIGINT or SIGTERM, those that have begun."""
    running: dict[int, tuple] = {}
    results: list[Result] = []
    todo = todo[::-1]
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):  # not terminal.Stop: timeout sends its signal twice
        signal.signal(number, lambda number, _: stopped.append(number))
    with terminal.Progress(len(todo), "inputs") as bar:
        while (todo and not stopped) or running:
            while todo and not stopped and len(running) < jobs:
                name, number = todo.pop()
                here = work / f"{name}-{number}"
                here.mkdir()
                here.chmod(0o777)
                pid = os.fork()
                if not pid:
                    os.setpgid(0, 0)  # Ctrl-C is not for it
                    signal.signal(signal.SIGINT, signal.default_int_handler)
                    signal.signal(signal.SIGTERM, signal.SIG_DFL)
                    status = 98
                    with contextlib.suppress(BaseException):
                        try:
                            run(NAMES[name], seed, number, base, here)
                            status = 0
                        except BaseException:
                            Path(f"{here}.err").write_text(traceback.format_exc())
                    os._exit(status)
                running[pid] = name, number, here, time.monotonic()
            for pid, (name, number, here, began) in list(running.items()):
                done, status, used = os.wait4(pid, os.WNOHANG)
                late = not done and time.monotonic() - began > SECONDS
                if late:
                    os.kill(pid, signal.SIGKILL)
                    used = os.wait4(pid, 0)[2]
                if done or late:
                    del running[pid]
                    code = None if late else os.waitstatus_to_exitcode(status)
                    results.append(outcome(name, number, here, code, used, began))
                    wrong = sum(bool(result["wrong"]) for result in results)
                    bar.advance(1, f"{wrong} findings")
                    if not keep:
                        for path in work.glob(f"{here.name}.*"):
                            path.unlink()
                        shutil.rmtree(here, ignore_errors=True)
            time.sleep(0.001)
    return results


def report(results: list[Result], seed: int) -> None:
    """A line per kind; then the findings, alike ones together, with the command that repeats one of them."""
    print(f"{'kind':<16}{'inputs':>7}{'exit 0':>8}{'1':>7}{'2':>7}{'findings':>10}{'s':>7}{'most s':>8}{'most GB':>9}")
    for name in [*NAMES, "all"]:
        some = [result for result in results if name in (result["kind"], "all")]
        if some:
            counts = collections.Counter(result.get("status") for result in some)
            wrong, seconds = sum(bool(result["wrong"]) for result in some), [result["seconds"] for result in some]
            print(
                f"{name:<16}{len(some):>7,}{counts[0]:>8,}{counts[1]:>7,}{counts[2]:>7,}{wrong:>10,}"
                f"{sum(seconds) / len(some):>7.2f}{max(seconds):>8.1f}{max(r['memory'] for r in some) / 2**30:>9.2f}"
            )
    for key in "seconds", "memory":
        most = max(results, key=lambda result: result[key])
        print(f"most {key}: {most[key]:,.0f}, {most['kind']} {most['number']}: {most['script']} {most['argv']}")
    alike = collections.defaultdict(list)
    for result in results:
        for text in result["wrong"]:
            what = ":".join(text.split(":")[:2])
            alike[result["kind"], "".join(c for c in what if not c.isdigit())[:60]].append((text, result))
    for (kind, _), some in alike.items():
        text, result = some[0]
        again = f"--only {kind} --seed {seed} --first {result['number']} --count 1 --keep DIR"
        numbers = ", ".join(str(other["number"]) for _, other in some[1:12])
        print(f"\n{kind} ×{len(some)}: {text}\n  {result['script']} {result['argv']}"[:1000])
        print(f"  python tests/tools/fuzz.py {again}" + (f"    also {numbers}" if numbers else ""))


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=NAMES)
    parser.add_argument("--first", type=int, default=0, help="the number of the first input of a kind")
    parser.add_argument("--jobs", type=int, default=terminal.cores(), help="inputs at a time")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="keep what was read and written in this new folder")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as temporary:
        work = args.keep or Path(temporary)
        work.mkdir(exist_ok=True)
        work.chmod(0o755)
        base = make_base(work.resolve() / "base")
        gc.freeze()  # a fork's collections copy no memory
        results = fuzz(
            plan(args.count, args.first, args.only), args.seed, base, work.resolve(), args.jobs, bool(args.keep)
        )
    report(results, args.seed)
    return int(any(result["wrong"] for result in results))


if __name__ == "__main__":
    sys.exit(main())
