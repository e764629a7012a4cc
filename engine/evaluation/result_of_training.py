"""The test result of train.py: −ELBO, NLL and KL of the test images, kept in metrics.json."""

from __future__ import annotations

from engine.dataset import Dataset
from engine.latent import likelihood_bounds
from engine.runs import metrics
from engine.runs.trained_model import Trained
from engine.terminal import say

IMAGES = 10_000  # at most: MNIST's number; of a larger set as many


def report(run: Trained, dataset: Dataset) -> None:
    """Measure the test result of this step, print it, and keep it in metrics.json."""
    if not len(dataset.test.labels):
        say("there are no test images, so there is no test result")
        return
    images = dataset.test.subset(IMAGES, 0)
    result = likelihood_bounds.elbo(run.model, images, run.config.seed, "test")
    about = {"dataset": dataset.name, "config": run.config.digest, "unit": "nats per image", "step": run.step}
    metrics.merge(run.folder, run.config, {"test": about | {"images": len(images.labels)} | result})
    terms = f"{result['negative_elbo']:.2f} nats = NLL {result['nll']:.2f} + KL {result['kl']:.2f}"
    say(f"test −ELBO {terms}, the mean of {len(images.labels):,} images")
