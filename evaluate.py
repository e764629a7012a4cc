"""How good is this model? A table on the terminal, metrics.json and evaluation/*.png in the run's folder.

python evaluate.py                   the run in out/, a minute or two on two cores
python evaluate.py --quick           fewer images, less training: half a minute, wider intervals
python evaluate.py --full            the importance-weighted bound with k = 5,000 instead of 100
python evaluate.py --run out/long --checkpoint out/long/model.ckpt-30000

Likelihoods are in nats per image, means over test images ± standard error. Intervals of proportions are Wilson's, 95%.
The evaluation classifier, which reads the samples, is trained once per data set and kept in the user's cache folder.
"""

from __future__ import annotations

import argparse
import math
import platform
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

from engine import startup, terminal
from engine.config import Config
from engine.runs.options import add_run_flags, say_which


class Size(NamedTuple):
    """How much of everything a mode does."""

    images: int  # test images
    k: int  # z per image in the likelihood
    label_k: int  # z per image and label in the Bayes classifier
    samples: int  # per label and temperature
    classifier: tuple[int, int]  # training images and epochs of the evaluation classifier
    score: tuple[int, int]  # the same of the networks of the classification accuracy score
    probe: int  # training images whose z the probes learn from


ALL = 10**9
SIZES = {
    "quick": Size(2_000, 20, 5, 200, (30_000, 2), (10_000, 2), 10_000),
    "default": Size(ALL, 100, 10, 1_000, (ALL, 6), (30_000, 3), ALL),
    "full": Size(ALL, 5_000, 100, 1_000, (ALL, 6), (ALL, 6), ALL),
}


