"""Benchmark training steps. Run it on an otherwise idle machine.

python tests/tools/benchmark.py                    steps/s of all contenders
python tests/tools/benchmark.py --quick            the same in few and short rounds, to see that it works
python tests/tools/benchmark.py --only pictures    64 × 64 × 3 beside Keras and PyTorch, from memory and disk
python tests/tools/benchmark.py --only ablation    the speed-up by each exact rewriting in this project

Every contender runs in a process of its own, because threads and logical devices are set per process. It trains for a
few hundred steps as warm-up. Then the contenders take turns: in each round every one trains for about two seconds, with
the machine to itself, so that changes of the machine's speed affect all alike. A ratio is the median over the rounds.
The share of the GEMM peak counts the operations of the article's formulation, label planes included (`flop`): the same
useful work for all contenders with the same channels. The loss is the mean over the last seventh of the warm-up; it
shows that all learn the same thing. MB is the process's peak memory, Python, TensorFlow and the images included.
"""

import contextlib
import importlib.metadata
import itertools
import multiprocessing
import os
import platform
import re
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

from benchmark_loops import GEMM, LOOPS, Contender, images_for

import data
from engine import terminal

PEAK = Contender(f"GEMM {GEMM}³, float32", "gemm")
COLUMNS = ("contender", "steps/s (min–max)", "× first", "of GEMM peak", "loss, nats", "MB")


def speed_contenders() -> Iterator[Contender]:
    yield Contender("2017 loop, 3 channels", "2017", 3)
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
    yield Contender("with Keras' Adam", "this", plain=("adam",))
    yield Contender("with all of these", "this", plain=("planes", "transpose", "leaky", "calls", "adam"))
    yield Contender("without oneDNN", "this", onednn="0")


def picture_contenders() -> Iterator[Contender]:
    large = {"channels": 3, "pictures": True}
    yield Contender("Keras fit, 64 × 64 × 3", "fit", **large)
    yield Contender("PyTorch eager, 64 × 64 × 3", "torch", **large)
    yield Contender("this project, 64 × 64 × 3", "this", **large)
    yield Contender("this project, read from the disk", "this", plain=("streamed",), **large)


CONTESTS = {"speed": speed_contenders, "ablation": ablation_contenders, "pictures": picture_contenders}


def prepare(c: Contender, digits: Path) -> None:
    """In a contender's process: build the global function `steps`, which runs its training steps."""
    global steps
    os.dup2(os.open(digits.with_name("output"), os.O_WRONLY | os.O_CREAT | os.O_APPEND), 2)  # TensorFlow's own lines
    steps = LOOPS[c.loop](*images_for(c, digits), c)


def take(count: int) -> tuple[float, float, float]:
    """In a contender's process: run `count` steps. Returns the seconds, the mean loss and the peak memory in MB."""
    began = time.perf_counter()
    loss = steps(count)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    return time.perf_counter() - began, loss, most


class Worker:
    """A contender in its own process, idle until `turn` is called. An exception in the process is raised here, too."""

    def __init__(self, contender: Contender, digits: Path, quick: bool) -> None:
        self.contender, self.rates = contender, []
        os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)
        if contender.onednn:
            os.environ["TF_ENABLE_ONEDNN_OPTS"] = contender.onednn
        self.process = ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))
        self.process.submit(prepare, contender, digits).result()
        warmup = 140 if quick else 700  # steps of 64 images: with 700, seeds differ by up to 4 nats
        learn = 14 if contender.loop == "gemm" else max(14, warmup * 64 // contender.batch)
        self.process.submit(take, learn - learn // 7).result()
        took, self.loss, _ = self.process.submit(take, learn // 7).result()
        self.count = max(2, round(learn // 7 * (0.5 if quick else 2.5) / took))  # steps per round

    def turn(self) -> None:
        took, _, self.megabytes = self.process.submit(take, self.count).result()
        self.rates.append(self.count / took)


def contest(contenders: list[Contender], digits: Path, quick: bool) -> list[tuple[str, ...]]:
    """Measure all contenders and the GEMM peak in rounds, one after another. Returns a row of COLUMNS for each."""
    workers: list[Worker] = []
    rounds = 3 if quick else 7
    with terminal.Progress(len(contenders) + 1 + rounds, "measured") as bar:
        for contender in [*contenders, PEAK]:
            try:
                workers.append(Worker(contender, digits, quick))
            except Exception as error:  # any failure excludes this contender only
                terminal.say(f"not measured: {contender.title}: {error}")
            bar.advance(text=contender.title)
        for i in range(rounds):
            for worker in workers[:: -1 if i % 2 else 1]:
                worker.turn()
            bar.advance(text=f"round {i + 1}")
    for worker in workers:
        worker.process.shutdown()
    peak = statistics.median(workers[-1].rates) * PEAK.flop
    return [row(worker, workers[0], peak) for worker in workers]


def row(worker: Worker, first: Worker, peak: float) -> tuple[str, ...]:
    """Return a contender's cells for COLUMNS; `peak` is the machine's peak in floating-point operations per second."""
    c, rate = worker.contender, statistics.median(worker.rates)
    speed = f"{rate:.1f} ({min(worker.rates):.1f}–{max(worker.rates):.1f})"
    if c == PEAK:
        return c.title, speed, "", "", "", ""
    ratios = [a * c.batch / (b * first.contender.batch) for a, b in zip(worker.rates, first.rates, strict=True)]
    relative = f"{statistics.median(ratios):.2f}", f"{rate * c.flop / peak:.1%}"
    return c.title, speed, *relative, f"{worker.loss:.1f}", f"{worker.megabytes:,.0f}"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in [head, tuple("─" * width for width in widths), *rows]:
        print("  ".join(f"{cell:{'>' if i else '<'}{widths[i]}}" for i, cell in enumerate(row)).rstrip())
    print(flush=True)


def machine() -> str:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", info.read_text()) if info.exists() else []
    words = [*(names[:1] or [platform.processor()]), f"{terminal.cores()} cores", f"Python {platform.python_version()}"]
    for package in ("tensorflow", "keras", "numpy", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            words.append(f"{package} {importlib.metadata.version(package)}")
    return f"{', '.join(words)}, load {os.getloadavg()[0]:.1f} (above 0.5 ratios may hold, speeds do not)"


@terminal.command
def main(argv: list[str] | None = None) -> int:
    parser = terminal.Parser(__doc__)
    add = parser.add_argument
    add("--only", nargs="+", choices=CONTESTS, default=["speed"], help="(default speed)")
    add("--quick", action="store_true", help="3 rounds of half a second in place of 7 of 2.5, and less warm-up")
    add("--data-dir", default=os.environ.get("MNIST_DIR"), help="folder of MNIST's files (default $MNIST_DIR)")
    args = parser.parse_args(argv)
    digits = data.load("auto", args.data_dir)
    print(f"{machine()}\n{digits.title}\n", flush=True)
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        os.environ |= {"TMPDIR": name, "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
        path = Path(name, "digits.npz")
        np.savez(path, images=digits.train.images, labels=digits.train.labels)
        for part in args.only:
            table(COLUMNS, contest(list(CONTESTS[part]()), path, args.quick))
    return 0


if __name__ == "__main__":
    sys.exit(main())
