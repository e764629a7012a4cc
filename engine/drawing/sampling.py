"""Draw z from a prior and decode it: grids, walks, styles, data sets. All are functions of weights and seed only."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from engine import random_streams
from engine.latent.prior import STANDARD_NORMAL, Prior
from engine.terminal import Progress
from model import CVAE

BATCH = 1000  # images decoded at a time, which bounds the memory for every --count


def latents(
    seed: int,
    labels: Sequence[int],
    rows: int,
    latent_dim: int,
    temperature: float = 1.0,
    same_style: bool = False,
    prior: Prior = STANDARD_NORMAL,
) -> np.ndarray:
    """Draw z for a grid with a column per label. (rows, labels, L)

    Args:
        temperature: scales z; with a label prior, around the mean of the mixture component.
        same_style: use one style for all labels of a row (S10).
        prior: z ~ p(z|y), or z ~ N(0, I) for every label (S9).
    """
    y, columns = np.tile(labels, rows), len(labels)
    eps = random_streams.normal((rows, 1 if same_style else columns, latent_dim), seed, "grid")
    eps = tf.reshape(tf.broadcast_to(eps, (rows, columns, latent_dim)), (-1, latent_dim))  # (rows · labels, L)
    if same_style:
        z = latents_of_style(prior, temperature * eps, y)
    else:
        z = np.float32(prior.sample(y, eps, random_streams.uniform(len(y), seed, "grid"), temperature))
    return z.reshape(rows, columns, latent_dim)


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


def walks(
    model: CVAE,
    labels: Sequence[int],
    count: int,
    images: int,
    seed: int,
    temperature: float = 1.0,
    prior: Prior = STANDARD_NORMAL,
) -> np.ndarray:
    """Draw `count` walks through styles, one per row, from the first label to the last. uint8 (rows, T, H, W, C)"""
    ends = latents(seed, [labels[0]] * 2, count, model.latent_dim, temperature)  # (count, 2, L)
    t = np.linspace(0, 1, images)
    position = t * (len(labels) - 1)  # 1.3 is between labels[1] and labels[2]
    mixed = np.maximum(1 - np.abs(position[:, None] - np.arange(len(labels))), 0)  # (T, len(labels))
    y = np.float32(mixed @ np.eye(model.num_labels)[list(labels)])  # (T, N)
    y = np.broadcast_to(y, (count, *y.shape))
    z = slerp(ends[:, 0], ends[:, 1], t)  # (count, T, L)
    style = z.reshape(-1, model.latent_dim)
    per_label = [latents_of_style(prior, style, np.full(len(style), label)).reshape(z.shape) for label in labels]
    z = np.einsum("tk,kctl->ctl", mixed, np.stack(per_label))
    return render(model, z.astype(np.float32), y)


def moved(z: np.ndarray, y: np.ndarray, labels: Sequence[int], prior: Prior) -> np.ndarray:
    """Map z (n, L) of images with labels y to other labels; under its own label z stays. float32 (n, labels, L)"""
    unchanged = np.repeat(z[:, None], len(labels), axis=1)
    style, new_y = np.repeat(prior.style(z, y), len(labels), axis=0), np.tile(labels, len(z))
    mapped = latents_of_style(prior, style, new_y).reshape(unchanged.shape)
    return np.where((y[:, None] == np.asarray(labels))[..., None], unchanged, mapped)


def labelled_set(
    model: CVAE, labels: Sequence[int], count: int, seed: int, temperature: float = 1.0, prior: Prior = STANDARD_NORMAL
) -> tuple[np.ndarray, np.ndarray]:
    """Draw `count` images of each label, the labels in turn: uint8 (count·labels, H, W, C) and (count·labels,)."""
    total = count * len(labels)
    y = np.resize(np.array(labels, np.min_scalar_type(model.num_labels - 1)), total)
    images = np.empty((total, *model.image_shape), np.uint8)
    with Progress(total, "images") as bar:
        for block, i in enumerate(range(0, total, BATCH)):
            part = y[i : i + BATCH]
            eps = random_streams.normal((BATCH, model.latent_dim), seed, "set", block)[: len(part)]
            uniform = random_streams.uniform(BATCH, seed, "set", block)[: len(part)]
            z = np.float32(prior.sample(part, eps, uniform, temperature))
            images[i : i + BATCH] = render(model, z, part)
            bar.advance(len(part))
    return images, y
