"""Train the conditional VAE of the 2017 Qiita article. Run it again to go on where it stopped.

python train.py                              15,000 steps on MNIST, pictures and checkpoints in out/
python train.py --channels 3                 the article's N+3 encoder input (grey copied into three channels)
python train.py -b 256 -r 4e-3 --schedule cosine      better digits in as many steps (README)
python train.py --data-dir flowers           your own pictures: flowers/rose/*.jpg, flowers/tulip/*.png …
python train.py --dataset drawn              without MNIST: digits drawn with Pillow's own font
"""

import argparse
import sys

from engine import files, startup, terminal
from engine.config import BOUNDS, CHOICES, DATASETS
from engine.runs.options import config_for
from engine.terminal import bounded, local_path


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """Parse the command line. args.words is what resumes the run: the words as typed, without --fresh."""
    parser = terminal.Parser(__doc__)

    add = parser.add_argument_group("the run").add_argument
    add("-s", "--out", "--saveFolder", type=local_path, default=files.OUT, help="its folder (default %(default)s)")
    add("--fresh", action="store_true", help="move the run in --out aside, into previous-<n>/, and start anew")
    add("-l", "--reload", metavar="CHECKPOINT", help="start a new run from these weights, with a new optimizer state")
    add("--steps", type=bounded(int, 0, 10**12), help="batches in all; 0: no end (default 15000; fewer in colour)")
    add("--save-every", type=bounded(int, 1, 10**9), help="steps between saves (default 5000; in colour --steps/10)")
    add("--save-minutes", type=bounded(float, 0, 10**6), default=10, help="minutes between checkpoints (default 10)")
    add("--seed", type=bounded(int, 0, 2**31 - 1), help="same machine, --seed and --devices: same bits (default 0)")

    add = parser.add_argument_group("the data").add_argument
    add("--data-dir", type=local_path, help="a folder per label, .npz, .csv or MNIST's files (default data/mnist)")
    add("--dataset", choices=("auto", *DATASETS), help="auto: what --data-dir holds, else MNIST, else drawn digits")
    add("--channels", type=int, choices=(1, 3), help="3: colour; grey is copied into all 3 (default 1; 3 for colour)")
    add = parser.add_argument_group("your own pictures").add_argument
    add("--size", type=bounded(int, 28, 128), help="side in pixels (default 64, or their own if less and all equal)")
    add("--fit", choices=CHOICES["fit"], help="how pictures are made square (default crop)")
    add("--background", metavar="COLOUR", help="colour behind transparent pixels (default white)")
    add("--balance", action="store_true", default=None, help="draw all labels equally often, however many pictures")
    add("--augment", choices=CHOICES["augment"], help="vary training pictures (default shift; flip mirrors, too)")

    add = parser.add_argument_group("the model").add_argument
    add("--latent-dim", type=bounded(int, *BOUNDS["latent_dim"]), help="size of z (default 20; by the pictures' side)")
    add("--width", type=bounded(int, *BOUNDS["width"]), help="multiplies the channels of all layers (default 1)")
    add("--likelihood", choices=CHOICES["likelihood"], help="default bernoulli (the article); in colour gaussian")

    add = parser.add_argument_group("the optimizer, and speed").add_argument
    add("-b", "--batch-size", "--nBatch", type=bounded(int, *BOUNDS["batch_size"]), help="images per step (default 64)")
    rate = bounded(float, 1e-12, 1e6)
    add("-r", "--learn-rate", "--learnRate", type=rate, help="Adam's rate (default 2e-3, less for larger networks)")
    add("--schedule", choices=CHOICES["schedule"], help="cosine: the rate falls to 0 over --steps (default constant)")
    add("--devices", type=bounded(int, 1, 1024), help="replicas: GPUs, else CPU cores (default: as many as help)")
    args = parser.parse_args(argv)
    if set(str(args.out)) & set("*?["):
        parser.error(f"--out {args.out}: TensorFlow takes *, ? and [ as patterns, and may delete what matches")
    if args.schedule == "cosine" and args.steps == 0:
        parser.error("--schedule cosine needs an end: give --steps")
    args.words = [word for word in (sys.argv[1:] if argv is None else argv) if word != "--fresh"]
    return args


if __name__ == "__main__":
    terminal.check_early(parse)  # a typing error or --help need not wait for TensorFlow's two seconds
startup.import_tensorflow()

import tensorflow as tf

import data
from engine.classifiers import digit_reader
from engine.drawing import training_grids
from engine.evaluation import best_checkpoint, likelihood
from engine.export.page import build
from engine.latent import likelihood_bounds, prior_cache
from engine.runs import directory
from engine.runs.options import fill_in
from engine.runs.tensorboard import weights_and_latents
from engine.training import batches, devices
from engine.training.loop import FusedAdam, Loop, batch_variance, learning_rate
from engine.training.run import Run
from model import CVAE, gaussian_kl

VALIDATION = 5_000  # most validation images per evaluation: all of MNIST's


