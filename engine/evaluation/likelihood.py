"""The likelihood of test images, and the Bayes classifier that follows from it; the test result of training."""

import functools

import numpy as np

from engine.dataset import Dataset
from engine.evaluation import statistics
from engine.evaluation.evaluated_run import EvaluatedRun
from engine.latent.likelihood_bounds import Bounds, bounds, elbo, squared_error
from engine.latent.prior import STANDARD_NORMAL
from engine.runs import directory
from engine.runs.trained_model import Trained
from engine.terminal import Progress, number, say

TEST_IMAGES = 10_000  # test images measured at most: all of MNIST's, a subset of a larger set


def measure(subject: EvaluatedRun, k: int) -> dict:
    """Measure −ELBO, NLL, KL and the importance-weighted bound with `k` z per image, under N(0, I) and label prior."""
    model, (images, y) = subject.trained.model, subject.test
    priors = {"standard": STANDARD_NORMAL, "label_prior": subject.prior}
    noise = functools.partial(subject.normal, len(y))  # of draw number 0, 1, …
    with Progress(k, "likelihood: z") as bar:
        measured = bounds(model, images, y, k, noise, list(priors.values()), bar.advance)
    result = {name: _averages(under) for name, under in zip(priors, measured, strict=True)}
    rmse = float(np.sqrt(np.mean(squared_error(model, images, y))))
    return {"unit": "nats per image", "images": len(y), "z_per_image": k, **result, "reconstruction_rmse": rmse}


def _averages(under: Bounds) -> dict:
    """Return means and standard errors under one prior."""
    values = {"negative_elbo": under.nll + under.kl, "nll": under.nll, "kl": under.kl}
    values["negative_importance_weighted"] = -under.iw
    return {key: statistics.average(value) for key, value in values.items()}


def measure_bayes_classifier(subject: EvaluatedRun, k: int) -> dict:
    """Classify test images by the label with the highest bound on ln p(x|y), `k` z each; return the accuracy."""
    model, priors = subject.trained.model, {"standard": STANDARD_NORMAL, "label_prior": subject.prior}
    images, y = subject.for_every_label()
    log_p, noise = [], functools.partial(subject.normal, len(y))  # the same noise under every label
    with Progress(model.num_labels * k, "Bayes classifier: z") as bar:
        for label in range(model.num_labels):
            result = bounds(model, images, np.full(len(y), label), k, noise, list(priors.values()), bar.advance)
            log_p.append([bound.iw for bound in result])
    read = np.argmax(log_p, axis=0)  # (2, N)
    return {
        "z_per_label": k,
        **{name: statistics.wilson(labels == y) for name, labels in zip(priors, read, strict=True)},
    }


def report_test_result(run: Trained, dataset: Dataset) -> None:
    """Measure the −ELBO of the test images at this step, print it, and store it in metrics.json."""
    if not len(dataset.test.labels):
        say("there are no test images, so there is no test result")
        return
    images = dataset.test.subset(TEST_IMAGES, 0)
    result = elbo(run.model, images, run.config.seed, "test")
    fields = {"dataset": dataset.name, "config": run.config.digest, "unit": "nats per image", "step": run.step}
    directory.merge_metrics(run.folder, run.config, {"test": fields | {"images": len(images.labels)} | result})
    terms = f"{number(result['negative_elbo'])} nats = NLL {number(result['nll'])} + KL {result['kl']:.2f}"
    say(f"test −ELBO {terms}, the mean of {len(images.labels):,} images")