def fitting(size: Size, config: Config) -> Size:
    """The same or less for larger images, wider networks or more labels: no more work than MNIST's in colour."""
    work = max(1.0, math.prod(config.image_shape) * config.width / (28 * 28 * 3))
    few = int(60_000 / work)
    return size._replace(
        images=min(size.images, max(1_000, few // 6)),
        samples=min(size.samples, max(20, few // (6 * config.num_labels))),
        classifier=(min(size.classifier[0], max(5_000, few)), size.classifier[1]),
        score=(min(size.score[0], max(2_000, few // 2)), size.score[1]),
        probe=min(size.probe, max(5_000, few)),
    )


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    parser = terminal.Parser(__doc__)
    mode = parser.add_mutually_exclusive_group().add_argument
    mode(
        "--quick",
        dest="mode",
        action="store_const",
        const="quick",
        default="default",
        help="half a minute: less of all",
    )
    mode("--full", dest="mode", action="store_const", const="full", help="k = 5,000 z per image: 20 minutes")
    add_run_flags(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    terminal.check_early(parse)  # a typing error or --help need not wait for TensorFlow's two seconds
startup.import_tensorflow()

import keras
import numpy as np
import tensorflow as tf

import data
from engine.evaluation import (
    bayes_classifier,
    evaluation_classifier,
    latents,
    likelihood,
    reconstructions,
    samples,
    swap,
)
from engine.evaluation.statistics import tidy
from engine.evaluation.subject import Subject
from engine.latent import prior_cache
from engine.latent.prior import STANDARD_NORMAL
from engine.runs import metrics, trained_model


@terminal.command
def main(argv: list[str] | None = None) -> int:
    args, began = parse(argv), time.monotonic()
    run = trained_model.load(say_which(args.run), args.checkpoint)  # results go to --run: the shipped run is only read
    dataset = data.of_run(run.config, args.data_dir)
    print(f"{dataset.title}, step {run.step:,} of {run.folder}, {args.mode} evaluation, seed {args.seed}")

    size = fitting(SIZES[args.mode], run.config)
    test = dataset.test
    if not len(test.labels):
        print("there are no test images: measured on the validation images, which chose the label prior, too")
        test = dataset.validation
    test = test.subset(10_000, args.seed)  # MNIST's number; of a larger set as many
    prior = prior_cache.load_or_fit(run, lambda: dataset, keep=run.folder == args.run and prior_cache.of_newest(run))
    subject = Subject(run, prior, dataset.train, test, test.subset(size.images, args.seed), args.seed, args.run)
    config, versions = run.config, {lib.__name__: lib.__version__ for lib in (tf, keras, np)}
    about = {"run": run.folder.resolve().name, "config": config.digest, "step": run.step, "dataset": dataset.name}
    about |= {"fingerprint": dataset.fingerprint, "label_names": config.names, "mode": args.mode, "seed": args.seed}
    about["versions"] = {"python": platform.python_version(), **versions}
    results = tidy(about | measure(subject, size))
    metrics.merge(run.into(args.run), run.config, {"evaluate": results})
    print(f"\nin {time.monotonic() - began:.0f} s → {args.run / 'metrics.json'} and {args.run / 'evaluation'}/*.png")
    return 0


def measure(subject: Subject, size: Size) -> dict:
    """Measure, print and write the pictures, section by section. Returns the results."""
    results = {}
    results["likelihood"], excess = likelihood.measure(subject, size.k)
    reconstructions.write_worst(subject, excess)
    show_likelihood(results["likelihood"], subject.names)
    if len(subject.names) == 1:
        reconstructions.write(subject)
        print("\nOne label: nothing is to be told apart, so this is all.")
        return results

    classifier = evaluation_classifier.load_or_train(subject, *size.classifier)
    results["judge"] = evaluation_classifier.measure(subject, classifier)  # the key that older files have
    for ending, prior in ("", STANDARD_NORMAL), ("_by_label_prior", subject.prior):
        of_prior, drawn = samples.measure(subject, classifier, size.samples, prior)
        of_prior["diversity"] = samples.variety(drawn, subject.measured, classifier)
        results[f"samples{ending}"] = of_prior
        samples.write_misread(subject, drawn, f"misread{ending}")
    results["train_on_generated"] = samples.train_on_generated(subject, *size.score)
    show_samples(results, subject.names)

    results["latents"] = latents.measure(subject, size.probe)
    latents.write_traversal(subject, results["latents"]["kl_per_dimension"]["values"])
    results["swap"] = swap.measure(subject, classifier, STANDARD_NORMAL)
    results["swap_through_label_prior"] = swap.measure(subject, classifier, subject.prior)
    swap.write(subject)
    reconstructions.write(subject)
    show_latents(results["latents"], results["swap"], results["swap_through_label_prior"])

    results["free_classifier"] = bayes_classifier.measure(subject, size.label_k)  # an old key, too
    show_classifier(results["free_classifier"])
    return results


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[str | dict]]) -> None:
    """Print a section: the title, the columns' heads, and rows of a name and cells. A proportion fills two cells."""
    print(f"\n{title}\n{'':30}" + "".join(f"{column:>17}" for column in columns))
    for name, *values in rows:
        cells = [cell for value in values for cell in ([value] if isinstance(value, str) else percentages(value))]
        print(f"  {name:<28}" + "".join(f"{cell:>17}" for cell in cells))


def percentages(p: dict) -> tuple[str, str]:
    return f"{p['accuracy']:.2%}", f"{p['low']:.2%} – {p['high']:.2%}"


def worst(values: dict[int, float]) -> list[int]:
    """The labels in their order; of many only the twelve with the highest values."""
    return sorted(sorted(values, key=lambda label: -values[label])[:12])


def show_likelihood(results: dict, names: Sequence[str]) -> None:
    def row(name: str, columns: dict) -> list[str]:
        keys = ("negative_elbo", "nll", "kl", "negative_importance_weighted")
        form = ".2f" if abs(columns["nll"]["mean"]) < 1000 else ".0f"  # a Gaussian's are densities, of any size
        return [name, *(f"{columns[key]['mean']:{form}} ± {columns[key]['se']:{form}}" for key in keys)]

    rows = []
    for key, by_label_prior in results["label_prior"].items():
        rows.append(row(key.replace("_", " ").replace(" per", ", per"), results[key]))
        rows.append(row("  by the label prior", by_label_prior))
    main = results[next(iter(results["label_prior"]))]
    labels = worst({label: columns["negative_elbo"]["mean"] for label, columns in main["per_label"].items()})
    rows += [row(f"  label {names[label][:20]}", main["per_label"][label]) for label in labels]
    title = f"1. Likelihood: nats per image, {results['images']:,} test images × {results['z_per_image']:,} z"
    show(title, ("−ELBO", "= NLL", "+ KL", "−ln p(x|y) ≤"), rows)
    if main["least_nll_possible"]:
        print(f"  (no model can have an NLL below {main['least_nll_possible']:.2f} on these grey targets)")
    print(f"  reconstructed from q's mean: error {results['reconstruction_rmse']:.4f} of the range, root mean square")


def show_samples(results: dict, names: Sequence[str]) -> None:
    priors, score = (results["samples"], results["samples_by_label_prior"]), results["train_on_generated"]
    temperatures, judge = priors[0]["per_temperature"], results["judge"]
    means = [prior["diversity"]["mean"] for prior in priors]
    labels = worst({label: -p["accuracy"] for label, p in priors[1]["per_label"].items()})
    trained = f"train on {score['training_images']:,} generated"
    rows = [
        *((f"samples, temperature {t}", *(p["per_temperature"][t] for p in priors)) for t in temperatures),
        ("variety, test images = 1", *(cell for m in means for cell in ("" if m is None else f"{m:.2f}", ""))),
        (trained, score["generated"], score["generated_by_label_prior"]),
        ("  the same, real (ceiling)", score["real"]),
        ("classifier, on test images", judge["test_images"]),
        ("  on the same, blurred", judge["blurred_test_images"]),
        *((f"  asked for {names[label][:17]}", *(p["per_label"][label] for p in priors)) for label in labels),
    ]
    title = f"2. Is the label asked for the label drawn? {temperatures[1.0]['n']:,} a line"
    show(title, ("N(0, I)", "95% interval", "label prior", "95% interval"), rows)
    if judge["test_images"]["accuracy"] < 0.6:
        print("  The classifier misreads too many test images: what it reads of samples means little here.")


def show_latents(results: dict, swapped: dict, moved: dict) -> None:
    probe, units, q = results["probe"], results["active_units"], results["aggregate_posterior"]
    proportions = [
        (f"linear probe (majority {probe['majority']:.1%})", probe["linear"]),
        ("MLP probe", probe["mlp"]),
        ("swap: read as the new label", swapped["new_label"]),
        ("  moved through the prior", moved["new_label"]),
        ("  as its own, reconstructed", swapped["own_label"]),
    ]
    rows = [(name, p, f"{p['n']:,}") for name, p in proportions]
    show("3. Does z carry style and not class?", ("accuracy", "95% interval", "of"), rows)
    kl = sorted(results["kl_per_dimension"]["values"], reverse=True)
    largest = " ".join(f"{value:.1f}" for value in kl[:10]) + (" …" if len(kl) > 10 else "")
    print(f"  {units['active']} of {units['of']} units active; KL per unit, largest first: {largest}")
    mean, variance = np.abs(q["mean_per_dimension"]).max(), q["variance_per_dimension"]
    print(
        f"  aggregate posterior: |mean| ≤ {mean:.2f}, variance {min(variance):.2f} – {max(variance):.2f}, "
        f"|covariance| ≤ {q['largest_covariance']:.2f} (prior: 0, 1, 0)"
    )


def show_classifier(results: dict) -> None:
    rows = []
    for key, name in ("elbo", "ELBO"), ("importance_weighted", "importance-weighted bound"):
        for p, text in (results[key], name), (results["label_prior"][key], "  by the label prior"):
            rows.append((text, p, f"{p['mean_confidence']:.2%}", f"{p['ece']:.4f}"))
    title = f"4. Bayes classifier: argmax over y of a bound on ln p(x|y), {results['z_per_label']} z per label"
    show(title, ("accuracy", "95% interval", "confidence", "ECE, 15 bins"), rows)


if __name__ == "__main__":
    sys.exit(main())
