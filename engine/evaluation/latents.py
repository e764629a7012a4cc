"""Measure whether z carries style and not the label: probes that predict the label from z, KL per dimension."""

import numpy as np

from engine.classifiers import networks
from engine.dataset import Split
from engine.evaluation import statistics
from engine.evaluation.evaluated_run import EvaluatedRun
from engine.latent.likelihood_bounds import kl_per_dimension, posterior
from engine.random_streams import PROBE
from model import sample


def measure(subject: EvaluatedRun, count: int) -> dict:
    """Measure the probes' accuracy on z of the test images, the number of active units, and the KL per dimension.

    Args:
        count: number of training images whose z the probes are trained on.
    """
    mean, a, z = _encode(subject, subject.test, PROBE + 1)
    active = int(np.sum(mean.var(0, dtype=np.float64) > 0.01))  # Burda et al. 2015, section 5.2
    return {
        "probe": _probe(subject, z, count),
        "active_units": {"of": mean.shape[1], "active": active},
        "kl_per_dimension": {"unit": "nats", "values": kl_per_dimension(mean, a)},
    }


def _encode(subject: EvaluatedRun, split: Split, counter: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mean and a = ln σ of q(z|x, y) of a split's images, and one z ~ q for each image. (N, L) each"""
    mean, a = posterior(subject.trained.model, *split)
    return mean, a, sample(mean, a, subject.normal(len(mean), counter)).numpy()


def _probe(subject: EvaluatedRun, z: np.ndarray, count: int) -> dict:
    """Train a linear probe and an MLP to predict the label from z; return their accuracy on z (N, L) of test images."""
    model, (_, y) = subject.trained.model, subject.test
    train = subject.train.subset(count, subject.seed)
    _, _, train_z = _encode(subject, train, PROBE)
    result = {"majority": float(np.bincount(y).max() / len(y)), "z": len(train_z)}
    for name, hidden in ("linear", ()), ("mlp", (128,)):
        net = networks.perceptron(model.latent_dim, model.num_labels, hidden, subject.seed)
        networks.learn(net, train_z, train.labels, 10, subject.seed, f"{name} probe", rate=1e-2)
        result[name] = statistics.accuracy(net, z, y)
    return result
