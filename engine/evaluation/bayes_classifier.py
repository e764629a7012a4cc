"""The Bayes classifier: the generative model reads labels by Bayes' rule."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from engine.evaluation import statistics
from engine.evaluation.subject import Subject
from engine.latent.likelihood_bounds import Bounds, bounds
from engine.latent.prior import STANDARD_NORMAL
from engine.terminal import Progress


def measure(subject: Subject, k: int) -> dict:
    """How well softmax over y of a bound on ln p(x|y) reads test images, under N(0, I) and under the label prior."""
    model, priors = subject.trained.model, (STANDARD_NORMAL, subject.prior)
    images, y = subject.for_every_label()
    under, noise = [], subject.draws(len(y))  # the same noise under every label
    with Progress(model.num_labels * k, "Bayes classifier: z") as bar:
        for label in range(model.num_labels):
            asked = np.full(len(y), label)
            under.append(bounds(model, images, asked, k, noise, priors=priors, advance=bar.advance))
    standard, label_prior = (_read(list(by_prior), y) for by_prior in zip(*under, strict=True))
    return {"z_per_label": k, **standard, "label_prior": label_prior}


def _read(under: list[Bounds], y: np.ndarray) -> dict:
    """Accuracy and calibration by each bound, from the bounds under every label."""
    log_p = {
        "elbo": np.stack([-b.nll - b.kl for b in under], axis=1),  # (N, labels)
        "importance_weighted": np.concatenate([b.iw for b in under], axis=1),
    }
    return {name: statistics.calibration(tf.nn.softmax(values).numpy(), y) for name, values in log_p.items()}