def train(args: argparse.Namespace, run: Run, dataset: data.Dataset) -> int:
    """Train from the run's current step to its last one, then `finish`. Returns the exit status."""
    config = run.config
    strategy = devices.strategy(args.devices, config.batch_size, config.replicas)
    with strategy.scope():
        model = CVAE(**config.architecture)
        optimizer = FusedAdam(learning_rate(config), epsilon=1e-8)
        optimizer.build(model.trainable_variables)
    weights = model.trainable_variables
    run.restore(strategy, model, optimizer)  # the newest intact checkpoint, else --reload's weights, else nothing

    def step(x: tf.Tensor, y: tf.Tensor, eps: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Train on a replica's share of a batch: uint8 images (b, H, W, C), labels (b,), standard normal eps (b, L)."""
        x = tf.cast(x, tf.float32) / 255
        with tf.GradientTape() as tape:
            logits, mean, a = model(x, y, eps)
            nll = tf.reduce_sum(model.nll(x, logits, batch_variance(model, x, logits)))
            kl = tf.reduce_sum(gaussian_kl(mean, a))
            loss = nll + kl  # a sum over images, not a mean: the replicas' gradients add up to the batch's
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return nll, kl

    loop = Loop(strategy, step, batches.of(strategy, config, dataset.train))
    with terminal.Stop() as stop, terminal.Progress(args.steps, "step", run.step) as bar:
        while not run.stopped and (not args.steps or run.step < args.steps):
            if run.step % args.save_every == 0:
                save(run, dataset)
            run.advance(loop, stop, training_grids.EARLY)  # raises on NaN; all workers leave at the same step
            run.log(bar)
            run.save_timed()
            if run.is_chief and run.step in training_grids.EARLY:
                training_grids.write_fake(run.trained, "fake2")  # a frame of training.gif
        if run.stopped:
            return end_early(run, dataset)
        save(run, dataset)
    return finish(run, dataset)


def save(run: Run, dataset: data.Dataset) -> None:
    """Evaluate, draw, log, write a checkpoint. The checkpoint is last: a run killed before it repeats the save."""
    if not run.is_chief or (run.saved == run.step and training_grids.are_written(run.folder, run.step)):
        return
    run.check_weights()
    likelihood_bounds.fit_variance(run.model, dataset.validation, run.config.seed)
    images = dataset.validation.subset(VALIDATION, 0)
    validation = likelihood_bounds.elbo(run.model, images, run.config.seed, "validation")
    run.note_validation(validation["negative_elbo"])  # into best.json; raises if it is not finite
    training_grids.write_fake(run.trained, "fake1")
    training_grids.write_fake(run.trained, "fake2")
    training_grids.write_real(run.trained, dataset.validation)
    histograms = weights_and_latents(run.model, dataset.validation)
    scalars = {"loss": validation["negative_elbo"], "nll": validation["nll"], "kl": validation["kl"]}
    grids = {name: training_grids.path_of(run.folder, run.step, name) for name in ("fake1", "fake2", "real")}
    run.events.write("validation", run.step, scalars, histograms, grids)
    terminal.say(f"step {run.step:>7,}  validation −ELBO {terminal.number(scalars['loss'])} nats")
    run.save_checkpoint()


def end_early(run: Run, dataset: data.Dataset) -> int:
    """After Ctrl-C or SIGTERM, save and print how to resume. Returns the exit status."""
    if run.step % run.args.save_every == 0 or run.step == run.args.steps:
        save(run, dataset)  # where the checkpoint of such a step exists, its grids and events do, too
    elif run.is_chief:
        likelihood_bounds.fit_variance(run.model, dataset.validation, run.config.seed)
        run.save_checkpoint()
    if run.is_chief:
        run.say_stopped()
    return 128 + run.stopped


def finish(run: Run, dataset: data.Dataset) -> int:
    """After the last step, choose the checkpoint, test it, fit the prior and draw. Returns the exit status."""
    if run.is_chief:
        trained = best_checkpoint.choose(run.trained, dataset.validation.subset(VALIDATION, 0))
        likelihood.report_test_result(trained, dataset)
        training_grids.write_training_gif(run.folder)
        prior = prior_cache.load_or_fit(trained, lambda: dataset, needed=False)
        if prior.name == "label":
            training_grids.write_fake(trained, "fake1", prior)
            training_grids.write_fake(trained, "fake2", prior)
        build.write(trained, prior, run.folder / "explorer.html")
        run.say_finished(prior.name)
    return 0


@terminal.command
def main(argv: list[str] | None = None) -> int:
    args = parse(argv)
    existing = None if args.fresh else directory.existing_config(args.out)
    fill_in(args, existing)
    dataset = data.load(args.dataset, args.data_dir, args.channels, args.size, args.fit, args.background)
    digits = existing.digits if existing else digit_reader.are_digits(dataset)
    with Run.begin(args, config_for(args, dataset, digits, existing)) as run:
        if run.is_chief:
            print(*run.config.report, sep="\n")
        status = train(args, run, dataset)
        devices.wait_for_all(run.strategy)
    return status


if __name__ == "__main__":
    sys.exit(main())
