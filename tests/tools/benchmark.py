"""How fast is a step, a start, a picture? A script, not a test; it wants a quiet machine.

python tests/tools/benchmark.py   steps/s of all contenders, batch sizes, start-up → out/benchmark.json
python tests/tools/benchmark.py --quick   the same in few and short rounds, to see that it works
python tests/tools/benchmark.py --only pictures   64 × 64 × 3 beside Keras and PyTorch, from memory and disk
python tests/tools/benchmark.py --only cost   size × channels × batch: steps/s, and the memory that it takes
python tests/tools/benchmark.py --ablation   and what each exact rewriting in this project earns
python tests/tools/benchmark.py --only quality --recipe "" --recipe "-r 4e-3 --schedule cosine --steps 12000"
                                                seconds until the validation −ELBO reaches --target, per train.py flags

Every contender lives in a process of its own (threads and logical devices are set per process), learns a few hundred
steps, then waits for its turn: round by round each computes for some two seconds, alone, so that a drifting machine
hurts all alike. A ratio is the median of the rounds' ratios. GFLOP/s counts the article's own formulation, label planes
included (`flop`), so it is useful work, the same for all contenders of the same channels, not what they execute. The
loss is the mean over the last seventh of the warm-up, there to see that all learn the same thing. MB is the most that
the process ever had in memory, Python, TensorFlow and the images included.
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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT))

import benchmark_pictures  # noqa: E402

from engine import terminal  # noqa: E402
from engine.runs.options import config_for
from engine.startup import import_tensorflow  # noqa: E402

CORES = terminal.cores()
ENV = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8", "TF_FORCE_GPU_ALLOW_GROWTH": "true"}
ENV.pop("TF_CONFIG", None)
GEMM = 2048
DEFAULT = ("", "-r 4e-3 --schedule cosine --steps 12000", "-r 4e-3 --schedule cosine --steps 8000", "-b 128 -r 4e-3")
Run = Callable[[int], float]  # takes that many steps, returns their mean loss in nats per image


class Contender(NamedTuple):
    title: str
    kind: str
    channels: int = 1
    batch: int = 64
    flags: str = ""  # of train.py
    plain: tuple[str, ...] = ()  # what is put back to its plain form: an ablation
    summaries: bool = True
    size: int = 28
    onednn: str = ""  # "0" without it, "1" with it; "": as its users have it, by TensorFlow's own choice or ours


def flop(c: Contender) -> float:
    """Of one step: 2 per multiply-add, backward twice forward, but no gradient with respect to the images."""
    if c.kind == "gemm":
        return 2 * GEMM**3
    stages, width = benchmark_pictures.network(c)
    sides = [c.size // 2**k for k in range(1, stages + 1)]
    down = [c.channels + 10, *(8 * width * 2**k for k in range(1, stages + 1))]
    up = [4 * width * 2 ** (stages - 1), *(4 * width * 2 ** (stages - k) for k in range(1, stages)), c.channels]
    first, *convs = [25 * side**2 * i * o for side, i, o in zip(sides, down, down[1:], strict=False)]
    convs += [25 * side**2 * i * o for side, i, o in zip(sides[::-1], up, up[1:], strict=False)]
    dense = sides[-1] ** 2 * (down[-1] * 40 + 30 * up[0])
    return 2 * c.batch * (2 * first + 3 * (sum(convs) + dense))


def loop_2017(images: np.ndarray, labels: np.ndarray, c: Contender) -> Run:
    """Session, feed_dict, and all summaries merged and fetched at every step; written to disk every 100th only."""
    import tensorflow

    v1 = tensorflow.compat.v1
    v1.disable_eager_execution()
    data, one_hot, random = images / np.float32(255), np.eye(10, dtype=np.float32)[labels], np.random.default_rng(0)

    def weights(name: str, *shape: int, out: int) -> tuple:
        kernel = v1.get_variable(name, shape, initializer=v1.glorot_uniform_initializer())
        return kernel, v1.get_variable(f"{name}_b", [out], initializer=v1.zeros_initializer())

    def conv(h: object, name: str, n: int, out: int) -> object:
        kernel, bias = weights(name, 5, 5, n, out, out=out)
        h = v1.nn.conv2d(h, kernel, strides=[1, 2, 2, 1], padding="SAME") + bias
        return v1.maximum(h, 0.1 * h)

    def deconv(h: object, name: str, size: int, out: int) -> object:
        kernel, bias = weights(name, 5, 5, out, 8, out=out)
        return v1.nn.conv2d_transpose(h, kernel, [c.batch, size, size, out], [1, 2, 2, 1], padding="SAME") + bias

    def dense(h: object, name: str, n: int, out: int) -> object:
        kernel, bias = weights(name, n, out, out=out)
        return v1.matmul(h, kernel) + bias

    x, y = v1.placeholder("float32", (c.batch, 28, 28, c.channels)), v1.placeholder("float32", (c.batch, 10))
    planes = v1.reshape(y, (-1, 1, 1, 10)) * v1.ones((c.batch, 28, 28, 10))
    h = conv(conv(v1.concat([x, planes], 3), "conv1", c.channels + 10, 16), "conv2", 16, 32)
    h = v1.reshape(h, (c.batch, 1568))
    mean, a = dense(h, "mean", 1568, 20), dense(h, "a", 1568, 20)
    z = mean + v1.exp(a) * v1.random_normal((c.batch, 20))
    h = v1.reshape(v1.nn.relu(dense(v1.concat([z, y], 1), "dense", 30, 392)), (-1, 7, 7, 8))
    logits = deconv(v1.nn.relu(deconv(h, "deconv1", 14, 8)), "deconv2", 28, c.channels)
    nll = v1.reduce_sum(v1.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits))
    kl = 0.5 * v1.reduce_sum(mean**2 + v1.exp(2 * a) - 2 * a - 1)
    fetches = {"loss": nll + kl, "train": v1.train.AdamOptimizer(2e-3, epsilon=1e-8).minimize(nll + kl)}
    if c.summaries:
        parts = [v1.summary.scalar(name, value) for name, value in (("loss", nll + kl), ("gen", nll), ("lat", kl))]
        parts += [v1.summary.histogram(v.op.name, v) for v in v1.trainable_variables()] + [v1.summary.histogram("z", z)]
        fetches["summary"] = v1.summary.merge(parts)
    session = v1.Session()
    session.run(v1.global_variables_initializer())
    writer = v1.summary.FileWriter(tempfile.mkdtemp(dir=os.environ["BENCHMARK_TMP"]))

    def run(count: int) -> float:
        total = 0.0
        for i in range(count):
            index = random.integers(0, len(data), c.batch)
            found = session.run(fetches, {x: data[index].repeat(c.channels, axis=3), y: one_hot[index]})
            total += float(found["loss"])
            if c.summaries and i % 100 == 0:
                writer.add_summary(found["summary"], i)
        return total / (count * c.batch)

    return run


def loop_tf2(images: np.ndarray, labels: np.ndarray, c: Contender) -> Run:
    """What a tutorial would write: tf.data, Keras layers, one compiled step per call."""
    import tensorflow as tf
    from keras import layers, optimizers

    def leaky(x: object) -> object:
        return tf.maximum(x, 0.1 * x)

    conv = {"kernel_size": 5, "strides": 2, "padding": "same"}
    encoder = [layers.Conv2D(16, activation=leaky, **conv), layers.Conv2D(32, activation=leaky, **conv)]
    encoder += [layers.Flatten(), layers.Dense(40)]  # both heads at once
    decoder = [layers.Dense(392, activation="relu"), layers.Reshape((7, 7, 8))]
    decoder += [layers.Conv2DTranspose(8, activation="relu", **conv), layers.Conv2DTranspose(c.channels, **conv)]

    def loss(x: object, y: object) -> object:
        y = tf.one_hot(y, 10)
        h = tf.concat([x, tf.broadcast_to(y[:, None, None], (c.batch, 28, 28, 10))], axis=-1)
        for layer in encoder:
            h = layer(h)
        mean, a = tf.split(h, 2, axis=1)
        h = tf.concat([mean + tf.exp(a) * tf.random.normal(mean.shape), y], axis=1)
        for layer in decoder:
            h = layer(h)
        nll = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=h))
        return nll + 0.5 * tf.reduce_sum(mean**2 + tf.exp(2 * a) - 2 * a - 1)

    def batch(x: object, y: object) -> tuple:
        return tf.repeat(tf.cast(x, tf.float32) / 255, c.channels, axis=3), y

    data = tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(10_000).repeat()
    data = iter(data.batch(c.batch, drop_remainder=True).map(batch).prefetch(tf.data.AUTOTUNE))
    loss(*next(data))  # makes the weights
    weights = [w for layer in encoder + decoder for w in layer.trainable_variables]
    optimizer = optimizers.Adam(2e-3, epsilon=1e-8)
    optimizer.build(weights)

    @tf.function
    def step(x: object, y: object) -> object:
        with tf.GradientTape() as tape:
            value = loss(x, y)
        optimizer.apply_gradients(zip(tape.gradient(value, weights), weights, strict=True))
        return value

    return lambda count: float(tf.add_n([step(*next(data)) for _ in range(count)])) / (count * c.batch)


def loop_torch(images: np.ndarray, labels: np.ndarray, c: Contender) -> Run:
    """Eager, channels_last, fused Adam; the data set lives on the device as uint8, as in this project."""
    import torch
    from torch import nn
    from torch.nn import functional as F

    torch.set_num_threads(CORES)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    up = {"stride": 2, "padding": 2, "output_padding": 1}
    encoder = [nn.Conv2d(c.channels + 10, 16, 5, 2, 2), nn.LeakyReLU(0.1), nn.Conv2d(16, 32, 5, 2, 2)]
    encoder = nn.Sequential(*encoder, nn.LeakyReLU(0.1), nn.Flatten(), nn.Linear(1568, 40))
    decoder = [nn.Linear(30, 392), nn.ReLU(), nn.Unflatten(1, (8, 7, 7)), nn.ConvTranspose2d(8, 8, 5, **up), nn.ReLU()]
    decoder = nn.Sequential(*decoder, nn.ConvTranspose2d(8, c.channels, 5, **up))
    net = nn.ModuleList([encoder, decoder]).to(device, memory_format=torch.channels_last)
    for weight in net.parameters():
        nn.init.xavier_uniform_(weight) if weight.ndim > 1 else nn.init.zeros_(weight)
    adam = torch.optim.Adam(net.parameters(), 2e-3, eps=1e-8, fused=True)
    data = torch.from_numpy(images.repeat(c.channels, axis=3)).to(device)
    one_hot = torch.eye(10, device=device)[torch.from_numpy(labels.astype(np.int64)).to(device)]

    def step() -> torch.Tensor:
        index = torch.randint(len(data), (c.batch,), device=device)
        x, y = data[index].permute(0, 3, 1, 2).float() / 255, one_hot[index]  # NHWC in memory: channels_last
        planes = y[:, :, None, None].expand(-1, -1, 28, 28)
        mean, a = encoder(torch.cat([x, planes], 1).contiguous(memory_format=torch.channels_last)).chunk(2, 1)
        logits = decoder(torch.cat([mean + a.exp() * torch.randn_like(mean), y], 1))
        nll = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        loss = nll + 0.5 * (mean**2 + (2 * a).exp() - 2 * a - 1).sum()
        adam.zero_grad()
        loss.backward()
        adam.step()
        return loss.detach()

    return lambda count: float(torch.stack([step() for _ in range(count)]).sum()) / (count * c.batch)


def loop_this(images: np.ndarray, labels: np.ndarray, c: Contender) -> Run:
    """This project's own functions, put together as in train.train."""
    import_tensorflow()
    import keras
    import tensorflow as tf

    import data
    import model
    import train
    from engine.training import loop

    class Planes(model.LabelPlaneConv2D):
        def call(self, x: object, y: object) -> object:
            planes = tf.one_hot(y, 10, dtype=x.dtype)[:, None, None]
            x = tf.concat([x, tf.broadcast_to(planes, (tf.shape(x)[0], 28, 28, 10))], axis=-1)
            return keras.layers.Conv2D.call(self, x)

    class Unsaved:
        """Takes the place of engine.run.Run: nothing but how far training is."""

        step, end, rate, stopped = 0, 0, 0.0, 0

        def restore(self, *_: object) -> None:
            self.totals = tf.Variable(tf.zeros(2, tf.float64))

        def next_stop(self) -> int:
            return min(self.end, self.step + (1 if "calls" in c.plain else 100))

    class Ready(Exception):
        """train.train has put everything together."""

    def compiled(*args: object, real: Callable = loop.compiled) -> None:
        raise Ready(real(*args))

    args = train.parse(["--channels", str(c.channels), "--batch-size", str(c.batch), *c.flags.split()])
    if "planes" in c.plain:
        model.LabelPlaneConv2D = Planes
    if "transpose" in c.plain:
        model.SubpixelConv2DTranspose = keras.layers.Conv2DTranspose
    if "adam" in c.plain:
        loop.FusedAdam = keras.optimizers.Adam
    if "leaky" in c.plain:
        model.leaky_relu = lambda x: tf.maximum(x, 0.1 * x)
    if c.kind == "pictures":
        dataset = benchmark_pictures.dataset(c)
    else:
        split = data.Split(images.repeat(c.channels, axis=3), labels)
        dataset = data.Dataset("mnist", "", split, split, split, "")
    unsaved = Unsaved()
    unsaved.config, loop.compiled = config_for(args, dataset), compiled
    try:
        train.train(args, unsaved, dataset)
    except Ready as ready:
        (advance,) = ready.args

    def run(count: int) -> float:
        unsaved.totals.assign(tf.zeros_like(unsaved.totals))
        unsaved.end = unsaved.step + count
        while unsaved.step < unsaved.end:
            advance(unsaved, terminal.Stop())
        return float(unsaved.totals.numpy().sum()) / (count * c.batch)

    return run


