"""The evaluation classifier: a CNN, trained on real images, that classifies the images that a model draws."""

import hashlib
import json

import keras
import numpy as np

from engine import files
from engine.classifiers import networks
from engine.evaluation.evaluated_run import EvaluatedRun
from engine.terminal import printable, say

SEED = 0  # independent of --seed, so that one classifier judges the results of all seeds


def load_or_train(subject: EvaluatedRun, count: int, epochs: int) -> keras.Model:
    """Load the classifier from the user's cache, or train it on `count` training images and cache it."""
    config, train = subject.trained.config, subject.train.subset(count, SEED)
    shape = "x".join(str(n) for n in config.image_shape)
    recipe = [config.fingerprint, shape, config.num_labels, len(train.labels), epochs]
    recipe += [networks.RATE, networks.BATCH, networks.RECIPE]
    digest = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
    path = files.user_cache() / f"evaluation-classifier-{config.dataset}-{shape}-{digest}.npz"
    net = networks.convnet(config.image_shape, config.num_labels, SEED)
    try:
        weights = files.read_npz(path)
        net.set_weights([weights[f"{i}"] for i in range(len(net.weights))])
        if all(np.isfinite(w).all() for w in net.get_weights()):
            return net
    except (ValueError, KeyError):
        pass  # missing, damaged, or of another network
    net = networks.convnet(config.image_shape, config.num_labels, SEED)  # a damaged file may have set some weights
    networks.learn(net, *train, epochs, SEED, "evaluation classifier")
    try:
        files.write_npz(path, **{f"{i}": w for i, w in enumerate(net.get_weights())})
    except OSError as error:
        say(f"cannot write {printable(str(path))} ({error.strerror or error}): the next evaluation trains it again")
    return net
