"""Networks that are trained to score a model: they read labels from images or latents. Global random state stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from engine.terminal import Progress

RATE, BATCH = 2e-3, 128
EPOCH = 10_000  # images at least: a smaller data set is gone through several times, each image shifted anew
RECIPE = 2  # raise it with any change of `convnet`, `shifted` or `learn`: what was cached before is then not loaded


def convnet(shape: Sequence[int], labels: int, seed: int) -> keras.Model:
    """A CNN, uint8 images (N, H, W, C) of any size → logits (N, labels); its initial weights come from the seed."""
    # No batch normalisation: with it 92 % instead of 99 % of MNIST's test images were read when blurred as a VAE's.
    layers, rng = keras.layers, np.random.default_rng(seed)
    stack = [keras.Input(tuple(shape)), layers.Rescaling(1 / 255)]
    for filters, size in (32, 5), (64, 3), (128, 3):
        stack.append(layers.Conv2D(filters, size, 2, "same", activation="relu", kernel_initializer=_initializer(rng)))
    stack += [layers.Flatten(), layers.Dropout(0.3, seed=int(rng.integers(1 << 31)))]
    return keras.Sequential([*stack, *_dense(rng, (128,), labels)])


def perceptron(inputs: int, labels: int, hidden: Sequence[int], seed: int) -> keras.Model:
    """z (N, inputs) → logits (N, labels); linear without hidden layers. Its initial weights come from the seed."""
    return keras.Sequential([keras.Input((inputs,)), *_dense(np.random.default_rng(seed), hidden, labels)])


def _dense(rng: np.random.Generator, hidden: Sequence[int], labels: int) -> list[keras.Layer]:
    layers = [keras.layers.Dense(n, activation="relu", kernel_initializer=_initializer(rng)) for n in hidden]
    return [*layers, keras.layers.Dense(labels, kernel_initializer=_initializer(rng))]


def _initializer(rng: np.random.Generator) -> keras.Initializer:
    """Keras' default one, with a seed of its own: without one Keras takes it from Python's global generator."""
    return keras.initializers.GlorotUniform(int(rng.integers(1 << 31)))


def shifted(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every image (N, H, W, C) moved by up to one pixel either way, edges repeated; whatever its label."""
    _, h, w, _ = images.shape
    padded, out = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge"), np.empty_like(images)
    move = rng.integers(9, size=len(images))
    for m in range(9):
        out[move == m] = padded[move == m, m // 3 : m // 3 + h, m % 3 : m % 3 + w]
    return out


def learn(
    net: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    epochs: int,
    seed: int,
    what: str,
    rate: float = RATE,
    vary: Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray] = shifted,
) -> keras.Model:
    """Train `net` as a classifier by Adam, the learning rate falling to 0 on a cosine; returns it.

    Args:
        x: uint8 images (N, H, W, C), which `vary` changes anew in every epoch, or latents (N, L).
        seed: of the order and of what `vary` does.
        what: stands in front of the progress bar.
    """
    times = -(-EPOCH // len(y))
    x, y = np.concatenate([x[:]] * times), np.concatenate([y] * times)
    rng = np.random.default_rng((seed, 1))  # another stream than the initial weights'
    steps = epochs * -(-len(y) // BATCH)
    net.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,  # XLA's convolutions are slow on a CPU
    )
    with Progress(steps, f"{what}: step") as bar:
        count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: bar.advance())
        for _ in range(epochs):
            order = rng.permutation(len(y))  # Keras would shuffle by TensorFlow's global generator
            varied = vary(x, y, rng) if x.ndim == 4 else x
            net.fit(varied[order], y[order], batch_size=BATCH, shuffle=False, verbose=0, callbacks=[count])
    return net


def read(net: keras.Model, x: np.ndarray) -> np.ndarray:
    """Probabilities of the labels, float64 (N, labels)."""
    return tf.nn.softmax(net.predict(x, batch_size=1000, verbose=0).astype(np.float64)).numpy()