def loop_gemm(images: np.ndarray, labels: np.ndarray, c: Contender) -> Run:
    """The machine's own peak: float32 matrix products, all cores; a "step" is one product."""
    import_tensorflow()
    import tensorflow as tf

    a = tf.random.normal((GEMM, GEMM))

    def run(count: int) -> float:
        for _ in range(count):
            b = a @ a
        return 0 * float(b[0, 0])  # waits for the device

    return run


LOOPS = {"2017": loop_2017, "tf2": loop_tf2, "torch": loop_torch, "this": loop_this, "gemm": loop_gemm}
LOOPS |= {"pictures": loop_this, "pictures-fit": benchmark_pictures.loop_fit}
LOOPS |= {"pictures-torch": benchmark_pictures.loop_torch}
PEAK = Contender(f"GEMM {GEMM}³, float32", "gemm")


def speed_contenders() -> Iterator[Contender]:
    yield Contender("2017 loop, 3 channels", "2017", 3)
    yield Contender("2017 loop without summaries", "2017", 3, summaries=False)
    yield Contender("2017 loop with oneDNN", "2017", 3, onednn="1")
    for kind, name in (("tf2", "plain TF2 loop"), ("torch", "PyTorch eager")):
        yield from (Contender(f"{name}, {c} channel{'s' * (c > 1)}", kind, c) for c in (3, 1))
    for c, n in itertools.product((3, 1), (1, 2)):
        title = f"this project, {c} channel{'s' * (c > 1)}, {n} replica{'s' * (n > 1)}"
        yield Contender(title, "this", c, flags=f"--devices {n}")


