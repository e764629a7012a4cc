"""Models that nobody trained: one that draws bars, so that all about it is known beforehand, and random ones."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from engine.config import Config
from engine.latent.prior import LabelPrior
from engine.runs.trained_model import Trained
from model import CVAE, bernoulli_nll


class Bars:
    """Draws label y as a bar at its place out of ten, heeding y, or (deaf) the largest of z instead.

    A bar is three of forty pixels wide and has a gap, so that a shift by a pixel mixes up none. The encoder's z tells
    the place of the bar in its image.
    """

    image_shape, latent_dim, num_labels, likelihood = (1, 40, 1), 10, 10, "bernoulli"

    def __init__(self, deaf: bool = False) -> None:
        self.deaf = deaf

    def nll(self, x, logits):
        return bernoulli_nll(x, logits)

    def generate(self, z, y):
        return tf.sigmoid(self.decode(z, y))

    def encode(self, x, y):
        shown = tf.reduce_sum(tf.reshape(x, (-1, 10, 4)), axis=2) / 3
        return 3 * shown - 1.5, tf.fill((tf.shape(x)[0], 10), -3.0)

    def decode(self, z, y):
        shown = tf.one_hot(tf.argmax(z, 1) if self.deaf else y, 10)
        row = tf.repeat(shown, 4, axis=1) * tf.tile([1.0, 1, 1, 0], [10])  # (B, 40)
        return tf.reshape(16 * row - 8, (-1, 1, 40, 1))


def bars(places: np.ndarray, brightness: np.ndarray | int = 255) -> np.ndarray:
    """Images of a bar each, uint8 (N, 1, 40, 1)."""
    row = np.repeat(np.eye(10)[places], 4, axis=1) * np.tile([1, 1, 1, 0], 10) * np.reshape(brightness, (-1, 1))
    return row.astype(np.uint8).reshape(-1, 1, 40, 1)


def places(images: np.ndarray) -> np.ndarray:
    """Where the bars are, of (…, H, W): the label of the brightest pixel in the first row."""
    return images[..., 0, :].argmax(-1) // 4


def standard_prior(model: Bars) -> LabelPrior:
    """N(0, I) under every label: a label prior under which nothing differs."""
    n, size = model.num_labels, model.latent_dim
    return LabelPrior(np.arange(n), np.ones(n), np.zeros((n, size)), np.stack([np.eye(size)] * n))


def config_of(model: Bars) -> Config:
    """The settings of a run of this model, of which nothing but the shapes counts."""
    return config(image_shape=model.image_shape, num_labels=10, latent_dim=10)


def config(**settings: object) -> Config:
    """Settings of a run, of which nothing counts but what is given."""
    about = {"dataset": "npz", "fingerprint": "0" * 64, "batch_size": 1, "learn_rate": 0.1, "schedule": "constant"}
    return Config(**{**about, "seed": 0, **settings})


def random_run(folder: Path, step: int = 5, **settings: object) -> Trained:
    """A model with the weights that training begins with, as a run in `folder`."""
    settings = config(**settings)
    settings.write(folder)
    return Trained(CVAE(**settings.architecture), settings, folder, step)
