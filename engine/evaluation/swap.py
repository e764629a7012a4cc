"""Swap labels: encode test images, decode their z under every label, and classify the results."""

import keras
import numpy as np

from engine.classifiers import networks
from engine.drawing.sampling import moved, render
from engine.evaluation import statistics
from engine.evaluation.evaluated_run import SHOWN, EvaluatedRun
from engine.latent.likelihood_bounds import BATCH, posterior
from engine.latent.prior import Prior
from engine.terminal import Progress


def measure(subject: EvaluatedRun, classifier: keras.Model, prior: Prior) -> dict:
    """Decode the mean z of test images under every label; return how often the new label is recognised.

    Args:
        prior: maps z from the old label to the new one; N(0, I) leaves z unchanged.
    """
    model = subject.trained.model
    labels = np.arange(model.num_labels)
    images, y = subject.for_every_label()
    mean, _ = posterior(model, images, y)
    read = []
    with Progress(len(y), "swap: digit") as bar:
        for i in range(0, len(y), BATCH):
            drawn = _under(labels, subject, mean[i : i + BATCH], y[i : i + BATCH], prior)
            p = networks.read(classifier, drawn.reshape(-1, *model.image_shape))
            read.append(p.argmax(1).reshape(-1, len(labels)))
            bar.advance(len(drawn))
    hits = np.concatenate(read) == labels  # (N, labels)
    own = y[:, None] == labels
    return {
        "new_label": statistics.wilson(hits[~own]),
        "own_label": statistics.wilson(hits[own]),
        "per_new_label": {label: statistics.wilson(hits[y != label, label]) for label in labels if (y != label).any()},
    }


def write(subject: EvaluatedRun) -> None:
    """Write swap.png: a row per label with its first test image, followed by all labels drawn in that image's style."""
    images, y = subject.measured
    labels = np.arange(subject.trained.model.num_labels)[:SHOWN]
    first = np.array([index for label in labels for index in np.flatnonzero(y == label)[:1]])
    mean, _ = posterior(subject.trained.model, images[first], y[first])
    drawn = _under(labels, subject, mean, y[first], subject.prior)
    rows = np.concatenate([images[first][:, None], drawn], axis=1)
    subject.write("swap", rows, ["real", *subject.names[: len(labels)]])


def _under(labels: np.ndarray, subject: EvaluatedRun, z: np.ndarray, y: np.ndarray, prior: Prior) -> np.ndarray:
    """Draw z (N, L) of images with labels y (N,) under other labels: uint8 (N, labels, H, W, C)"""
    return render(subject.trained.model, moved(z, y, labels, prior), labels)