def ablation_contenders() -> Iterator[Contender]:
    yield Contender("this project", "this")
    plain = {"planes": "Conv2D over concatenated label planes", "transpose": "Keras' Conv2DTranspose",
             "adam": "Keras' own Adam", "leaky": "maximum(x, 0.1 · x)", "calls": "one step per call"}  # fmt: skip
    yield from (Contender(f"with {title}", "this", plain=(name,)) for name, title in plain.items())
    yield Contender("without oneDNN", "this", onednn="0")
    yield Contender("with the first three", "this", plain=("planes", "transpose", "adam"))


def picture_contenders() -> Iterator[Contender]:
    yield Contender("Keras fit, 64 × 64 × 3", "pictures-fit", 3, size=64)
    yield Contender("PyTorch eager, 64 × 64 × 3", "pictures-torch", 3, size=64)
    yield Contender("this project, 64 × 64 × 3", "pictures", 3, size=64)
    yield Contender("this project, read from the disk", "pictures", 3, plain=("streamed",), size=64)


def cost_contenders() -> Iterator[Contender]:
    for size, channels, batch in itertools.product((28, 64, 128), (1, 3), (64, 256)):
        yield Contender(f"{size} × {size} × {channels}, batch {batch}", "pictures", channels, batch, size=size)


def work(c: Contender, digits: str) -> None:
    """A worker's life: prepare, then for every number from stdin take so many steps: [seconds, loss, megabytes]."""
    out, sys.stdout = sys.stdout, sys.stderr
    with np.load(digits) as file:
        run = LOOPS[c.kind](file["images"], file["labels"], c)
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        began = time.perf_counter()
        loss = run(int(line))
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
        print(json.dumps([time.perf_counter() - began, loss, most]), file=out, flush=True)


