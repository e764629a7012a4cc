"""Evaluate a trained run: print a summary and a table, write metrics.json and evaluation/*.png in the run's folder.

python evaluate.py                   the run in out/, two or three minutes on two cores
python evaluate.py --quick           fewer images, less training: half a minute, wider intervals
python evaluate.py --run out/long --checkpoint out/long/model.ckpt-30000

Likelihoods are in nats per image, means over test images ± standard error. Proportions have 95% Wilson intervals.
The evaluation classifier, which classifies the samples, is trained once per data set and cached for the user.
"""

import argparse
import math
import platform
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from engine import startup, terminal
from engine.config import Config
from engine.runs.options import add_run_flags, or_reference


class Size(NamedTuple):
    """The amounts of images, draws and training of an evaluation."""

    images: int  # test images, at most
    k: int  # z per image in the likelihood
    label_k: int  # z per image and label in the Bayes classifier
    samples: int  # per label
    classifier: tuple[int, int]  # training images and epochs of the evaluation classifier
    probe: int  # training images whose z the probes are trained on


ALL = 10**9
PAIRS = 100_000  # limit on (image, label) pairs where every image is combined with every label
SIZES = {
    "quick": Size(1_500, 20, 5, 200, (20_000, 2), 5_000),
    "default": Size(10_000, 100, 10, 1_000, (ALL, 6), ALL),
}


