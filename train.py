"""Train the conditional VAE of the 2017 Qiita article. Run it again to go on where it stopped.

python train.py                              15,000 steps on MNIST, pictures and checkpoints in out/
python train.py --channels 3                 the article's N+3 encoder input (grey copied into three channels)
python train.py -b 128 -r 4e-3 --schedule cosine      better digits in as many steps (README)
python train.py --dataset drawn              without MNIST: digits drawn with Pillow's own font
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import shlex
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

import data
import generate
from data import files, pictures, runs
from data.console import Failure, Parser, Progress, Stop, command, number, tensorflow

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

    from model import CVAE

LOG_EVERY = 100  # steps between scalars; also the most that one call of the compiled loop runs
KEEP = 5  # checkpoints
FRAMES = (10, 20, 50, 100, 200, 300, 500, 700, 1000, 1500, 2000, 3000)  # early fake2 grids, for training.gif

# The settings that make a run what it is: a run goes on only if all of them are the same.
SETTINGS = ("dataset", "fingerprint", "image_shape", "num_labels", "latent_dim", "batch_size", "learn_rate")
SETTINGS += ("schedule", "decay_steps", "precision", "seed", "reload")
LOWER = "Try a smaller --learn-rate."


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(__doc__)

    def add(*names: str, help: str, **kwargs: object) -> None:
        shown = kwargs.get("default", "")
        parser.add_argument(*names, help=help if shown == "" else f"{help} (default {shown})", **kwargs)

    whole, positive, rate = number(int, 0, 10**12), number(int, 1, 10**9), number(float, 1e-12, 1e6)
    out = generate.ROOT / "out"
    add("--steps", type=whole, default=15000, help="batches in all, 15000 being 17 epochs; 0: until interrupted")
    add("-b", "--batch-size", "--nBatch", type=number(int, 1, 1 << 20), default=64, help="images a step")
    add("-r", "--learn-rate", "--learnRate", type=rate, default=2e-3, help="Adam's learning rate")
    add("--schedule", choices=("constant", "cosine"), default="constant", help="cosine: the rate"
        " falls to 0 over --steps")  # fmt: skip
    add("--channels", type=int, choices=(1, 3), default=1, help="1: grey; 3: the article's N+3 planes, which on grey "
        "images weigh the KL a third")  # fmt: skip
    add("--latent-dim", type=number(int, 1, 4096), default=20, help="size of z")
    add("--seed", type=number(int, 0, 2**31 - 1), default=0, help="same machine, --seed and --devices: the same bits")
    add("-s", "--out", "--saveFolder", type=Path, default=out, help="the run's folder")
    add("-l", "--reload", metavar="CHECKPOINT", help="start a new run from these weights, Adam afresh")
    add("--save-every", type=positive, default=5000, help="steps between saves: checkpoint, grids, validation")
    add("--dataset", choices=("auto", "mnist", "drawn"), default="auto", help="auto: MNIST if it is there or can be "
        "fetched, else drawn digits")  # fmt: skip
    add("--data-dir", type=Path, help="folder of the four IDX files, .gz or raw (default data/mnist)")
    add("--precision", choices=("float32", "mixed_bfloat16"), default="float32", help="Keras' dtype policy")
    add("--devices", type=number(int, 1, 1024), help="replicas: GPUs, else CPU cores (default: as many as pay)")
    add("--fresh", action="store_true", help="move the run in --out aside, into previous-<n>/, and start anew")
    args = parser.parse_args(argv)
    if set(str(args.out)) & set("*?["):
        parser.error(f"--out {args.out}: TensorFlow takes *, ? and [ for patterns, and would delete by them")
    if args.schedule == "cosine" and not args.steps:
        parser.error("--schedule cosine needs an end: give --steps")
    return args


def distribution(args: argparse.Namespace) -> tf.distribute.Strategy:
    """The devices to train on. The batch of a step is cut into equal shares, one per replica.

    TF_CONFIG set: all its workers. Else the GPUs, else the CPU's cores as logical devices whose operations have one
    thread each: on two cores, two replicas do 1.1 times the steps/s of one (tests/benchmark.py).

    Raises:
        Failure: the batch does not divide by the replicas, or there are fewer devices than --devices.
    """
    tf = tensorflow()
    gpus = tf.config.list_physical_devices("GPU")
    if "TF_CONFIG" in os.environ:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    else:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        devices = args.devices or len(gpus)
        if not devices:
            paying = range(1, min(cores, args.batch_size // 16) + 1)
            devices = max((n for n in paying if args.batch_size % n == 0), default=1)
        kind = "GPU" if gpus else "CPU"
        if gpus and devices > len(gpus):
            raise Failure(f"--devices {devices}: this machine has {len(gpus)} GPUs")
        if not gpus:
            cpu = tf.config.list_physical_devices("CPU")[0]
            try:
                tf.config.threading.set_intra_op_parallelism_threads(1)
                tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
            except RuntimeError:  # TensorFlow runs already in this process: take the devices it has
                devices = min(devices, len(tf.config.list_logical_devices("CPU")))
        names = [f"{kind}:{i}" for i in range(devices)]
        strategy = tf.distribute.MirroredStrategy(names) if devices > 1 else tf.distribute.OneDeviceStrategy(names[0])
    if args.batch_size % strategy.num_replicas_in_sync:
        n = strategy.num_replicas_in_sync
        near = max(args.batch_size // n, 1) * n
        raise Failure(f"--batch-size {args.batch_size} does not divide by {n} replicas: try {near} or fewer --devices")
    return strategy


def make_optimizer(args: argparse.Namespace) -> keras.optimizers.Optimizer:
    """Adam with the article's ε = 1e-8 (Kingma & Ba 2014, arXiv 1412.6980; ε as in its last lines of section 2)."""
    import keras

    tf = tensorflow()

    class FusedAdam(keras.optimizers.Adam):
        """Keras' Adam with the update of a variable as TensorFlow's one kernel instead of some fifteen operations."""

        def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
            i, t = self._get_variable_index(variable), tf.cast(self.iterations + 1, tf.float32)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=self._momentums[i].value.handle,
                v=self._velocities[i].value.handle,
                beta1_power=self.beta_1**t,
                beta2_power=self.beta_2**t,
                lr=learning_rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                grad=gradient,
            )

    rate = args.learn_rate
    if args.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(rate, args.steps)
    return FusedAdam(rate, epsilon=1e-8)


