"""Networks that are trained to score a model: they read images or latents, and are counted right or wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from engine.evaluation import statistics
from engine.terminal import Progress

RATE, BATCH = 2e-3, 128
EPOCH = 10_000  # images at least: a smaller data set is gone through several times, each image shifted anew
RECIPE = 1  # raise it with any change of `convnet`, `shifted` or `learn`: judges made before are not taken any more


def convnet(shape: Sequence[int], labels: int) -> keras.Model:
    """Reads digits, uint8 images of any size → logits. The judge, and the networks of the accuracy score."""
    # No batch normalisation: with it the judge read 99.4% of the test images, but of the same digits, blurred a little,
    # 92% instead of 99%. A VAE's samples are blurred a little, too, and being blurred is not being another digit.
    stack = [keras.Input(tuple(shape)), keras.layers.Rescaling(1 / 255)]
    for filters, size in (32, 5), (64, 3), (128, 3):
        stack.append(keras.layers.Conv2D(filters, size, 2, "same", activation="relu"))
    stack += [keras.layers.Flatten(), keras.layers.Dropout(0.3)]
    stack += [keras.layers.Dense(128, activation="relu"), keras.layers.Dense(labels)]
    return keras.Sequential(stack)


def perceptron(inputs: int, labels: int, hidden: Sequence[int] = ()) -> keras.Model:
    """Reads labels from z → logits; linear without hidden layers."""
    layers = [keras.layers.Dense(n, activation="relu") for n in hidden]
    return keras.Sequential([keras.Input((inputs,)), *layers, keras.layers.Dense(labels)])


def shifted(images: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every image (N, H, W, C) moved by up to one pixel either way, edges repeated; whatever its label."""
    _, h, w, _ = images.shape
    padded, out = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge"), np.empty_like(images)
    move = rng.integers(9, size=len(images))
    for m in range(9):
        out[move == m] = padded[move == m, m // 3 : m // 3 + h, m % 3 : m % 3 + w]
    return out


def learn(
    make: Callable[[], keras.Model],
    x: np.ndarray,
    y: np.ndarray,
    epochs: int,
    seed: int,
    what: str,
    rate: float = RATE,
    vary: Callable[[np.ndarray, np.ndarray, np.random.Generator], np.ndarray] = shifted,
) -> keras.Model:
    """Train a classifier by Adam, the learning rate falling to 0 on a cosine; images are varied anew in every epoch."""
    keras.utils.set_random_seed(seed)
    times = -(-EPOCH // len(y))
    x, y = np.concatenate([x[:]] * times), np.concatenate([y] * times)
    rng, net = np.random.default_rng(seed), make()
    steps = epochs * -(-len(y) // BATCH)
    net.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,  # XLA's convolutions are slow on a CPU
    )
    with Progress(steps, f"{what}: step") as bar:
        count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: bar.advance())
        for _ in range(epochs):
            net.fit(vary(x, y, rng) if x.ndim == 4 else x, y, batch_size=BATCH, verbose=0, callbacks=[count])
    return net


def read(net: keras.Model, x: np.ndarray) -> np.ndarray:
    """Probabilities of the labels, float64 (N, labels)."""
    return tf.nn.softmax(net.predict(x, batch_size=1000, verbose=0).astype(np.float64)).numpy()


def score(net: keras.Model, x: np.ndarray, y: np.ndarray) -> dict:
    """How often the network reads the label y."""
    return statistics.wilson(read(net, x).argmax(1) == y)
