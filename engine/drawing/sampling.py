"""Draw images with a trained run, from a notebook or from generate.py: grids, walks, styles, data sets.

Everything drawn is a function of weights, prior and seed only.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from engine import random_streams
from engine.drawing import labels as label_names
from engine.files import OUT
from engine.latent import prior_cache
from engine.latent.likelihood_bounds import posterior
from engine.latent.prior import STANDARD_NORMAL, Prior
from engine.runs import trained_model
from engine.runs.options import or_reference
from engine.runs.trained_model import Trained
from engine.terminal import Failure, Progress
from model import CVAE

BATCH = 1000  # images decoded at a time, which bounds the memory for every --count

Labels = str | int | Sequence[str | int]  # one label, by name or by number, or several, or "all"


class Generator(NamedTuple):
    """A trained run and its prior. Images are uint8 (N, H, W, C). Methods raise ValueError for an unknown label.

    The methods' `temperature` scales the spread of z; lower values give more typical images.
    """

    run: Trained
    prior: Prior

    def generate(
        self, labels: Labels, count: int = 1, seed: int = 0, temperature: float = 1.0, same_style: bool = False
    ) -> np.ndarray:
        """Draw `count` images: uint8 (count, H, W, C) of one label, (count, labels, H, W, C) of several or "all".

        With same_style, all images of a row of several labels have one style (S10).
        """
        y = self._labels(labels)
        images = render(self.run.model, self.latents(y, count, seed, temperature, same_style), np.array(y))
        return images[:, 0] if isinstance(labels, (str, int)) and labels != "all" else images

    def encode(self, images: np.ndarray, labels: Labels) -> tuple[np.ndarray, np.ndarray]:
        """Return the mean and σ of q(z|x, y), (N, L) each. `labels` is one label for all images, or one per image."""
        y = np.broadcast_to(self._labels(labels), len(images))
        mean, a = posterior(self.run.model, images, y)
        return mean, np.exp(a)

    def restyle(self, image: np.ndarray, label: str | int, labels: Labels = "all") -> np.ndarray:
        """Draw other labels in the style of an image (H, W, C) that shows `label`: uint8 (labels, H, W, C)."""
        mean, _ = self.encode(image[None], label)
        shown, asked = np.array(self._labels(label)), self._labels(labels)
        return render(self.run.model, moved(mean, shown, asked, self.prior)[0], np.array(asked))

    def walks(self, labels: Sequence[int], count: int, images: int, seed: int, temperature: float) -> np.ndarray:
        """Draw `count` walks through styles, one per row, from the first label to the last. uint8 (rows, T, H, W, C)"""
        model, standard = self.run.model, self._replace(prior=STANDARD_NORMAL)
        ends = standard.latents([labels[0]] * 2, count, seed, temperature, same_style=False)  # (count, 2, L)
        t = np.linspace(0, 1, images)
        position = t * (len(labels) - 1)  # 1.3 is between labels[1] and labels[2]
        mixed = np.maximum(1 - np.abs(position[:, None] - np.arange(len(labels))), 0)  # (T, len(labels))
        y = np.float32(mixed @ np.eye(model.num_labels)[list(labels)])  # (T, N)
        y = np.broadcast_to(y, (count, *y.shape))
        z = slerp(ends[:, 0], ends[:, 1], t)  # (count, T, L)
        style = z.reshape(-1, model.latent_dim)
        per_label = [latents_of_style(self.prior, style, np.full(len(style), label)) for label in labels]
        z = np.einsum("tk,kctl->ctl", mixed, np.reshape(per_label, (-1, *z.shape)))
        return render(model, z.astype(np.float32), y)

    def labelled_set(
        self, labels: Sequence[int], count: int, seed: int = 0, temperature: float = 1.0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw `count` images of each label, the labels in turn: uint8 (count·labels, H, W, C) and (count·labels,)."""
        model, total = self.run.model, count * len(labels)
        y = np.resize(np.array(labels, np.min_scalar_type(model.num_labels - 1)), total)
        images = np.empty((total, *model.image_shape), np.uint8)
        with Progress(total, "images") as bar:
            for block, i in enumerate(range(0, total, BATCH)):
                part = y[i : i + BATCH]
                eps = random_streams.normal((BATCH, model.latent_dim), seed, "set", block)[: len(part)]
                uniform = random_streams.uniform(BATCH, seed, "set", block)[: len(part)]
                z = np.float32(self.prior.sample(part, eps, uniform, temperature))
                images[i : i + BATCH] = render(model, z, part)
                bar.advance(len(part))
        return images, y

    def latents(self, labels: Sequence[int], rows: int, seed: int, temperature: float, same_style: bool) -> np.ndarray:
        """Draw z for a grid with a column per label. (rows, labels, L)"""
        y, columns, latent_dim = np.tile(labels, rows), len(labels), self.run.model.latent_dim
        eps = random_streams.normal((rows, 1 if same_style else columns, latent_dim), seed, "grid")
        eps = tf.reshape(tf.broadcast_to(eps, (rows, columns, latent_dim)), (-1, latent_dim))  # (rows · labels, L)
        if same_style:
            z = latents_of_style(self.prior, temperature * eps, y)
        else:
            z = np.float32(self.prior.sample(y, eps, random_streams.uniform(len(y), seed, "grid"), temperature))
        return z.reshape(rows, columns, latent_dim)

    def _labels(self, labels: Labels) -> list[int]:
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


