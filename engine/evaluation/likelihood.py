"""The likelihood of test images, and the Bayes classifier that follows from it; the test result of training."""

import functools

import numpy as np

from engine.dataset import Dataset, Split
from engine.evaluation import statistics
from engine.latent.likelihood_bounds import bounds, elbo, squared_error
from engine.latent.prior import Prior
from engine.random_streams import normal
from engine.runs import directory
from engine.runs.trained_model import Trained
from engine.terminal import Progress, number, say
from model import CVAE

TEST_IMAGES = 10_000  # test images measured at most: all of MNIST's, a subset of a larger set


def measure(model: CVAE, test: Split, priors: dict[str, Prior], k: int, seed: int) -> dict:
    """Measure −ELBO, NLL, KL and the importance-weighted bound with `k` z per image, under each prior."""
    images, y = test
    noise = functools.partial(normal, (len(y), model.latent_dim), seed, "evaluate")  # of draw number 0, 1, …
    with Progress(k, "likelihood: z") as bar:
        measured = bounds(model, images, y, k, noise, list(priors.values()), bar.advance)
    result = {"unit": "nats per image", "images": len(y), "z_per_image": k}
    for name, under in zip(priors, measured, strict=True):
        values = {"negative_elbo": under.nll + under.kl, "nll": under.nll, "kl": under.kl}
        values["negative_importance_weighted"] = -under.iw
        result[name] = {key: statistics.average(value) for key, value in values.items()}
    return result | {"reconstruction_rmse": float(np.sqrt(np.mean(squared_error(model, images, y))))}


def measure_bayes_classifier(model: CVAE, test: Split, priors: dict[str, Prior], k: int, seed: int) -> dict:
    """Classify images by the label with the highest bound on ln p(x|y), `k` z each; return each prior's accuracy."""
    images, y = test
    noise = functools.partial(normal, (len(y), model.latent_dim), seed, "evaluate")  # the same under every label
    log_p = []
    with Progress(model.num_labels * k, "Bayes classifier: z") as bar:
        for label in range(model.num_labels):
            result = bounds(model, images, np.full(len(y), label), k, noise, list(priors.values()), bar.advance)
            log_p.append([bound.iw for bound in result])
    read = np.argmax(log_p, axis=0)  # (2, N)
    return {"z_per_label": k} | {name: statistics.wilson(r == y) for name, r in zip(priors, read, strict=True)}


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
