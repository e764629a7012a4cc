"""Digits as other hands might have written them: narrower, slanted, bent, thicker or thinner, softer."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

PART = 5_000  # images at a time: bounds the memory
PLAIN = 0.2  # of the digits stay as they are
BEGUN, FLAGGED = 0.1, 0.6  # of the digits, and of the ones, get a stroke more
GROUP = 100  # of them that are bent alike
ASPECT = -1.0, 0.5  # logarithm of by how much wider
TAPER = 0.9  # at most, of the perspective from one end of a picture to the other
INK = 48  # of 255, above which a pixel stretches the box of its digit


def varied(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every digit of uint8 (N, H, W, C), bright on black, in another hand, placed anew as MNIST's are."""
    out = images.copy()
    some = rng.uniform(size=len(images)) >= PLAIN
    images, labels, parts = images[some], labels[some], []
    for i in range(0, len(images), PART):
        x = _begun(images[i : i + PART], labels[i : i + PART], rng).astype(np.float32)
        for step in (_bent, _written, _redrawn, _softened):
            x = step(x, rng)
        parts.append(x)
    out[some] = np.concatenate(parts)
    return out


def _each(x: np.ndarray, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """A factor for each image, uniform: float32 (N, 1, 1, 1)."""
    return rng.uniform(low, high, (len(x), 1, 1, 1)).astype(np.float32)


def _begun(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Some, and most of the ones, with a stroke that leads up to where the digit is highest: uint8 (N, H, W, C)."""
    count, height, width, _ = images.shape
    some = np.flatnonzero(rng.uniform(size=count) < np.where(labels == 1, FLAGGED, BEGUN))
    ink = images[some].max(axis=-1) > 127
    top = ink.any(axis=2).argmax(axis=1)
    tip = np.stack([top, ink[np.arange(len(some)), top].argmax(axis=1)], -1)
    turn, length = np.radians(rng.uniform(15, 75, len(some))), rng.uniform(2, 12, (len(some), 1, 1)).astype(np.float32)
    pen = rng.uniform(0.6, 1.3, (len(some), 1, 1)).astype(np.float32)  # half its width
    towards = np.stack([np.sin(turn), -np.cos(turn)], -1)[:, None, None].astype(np.float32)  # down and to the left
    away = np.stack(np.mgrid[:height, :width], -1).astype(np.float32) - tip[:, None, None].astype(np.float32)
    along = (away * towards).sum(-1)
    square = (away**2).sum(-1) - along**2 + (along - along.clip(0, length)) ** 2  # of the distance to the stroke
    line = 255 * np.clip(pen + 0.5 - np.sqrt(np.maximum(square, 0)), 0, 1)
    begun = images.copy()
    begun[some] = np.maximum(images[some], line[..., None].astype(np.uint8))
    return begun


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


def _written(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Narrowed or widened, tapered, slanted and turned, then placed as MNIST's digits are: float32 (N, H, W, C).

    Placed, that is scaled to a box of 20/28 of the side, the centre of mass about in the middle.
    """
    count, height, width, _ = x.shape
    turn, slant, aspect = np.radians(rng.normal(0, 6, count)), rng.normal(0, 0.2, count), rng.uniform(*ASPECT, count)
    taper = rng.uniform(-TAPER, TAPER, (2, count)) / [[2 * width], [height]]
    cos, sin, none, one = np.cos(turn), np.sin(turn), np.zeros(count), np.ones(count)
    turned = _matrices(cos, -sin, none, sin, cos, none, none, none, one)
    ahead = turned @ _matrices(np.exp(aspect), -slant, none, none, one, none, *taper, one)

    ink = x.max(axis=-1).reshape(count, -1)
    down, across = np.mgrid[:height, :width].reshape(2, -1) - [[(height - 1) / 2], [(width - 1) / 2]]
    at = ahead.astype(np.float32) @ np.stack([across, down, np.ones_like(down)]).astype(np.float32)  # (N, 3, H·W)
    at = at[:, :2] / at[:, 2:]
    inked = (ink > INK)[:, None]
    box = np.where(inked, at, -np.inf).max(axis=2) - np.where(inked, at, np.inf).min(axis=2) + 1  # (N, 2)
    scale = rng.uniform(0.92, 1.05, count) * 20 / 28 * height / box.max(axis=1).clip(1)
    middle = np.einsum("nk,nck->cn", ink, at) / ink.sum(axis=1).clip(1)
    left, top = rng.uniform(-0.5, 1.5, (2, count)) - scale * middle
    placed = _matrices(scale, none, left, none, scale, top, none, none, one)

    centre = _matrices(1, 0, (width - 1) / 2, 0, 1, (height - 1) / 2, 0, 0, 1)
    back = centre @ np.linalg.inv(placed @ ahead) @ np.linalg.inv(centre)  # TensorFlow maps new pixels to old ones
    return tf.raw_ops.ImageProjectiveTransformV3(
        images=x,
        transforms=(back / back[:, 2:, 2:]).reshape(count, 9)[:, :8].astype(np.float32),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
    ).numpy()


def _matrices(*entries: np.ndarray | float) -> np.ndarray:
    """Of nine entries, each a number or (N,): (N, 3, 3), or (1, 3, 3)."""
    return np.stack(np.broadcast_arrays(*np.atleast_1d(*entries)), -1).reshape(-1, 3, 3)


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
