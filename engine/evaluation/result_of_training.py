"""The test result of train.py: −ELBO, NLL and KL of the test images, kept in metrics.json."""

from __future__ import annotations

from engine.dataset import Dataset
from engine.latent import likelihood_bounds
from engine.runs import metrics
from engine.runs.trained_model import Trained
from engine.terminal import say

IMAGES = 10_000  # at most: MNIST's number; of a larger set as many


def report(run: Trained, dataset: Dataset) -> None:
    """Print the test result of this step; it is measured once, and kept in metrics.json."""
    if not len(dataset.test.labels):
        say("there are no test images, so there is no test result")
        return
    result = metrics.read(run.folder).get("test")
    if not is_result(result, run):
        images = dataset.test.subset(IMAGES, 0)
        result = {"dataset": dataset.name, "config": run.config.digest, "unit": "nats per image", "step": run.step}
        result |= {"images": len(images[1])} | likelihood_bounds.elbo(run.model, images, run.config.seed, "test")
        metrics.merge(run.folder, run.config, {"test": result})
    terms = f"{result['negative_elbo']:.2f} nats = NLL {result['nll']:.2f} + KL {result['kl']:.2f}"
    say(f"test −ELBO {terms}, the mean of {result['images']:,} images")


def is_result(entry: object, run: Trained) -> bool:
    """Whether an entry of metrics.json is the test result of this run at this step, and can be printed."""
    if not isinstance(entry, dict) or entry.get("step") != run.step or not run.config.matches(entry.get("config")):
        return False
    return all(isinstance(entry.get(key), int | float) for key in ("images", "negative_elbo", "nll", "kl"))