def make_loop(
    strategy: tf.distribute.Strategy,
    model: CVAE,
    optimizer: keras.optimizers.Optimizer,
    train: data.Split,
    args: argparse.Namespace,
) -> Callable:
    """The compiled training loop: run(step, end, totals, stop) → first bad step or −1, its terms, whether to stop.

    The data set lives on every device as uint8; a step gathers its batch, drawn with replacement as in the article.
    Batch and noise are pure functions of (seed, step): there is no cursor to save, and replicas only cut them into
    shares. The loss is summed over the batch, so the replicas' gradients just add up.
    """
    tf = tensorflow()
    from model import bernoulli_nll, gaussian_kl

    share = args.batch_size // strategy.num_replicas_in_sync
    variables = model.trainable_variables
    # On its way through a function, because an eager strategy.run warns of its own slowness.
    images, labels = tf.function(lambda x, y: strategy.run(lambda *xy: xy, (x, y)))(
        tf.constant(train.images), tf.constant(train.labels, tf.int32)
    )

    def step(images: tf.Tensor, labels: tf.Tensor, i: tf.Tensor) -> tf.Tensor:
        first = tf.distribute.get_replica_context().replica_id_in_sync_group * share
        index = tf.random.stateless_uniform(
            (args.batch_size,), generate.key(args.seed, "batch", i), 0, len(train.labels), tf.int32
        )[first : first + share]
        noise = generate.normal((args.batch_size, args.latent_dim), args.seed, "noise", i)[first : first + share]
        index, noise = tf.ensure_shape(index, (share,)), tf.ensure_shape(noise, (share, args.latent_dim))
        x = tf.cast(tf.gather(images, index), tf.float32) / 255
        with tf.GradientTape() as tape:
            logits, mean, a = model(x, tf.gather(labels, index), noise)
            nll = tf.reduce_sum(bernoulli_nll(x, logits))
            kl = tf.reduce_sum(gaussian_kl(mean, a))
            loss = nll + kl
        gradients = tape.gradient(loss, variables)
        optimizer.apply_gradients(zip(gradients, variables, strict=True))
        return tf.stack([nll, kl, tf.add_n([tf.nn.l2_loss(g) for g in gradients])])

    @tf.function
    def run(images, labels, start, end, totals, stop) -> tuple[tf.Tensor, ...]:
        bad, terms = tf.constant(-1, tf.int64), tf.zeros(3)
        for i in tf.range(start, end):
            now = strategy.reduce("SUM", strategy.run(step, (images, labels, i)), axis=None)
            totals += tf.cast(now, tf.float64)
            first = tf.logical_and(bad < 0, tf.logical_not(tf.reduce_all(tf.math.is_finite(now))))
            bad, terms = tf.where(first, i + 1, bad), tf.where(first, now, terms)
        # Any worker's wish to stop is every worker's: they must all leave the loop at the same step.
        return totals, bad, terms, strategy.reduce("SUM", strategy.run(tf.identity, (stop,)), axis=None)

    def call(start: int, end: int, totals: tf.Variable, stop: bool) -> tuple:
        ends = [tf.constant(n, tf.int64) for n in (start, end)]
        new, bad, terms, stops = run(images, labels, *ends, totals.read_value(), tf.constant(int(stop)))
        totals.assign(new)
        return int(bad), terms.numpy(), bool(stops)

    return call


