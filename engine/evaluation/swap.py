"""One hand, another digit: the z of a test digit under every label."""

from __future__ import annotations

import keras
import numpy as np

from engine.drawing import moved, render
from engine.evaluation import networks, statistics
from engine.evaluation.likelihood import BATCH, posterior
from engine.evaluation.task import Task
from engine.prior import Prior
from engine.terminal import Progress


def measure(task: Task, judge: keras.Model, prior: Prior | None) -> dict:
    """Encode a test digit, decode its mean z under every label: how often the judge reads the new label.

    Args:
        prior: z is moved through it, from the old label to the new one; None: z stays as it is.
    """
    model, (images, y) = task.trained.model, task.digits
    labels = np.arange(model.num_labels)
    mean, _, _ = posterior(model, images, y)
    read = []
    with Progress(len(y), "swap: digit") as bar:
        for i in range(0, len(y), BATCH):
            drawn = _under_every_label(task, mean[i : i + BATCH], y[i : i + BATCH], prior)
            p = networks.read(judge, drawn.reshape(-1, *model.image_shape))
            read.append(p.argmax(1).reshape(-1, len(labels)))
            bar.advance(len(drawn))
    hits = np.concatenate(read) == labels  # (N, labels)
    own = y[:, None] == labels
    return {
        "new_label": statistics.wilson(hits[~own]),
        "own_label": statistics.wilson(hits[own]),
        "per_new_label": {label: statistics.wilson(hits[y != label, label]) for label in labels if (y != label).any()},
    }


def write(task: Task) -> None:
    """Write swap.png: the first test digit of every label, and in its row its style under all labels."""
    images, y = task.digits
    labels = range(task.trained.model.num_labels)
    first = np.array([index for label in labels for index in np.flatnonzero(y == label)[:1]])
    mean, _, _ = posterior(task.trained.model, images[first], y[first])
    sheet = np.concatenate([images[first, None], _under_every_label(task, mean, y[first], task.prior)], axis=1)
    task.write("swap", sheet, ["real", *labels])


def _under_every_label(task: Task, z: np.ndarray, y: np.ndarray, prior: Prior | None) -> np.ndarray:
    """(N, L) of labels (N,) → uint8 (N, labels, H, W, C)"""
    labels = np.arange(task.trained.model.num_labels)
    return render(task.trained.model, moved(z, y, labels, prior), labels)
