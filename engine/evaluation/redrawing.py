"""Redraw test images: under every label (swap), where the new label should be recognised, and under their own."""

import keras
import numpy as np

from engine.classifiers import networks
from engine.drawing.sampling import moved, render
from engine.evaluation import statistics
from engine.evaluation.evaluated_run import EvaluatedRun
from engine.latent.likelihood_bounds import BATCH, posterior
from engine.latent.prior import Prior
from engine.terminal import Progress

SHOWN = 12  # labels shown at most on a sheet


def measure_swap(subject: EvaluatedRun, classifier: keras.Model, prior: Prior) -> dict:
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
            drawn = render(model, moved(mean[i : i + BATCH], y[i : i + BATCH], labels, prior), labels)
            p = networks.read(classifier, drawn.reshape(-1, *model.image_shape))
            read.append(p.argmax(1).reshape(-1, len(labels)))
            bar.advance(len(drawn))
    hits = np.concatenate(read) == labels  # (N, labels)
    own = y[:, None] == labels
    return {"new_label": statistics.wilson(hits[~own]), "own_label": statistics.wilson(hits[own])}


def write_swap(subject: EvaluatedRun) -> None:
    """Write swap.png: a row per label with its first test image, followed by all labels drawn in that image's style."""
    (images, y), model = subject.test, subject.trained.model
    labels = np.arange(model.num_labels)[:SHOWN]
    first = np.array([index for label in labels for index in np.flatnonzero(y == label)[:1]])
    mean, _ = posterior(model, images[first], y[first])
    drawn = render(model, moved(mean, y[first], labels, subject.prior), labels)
    rows = np.concatenate([images[first][:, None], drawn], axis=1)
    subject.write("swap", rows, ["real", *subject.names[: len(labels)]])


def write_reconstructions(subject: EvaluatedRun) -> None:
    """Write reconstructions.png: a column per label, five test images, each above its reconstruction from q's mean."""
    (images, y), model = subject.test, subject.trained.model
    labels = np.unique(y)[:SHOWN]
    five = np.stack([np.resize(np.flatnonzero(y == label), 5) for label in labels], axis=1)  # (5, labels)
    mean, _ = posterior(model, images[five.ravel()], y[five.ravel()])
    redrawn = render(model, mean.reshape(*five.shape, -1), y[five])  # (5, labels, H, W, C)
    pairs = np.stack([images[five], redrawn], axis=1)  # (5, 2, labels, H, W, C)
    subject.write("reconstructions", pairs.reshape(-1, *pairs.shape[2:]), [subject.names[label] for label in labels])
