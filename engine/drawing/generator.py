"""A trained run as an object to draw with: what a notebook needs, and what generate.py is built on."""

from __future__ import annotations

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

Label = str | int  # by name, or by number


class Generator(NamedTuple):
    """A model and its prior. Images are uint8 (N, H, W, C). Raises ValueError for a label that it does not have."""

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
        """`count` images of a label, uint8 (count, H, W, C); of several labels or "all": (count, labels, H, W, C).

        Args:
            temperature: scales z; low is tame.
            same_style: each row of several labels is one style (S10).
        """
        which, model = self._labels(labels), self.run.model
        z = sampling.latents(seed, which, count, model.latent_dim, temperature, same_style, self.prior)
        images = sampling.render(model, z, np.array(which))
        return images[:, 0] if isinstance(labels, (str, int)) and labels != "all" else images

    def encode(self, images: np.ndarray, labels: Label | Sequence[Label]) -> tuple[np.ndarray, np.ndarray]:
        """Mean and σ of q(z|x, y), (N, L) each, of images that show a label, or a label each."""
        y = np.broadcast_to(self._labels(labels), len(images))
        mean, a = posterior(self.run.model, images, y)
        return mean, np.exp(a)

    def restyle(self, image: np.ndarray, label: Label, labels: Label | Sequence[Label] = "all") -> np.ndarray:
        """The style of an image (H, W, C), which shows `label`, under other labels: uint8 (labels, H, W, C)."""
        (own,) = self._labels(label)
        return sampling.styles(self.run.model, image, own, self._labels(labels), self.prior)

    def _labels(self, labels: Label | Sequence[Label]) -> list[int]:
        words = [labels] if isinstance(labels, (str, int)) else labels
        return label_names.find_all([str(word) for word in words], self.run.config.names)


def load(folder: str | Path = OUT, checkpoint: str | None = None) -> Generator:
    """The run in `folder`, by default the one in out/ or else the shipped one, with its label prior, or N(0, I).

    Raises Failure if there is no run, or none that reads whole.
    """
    run = trained_model.load(or_reference(Path(folder)), checkpoint)
    try:
        return Generator(run, prior_cache.read(run))
    except prior_cache.Unusable:
        return Generator(run, STANDARD_NORMAL)
