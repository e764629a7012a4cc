"""How fast is a step, a start, a picture? A script, not a test; it wants a quiet machine.

python tests/tools/benchmark.py                      steps/s of all contenders, then start-up → out/benchmark.json
python tests/tools/benchmark.py --quick              the same in few and short rounds, to see that it works
python tests/tools/benchmark.py --only pictures      64 × 64 × 3 beside Keras and PyTorch, from memory and disk
python tests/tools/benchmark.py --only cost          size × channels × batch: steps/s, and the memory that it takes
python tests/tools/benchmark.py --only ablation      what each exact rewriting in this project earns
python tests/tools/benchmark.py --only quality --recipe "" --recipe "-r 4e-3 --schedule cosine --steps 12000"
                                                     seconds until the validation −ELBO reaches --target nats

Every contender lives in a process of its own (threads and logical devices are set per process), learns a few hundred
steps, then waits for its turn: round by round each computes for some two seconds, alone, so that a drifting machine
hurts all alike. A ratio is the median of the rounds' ratios. GFLOP/s counts the article's own formulation, label planes
included (`flop`): useful work, the same for all contenders of the same channels, not what they execute. The loss is the
mean over the last seventh of the warm-up, there to see that all learn the same thing. MB is the most that the process
ever had in memory, Python, TensorFlow and the images included.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib.metadata
import itertools
import json
import os
import platform
import re
import resource
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from benchmark_loops import GEMM, LOOPS, Contender, images_for  # noqa: E402

import data  # noqa: E402
from data import mnist  # noqa: E402
from engine import terminal  # noqa: E402

ENV = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
ENV.pop("TF_CONFIG", None)
RECIPES = ("", "-r 4e-3 --schedule cosine --steps 12000")
PEAK = Contender(f"GEMM {GEMM}³, float32", "gemm")


def speed_contenders() -> Iterator[Contender]:
    yield Contender("2017 loop, 3 channels", "2017", 3)
    yield Contender("2017 loop without summaries", "2017", 3, summaries=False)
    yield Contender("2017 loop with oneDNN", "2017", 3, onednn="1")
    for loop, name in (("keras", "plain TF2 loop"), ("torch", "PyTorch eager")):
        yield from (Contender(f"{name}, {c} channel{'s' * (c > 1)}", loop, c) for c in (3, 1))
    for c, n in itertools.product((3, 1), (1, 2)):
        title = f"this project, {c} channel{'s' * (c > 1)}, {n} replica{'s' * (n > 1)}"
        yield Contender(title, "this", c, replicas=n)


def ablation_contenders() -> Iterator[Contender]:
    yield Contender("this project", "this")
    yield Contender("with Conv2D over concatenated label planes", "this", plain=("planes",))
    yield Contender("with Keras' Conv2DTranspose", "this", plain=("transpose",))
    yield Contender("with maximum(x, 0.1 · x)", "this", plain=("leaky",))
    yield Contender("with one step per call", "this", plain=("calls",))
    yield Contender("with all of these", "this", plain=("planes", "transpose", "leaky", "calls"))
    yield Contender("without oneDNN", "this", onednn="0")


def picture_contenders() -> Iterator[Contender]:
    large = {"channels": 3, "size": 64, "pictures": True}
    yield Contender("Keras fit, 64 × 64 × 3", "fit", **large)
    yield Contender("PyTorch eager, 64 × 64 × 3", "torch", **large)
    yield Contender("this project, 64 × 64 × 3", "this", **large)
    yield Contender("this project, read from the disk", "this", plain=("streamed",), **large)


def cost_contenders() -> Iterator[Contender]:
    for size, c, batch in itertools.product((28, 64, 128), (1, 3), (64, 256)):
        yield Contender(f"{size} × {size} × {c}, batch {batch}", "this", c, batch, size, pictures=True)


CONTESTS = {"speed": speed_contenders, "ablation": ablation_contenders}
CONTESTS |= {"pictures": picture_contenders, "cost": cost_contenders}


def work(c: Contender, digits: str) -> None:
    """A worker's life: prepare, then for every number from stdin take so many steps: [seconds, loss, megabytes]."""
    out, sys.stdout = sys.stdout, sys.stderr
    run = LOOPS[c.loop](*images_for(c, digits), c)
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        loss = run(int(line))
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
        print(json.dumps([time.perf_counter() - began, loss, most]), file=out, flush=True)