class Worker:
    """A contender in its own process, asleep unless asked. RuntimeError if it dies; its text is the last it said."""

    def __init__(self, contender: Contender, folder: Path, args: argparse.Namespace) -> None:
        self.contender, self.rates = contender, []
        self.log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace", dir=folder)
        command = [sys.executable, __file__, "--worker", json.dumps(contender), "--digits", str(folder / "digits.npz")]
        env = {**ENV, "BENCHMARK_TMP": str(folder)}
        if contender.onednn:
            env["TF_ENABLE_ONEDNN_OPTS"] = contender.onednn
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
                                        text=True, env=env)  # fmt: skip
        self.answer()
        learn = 14 if contender.kind == "gemm" else max(14, args.warmup * 64 // contender.batch)
        self.ask(learn - learn // 7)
        took, self.loss, _ = self.ask(learn // 7)
        self.count = max(2, round(learn // 7 * args.seconds / took))  # steps of a round

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


def contest(contenders: list[Contender], folder: Path, args: argparse.Namespace) -> list[dict]:
    """All of them and the GEMM peak, in turn for `args.rounds` rounds; ratios are to the first, in images/s."""
    workers: list[Worker] = []
    with contextlib.ExitStack() as stack:
        for contender in [*contenders, PEAK]:
            say(f"preparing {contender.title}")
            try:
                workers.append(Worker(contender, folder, args))
                stack.callback(workers[-1].close)
            except RuntimeError as error:
                print(f"not measured: {contender.title}: {error}", flush=True)
        for i in range(args.rounds):
            say(f"round {i + 1} of {args.rounds}")
            for worker in workers[:: -1 if i % 2 else 1]:
                try:
                    worker.turn()
                except RuntimeError as error:
                    print(f"died in round {i + 1}: {worker.contender.title}: {error}", flush=True)
                    workers.remove(worker)
    peak = next((statistics.median(w.rates) * flop(PEAK) for w in workers if w.contender == PEAK), float("nan"))
    first, rows = workers[0], []
    for worker in workers:
        c, rate = worker.contender, statistics.median(worker.rates)
        ratios = [a * c.batch / (b * first.contender.batch) for a, b in zip(worker.rates, first.rates, strict=True)]
        rows.append({**c._asdict(), "steps_per_second": rate, "min": min(worker.rates), "max": max(worker.rates),
                     "rounds": worker.rates, "ratio": statistics.median(ratios), "gflops": rate * flop(c) / 1e9,
                     "share_of_peak": rate * flop(c) / peak, "loss": worker.loss,
                     "megabytes": worker.megabytes})  # fmt: skip
    return rows


def launch(script: str, *flags: str) -> subprocess.Popen:
    command = [sys.executable, str(ROOT / script), *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, encoding="utf-8", env=ENV)


def startup(folder: Path, source: list[str], repeats: int) -> dict[str, float]:
    """Medians, in seconds since the process began. The first steps are there when the picture of step 10 is."""
    found: dict[str, list[float]] = {}
    for i in range(repeats):
        say(f"start-up {i + 1} of {repeats}")
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import tensorflow"], stderr=subprocess.DEVNULL, env=ENV, check=True)
        found.setdefault("python -c 'import tensorflow'", []).append(time.perf_counter() - began)
        for script, marks in {
            f"train.py --steps 10 --out {folder / f'run{i}'}": {
                " training, ": "train.py: data read",
                "step       0": "train.py: validated and drew step 0",
                "img_000010_fake2.png": "train.py: step 10 done and drawn",
            },
            f"generate.py --label 7 --run {folder / f'run{i}'}": {
                "label_7.png": "generate.py --label 7: picture there"
            },
        }.items():
            name, *flags = shlex.split(script)
            began, clock = time.perf_counter(), time.time()
            with launch(name, *flags, *(source if name == "train.py" else [])) as process:
                lines = [(line, time.perf_counter() - began) for line in process.stdout]
            for mark, phase in marks.items():
                files = [path.stat().st_mtime - clock for path in (folder / f"run{i}").rglob(mark.strip())]
                times = files or [at for line, at in lines if mark in line]
                if process.returncode or not times:
                    said = "".join(line for line, _ in lines)
                    raise SystemExit(f"{script}: status {process.returncode}, {mark!r} looked for in\n{said}")
                found.setdefault(phase, []).append(times[0])
            found.setdefault(f"{name}: exit", []).append(time.perf_counter() - began)
    return {phase: statistics.median(times) for phase, times in found.items()}


def quality(recipe: str, folder: Path, source: list[str], target: float) -> dict:
    """Seconds from the start of `train.py RECIPE` to the line that says the target is reached; None if it never is."""
    best, began = (float("inf"), 0), time.perf_counter()
    with launch("train.py", "--save-every", "500", *source, *shlex.split(recipe), "--out", str(folder)) as process:
        for line in process.stdout:
            seconds, match = time.perf_counter() - began, re.match(r"step +([\d,]+) +validation −ELBO ([\d.]+)", line)
            if match:
                best = min(best, (float(match[2]), int(match[1].replace(",", ""))))
                say(f"{recipe or '(default)'}: step {match[1]}, {match[2]} nats, {seconds:.0f} s")
            if best[0] <= target:
                process.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.communicate(timeout=30)
                process.kill()
                break
        else:
            if process.wait():
                print(f"train.py {recipe}: {line.strip()}")
    reached = best[0] <= target
    return {"recipe": recipe, "target": target, "seconds": seconds if reached else None, "nats": best[0],
            "step": best[1]}  # fmt: skip


def say(text: str) -> None:
    """What goes on just now: in place on a terminal, nowhere else."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text[:100]}", end="", file=sys.stderr, flush=True)


def table(head: list[str], rows: list[list[str]]) -> None:
    say("")
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in [head, ["─" * width for width in widths], *rows]:
        print("  ".join(f"{cell:{'>' if i else '<'}{widths[i]}}" for i, cell in enumerate(row)).rstrip())
    print(flush=True)


def show_contest(rows: list[dict]) -> None:
    base = rows[0]["title"].split(",")[0]
    head = [
        "contender",
        "steps/s (min–max)",
        f"× {base}",
        "ms/step",
        "images/s",
        "GFLOP/s",
        "of GEMM peak",
        "loss, nats",
        "MB",
    ]
    lines = []
    for row in rows:
        rate = "{steps_per_second:.1f} ({min:.1f}–{max:.1f})".format(**row)
        per_second, gemm = row["steps_per_second"], row["kind"] == "gemm"
        cells = [f"{row['ratio']:.2f}", f"{1000 / per_second:.2f}", f"{per_second * row['batch']:,.0f}"]
        work = [f"{row['gflops']:.1f}", f"{row['share_of_peak']:.1%}", f"{row['loss']:.1f}", f"{row['megabytes']:,.0f}"]
        lines.append([row["title"], rate, *cells, *work] if not gemm else [row["title"], rate, "", "", "", work[0]])
        lines[-1] += [""] * (len(head) - len(lines[-1]))
    table(head, lines)


def machine() -> dict:
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.+)", info.read_text()) if info.exists() else []
    versions = {"python": platform.python_version()}
    for package in ("tensorflow", "keras", "numpy", "torch"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return {"date": datetime.datetime.now().astimezone().isoformat(timespec="minutes"), "cores": CORES,
            "cpu": names[0] if names else platform.processor(), "system": platform.platform(), "versions": versions,
            "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0}  # fmt: skip


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add, parts = parser.add_argument, ("speed", "batch", "pictures", "cost", "startup", "ablation", "quality")
    add("--only", nargs="+", choices=parts, help="measure just these parts (default speed batch startup)")
    add("--ablation", dest="more", action="append_const", const="ablation", help="this part too")
    add("--time-to-quality", dest="more", action="append_const", const="quality", help="this part too")
    add("--quick", action="store_true", help="3 rounds of half a second, 140 steps of warm-up")
    add("--rounds", type=int, help="turns of every contender (default 7)")
    add("--warmup", type=int, help="steps before, at batch 64: with 700, seeds differ by up to 4 nats (default 700)")
    add("--seconds", type=float, help="of a turn (default 2.5)")
    add("--recipe", action="append", metavar="FLAGS", help=f"of train.py, repeatable (default {DEFAULT})")
    add("--target", type=float, default=99.0, help="validation −ELBO in nats per image that is to be reached (99.0)")
    add("--data-dir", type=Path, help="MNIST's IDX files (default data/mnist, else $MNIST_DIR, else drawn digits)")
    add("--json", type=Path, default=ROOT / "out" / "benchmark.json", help="where the figures go (%(default)s)")
    add("--worker", type=json.loads, help=argparse.SUPPRESS)
    add("--digits", help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    args.rounds, args.seconds = args.rounds or (3 if args.quick else 7), args.seconds or (0.5 if args.quick else 2.5)
    args.warmup = args.warmup or (140 if args.quick else 700)
    args.only = args.only or ["speed", "batch", "startup", *(args.more or [])]
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse(argv)
    if args.worker:
        return work(Contender(*args.worker), args.digits)
    import data
    from data import mnist

    folders = [args.data_dir or data.MNIST_DIR, args.data_dir or ROOT / os.environ.get("MNIST_DIR", "data/mnist")]
    source = next((path.resolve() for path in folders if not mnist.missing(path)), None)
    if args.data_dir and not source:
        raise SystemExit(f"{args.data_dir} lacks {', '.join(mnist.missing(args.data_dir))}")
    flags = ["--data-dir", str(source)] if source else ["--dataset", "drawn"]
    digits = data.load("mnist" if source else "drawn", source)
    found = {**machine(), "data": digits.name, "rounds": args.rounds, "seconds": args.seconds}
    print(f"{found['date']}  {found['cpu']}, {CORES} cores, {found['system']}\n{digits.title}; "
          + ", ".join(f"{name} {version}" for name, version in found["versions"].items()))  # fmt: skip
    print(f"load {found['load']:.1f}: this machine is busy, ratios may hold, speeds do not\n" * (found["load"] > 0.5))
    sweep = [Contender(f"batch {n}", "this", batch=n) for n in (64, 256, 1024, 4096)]
    contests = {"speed": list(speed_contenders()), "batch": sweep, "ablation": list(ablation_contenders())}
    contests |= {"pictures": list(picture_contenders()), "cost": list(cost_contenders())}
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        np.savez(folder / "digits.npz", images=digits.train.images, labels=digits.train.labels)
        for part in args.only:
            if part in contests:
                found[part] = contest(contests[part], folder, args)
                show_contest(found[part])
            elif part == "startup":
                found[part] = startup(folder, flags, 2 if args.quick else 5)
                table(["process start to …", "seconds"], [[k, f"{v:.2f}"] for k, v in found[part].items()])
            else:
                recipes = enumerate(args.recipe or DEFAULT)
                found[part] = [quality(recipe, folder / f"quality{i}", flags, args.target) for i, recipe in recipes]
                table([f"train.py … to {args.target} nats", "seconds", "step", "validation −ELBO"], [
                    [r["recipe"] or "(default)", f"{r['seconds']:.1f}" if r["seconds"] else "not reached",
                     f"{r['step']:,}", f"{r['nats']:.2f}"] for r in found[part]])  # fmt: skip
            args.json.parent.mkdir(parents=True, exist_ok=True)
            args.json.write_text(json.dumps(found, indent=2) + "\n")  # after every part: an interruption keeps the rest
    print(f"figures → {args.json}")


if __name__ == "__main__":
    main()
