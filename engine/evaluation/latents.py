"""Measure whether z carries style and not the label: probes that predict the label from z, KL per dimension."""

import numpy as np

from engine.classifiers import networks
from engine.dataset import Split
from engine.evaluation import statistics
from engine.latent.likelihood_bounds import kl_per_dimension, posterior
from engine.random_streams import PROBE, normal
from model import CVAE, sample


def measure(model: CVAE, train: Split, test: Split, count: int, seed: int) -> dict:
    """Measure the probes' accuracy on z of the test images, the number of active units, and the KL per dimension.

    The probes, a linear one and an MLP, are trained on z of `count` training images; z ~ q(z|x, y), one of each image.
    """
    train, y = train.subset(count, seed), test.labels
    train_noise = normal((len(train.labels), model.latent_dim), seed, "evaluate", PROBE)
    train_z = sample(*posterior(model, *train), train_noise).numpy()
    mean, a = posterior(model, *test)
    z = sample(mean, a, normal(mean.shape, seed, "evaluate", PROBE + 1)).numpy()
    probe = {"majority": float(np.bincount(y).max() / len(y)), "z": len(train_z)}
    for name, hidden in ("linear", ()), ("mlp", (128,)):
        net = networks.network((model.latent_dim,), model.num_labels, hidden, seed)
        networks.learn(net, train_z, train.labels, 10, seed, f"{name} probe", rate=1e-2)
        probe[name] = statistics.wilson(networks.read(net, z) == y)
    active = int(np.sum(mean.var(0, dtype=np.float64) > 0.01))  # Burda et al. 2015, section 5.2
    return {
        "probe": probe,
        "active_units": {"of": model.latent_dim, "active": active},
        "kl_per_dimension": {"unit": "nats", "values": kl_per_dimension(mean, a)},
    }
