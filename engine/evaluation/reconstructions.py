"""Write a sheet of test images, each with its reconstruction below."""

import numpy as np

from engine.drawing.sampling import render
from engine.evaluation.evaluated_run import SHOWN, EvaluatedRun
from engine.latent.likelihood_bounds import posterior


def write(subject: EvaluatedRun) -> None:
    """Write reconstructions.png: a column per label, five test images, each above its reconstruction from q's mean."""
    (images, y), model = subject.measured, subject.trained.model
    labels = np.unique(y)[:SHOWN]
    five = np.stack([np.resize(np.flatnonzero(y == label), 5) for label in labels], axis=1)  # (5, labels)
    mean, _ = posterior(model, images[five.ravel()], y[five.ravel()])
    redrawn = render(model, mean.reshape(*five.shape, -1), y[five])  # (5, labels, H, W, C)
    pairs = np.stack([images[five], redrawn], axis=1)  # (5, 2, labels, H, W, C)
    subject.write("reconstructions", pairs.reshape(-1, *pairs.shape[2:]), [subject.names[label] for label in labels])
