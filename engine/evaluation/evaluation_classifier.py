"""The evaluation classifier: a CNN trained on real images that reads the labels of everything drawn."""

from __future__ import annotations

import hashlib
import json

import keras
import numpy as np

from engine import files, npz
from engine.classifiers import networks
from engine.evaluation.evaluated_run import EvaluatedRun
from engine.terminal import printable, say

LARGEST_FILE = 1 << 30  # bytes
SEED = 0  # whatever --seed says: the results of two seeds are read by the same classifier


def load_or_train(subject: EvaluatedRun, count: int, epochs: int) -> keras.Model:
    """The classifier from the user's cache; else trained on `count` of the training images, and written there."""
    config, train = subject.trained.config, subject.train.subset(count, SEED)
    shape = "x".join(str(n) for n in config.image_shape)
    recipe = [config.fingerprint, shape, config.num_labels, len(train.labels), epochs]
    recipe += [networks.RATE, networks.BATCH, networks.RECIPE]
    digest = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
    path = files.user_cache() / f"evaluation-classifier-{config.dataset}-{shape}-{digest}.npz"
    net = networks.convnet(config.image_shape, config.num_labels, SEED)
    try:
        weights = npz.read(path, LARGEST_FILE)
        net.set_weights([weights[f"{i}"] for i in range(len(net.weights))])
        if all(np.isfinite(w).all() for w in net.get_weights()):
            return net
    except (OSError, ValueError, KeyError):
        pass  # none there, damaged, or another network's
    net = networks.convnet(config.image_shape, config.num_labels, SEED)  # a damaged file may have filled a part of it
    networks.learn(net, *train, epochs, SEED, "evaluation classifier")
    try:
        npz.write(path, **{f"{i}": w for i, w in enumerate(net.get_weights())})
    except OSError as error:
        say(f"cannot write {printable(str(path))} ({error.strerror or error}): it will be trained again next time")
    return net
