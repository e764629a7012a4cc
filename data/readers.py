"""Networks that read digits or latents, for evaluate.py: the judge, and the learners of its other scores."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data import files
from data.console import Progress
from data.statistics import softmax

if TYPE_CHECKING:
    import keras


def convnet(shape: Sequence[int], labels: int) -> keras.Model:
    """Reads digits, uint8 images of any size → logits. The judge, and the networks of the accuracy score."""
    import keras
    from keras import layers

    # No batch normalisation: with it the judge read 99.4% of the test digits, but of the same digits, blurred a little,
    # 92% instead of 99%. A VAE's samples are blurred a little, too, and being blurred is not being another digit.
    stack = [keras.Input(tuple(shape)), layers.Rescaling(1 / 255)]
    for filters, size in (32, 5), (64, 3), (128, 3):
        stack.append(layers.Conv2D(filters, size, 2, "same", activation="relu"))
    stack += [layers.Flatten(), layers.Dropout(0.3), layers.Dense(128, activation="relu"), layers.Dense(labels)]
    return keras.Sequential(stack)


def perceptron(inputs: int, labels: int, hidden: Sequence[int] = ()) -> keras.Model:
    """Reads labels from z → logits; linear without hidden layers."""
    import keras

    layers = [keras.layers.Dense(n, activation="relu") for n in hidden]
    return keras.Sequential([keras.Input((inputs,)), *layers, keras.layers.Dense(labels)])


def shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Every image (N, H, W, C) moved by up to one pixel either way, edges repeated."""
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
    rate: float = 2e-3,
) -> keras.Model:
    """Train a classifier by Adam, the learning rate falling to 0 on a cosine; images are shifted in every epoch."""
    import keras

    keras.utils.set_random_seed(seed)
    rng, net = np.random.default_rng(seed), make()
    steps = -(-len(y) // 128)
    progress = Progress(steps * epochs, f"{what}: step")
    net.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps * epochs)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,  # XLA's convolutions are slow on a CPU
    )
    done = iter(range(1, steps * epochs + 1))
    tick = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: progress.update(next(done)))
    for _ in range(epochs):
        net.fit(shifted(x, rng) if x.ndim == 4 else x, y, batch_size=128, verbose=0, callbacks=[tick])
    progress.close()
    return net


def blurred(images: np.ndarray) -> np.ndarray:
    """uint8 images (N, H, W, C), twice through the kernel 1-2-1 in both directions: about as soft as a VAE draws."""
    soft = images.astype(np.float32)
    for axis in (1, 2) * 2:
        soft = (np.roll(soft, 1, axis) + 2 * soft + np.roll(soft, -1, axis)) / 4
    return np.rint(soft).astype(np.uint8)


def read(net: keras.Model, x: np.ndarray) -> np.ndarray:
    """Probabilities of the labels, (N, labels)."""
    return softmax(net.predict(x, batch_size=1000, verbose=0))


def kept(path: Path, net: keras.Model, train: Callable[[], keras.Model]) -> keras.Model:
    """`net` with the weights in `path`; or, if none are there, or damaged or another network's, what `train` makes."""
    try:
        with np.load(path, allow_pickle=False) as weights:
            net.set_weights([weights[f"{i}"] for i in range(len(net.weights))])
        if all(np.isfinite(w).all() for w in net.get_weights()):
            return net
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        pass
    net = train()
    with files.whole(path) as partial, open(partial, "wb") as file:
        np.savez(file, **{f"{i}": w for i, w in enumerate(net.get_weights())})
    return net
