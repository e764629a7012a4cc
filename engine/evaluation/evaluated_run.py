"""The subject of an evaluation: what is measured, on which images, and where its pictures go."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from engine import random_streams
from engine.dataset import Split
from engine.drawing import sheets
from engine.latent.prior import LabelPrior, Prior
from engine.random_streams import DRAWS
from engine.runs.trained_model import Trained

PAIRS = 100_000  # of image and label, at most
SHOWN = 12  # labels on the sheets that have a row or five for each


class EvaluatedRun(NamedTuple):
    """A run, its label prior, and the images that it is measured on."""

    trained: Trained
    prior: LabelPrior  # the run's, measured beside N(0, I)
    train: Split  # all training images
    test: Split  # all test images; they are only ever measured on
    measured: Split  # those of them that the model is measured on: all, or a seeded part
    seed: int
    folder: Path  # of the results

    @property
    def names(self) -> tuple[str, ...]:
        return self.trained.config.names

    def for_every_label(self) -> Split:
        """The measured images, or fewer of them where there are many labels, for what goes through every label."""
        return self.measured.subset(max(100, PAIRS // self.trained.model.num_labels), self.seed)

    def normal(self, n: int, counter: int) -> tf.Tensor:
        """Standard normal noise (n, L) for the use of randomness that the counter says."""
        return random_streams.normal((n, self.trained.model.latent_dim), self.seed, "evaluate", counter)

    def draws(self, n: int) -> Callable[[int], tf.Tensor]:
        """The noise of draw number 0, 1, … of a likelihood, (n, L) each."""
        return lambda draw: self.normal(n, DRAWS + draw)

    def latents(self, y: np.ndarray, counter: int, prior: Prior, temperature: float = 1.0) -> np.ndarray:
        """z (n, L) under labels y (n,), the same noise whatever the prior. float32"""
        uniform = random_streams.uniform(len(y), self.seed, "evaluate", counter)
        return np.float32(prior.sample(y, self.normal(len(y), counter), uniform, temperature))

    def write(self, name: str, images: np.ndarray, titles: Sequence[object] = (), **about: object) -> None:
        """Write evaluation/<name>.png, a sheet of uint8 (rows, columns, H, W, C)."""
        about = self.trained.about(picture=name, seed=self.seed, **about)
        path = self.folder / "evaluation" / f"{name}.png"
        sheets.write_png(path, sheets.sheet(images, list(titles)), about)