def measure(model: CVAE, split: data.Split, seed: int, stream: str) -> dict[str, float]:
    """−ELBO, NLL and KL in nats per image, means over all of `split`, one z each from seeded noise."""
    tf = tensorflow()
    from model import bernoulli_nll, gaussian_kl

    @tf.function(reduce_retracing=True)
    def terms(x: tf.Tensor, y: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        x = tf.cast(x, tf.float32) / 255
        logits, mean, a = model(x, y, noise)
        return tf.stack([tf.reduce_sum(bernoulli_nll(x, logits)), tf.reduce_sum(gaussian_kl(mean, a))])

    totals = np.zeros(2)
    for i in range(0, len(split.labels), 500):
        x, y = split.images[i : i + 500], split.labels[i : i + 500].astype(np.int32)
        totals += terms(x, y, generate.normal((len(y), model.latent_dim), seed, stream, i)).numpy()
    nll, kl = (totals / len(split.labels)).tolist()
    return {"negative_elbo": nll + kl, "nll": nll, "kl": kl}


def describe(args: argparse.Namespace, dataset: data.Dataset) -> dict:
    """config.json: the settings of the run, and where its data came from."""
    return {
        "dataset": dataset.name,
        "fingerprint": dataset.fingerprint,
        "image_shape": list(dataset.train.images.shape[1:]),
        "num_labels": 10,
        "latent_dim": args.latent_dim,
        "batch_size": args.batch_size,
        "learn_rate": args.learn_rate,
        "schedule": args.schedule,
        "decay_steps": args.steps if args.schedule == "cosine" else 0,
        "precision": args.precision,
        "seed": args.seed,
        "reload": args.reload,
        "data_dir": str(args.data_dir.resolve()) if args.data_dir else "",
    }


def real(split: data.Split, num_labels: int) -> np.ndarray:
    """Ten validation digits of every label, in the fakes' layout: uint8 (10, N, H, W, C)."""
    grid = np.zeros((10, num_labels, *split.images.shape[1:]), np.uint8)
    for label in range(num_labels):
        some = split.images[split.labels == label][:10]
        grid[: len(some), label] = some
    return grid


def save_pictures(run: generate.Run, dataset: data.Dataset, seed: int, every: bool = True) -> None:
    """images/img_<step>_*.png and the newest fake1.png and fake2.png; only the fake2 grid if not `every`."""
    labels = range(run.model.num_labels)
    grids = {"fake2": lambda: generate.fakes(run, seed, same_style=True)}
    if every:
        grids |= {
            "fake1": lambda: generate.fakes(run, seed, same_style=False),
            "real": lambda: real(dataset.validation, len(labels)),
        }
    for name, grid in grids.items():
        sheet = pictures.sheet(grid(), labels)
        about = run.about(label="all", seed=seed, temperature=1.0)
        pictures.write_png(run.folder / "images" / f"img_{run.step:06d}_{name}.png", sheet, about)
        if every and name != "real":
            pictures.write_png(run.folder / f"{name}.png", sheet, about)


def histograms(model: CVAE, split: data.Split) -> dict[str, np.ndarray]:
    """Every weight, and z's mean and σ over 500 validation images."""
    mean, a = model.encode(split.images[:500] / np.float32(255), split.labels[:500].astype(np.int32))
    found = {f"{layer.name}/{w.name}": w.numpy() for layer in model.layers for w in layer.weights}
    return {**found, "z/mean": mean.numpy(), "z/sigma": np.exp(a.numpy())}


def next_stop(step: int, args: argparse.Namespace, most: int) -> int:
    """Where the compiled loop next hands over: the nearest log, picture, save or end, `most` steps away at most."""
    stops = [step + most, (step // LOG_EVERY + 1) * LOG_EVERY, (step // args.save_every + 1) * args.save_every]
    return min([*stops, *(n for n in (*FRAMES, args.steps) if n > step)])


def follow(
    strategy: tf.distribute.Strategy,
    state: tf.train.Checkpoint,
    model: CVAE,
    folder: Path,
    step: tf.Variable,
    chief: bool,
) -> bool:
    """Let every worker go on from the very checkpoint that the chief restored. True if there was one."""
    tf = tensorflow()

    @tf.function
    def told() -> tf.Tensor:
        first = tf.distribute.get_replica_context().replica_id_in_sync_group == 0
        return tf.where(first, step + 1, 0)

    agreed = int(strategy.reduce("SUM", strategy.run(told), axis=None)) - 1
    if agreed and not chief:
        try:
            runs.restore(state, str(folder / f"model.ckpt-{agreed}"), model)
        except runs.Damaged as error:
            raise Failure(f"no checkpoint of step {agreed} ({error}): workers need one --out that all share") from None
    return agreed > 0


def train(args: argparse.Namespace, chief: bool) -> int:
    """The whole run, to be read from top to bottom. Of several workers, only the chief writes and speaks."""
    folder: Path = args.out
    say = print if chief else lambda *_: None
    if not chief:
        print("following the chief, who writes and speaks")
    dataset = data.load(args.dataset, args.data_dir, args.channels)
    config = describe(args, dataset)
    reload = runs.prefix_of(args.reload) if args.reload else ""
    if reload and not Path(f"{reload}.index").exists():
        raise Failure(f"--reload {args.reload}: no such checkpoint; give its path without .index")
    if chief and (aside := runs.adopt(folder, config, SETTINGS, args.fresh)) and Path(reload).parent == folder:
        reload = str(aside / Path(reload).name)  # it has just been moved there
    strategy = distribution(args)
    tf = tensorflow()
    with strategy.scope():
        model = generate.build(config)
        optimizer = make_optimizer(args)
        optimizer.build(model.trainable_variables)
    counter, totals = tf.Variable(0, dtype=tf.int64), tf.Variable(tf.zeros(3, tf.float64))  # NLL, KL, gradient so far
    weights = runs.weights(model)
    state = tf.train.Checkpoint(model=weights, optimizer=optimizer, step=counter, totals=totals)
    state.save_counter  # noqa: B018 - made at first use, and a checkpoint has it
    manager = runs.manager(state, folder, KEEP) if chief else None
    resumed = chief and runs.resume(state, model, folder)
    several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
    if several:
        resumed = follow(strategy, state, model, folder, counter, chief)
    if reload and not resumed:
        try:
            runs.restore(tf.train.Checkpoint(model=weights), reload, model, partly=True)
        except runs.Damaged as error:
            raise Failure(f"--reload {args.reload} is damaged ({error}): name another checkpoint") from None

    step, saved = int(counter), int(counter) if resumed else -1
    h, w, c = config["image_shape"]
    n = [f"{len(split.labels):,}" for split in (dataset.train, dataset.validation, dataset.test)]
    say(f"{dataset.title}: {n[0]} training, {n[1]} validation and {n[2]} test images, {h}×{w}×{c}")
    replicas = strategy.num_replicas_in_sync
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    say(f"{model.count_params():,} parameters on {replicas} {kind}{'s' if replicas > 1 else ''}, "
        f"{args.batch_size // replicas} images each a step; writing to {folder}")  # fmt: skip
    if args.steps and step >= args.steps:
        say(f"this run is finished: step {step:,} of {args.steps:,}; go on with a larger --steps, or anew with --fresh")
    elif step:
        say(f"going on from step {step:,}")

    run = make_loop(strategy, model, optimizer, dataset.train, args)
    diary, progress = runs.Diary(folder), Progress(args.steps, "step", step)

    def save(pictures_too: bool = True) -> None:
        """Pictures and log first, the checkpoint last: a run killed in between does them again."""
        nonlocal saved
        runs.still(folder)
        if pictures_too:
            now = measure(model, dataset.validation, args.seed, "validation")
            if not math.isfinite(now["negative_elbo"]):
                raise Failure(f"step {step:,}: the validation loss is not finite; nothing of it was saved. {LOWER}")
            save_pictures(generate.Run(model, config, folder, step), dataset, args.seed)
            diary.write(step, {f"validation/{k}": v for k, v in now.items()}, histograms(model, dataset.validation))
            progress.line(f"step {step:>7,}  validation −ELBO {now['negative_elbo']:.2f} nats")
        counter.assign(step)
        manager.save(step)
        saved = step

    most, stopped = 10, False
    with Stop() as stop:
        while not stopped and (not args.steps or step < args.steps):
            if chief and saved != step and step % args.save_every == 0:
                save()
            start, end, began = step, next_stop(step, args, LOG_EVERY if several else most), time.perf_counter()
            bad, terms, stopped = run(start, end, totals, stop.signal > 0)
            if bad >= 0:
                names = [n for n, v in zip(("NLL", "KL", "gradient"), terms, strict=True) if not math.isfinite(v)]
                raise Failure(
                    f"step {bad:,}: {' and '.join(names)} became NaN or infinite; nothing of it was saved. {LOWER}"
                )
            step, rate = end, (end - start) / (time.perf_counter() - began)
            most = max(1, min(LOG_EVERY, int(rate / 2)))  # half a second: signals are heard between two calls
            nll, kl, _ = totals.numpy() / (args.batch_size * ((step - 1) % LOG_EVERY + 1))
            if step % LOG_EVERY == 0:
                totals.assign(tf.zeros_like(totals))
            if chief:
                runs.still(folder)
                progress.update(step, f"loss {nll + kl:.1f} = NLL {nll:.1f} + KL {kl:.1f}  {rate:.0f} steps/s")
                if step % LOG_EVERY == 0:
                    diary.write(step, {"train/loss": nll + kl, "train/nll": nll, "train/kl": kl})
                if step in FRAMES:
                    save_pictures(generate.Run(model, config, folder, step), dataset, args.seed, every=False)
        due = not stopped or step % args.save_every == 0 or step == args.steps
        if chief and (saved != step or (due and not (folder / "images" / f"img_{step:06d}_fake1.png").exists())):
            save(pictures_too=due)
    progress.close()
    if stopped:
        say(f"stopped at step {step:,}, saved; go on with: python train.py {args.again}".rstrip())
        return 128 + (stop.signal or signal.SIGINT)
    if chief:
        finish(generate.Run(model, config, folder, step), dataset, args.seed)
    return 0


def finish(run: generate.Run, dataset: data.Dataset, seed: int) -> None:
    """The test result into metrics.json (once per step), training.gif, and the last lines on the terminal."""
    path = run.folder / "metrics.json"
    metrics = runs.read_metrics(path)
    test = metrics.get("test")
    known = isinstance(test, dict) and test.get("step") == run.step
    if not known or not all(isinstance(test.get(k), int | float) for k in ("images", "negative_elbo", "nll", "kl")):
        found = {"step": run.step, "images": len(dataset.test.labels), **measure(run.model, dataset.test, seed, "test")}
        metrics["test"] = {"dataset": dataset.name, "unit": "nats per image", **found}
        runs.write_json(path, metrics)
    generate.animate_training(run.folder)
    test = metrics["test"]
    print(f"test −ELBO {test['negative_elbo']:.2f} nats = NLL {test['nll']:.2f} + KL {test['kl']:.2f}, the mean of "
          f"{test['images']:,} images")  # fmt: skip
    where = "" if run.folder == generate.ROOT / "out" else f" --run {run.folder}"
    print(f"look at {run.folder / 'fake1.png'} and fake2.png, then: python generate.py --label 7{where}")


def is_chief(tf_config: str) -> bool:
    """Whether this worker is the one that writes: the chief, or worker 0 where TF_CONFIG names no chief."""
    try:
        config = json.loads(tf_config)
        cluster, task = config.get("cluster", {}), config.get("task", {"type": "chief"})
        return task["type"] == "chief" or (task["index"] == 0 and "chief" not in cluster)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Failure("TF_CONFIG is not the JSON that README shows: mend it, or unset it to train alone") from None


@command
def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    words = [word for word in (sys.argv[1:] if argv is None else argv) if word != "--fresh"]
    args.again = shlex.join(words)
    chief = is_chief(os.environ.get("TF_CONFIG", "{}"))
    with files.lock(args.out) if chief else contextlib.nullcontext():
        return train(args, chief)


if __name__ == "__main__":
    sys.exit(main())
