"""The evaluation classifier: a CNN trained on real images that reads the labels of everything drawn."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import keras
import numpy as np

from engine import files, npz
from engine.classifiers import networks
from engine.evaluation import statistics
from engine.evaluation.subject import Subject
from engine.terminal import printable, say

LARGEST_FILE = 1 << 30  # bytes
SEED = 0  # whatever --seed says: the results of two seeds are read by the same classifier


def path_of(subject: Subject, count: int, epochs: int) -> Path:
    """Its file in the user's cache: one per data set and recipe, whatever the run."""
    config = subject.trained.config
    shape = "x".join(str(n) for n in subject.train[0].shape[1:])
    recipe = [config.fingerprint, shape, config.num_labels, min(count, len(subject.train[1])), epochs]
    recipe += [networks.RATE, networks.BATCH, networks.RECIPE]
    digest = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
    return files.user_cache() / f"evaluation-classifier-{config.dataset}-{shape}-{digest}.npz"


def load_or_train(subject: Subject, count: int, epochs: int) -> keras.Model:
    """The classifier from the cache; else trained on `count` of the training images, and written there."""
    path = path_of(subject, count, epochs)
    net = networks.convnet(subject.train[0].shape[1:], subject.trained.config.num_labels, SEED)
    initial = net.get_weights()
    if _fill(net, path):
        return net
    net.set_weights(initial)  # a damaged file may have filled a part of it
    networks.learn(net, *subject.train.subset(count, SEED), epochs, SEED, "evaluation classifier")
    try:
        npz.write(path, **{f"{i}": w for i, w in enumerate(net.get_weights())})
    except OSError as error:
        say(f"cannot write {printable(str(path))} ({error.strerror or error}): it will be trained again next time")
    return net


def _fill(net: keras.Model, path: Path) -> bool:
    """Give `net` the weights in `path`; False if none are there, or they are damaged or another network's."""
    try:
        weights = npz.read(path, LARGEST_FILE)
        net.set_weights([weights[f"{i}"] for i in range(len(net.weights))])
    except (OSError, ValueError, KeyError):
        return False
    return all(np.isfinite(w).all() for w in net.get_weights())


def measure(subject: Subject, classifier: keras.Model) -> dict:
    """How well the classifier itself reads: test images, sharp and as soft as a VAE draws them."""
    images, y = subject.test
    return {
        "test_images": statistics.accuracy(classifier, images, y),
        "blurred_test_images": statistics.accuracy(classifier, blurred(images), y),
    }


def blurred(images: np.ndarray) -> np.ndarray:
    """uint8 images (N, H, W, C), twice through the kernel 1-2-1 in both directions: about as soft as a VAE draws."""
    soft = images.astype(np.float32)
    for axis in (1, 2) * 2:
        soft = (np.roll(soft, 1, axis) + 2 * soft + np.roll(soft, -1, axis)) / 4
    return np.rint(soft).astype(np.uint8)
