"""Digits as other hands might have written them: narrower, slanted, bent, thicker or thinner, softer."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

PART = 5_000  # images at a time: bounds the memory
BEGUN = 0.5  # of them get a stroke more
GROUP = 100  # of them that are bent alike


def varied(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every digit of uint8 (N, H, W, C), bright on black, in another hand."""
    parts = []
    for i in range(0, len(images), PART):
        x = images[i : i + PART]
        for step in (_begun, _moved, _bent, _redrawn, _softened):
            x = step(x, rng)
        parts.append(x)
    return np.concatenate(parts)


def _each(x: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """A factor for each image, uniform: float32 (N, 1, 1, 1)."""
    return rng.uniform(low, high, (len(x), 1, 1, 1)).astype(np.float32)


def _begun(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Some of them with a stroke that leads up to where the digit is highest: the flag of a 1. uint8 (N, H, W, C)"""
    count, height, width, _ = images.shape
    some = np.flatnonzero(rng.uniform(size=count) < BEGUN)
    ink = images[some].max(axis=-1) > 127
    top = ink.any(axis=2).argmax(axis=1)
    tip = np.stack([top, ink[np.arange(len(some)), top].argmax(axis=1)], -1)
    turn, length = np.radians(rng.uniform(25, 70, len(some))), rng.uniform(2, 10, (len(some), 1, 1)).astype(np.float32)
    pen = rng.uniform(0.6, 1.3, (len(some), 1, 1)).astype(np.float32)  # half its width
    towards = np.stack([np.sin(turn), -np.cos(turn)], -1)[:, None, None].astype(np.float32)  # down and to the left
    away = np.stack(np.mgrid[:height, :width], -1).astype(np.float32) - tip[:, None, None].astype(np.float32)
    along = (away * towards).sum(-1)
    square = (away**2).sum(-1) - along**2 + (along - along.clip(0, length)) ** 2  # of the distance to the stroke
    line = 255 * np.clip(pen + 0.5 - np.sqrt(np.maximum(square, 0)), 0, 1)
    begun = images.copy()
    begun[some] = np.maximum(images[some], line[..., None].astype(np.uint8))
    return begun


def _moved(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Scaled, narrowed or widened, slanted, turned and shifted. float32 (N, H, W, C)"""
    count, height, width, _ = images.shape
    turn, slant = np.radians(rng.normal(0, 5, count)), rng.normal(0, 0.2, count)
    size, aspect = rng.uniform(0.92, 1.08, count), np.exp(rng.uniform(-0.9, 0.2, count))
    across, down = size * np.minimum(aspect, 1), size * np.minimum(1 / aspect, 1)
    cos, sin = np.cos(turn), np.sin(turn)
    turned = np.stack([cos, -sin, sin, cos], -1).reshape(-1, 2, 2)
    slanted = np.stack([across, -slant * down, 0 * down, down], -1).reshape(-1, 2, 2)
    back = np.linalg.inv(turned @ slanted)  # TensorFlow maps new pixels to old ones
    middle, shift = np.array([width - 1, height - 1]) / 2, rng.uniform(-0.8, 0.8, (count, 2))
    offset = middle - np.einsum("nij,nj->ni", back, middle + shift)
    rows = np.concatenate([back, offset[..., None]], -1).reshape(-1, 6)
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=np.concatenate([rows, np.zeros((count, 2))], -1).astype(np.float32),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    ).numpy()


def _bent(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every GROUP of images (N, H, W, C) through a smooth field of displacements of its own."""
    count, height, width, channels = x.shape
    groups = -(-count // GROUP)
    flow = tf.image.resize(rng.normal(0, 0.5, (groups, 4, 4, 2)), (height, width), "bicubic").numpy()
    down = (np.arange(height)[:, None] + flow[..., 0]).clip(0, height - 1.001)
    across = (np.arange(width) + flow[..., 1]).clip(0, width - 1.001)
    corner = (down.astype(int) * width + across.astype(int)).reshape(groups, -1)
    down, across = ((at % 1).reshape(groups, -1, 1).astype(np.float32) for at in (down, across))
    flat = x.reshape(count, height * width, channels)
    out = np.empty_like(flat)
    for i in range(groups):
        some, at = flat[i * GROUP : (i + 1) * GROUP], corner[i]
        above = some[:, at] + across[i] * (some[:, at + 1] - some[:, at])
        below = some[:, at + width] + across[i] * (some[:, at + width + 1] - some[:, at + width])
        out[i * GROUP : (i + 1) * GROUP] = above + down[i] * (below - above)
    return out.reshape(x.shape)


def _redrawn(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """With a pen that is up to a pixel wider, or somewhat thinner."""
    pen = _each(x, -0.4, 1, rng)
    padded = np.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))
    out = np.empty_like(x)
    for some, extreme in ((pen.ravel() > 0, np.maximum), (pen.ravel() <= 0, np.minimum)):
        pair = extreme(padded[some, 1:], padded[some, :-1])
        out[some] = x[some] + np.abs(pen[some]) * (extreme(pair[:, :, 1:], pair[:, :, :-1]) - x[some])
    return out


def _softened(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Some of them blurred by up to a pixel; all with full ink. uint8 (N, H, W, C)"""
    kernel = np.outer([1, 2, 1], [1, 2, 1])[:, :, None, None].astype(np.float32) / 16
    soft = tf.nn.depthwise_conv2d(x, np.tile(kernel, (1, 1, x.shape[-1], 1)), [1, 1, 1, 1], "SAME").numpy()
    x = x + np.maximum(_each(x, -0.7, 1, rng), 0) * (soft - x)
    full = np.maximum(x.max(axis=(1, 2, 3), keepdims=True), 1)
    return np.rint(255 * x.clip(0) / full).astype(np.uint8)
