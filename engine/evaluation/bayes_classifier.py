"""The Bayes classifier: classify images with the generative model, by Bayes' rule."""

import numpy as np
import tensorflow as tf

from engine.evaluation import statistics
from engine.evaluation.evaluated_run import EvaluatedRun
from engine.latent.likelihood_bounds import bounds
from engine.latent.prior import STANDARD_NORMAL
from engine.terminal import Progress


def measure(subject: EvaluatedRun, k: int) -> dict:
    """Classify test images by the softmax over y of a bound on ln p(x|y), `k` z each; accuracy and calibration."""
    model, priors = subject.trained.model, {"standard": STANDARD_NORMAL, "label_prior": subject.prior}
    images, y = subject.for_every_label()
    log_p, noise = [], subject.draws(len(y))  # the same noise under every label
    with Progress(model.num_labels * k, "Bayes classifier: z") as bar:
        for label in range(model.num_labels):
            result = bounds(model, images, np.full(len(y), label), k, noise, list(priors.values()), bar.advance)
            log_p.append([bound.iw for bound in result])
    probabilities = tf.nn.softmax(np.array(log_p), axis=0).numpy()  # (labels, 2, N)
    read = {name: statistics.calibration(probabilities[:, i].T, y) for i, name in enumerate(priors)}
    return {"z_per_label": k, **read}
