"""Measure samples: whether they show the label asked for, and whether they are copies of training pictures."""

import keras
import numpy as np
import tensorflow as tf

from engine import random_streams
from engine.classifiers import networks
from engine.dataset import Split
from engine.drawing.sampling import render
from engine.evaluation import statistics
from engine.latent.likelihood_bounds import in_unit, posterior
from engine.latent.prior import Prior
from engine.random_streams import PRIOR
from model import CVAE

IMAGES = 500  # images of each kind whose distance to the training pictures is measured
BLOCK = 1_000  # training images compared at a time


def measure(model: CVAE, classifier: keras.Model, count: int, prior: Prior, seed: int) -> dict:
    """Draw `count` samples of each label; return the share classified as the label asked for, overall and per label."""
    asked = np.repeat(np.arange(model.num_labels), count)
    right = networks.read(classifier, _drawn(model, asked, prior, seed)) == asked
    per_label = {label: statistics.wilson(right[asked == label]) for label in range(model.num_labels)}
    return {**statistics.wilson(right), "per_label": per_label}


def _drawn(model: CVAE, y: np.ndarray, prior: Prior, seed: int) -> np.ndarray:
    """Draw a sample of each label: (n,) → uint8 (n, H, W, C). The noise is the same for every prior."""
    eps = random_streams.normal((len(y), model.latent_dim), seed, "evaluate", PRIOR)
    z = prior.sample(y, eps, random_streams.uniform(len(y), seed, "evaluate", PRIOR))
    return render(model, np.float32(z), y)


def measure_nearest(model: CVAE, train: Split, test: Split, prior: Prior, seed: int) -> dict:
    """Measure the RMS distance to the nearest training picture, pixels in 0–1: mean and standard error.

    It is measured for samples from the prior, reconstructions from q's mean, and the test images themselves.
    """
    images, y = test.subset(IMAGES, seed)
    kinds = {"test": images, "reconstructions": render(model, posterior(model, images, y)[0], y)}
    kinds["samples"] = _drawn(model, y, prior, seed)
    return {name: statistics.average(_distances(x, train.images)) for name, x in kinds.items()}


def _distances(images: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return the RMS distance of each image (n, H, W, C) to the nearest of `train`. (n,)"""
    x = in_unit(images).reshape(len(images), -1)
    nearest = np.full(len(x), np.inf)
    for i in range(0, len(train), BLOCK):
        others = in_unit(np.asarray(train[i : i + BLOCK])).reshape(-1, x.shape[1])
        square = (x**2).sum(1)[:, None] - 2 * tf.matmul(x, others, transpose_b=True).numpy() + (others**2).sum(1)
        nearest = np.minimum(nearest, square.min(1))
    return np.sqrt(np.maximum(nearest, 0) / x.shape[1])
