"""Train the conditional VAE of the 2017 Qiita article. Run it again to go on where it stopped.

python train.py                              15,000 steps on MNIST, pictures and checkpoints in out/
python train.py --channels 3                 the article's N+3 encoder input (grey copied into three channels)
python train.py -b 256 -r 4e-3 --schedule cosine      better digits in as many steps (README)
python train.py --dataset drawn              without MNIST: digits drawn with Pillow's own font
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import data
from engine import files, terminal
from engine.terminal import bounded


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; also args.words, the words themselves, for advice on how to go on."""
    parser = terminal.Parser(__doc__)
    add = parser.add_argument
    add(
        "--steps",
        type=bounded(int, 0, 10**12),
        default=15000,
        help="batches in all, 15000 being 17 epochs; 0: until interrupted (default %(default)s)",
    )
    add(
        "-b",
        "--batch-size",
        "--nBatch",
        type=bounded(int, 1, 1 << 20),
        default=64,
        help="images a step (default %(default)s)",
    )
    add(
        "-r",
        "--learn-rate",
        "--learnRate",
        type=bounded(float, 1e-12, 1e6),
        default=2e-3,
        help="Adam's learning rate (default %(default)s)",
    )
    add(
        "--schedule",
        choices=("constant", "cosine"),
        default="constant",
        help="cosine: the rate falls to 0 over --steps (default %(default)s)",
    )
    add(
        "--channels",
        type=int,
        choices=(1, 3),
        default=1,
        help="1: grey; 3: the article's N+3 planes, which on grey images weigh the KL a third (default %(default)s)",
    )
    add("--latent-dim", type=bounded(int, 1, 4096), default=20, help="size of z (default %(default)s)")
    add(
        "--seed",
        type=bounded(int, 0, 2**31 - 1),
        default=0,
        help="same machine, --seed and --devices: the same bits (default %(default)s)",
    )
    add("-s", "--out", "--saveFolder", type=Path, default=files.OUT, help="the run's folder (default %(default)s)")
    add("-l", "--reload", metavar="CHECKPOINT", help="start a new run from these weights, Adam afresh")
    add(
        "--save-every",
        type=bounded(int, 1, 10**9),
        default=5000,
        help="steps between saves: checkpoint, grids, validation (default %(default)s)",
    )
    add(
        "--dataset",
        choices=("auto", "mnist", "drawn"),
        default="auto",
        help="auto: MNIST if it is there or can be fetched, else drawn digits (default %(default)s)",
    )
    add("--data-dir", type=Path, help="folder of the four IDX files, .gz or raw (default data/mnist)")
    add("--devices", type=bounded(int, 1, 1024), help="replicas: GPUs, else CPU cores (default: as many as pay)")
    add("--fresh", action="store_true", help="move the run in --out aside, into previous-<n>/, and start anew")
    args = parser.parse_args(argv)
    if set(str(args.out)) & set("*?["):
        parser.error(f"--out {args.out}: TensorFlow takes *, ? and [ for patterns, and would delete by them")
    if args.schedule == "cosine" and not args.steps:
        parser.error("--schedule cosine needs an end: give --steps")
    args.words = sys.argv[1:] if argv is None else argv
    return args


if __name__ == "__main__":
    terminal.check_early(parse)  # a typing error or --help need not wait for TensorFlow's two seconds
terminal.import_tensorflow()

import tensorflow as tf

from engine import devices, loop, noise
from engine.run import Run
from model import CVAE, bernoulli_nll, gaussian_kl


def train(args: argparse.Namespace, run: Run, dataset: data.Dataset) -> int:
    """The whole run, to be read from top to bottom. Returns the exit status."""
    strategy = devices.strategy(args.devices, args.batch_size)
    with strategy.scope():
        model = CVAE(**run.config.architecture)
        optimizer = loop.FusedAdam(loop.learning_rate(args), epsilon=1e-8)
        optimizer.build(model.trainable_variables)
    weights = model.trainable_variables
    run.restore(strategy, model, optimizer)  # the newest whole checkpoint, else --reload's weights, else nothing

    def step(images: tf.Tensor, labels: tf.Tensor, i: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """This replica's share of batch i; batch and noise are functions of (seed, i) alone."""
        index, eps = noise.share(args, i, len(dataset.train.labels))  # (b,), (b, L)
        x, y = tf.cast(tf.gather(images, index), tf.float32) / 255, tf.gather(labels, index)
        with tf.GradientTape() as tape:
            logits, mean, a = model(x, y, eps)
            nll, kl = tf.reduce_sum(bernoulli_nll(x, logits)), tf.reduce_sum(gaussian_kl(mean, a))
            loss = nll + kl  # summed over the batch: the replicas' gradients just add up
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return nll, kl

    advance = loop.compiled(strategy, step, dataset.train)
    with terminal.Stop() as stop, terminal.Progress(args.steps, "step", run.step) as bar:
        while not run.stopped and (not args.steps or run.step < args.steps):
            if run.step % args.save_every == 0:
                run.save(dataset)
            advance(run, stop)  # raises on NaN; all workers leave at the same step
            run.log(bar)
        run.save(dataset, pictures=not run.stopped)
    return run.finish(dataset)


@terminal.command
def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    dataset = data.load(args.dataset, args.data_dir, args.channels)
    with Run.begin(args, dataset) as run:
        return train(args, run, dataset)


if __name__ == "__main__":
    sys.exit(main())