def latents_of_style(prior: Prior, style: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Map whitened styles to z under labels y, moved to where p(z|y) is dense. (n, L) and (n,) → float32 (n, L)"""
    return np.float32(prior.settle(prior.to_latent(style, y), y))


def pixels(images: tf.Tensor | np.ndarray) -> np.ndarray:
    """Convert images in 0–1 to uint8, rounded (S3)."""
    return np.rint(255 * np.asarray(images)).astype(np.uint8)


def render(model: CVAE, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Decode any number of z. (…, L) and labels (…), or mixtures of labels (…, N) → uint8 (…, H, W, C)"""
    shape = z.shape[:-1]
    z = z.reshape(-1, z.shape[-1])
    y = np.broadcast_to(y, shape).reshape(-1) if y.ndim <= len(shape) else y.reshape(len(z), -1)
    parts = [pixels(model.generate(z[i : i + BATCH], y[i : i + BATCH])) for i in range(0, len(z), BATCH)]
    return np.concatenate(parts).reshape(*shape, *model.image_shape)


def slerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Interpolate spherically from a to b (…, L), at t in 0–1 (T,) → (…, T, L).

    A Gaussian in many dimensions has its mass near a sphere; a straight line leaves it, and its images are blurred.
    """
    a, b = a[..., None, :], b[..., None, :]  # (…, 1, L)
    lengths = np.linalg.norm(a, axis=-1, keepdims=True), np.linalg.norm(b, axis=-1, keepdims=True)
    cosine = np.sum(a * b, axis=-1, keepdims=True) / np.maximum(lengths[0] * lengths[1], 1e-12)
    angle = np.maximum(np.arccos(np.clip(cosine, -1, 1)), 1e-6)
    t = t[:, None]  # (T, 1)
    return (np.sin((1 - t) * angle) * a + np.sin(t * angle) * b) / np.sin(angle)


def moved(z: np.ndarray, y: np.ndarray, labels: Sequence[int], prior: Prior) -> np.ndarray:
    """Map z (n, L) of images with labels y to other labels; under its own label z stays. float32 (n, labels, L)"""
    style, new_y = np.repeat(prior.style(z, y), len(labels), axis=0), np.tile(labels, len(z))
    mapped = latents_of_style(prior, style, new_y).reshape(len(z), len(labels), -1)
    return np.where((y[:, None] == np.asarray(labels))[..., None], z[:, None], mapped)