class Worker:
    """A contender in its own process, asleep unless asked. RuntimeError if it dies; its text is the last it said."""

    def __init__(self, contender: Contender, folder: Path, quick: bool) -> None:
        self.contender, self.rates = contender, []
        self.log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace", dir=folder)
        command = [sys.executable, __file__, "--worker", json.dumps(contender), "--digits", str(folder / "digits.npz")]
        env = {**ENV, "TMPDIR": str(folder)}
        if contender.onednn:
            env["TF_ENABLE_ONEDNN_OPTS"] = contender.onednn
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.log}
        self.process = subprocess.Popen(command, **pipes, text=True, env=env)
        self.answer()
        warmup = 140 if quick else 700  # steps of 64 images: with 700, seeds differ by up to 4 nats
        learn = 14 if contender.loop == "gemm" else max(14, warmup * 64 // contender.batch)
        self.ask(learn - learn // 7)
        took, self.loss, _ = self.ask(learn // 7)
        self.count = max(2, round(learn // 7 * (0.5 if quick else 2.5) / took))  # steps of a round

    def answer(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            self.log.seek(0)
            raise RuntimeError((self.log.read().strip().splitlines() or [f"status {self.process.returncode}"])[-1])
        return line

    def ask(self, count: int) -> tuple[float, float, float]:
        with contextlib.suppress(BrokenPipeError):  # answer() then says why
            self.process.stdin.write(f"{count}\n")
            self.process.stdin.flush()
        return tuple(json.loads(self.answer()))

    def turn(self) -> None:
        took, _, self.megabytes = self.ask(self.count)
        self.rates.append(self.count / took)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def contest(contenders: list[Contender], folder: Path, quick: bool) -> list[dict]:
    """All of them and the GEMM peak, in turn, round by round; ratios are to the first, in images/s."""
    workers: list[Worker] = []
    rounds = 3 if quick else 7
    with contextlib.ExitStack() as stack:
        for contender in [*contenders, PEAK]:
            show(f"preparing {contender.title}")
            try:
                workers.append(Worker(contender, folder, quick))
                stack.callback(workers[-1].close)
            except RuntimeError as error:
                print(f"not measured: {contender.title}: {error}", flush=True)
        for i in range(rounds):
            show(f"round {i + 1} of {rounds}")
            for worker in workers[:: -1 if i % 2 else 1]:
                try:
                    worker.turn()
                except RuntimeError as error:
                    print(f"died in round {i + 1}: {worker.contender.title}: {error}", flush=True)
                    workers.remove(worker)
    peak = next((statistics.median(w.rates) * PEAK.flop for w in workers if w.contender == PEAK), float("nan"))
    return [figures(worker, workers[0], peak) for worker in workers]


def figures(worker: Worker, first: Worker, peak: float) -> dict:
    """What a contest says of a contender; `peak` is the machine's, in floating-point operations a second."""
    c, rate = worker.contender, statistics.median(worker.rates)
    ratios = [a * c.batch / (b * first.contender.batch) for a, b in zip(worker.rates, first.rates, strict=True)]
    speed = {"steps_per_second": rate, "min": min(worker.rates), "max": max(worker.rates), "rounds": worker.rates}
    work = {"ratio": statistics.median(ratios), "gflops": rate * c.flop / 1e9, "share_of_peak": rate * c.flop / peak}
    return {**c._asdict(), **speed, **work, "loss": worker.loss, "megabytes": worker.megabytes}


def launch(script: str, *flags: str) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / script), *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", env=ENV)


def startup(folder: Path, source: list[str], repeats: int) -> dict[str, float]:
    """Medians, in seconds since the process began, of what is printed and of the end."""
    times: dict[str, list[float]] = {}
    commands = [
        (
            "train.py",
            ["--steps", "10", *source],
            {"step       0": "step 0 validated and drawn", "step      10": "step 10"},
        ),
        ("generate.py", ["--label", "7"], {"label_7.png": "picture there"}),
    ]
    for i in range(repeats):
        show(f"start-up {i + 1} of {repeats}")
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import tensorflow"], stderr=subprocess.DEVNULL, env=ENV, check=True)
        times.setdefault("python -c 'import tensorflow'", []).append(time.perf_counter() - began)
        for script, flags, marks in commands:
            began = time.perf_counter()
            with launch(
                script, *flags, "--out" if script == "train.py" else "--run", str(folder / f"run{i}")
            ) as process:
                lines = [(line, time.perf_counter() - began) for line in process.stdout]
            if process.returncode:
                raise SystemExit(f"{script}: status {process.returncode}\n{''.join(line for line, _ in lines)}")
            for mark, phase in marks.items():
                seconds = next(at for line, at in lines if mark in line)
                times.setdefault(f"{script} {flags[0]} {flags[1]}: {phase}", []).append(seconds)
            times.setdefault(f"{script} {flags[0]} {flags[1]}: exit", []).append(time.perf_counter() - began)
    return {phase: statistics.median(seconds) for phase, seconds in times.items()}


def quality(recipe: str, folder: Path, source: list[str], target: float) -> dict:
    """Seconds from the start of `train.py RECIPE` to the line that says the target is reached; None if it never is."""
    best, began = (float("inf"), 0), time.perf_counter()
    with launch("train.py", "--save-every", "500", *source, *shlex.split(recipe), "--out", str(folder)) as process:
        for line in process.stdout:
            seconds, match = time.perf_counter() - began, re.match(r"step +([\d,]+) +validation −ELBO ([\d.]+)", line)
            if match:
                best = min(best, (float(match[2]), int(match[1].replace(",", ""))))
                show(f"{recipe or '(default)'}: step {match[1]}, {match[2]} nats, {seconds:.0f} s")
            if best[0] <= target:
                process.send_signal(signal.SIGINT)
                process.communicate()
                break
        else:
            if process.wait():
                print(f"train.py {recipe}: {line.strip()}")
    seconds = seconds if best[0] <= target else None
    return {"recipe": recipe, "target": target, "seconds": seconds, "nats": best[0], "step": best[1]}


def show(text: str) -> None:
    """What goes on just now: in place on a terminal, nowhere else."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[:100]}", end="", file=sys.stderr, flush=True)


def table(head: list[str], rows: list[list[str]]) -> None:
    show("")
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in [head, ["─" * width for width in widths], *rows]:
        print("  ".join(f"{cell:{'>' if i else '<'}{widths[i]}}" for i, cell in enumerate(row)).rstrip())
    print(flush=True)


def show_contest(rows: list[dict]) -> None:
    head = ["contender", "steps/s (min–max)", f"× {rows[0]['title'].split(',')[0]}", "ms/step", "images/s"]
    head += ["GFLOP/s", "of GEMM peak", "loss, nats", "MB"]
    lines = []
    for row in rows:
        rate = row["steps_per_second"]
        cells = [row["title"], f"{rate:.1f} ({row['min']:.1f}–{row['max']:.1f})", f"{row['ratio']:.2f}"]
        cells += [f"{1000 / rate:.2f}", f"{rate * row['batch']:,.0f}", f"{row['gflops']:.1f}"]
        cells += [f"{row['share_of_peak']:.1%}", f"{row['loss']:.1f}", f"{row['megabytes']:,.0f}"]
        lines.append(cells if row["loop"] != "gemm" else [*cells[:2], "", "", "", cells[5], "", "", ""])
    table(head, lines)


def machine() -> dict:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", info.read_text()) if info.exists() else []
    versions = {"python": platform.python_version()}
    for package in ("tensorflow", "keras", "numpy", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {
        "date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"),
        "cpu": names[0] if names else platform.processor(),
        "cores": terminal.cores(),
        "system": platform.platform(),
        "versions": versions,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0,
    }


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = terminal.Parser(__doc__)
    add = parser.add_argument
    parts = [*CONTESTS, "startup", "quality"]
    add(
        "--only", nargs="+", choices=parts, default=["speed", "startup"], help="what to measure (default speed startup)"
    )
    add("--quick", action="store_true", help="3 rounds of half a second in place of 7 of 2.5, and less warm-up")
    add("--recipe", action="append", metavar="FLAGS", help=f"of train.py, repeatable (default {RECIPES})")
    add("--target", type=float, default=99.0, help="validation −ELBO in nats per image (default %(default)s)")
    add("--data-dir", type=Path, help="MNIST's IDX files (default data/mnist, else $MNIST_DIR, else drawn digits)")
    add("--json", type=Path, default=ROOT / "out" / "benchmark.json", help="where the figures go (%(default)s)")
    add("--worker", type=json.loads, help=argparse.SUPPRESS)
    add("--digits", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


@terminal.command
def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    if args.worker:
        work(Contender(*args.worker), args.digits)
        return 0
    folders = [args.data_dir or data.MNIST_DIR, args.data_dir or ROOT / os.environ.get("MNIST_DIR", "data/mnist")]
    source = next((path.resolve() for path in folders if not mnist.missing(path)), None)
    if args.data_dir and not source:
        raise terminal.Failure(f"{args.data_dir} lacks {', '.join(mnist.missing(args.data_dir))}")
    flags = ["--data-dir", str(source)] if source else ["--dataset", "drawn"]
    digits = data.load("mnist" if source else "drawn", source)
    results = {**machine(), "data": digits.name, "quick": args.quick}
    print("{date}  {cpu}, {cores} cores, {system}, load {load:.1f}".format(**results))
    print(f"{digits.title}; {', '.join(f'{name} {version}' for name, version in results['versions'].items())}")
    if results["load"] > 0.5:
        print("this machine is busy: ratios may hold, speeds do not")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        np.savez(folder / "digits.npz", images=digits.train.images, labels=digits.train.labels)
        for part in args.only:
            if part in CONTESTS:
                results[part] = contest(list(CONTESTS[part]()), folder, args.quick)
                show_contest(results[part])
            elif part == "startup":
                results[part] = startup(folder, flags, 2 if args.quick else 5)
                rows = [[phase, f"{seconds:.2f}"] for phase, seconds in results[part].items()]
                table(["process start to …", "seconds"], rows)
            else:
                recipes = enumerate(args.recipe or RECIPES)
                results[part] = [quality(recipe, folder / f"quality{i}", flags, args.target) for i, recipe in recipes]
                rows = []
                for r in results[part]:
                    seconds = f"{r['seconds']:.1f}" if r["seconds"] else "not reached"
                    rows.append([r["recipe"] or "(default)", seconds, f"{r['step']:,}", f"{r['nats']:.2f}"])
                table([f"train.py … to {args.target} nats", "seconds", "step", "validation −ELBO"], rows)
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(
                json.dumps(results, indent=2) + "\n"
            )  # after every part: an interruption keeps the rest
    print(f"figures → {args.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
