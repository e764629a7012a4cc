"""What is evaluated, on what, and where its pictures go."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from engine import noise, pictures
from engine.prior import LabelPrior, Prior
from engine.trained import Trained

PAIRS = 100_000  # of image and label, at most
SHOWN = 12  # labels on the sheets that have a row or five for each

Split = tuple[np.ndarray, np.ndarray]  # images uint8 (N, H, W, C) and labels (N,), as those of a data set

# Counters of the stream "evaluate", far apart: every use of randomness has numbers of its own.
DRAWS, BINARISE, PRIOR, PROBE, GENERATED, HELD_OUT = (use << 32 for use in range(6))


class Task(NamedTuple):
    trained: Trained
    prior: LabelPrior  # the run's label prior, measured beside N(0, I)
    train: Split  # all training images
    test: Split  # all test images; they are only ever measured on
    measured: Split  # those of them that the model is measured on: all, or a seeded part
    seed: int
    folder: Path  # of the results

    @property
    def names(self) -> tuple[str, ...]:
        """What the labels are called."""
        return self.trained.config.names

    def for_every_label(self) -> Split:
        """The measured images, or fewer of them where there are many labels, for what goes through every label."""
        return subset(self.measured, max(100, PAIRS // self.trained.model.num_labels), self.seed)

    def normal(self, n: int, counter: int) -> tf.Tensor:
        """Standard normal noise (n, L) for the use of randomness that the counter says."""
        return noise.normal((n, self.trained.model.latent_dim), self.seed, "evaluate", counter)

    def latents(self, y: np.ndarray, counter: int, prior: Prior, temperature: float = 1.0) -> np.ndarray:
        """z (n, L) under labels y (n,), the same noise whatever the prior. float32"""
        uniform = noise.uniform(len(y), self.seed, "evaluate", counter)
        return np.float32(prior.sample(y, self.normal(len(y), counter), uniform, temperature))

    def write(self, name: str, images: np.ndarray, titles: Sequence[object] = (), **about: object) -> None:
        """Write evaluation/<name>.png, a sheet of uint8 (rows, columns, H, W, C)."""
        about = self.trained.about(picture=name, seed=self.seed, **about)
        path = self.trained.into(self.folder) / "evaluation" / f"{name}.png"
        pictures.write_png(path, pictures.sheet(images, list(titles)), about)


def subset(split: Split, count: int, seed: int) -> Split:
    """`count` images in their order, the seed says which; or all of them, not copied, if there are no more."""
    images, labels = split
    if count >= len(labels):
        return split
    chosen = np.sort(np.random.default_rng(seed).permutation(len(labels))[:count])
    return images[chosen], labels[chosen]
