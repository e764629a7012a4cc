"""A free classifier: the generative model reads labels by Bayes' rule."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from engine.evaluation import statistics
from engine.evaluation.likelihood import bounds
from engine.evaluation.task import DRAWS, Task
from engine.terminal import Progress


def measure(task: Task, k: int) -> dict:
    """How well softmax over y of a bound on ln p(x|y) reads test digits, the labels equally likely before."""
    model, (images, y) = task.trained.model, task.digits

    def noise(draw: int) -> tf.Tensor:  # the same under every label: what they differ in is the label
        return task.normal(len(y), DRAWS + draw)

    with Progress(model.num_labels * k, "free classifier: z") as bar:
        under = [
            bounds(model, images, np.full(len(y), label), k, noise, advance=bar.advance)
            for label in range(model.num_labels)
        ]
    log_p = {
        "elbo": np.stack([-b.nll - b.kl for b in under], axis=1),  # (N, labels)
        "importance_weighted": np.concatenate([b.iw for b in under], axis=1),
    }
    found = {name: statistics.calibration(tf.nn.softmax(values).numpy(), y) for name, values in log_p.items()}
    return {"z_per_label": k, **found}
