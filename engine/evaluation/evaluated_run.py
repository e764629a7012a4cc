"""The subject of an evaluation: the run, the images it is measured on, the seeded noise, the folder of the results."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from engine import random_streams
from engine.dataset import Split
from engine.drawing import sheets
from engine.latent.prior import LabelPrior, Prior
from engine.runs.trained_model import Trained

PAIRS = 100_000  # limit on (image, label) pairs where every image is combined with every label


class EvaluatedRun(NamedTuple):
    """A run, its label prior, and the images that it is measured on."""

    trained: Trained
    prior: LabelPrior  # the run's label prior, measured beside N(0, I)
    train: Split  # all training images
    test: Split  # the test images, or a seeded subset; nothing is trained on them
    seed: int
    folder: Path  # where results are written

    @property
    def names(self) -> tuple[str, ...]:
        return self.trained.config.names

    def for_every_label(self) -> Split:
        """Return the test images, or a subset if there are many labels, for measurements under every label."""
        return self.test.subset(max(100, PAIRS // self.trained.model.num_labels), self.seed)

    def normal(self, n: int, counter: int) -> tf.Tensor:
        """Return standard normal noise (n, L); every use needs a counter of its own (see engine.random_streams)."""
        return random_streams.normal((n, self.trained.model.latent_dim), self.seed, "evaluate", counter)

    def latents(self, y: np.ndarray, counter: int, prior: Prior, temperature: float = 1.0) -> np.ndarray:
        """Draw z (n, L) under labels y (n,) from a prior, float32. The noise is the same for every prior."""
        uniform = random_streams.uniform(len(y), self.seed, "evaluate", counter)
        return np.float32(prior.sample(y, self.normal(len(y), counter), uniform, temperature))

    def write(self, name: str, images: np.ndarray, titles: Sequence[str]) -> None:
        """Write evaluation/<name>.png, a sheet of uint8 (rows, columns, H, W, C)."""
        path, metadata = self.folder / "evaluation" / f"{name}.png", self.trained.about(picture=name, seed=self.seed)
        sheets.write_png(path, sheets.sheet(images, titles), metadata)
