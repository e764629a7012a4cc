"""Train the conditional VAE of the 2017 Qiita article. Run it again to go on where it stopped.

python train.py                              15,000 steps on MNIST, pictures and checkpoints in out/
python train.py --channels 3                 the article's N+3 encoder input (grey copied into three channels)
python train.py -b 256 -r 4e-3 --schedule cosine      better digits in as many steps (README)
python train.py --data-dir flowers           your own pictures: flowers/rose/*.jpg, flowers/tulip/*.png …
python train.py --dataset drawn              without MNIST: digits drawn with Pillow's own font
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from engine import files, terminal
from engine.config import DATASETS
from engine.terminal import bounded


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; also args.words, the words themselves, for advice on how to go on."""
    parser = terminal.Parser(__doc__)

    add = parser.add_argument_group("the run").add_argument
    add("-s", "--out", "--saveFolder", type=Path, default=files.OUT, help="its folder (default %(default)s)")
    add("--fresh", action="store_true", help="move the run in --out aside, into previous-<n>/, and start anew")
    add("-l", "--reload", metavar="CHECKPOINT", help="start a new run from these weights, Adam afresh")
    steps = "batches in all, 15000 being 17 epochs of MNIST; 0: until interrupted (default %(default)s)"
    add("--steps", type=bounded(int, 0, 10**12), default=15000, help=steps)
    every = "steps between saves: checkpoint, grids, validation (default %(default)s)"
    add("--save-every", type=bounded(int, 1, 10**9), default=5000, help=every)
    seed = "same machine, --seed and --devices: the same bits (default %(default)s)"
    add("--seed", type=bounded(int, 0, 2**31 - 1), default=0, help=seed)

    add = parser.add_argument_group("the data").add_argument
    add(
        "--data-dir", type=Path, help="a folder with a folder per label, an .npz, or MNIST's files (default data/mnist)"
    )
    auto = "auto: what --data-dir holds, else MNIST, else drawn digits (default %(default)s)"
    add("--dataset", choices=("auto", *DATASETS), default="auto", help=auto)
    add(
        "--channels",
        type=int,
        choices=(1, 3),
        help="grey or colour; 3 copies grey (default 1, or 3 if there is colour)",
    )
    own = parser.add_argument_group("your own pictures").add_argument
    own("--size", type=bounded(int, 28, 128), help="side in pixels (default 64, or their own if less and the same)")
    own(
        "--fit", choices=("crop", "pad", "stretch"), default="crop", help="how they become square (default %(default)s)"
    )
    own("--background", default="white", metavar="COLOUR", help="behind what is transparent (default %(default)s)")
    own("--balance", action="store_true", help="draw all labels evenly, however many pictures each has")

    add = parser.add_argument_group("the model").add_argument
    add("--latent-dim", type=bounded(int, 1, 4096), default=20, help="size of z (default %(default)s)")
    add("--width", type=bounded(int, 1, 64), help="times the article's channels (default 1, for colour pictures 2)")
    likelihood = (
        "bernoulli: the article's; gaussian: its σ the best one (default bernoulli, for colour pictures gaussian)"
    )
    add("--likelihood", choices=("bernoulli", "gaussian"), help=likelihood)

    add = parser.add_argument_group("the optimizer, and speed").add_argument
    batch = "images a step (default %(default)s)"
    add("-b", "--batch-size", "--nBatch", type=bounded(int, 1, 1 << 20), default=64, help=batch)
    rate = "Adam's learning rate (default 2e-3, and less for larger networks)"
    add("-r", "--learn-rate", "--learnRate", type=bounded(float, 1e-12, 1e6), help=rate)
    schedule = "cosine: the rate falls to 0 over --steps (default %(default)s)"
    add("--schedule", choices=("constant", "cosine"), default="constant", help=schedule)
    add("--devices", type=bounded(int, 1, 1024), help="replicas: GPUs, else CPU cores (default: as many as pay)")
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

import data
from engine import batches, devices, loop
from engine.run import Run
from model import CVAE, gaussian_kl


def train(args: argparse.Namespace, run: Run, dataset: data.Dataset) -> int:
    """The whole run, to be read from top to bottom. Returns the exit status."""
    strategy = devices.strategy(args.devices, args.batch_size, run.config.replicas)
    with strategy.scope():
        model = CVAE(**run.config.architecture)
        optimizer = loop.FusedAdam(loop.learning_rate(run.config), epsilon=1e-8)
        optimizer.build(model.trainable_variables)
    weights = model.trainable_variables
    run.restore(strategy, model, optimizer)  # the newest whole checkpoint, else --reload's weights, else nothing

    def step(x: tf.Tensor, y: tf.Tensor, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """This replica's share of a batch: uint8 images (b, H, W, C), labels (b,), standard normal noise (b, L)."""
        x = tf.cast(x, tf.float32) / 255
        with tf.GradientTape() as tape:
            logits, mean, a = model(x, y, eps)
            nll = tf.reduce_sum(model.nll(x, logits, loop.batch_variance(model, x, logits)))
            kl = tf.reduce_sum(gaussian_kl(mean, a))
            loss = nll + kl  # summed over the batch: the replicas' gradients just add up
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return nll, kl

    advance = loop.compiled(strategy, step, batches.of(strategy, run.config, dataset.train))
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
    dataset = data.load(
        args.dataset, args.data_dir, args.channels, size=args.size, fit=args.fit, background=args.background
    )
    with Run.begin(args, dataset) as run:
        return train(args, run, dataset)


if __name__ == "__main__":
    sys.exit(main())
