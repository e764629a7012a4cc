"""The Bayes classifier: the generative model reads labels by Bayes' rule."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from engine.evaluation import statistics
from engine.evaluation.evaluated_run import EvaluatedRun
from engine.latent.likelihood_bounds import bounds
from engine.latent.prior import STANDARD_NORMAL
from engine.terminal import Progress


def measure(subject: EvaluatedRun, k: int) -> dict:
    """How well the softmax over y of a bound on ln p(x|y), by `k` z, reads test images under each of the two priors."""
    model, priors = subject.trained.model, {"standard": STANDARD_NORMAL, "label_prior": subject.prior}
    images, y = subject.for_every_label()
    log_p, noise = [], subject.draws(len(y))  # the same noise under every label
    with Progress(model.num_labels * k, "Bayes classifier: z") as bar:
        for label in range(model.num_labels):
            asked = np.full(len(y), label)
            under = bounds(model, images, asked, k, noise, list(priors.values()), bar.advance)
            log_p.append([bound.iw for bound in under])
    probabilities = tf.nn.softmax(np.array(log_p), axis=0).numpy()  # (labels, 2, N)
    read = {name: statistics.calibration(probabilities[:, i].T, y) for i, name in enumerate(priors)}
    return {"z_per_label": k, **read}
