"""The judge: a network that reads labels, trained on real ones, by which everything drawn is read."""

from __future__ import annotations

import functools
from pathlib import Path

import keras
import numpy as np

from engine import files, kept, npz
from engine.evaluation import networks
from engine.evaluation.task import Task, subset

LARGEST_FILE = 1 << 30  # bytes


def place(task: Task, count: int, epochs: int) -> Path:
    """Where the judge is kept: one per data set and recipe, whatever the run."""
    size = "x".join(str(n) for n in (*task.train[0].shape[1:], task.trained.model.num_labels))
    recipe = f"{min(count, len(task.train[1]))}x{epochs}-{networks.RATE:g}-{networks.BATCH}-{networks.RECIPE}"
    return files.OUT / f"judge-{task.trained.config.fingerprint[:12]}-{size}-{recipe}.npz"


def keep_or_train(task: Task, count: int, epochs: int) -> keras.Model:
    """The judge: kept, or trained now on `count` of the training images, and kept. No --seed changes it."""
    path = place(task, count, epochs)
    make = functools.partial(networks.convnet, task.train[0].shape[1:], task.trained.model.num_labels)
    net = make()
    if not _fill(net, path):
        net = networks.learn(make, *subset(task.train, count, 0), epochs, 0, "judge")
        kept.write(path, **{f"{i}": w for i, w in enumerate(net.get_weights())})
    return net


def _fill(net: keras.Model, path: Path) -> bool:
    """Give `net` the weights in `path`; False if none are there, or they are damaged or another network's."""
    try:
        weights = npz.read(path, LARGEST_FILE)
        net.set_weights([weights[f"{i}"] for i in range(len(net.weights))])
    except (OSError, ValueError, KeyError):
        return False
    return all(np.isfinite(w).all() for w in net.get_weights())


def measure(task: Task, judge: keras.Model) -> dict:
    """How well the judge itself reads: test images, sharp and as soft as a VAE draws them."""
    images, y = task.test
    return {
        "test_digits": networks.score(judge, images, y),
        "blurred_test_digits": networks.score(judge, blurred(images), y),
    }


def blurred(images: np.ndarray) -> np.ndarray:
    """uint8 images (N, H, W, C), twice through the kernel 1-2-1 in both directions: about as soft as a VAE draws."""
    soft = images.astype(np.float32)
    for axis in (1, 2) * 2:
        soft = (np.roll(soft, 1, axis) + 2 * soft + np.roll(soft, -1, axis)) / 4
    return np.rint(soft).astype(np.uint8)
