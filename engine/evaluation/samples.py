"""Measure samples: whether they show the label asked for, and whether they are copies of training pictures."""

import keras
import numpy as np
import tensorflow as tf

from engine.classifiers import networks
from engine.drawing.sampling import render
from engine.evaluation import statistics
from engine.evaluation.evaluated_run import EvaluatedRun
from engine.latent.likelihood_bounds import in_unit, posterior
from engine.latent.prior import Prior
from engine.random_streams import PRIOR

IMAGES = 500  # images of each kind whose distance to the training pictures is measured
BLOCK = 1_000  # training images compared at a time


def draw(
    subject: EvaluatedRun, classifier: keras.Model, count: int, prior: Prior
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw `count` samples of each label: images uint8 (N, H, W, C), labels (N,), the classifier's p (N, labels)."""
    asked = np.repeat(np.arange(subject.trained.model.num_labels), count)
    images = render(subject.trained.model, subject.latents(asked, PRIOR, prior), asked)
    return images, asked, networks.read(classifier, images)


def measure(asked: np.ndarray, p: np.ndarray) -> dict:
    """Return the share of samples classified as the label asked for, overall and per label."""
    right = p.argmax(1) == asked
    per_label = {label: statistics.wilson(right[asked == label]) for label in np.unique(asked)}
    return {**statistics.wilson(right), "per_label": per_label}


def write_misread(subject: EvaluatedRun, name: str, images: np.ndarray, asked: np.ndarray, p: np.ndarray) -> None:
    """Write <name>.png: for every label, the ten samples to which the classifier gives it the lowest probability."""
    order = np.argsort(p[np.arange(len(p)), asked], kind="stable")
    labels = np.unique(asked)[:50]
    worst = np.stack([order[asked[order] == label][:10] for label in labels], axis=1)  # (10, labels)
    titles = [subject.names[label] for label in labels]
    subject.write(name, images[worst], titles, columns="label asked for, the least convincing first")


def measure_nearest(subject: EvaluatedRun) -> dict:
    """Measure the RMS distance to the nearest training picture, pixels in 0–1: mean and standard error.

    It is measured for samples from the label prior, reconstructions from q's mean, and the test images themselves.
    """
    model, (images, y) = subject.trained.model, subject.test.subset(IMAGES, subject.seed)
    kinds = {"test": images, "reconstructions": render(model, posterior(model, images, y)[0], y)}
    kinds["samples"] = render(model, subject.latents(y, PRIOR, subject.prior), y)
    return {name: statistics.average(_distances(x, subject.train.images)) for name, x in kinds.items()}


def _distances(images: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Return the RMS distance of each image (n, H, W, C) to the nearest of `train`. (n,)"""
    x = in_unit(images).reshape(len(images), -1)
    nearest = np.full(len(x), np.inf)
    for i in range(0, len(train), BLOCK):
        others = in_unit(np.asarray(train[i : i + BLOCK])).reshape(-1, x.shape[1])
        square = (x**2).sum(1)[:, None] - 2 * tf.matmul(x, others, transpose_b=True).numpy() + (others**2).sum(1)
        nearest = np.minimum(nearest, square.min(1))
    return np.sqrt(np.maximum(nearest, 0) / x.shape[1])
