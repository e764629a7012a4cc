"""The Generator: draw images with a trained run, from a notebook or from generate.py."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from engine.drawing import labels as label_names
from engine.drawing import sampling
from engine.files import OUT
from engine.latent import prior_cache
from engine.latent.likelihood_bounds import posterior
from engine.latent.prior import STANDARD_NORMAL, Prior
from engine.runs import trained_model
from engine.runs.options import or_reference
from engine.runs.trained_model import Trained
from engine.terminal import Failure

Label = str | int  # by name, or by number


class Generator(NamedTuple):
    """A trained run and its prior. Images are uint8 (N, H, W, C). Methods raise ValueError for an unknown label."""

    run: Trained
    prior: Prior

    def generate(
        self,
        labels: Label | Sequence[Label],
        count: int = 1,
        seed: int = 0,
        temperature: float = 1.0,
        same_style: bool = False,
    ) -> np.ndarray:
        """Draw `count` images: uint8 (count, H, W, C) of one label, (count, labels, H, W, C) of several or "all".

        Args:
            temperature: scales the spread of z; lower values give more typical images.
            same_style: with several labels, use one style for all images of a row (S10).
        """
        which, model = self._labels(labels), self.run.model
        z = sampling.latents(seed, which, count, model.latent_dim, temperature, same_style, self.prior)
        images = sampling.render(model, z, np.array(which))
        return images[:, 0] if isinstance(labels, (str, int)) and labels != "all" else images

    def encode(self, images: np.ndarray, labels: Label | Sequence[Label]) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and σ of q(z|x, y), (N, L) each. `labels` is one label for all images, or one per image."""
        y = np.broadcast_to(self._labels(labels), len(images))
        mean, a = posterior(self.run.model, images, y)
        return mean, np.exp(a)

    def restyle(self, image: np.ndarray, label: Label, labels: Label | Sequence[Label] = "all") -> np.ndarray:
        """Draw other labels in the style of an image (H, W, C) that shows `label`: uint8 (labels, H, W, C)."""
        mean, _ = self.encode(image[None], label)
        which, asked = np.array(self._labels(label)), self._labels(labels)
        return sampling.render(self.run.model, sampling.moved(mean, which, asked, self.prior)[0], np.array(asked))

    def _labels(self, labels: Label | Sequence[Label]) -> list[int]:
        words = [labels] if isinstance(labels, (str, int)) else labels
        return label_names.find_all([str(word) for word in words], self.run.config.names)


def load(folder: str | Path = OUT, checkpoint: str | None = None) -> Generator:
    """Load the run in `folder` with its label prior, or with N(0, I) if it has none.

    By default this is the run in out/, else the shipped one. Raises Failure if no complete run is found.
    """
    run = trained_model.load(or_reference(Path(folder)), checkpoint)
    try:
        return Generator(run, prior_cache.read(run))
    except Failure:
        return Generator(run, STANDARD_NORMAL)