def fitting(size: Size, config: Config) -> Size:
    """Reduce the amounts for large images, wide networks or many labels, to the work of MNIST in colour at most."""
    work = max(1.0, math.prod(config.image_shape) * config.width / (28 * 28 * 3))
    few = int(60_000 / work)
    return size._replace(
        images=min(size.images, max(1_000, few // 6)),
        samples=min(size.samples, max(20, few // (6 * config.num_labels))),
        classifier=(min(size.classifier[0], max(5_000, few)), size.classifier[1]),
        probe=min(size.probe, max(5_000, few)),
    )


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = terminal.Parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="half a minute: fewer images and less training")
    add_run_flags(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    terminal.check_early(parse)  # usage errors and --help do not wait two seconds for TensorFlow
startup.import_tensorflow()

import keras
import numpy as np
import tensorflow as tf

import data
from engine.classifiers import networks
from engine.dataset import Split
from engine.drawing import sheets
from engine.evaluation import latents, likelihood, redrawing, samples, statistics
from engine.latent import prior_cache
from engine.latent.prior import STANDARD_NORMAL, Prior
from engine.runs import directory, trained_model
from engine.runs.trained_model import Trained


@terminal.command
def main(argv: list[str] | None = None) -> int:
    args, began = parse(argv), time.monotonic()
    mode = "quick" if args.quick else "default"
    run = trained_model.load(or_reference(args.run, say=True), args.checkpoint)  # results go to --run
    dataset = data.of_run(run.config, args.data_dir)
    print(f"{dataset.title}, step {run.step:,} of {run.folder}, {mode} evaluation, seed {args.seed}")

    size = fitting(SIZES[mode], run.config)
    test = dataset.test
    if not len(test.labels):
        print("there are no test images: the validation images are used, which also chose the label prior")
        test = dataset.validation
    test = test.subset(size.images, args.seed)
    prior = prior_cache.load_or_fit(run, lambda: dataset)
    config, versions = run.config, {lib.__name__: lib.__version__ for lib in (tf, keras, np)}
    fields = run.about(config=config.digest, fingerprint=config.fingerprint, label_names=config.names, mode=mode)
    fields |= {"seed": args.seed, "versions": {"python": platform.python_version(), **versions}}
    results = measure(run, prior, dataset.train, test, size, args.seed)
    directory.merge_metrics(args.run, config, {"evaluate": statistics.tidy(fields | results)})
    pictures = {"swap": redrawing.swap(run, test, prior), "reconstructions": redrawing.reconstructions(run, test)}
    for name, picture in pictures.items():
        path = args.run / "evaluation" / f"{name}.png"
        sheets.write_png(path, picture, run.about(picture=name, seed=args.seed))
    show(results, config.names)
    print(f"\nin {time.monotonic() - began:.0f} s → {args.run / 'metrics.json'} and {args.run / 'evaluation'}/*.png")
    return 0


def measure(run: Trained, label_prior: Prior, train: Split, test: Split, size: Size, seed: int) -> dict:
    """Measure everything, one call per line. Returns the results by name."""
    model, priors = run.model, {"standard": STANDARD_NORMAL, "label_prior": label_prior}
    results = {"likelihood": likelihood.measure(model, test, priors, size.k, seed)}
    if model.num_labels == 1:  # there is nothing to classify
        return results
    few = test.subset(max(100, PAIRS // model.num_labels), seed)
    classifier = networks.evaluation_classifier(run.config, train, *size.classifier)
    results["evaluation_classifier"] = statistics.wilson(networks.read(classifier, test.images) == test.labels)
    for key, prior in priors.items():
        results[f"samples_{key}"] = samples.measure(model, classifier, size.samples, prior, seed)
        results[f"swap_{key}"] = redrawing.measure_swap(model, classifier, few, prior)
    results["nearest_training_picture"] = samples.measure_nearest(model, train, test, label_prior, seed)
    results["latents"] = latents.measure(model, train, test, size.probe, seed)
    results["bayes_classifier"] = likelihood.measure_bayes_classifier(model, few, priors, size.label_k, seed)
    return results


def show(results: dict, names: Sequence[str]) -> None:
    """Print a summary in three sentences, then a table."""
    several, nats = len(names) > 1, results["likelihood"]
    if several:
        drawn = results["samples_standard"], results["samples_label_prior"]
        standard, label_prior = (f"{under['accuracy']:.1%}" for under in drawn)
        real = results["evaluation_classifier"]["accuracy"]
        print(f"\n{label_prior} of samples are classified as the label asked for ({standard} with z ~ N(0, I)).")
        print(f"{real:.1%} of real test images are classified right.")
    priors = nats["standard"], nats["label_prior"]
    standard, label_prior = (terminal.number(under["negative_elbo"]["mean"]) for under in priors)
    print(f"The −ELBO of a test image is {standard} nats under N(0, I), and {label_prior} under the label prior.")
    print(f"\n{'':44}{'N(0, I)':>24}{'label prior':>24}")
    row(f"nats per image, {nats['images']:,} images × {nats['z_per_image']:,} z")
    terms = {"negative_elbo": "−ELBO", "nll": "  = NLL", "kl": "  + KL", "negative_importance_weighted": "−ln p(x|y) ≤"}
    for key, name in terms.items():
        row(name, *(under[key] for under in priors))
    print(f"  reconstructions from q's mean: root mean square error {nats['reconstruction_rmse']:.4f}, pixels in 0–1")
    if not several:
        return
    row("classified as the label asked for, or right")
    row(f"samples, {drawn[0]['n']:,}", *drawn)
    per_label = drawn[1]["per_label"]
    for label in sorted(per_label, key=lambda label: per_label[label]["accuracy"])[:3]:
        row(f"  {names[label][:30]}", *(under["per_label"][label] for under in drawn))
    swapped = results["swap_standard"], results["swap_label_prior"]
    row("swap: a test image under other labels", *(under["new_label"] for under in swapped))
    bayes, latent = results["bayes_classifier"], results["latents"]
    row(f"Bayes classifier, {bayes['z_per_label']} z per label", bayes["standard"], bayes["label_prior"])
    row("z: is the label in it?")
    row(f"linear probe (most frequent {latent['probe']['majority']:.1%})", latent["probe"]["linear"])
    row("small MLP", latent["probe"]["mlp"])
    kl = sorted(latent["kl_per_dimension"]["values"], reverse=True)
    largest = " ".join(f"{value:.1f}" for value in kl[:8]) + (" …" if len(kl) > 8 else "")
    active = f"{latent['active_units']['active']} of {len(kl)} units active"
    print(f"  {active}; KL of each in nats, largest first: {largest}")
    near = ", ".join(f"{name} {value['mean']:.3f}" for name, value in results["nearest_training_picture"].items())
    print(f"  rms distance to the nearest training picture: {near}")


def row(name: str, *values: dict) -> None:
    """Print a row of the table, or a heading if there are no values."""
    print(f"  {name:<42}" + "".join(f"{cell(value):>24}" for value in values) if values else name)


def cell(value: dict) -> str:
    """Format a proportion and its interval, or a mean and its standard error."""
    if "accuracy" in value:
        return f"{value['accuracy']:.2%} ({value['low']:.1%}–{value['high']:.1%})"
    size = abs(value["mean"])  # of a Gaussian log-likelihood any, since it is a density's
    digits = 3 if size < 1 else 2 if size < 1000 else 0
    return f"{terminal.number(value['mean'], digits)} ± {value['se']:.{digits}f}"


if __name__ == "__main__":
    sys.exit(main())
