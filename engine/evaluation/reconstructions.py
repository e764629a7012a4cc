"""Sheets of test images and, below each, what the model makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.drawing.sampling import render
from engine.evaluation.subject import SHOWN, Subject
from engine.latent.likelihood_bounds import posterior


def write(subject: Subject) -> None:
    """Write reconstructions.png: a column per label, five test images each."""
    _, y = subject.measured
    labels = np.unique(y)[:SHOWN]
    five = np.stack([np.resize(np.flatnonzero(y == label), 5) for label in labels], axis=1)  # (5, labels)
    _write_pairs(subject, "reconstructions", five, [subject.names[label] for label in labels])


def write_worst(subject: Subject, excess: np.ndarray) -> None:
    """Write worst_reconstructed.png: the 50 test images whose NLL exceeds the least possible by the most nats (N,)."""
    worst = np.argsort(-excess, kind="stable")[:50]
    columns = min(10, len(worst))
    rows = worst[: len(worst) // columns * columns].reshape(-1, columns)
    _write_pairs(subject, "worst_reconstructed", rows, ["test images and, below each, their reconstructions"])


def _write_pairs(subject: Subject, name: str, which: np.ndarray, titles: Sequence[object]) -> None:
    """Rows that alternate: test images as `which` (rows, columns) says, and what the mean of q gives of them."""
    images, y = subject.measured
    model, chosen = subject.trained.model, which.reshape(-1)
    mean, _ = posterior(model, images[chosen], y[chosen])
    pairs = np.stack([images[chosen], render(model, mean, y[chosen])])  # (2, rows · columns, H, W, C)
    pairs = pairs.reshape(2, *which.shape, *model.image_shape).swapaxes(0, 1)  # (rows, 2, columns, H, W, C)
    subject.write(name, pairs.reshape(-1, *pairs.shape[2:]), titles)
