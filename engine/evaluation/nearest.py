"""How near what the model draws is to its training pictures: whether samples are new, or copies."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from engine.drawing.sampling import render
from engine.evaluation import statistics
from engine.evaluation.evaluated_run import EvaluatedRun
from engine.latent.likelihood_bounds import in_unit, posterior
from engine.random_streams import PRIOR

IMAGES = 500  # of each kind
BLOCK = 1_000  # training images compared at a time


def measure(subject: EvaluatedRun) -> dict:
    """The distance to the nearest training picture, root mean square over pixels in 0–1: mean and standard error.

    Of samples from the label prior, of reconstructions from q's mean, and of the test images themselves.
    """
    model, (images, y) = subject.trained.model, subject.measured.subset(IMAGES, subject.seed)
    kinds = {"test": images, "reconstructions": render(model, posterior(model, images, y)[0], y)}
    kinds["samples"] = render(model, subject.latents(y, PRIOR, subject.prior), y)
    return {name: statistics.average(_distances(x, subject.train.images)) for name, x in kinds.items()}


def _distances(images: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Of each image (n, H, W, C) to the nearest of `train`. (n,)"""
    x = in_unit(images).reshape(len(images), -1)
    nearest = np.full(len(x), np.inf)
    for i in range(0, len(train), BLOCK):
        others = in_unit(np.asarray(train[i : i + BLOCK])).reshape(-1, x.shape[1])
        square = (x**2).sum(1)[:, None] - 2 * tf.matmul(x, others, transpose_b=True).numpy() + (others**2).sum(1)
        nearest = np.minimum(nearest, square.min(1))
    return np.sqrt(np.maximum(nearest, 0) / x.shape[1])
