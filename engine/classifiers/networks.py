"""Build and train classifiers of images or latents, with seeds of their own: global random state is not touched."""

import hashlib
import json
from collections.abc import Sequence

import keras
import numpy as np

from engine import files
from engine.config import Config
from engine.dataset import Split
from engine.terminal import Progress, printable, say

RATE, BATCH = 2e-3, 128
EPOCH = 10_000  # fewest images per epoch: a smaller data set is repeated, each time with new shifts
RECIPE = 2  # version of the training; raise it when `network`, `shifted` or `learn` changes, to invalidate caches


def network(shape: Sequence[int], labels: int, hidden: Sequence[int], seed: int) -> keras.Model:
    """Build a classifier with logits (N, labels): a CNN of uint8 images (N, H, W, C), or an MLP of z (N, L).

    `hidden` lists the units of the dense layers before the last one. The seed sets the initial weights.
    """
    layers, rng, stack = keras.layers, np.random.default_rng(seed), [keras.Input(tuple(shape))]

    def seeded() -> keras.Initializer:  # Keras' default draws its seed from Python's global generator
        return keras.initializers.GlorotUniform(int(rng.integers(1 << 31)))

    if len(shape) == 3:  # no batch normalisation: with it, accuracy on digits blurred as a VAE's fell from 99 % to 92 %
        stack.append(layers.Rescaling(1 / 255))
        for filters, size in (32, 5), (64, 3), (128, 3):
            stack.append(layers.Conv2D(filters, size, 2, "same", activation="relu", kernel_initializer=seeded()))
        stack += [layers.Flatten(), layers.Dropout(0.3, seed=int(rng.integers(1 << 31)))]
    stack += [layers.Dense(units, activation="relu", kernel_initializer=seeded()) for units in hidden]
    return keras.Sequential([*stack, layers.Dense(labels, kernel_initializer=seeded())])


def shifted(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Shift every image (N, H, W, C) by up to one pixel in each direction, edges repeated."""
    _, h, w, _ = images.shape
    padded, out = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), "edge"), np.empty_like(images)
    move = rng.integers(9, size=len(images))
    for m in range(9):
        out[move == m] = padded[move == m, m // 3 : m // 3 + h, m % 3 : m % 3 + w]
    return out


def learn(
    net: keras.Model, x: np.ndarray, y: np.ndarray, epochs: int, seed: int, what: str, rate: float = RATE
) -> None:
    """Train `net` as a classifier by Adam with a cosine learning-rate schedule to 0.

    Args:
        x: latents (N, L), or uint8 images (N, H, W, C), which are shifted anew in every epoch.
        seed: sets the order of the examples and the shifts.
        what: name of the training, shown on the progress bar.
    """
    times = -(-EPOCH // len(y))
    x, y = np.concatenate([x[:]] * times), np.concatenate([y] * times)
    rng = np.random.default_rng((seed, 1))  # not the stream of the initial weights
    steps = epochs * -(-len(y) // BATCH)
    net.compile(
        optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,  # XLA's convolutions are slow on a CPU
    )
    with Progress(steps, f"{what}: step") as bar:
        count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: bar.advance())
        for _ in range(epochs):
            order = rng.permutation(len(y))  # Keras' own shuffling uses TensorFlow's global generator
            varied = shifted(x, rng) if x.ndim == 4 else x
            net.fit(varied[order], y[order], batch_size=BATCH, shuffle=False, verbose=0, callbacks=[count])


def evaluation_classifier(config: Config, train: Split, count: int, epochs: int) -> keras.Model:
    """Load the classifier that judges a model's images from the user's cache, or train and cache it.

    It is trained on `count` training images. Its seed is 0, so that one classifier judges the results of all seeds.
    """
    train, shape = train.subset(count, 0), "x".join(str(n) for n in config.image_shape)
    recipe = [config.fingerprint, shape, config.num_labels, len(train.labels), epochs, RATE, BATCH, RECIPE]
    digest = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()[:12]
    path = files.user_cache() / f"evaluation-classifier-{config.dataset}-{shape}-{digest}.npz"
    net = network(config.image_shape, config.num_labels, (128,), 0)
    try:
        weights = files.read_npz(path)
        net.set_weights([weights[f"{i}"] for i in range(len(net.weights))])
        if all(np.isfinite(w).all() for w in net.get_weights()):
            return net
    except (ValueError, KeyError):
        pass  # missing, damaged, or of another network
    net = network(config.image_shape, config.num_labels, (128,), 0)  # a damaged file may have set some weights
    learn(net, *train, epochs, 0, "evaluation classifier")
    try:
        files.write_npz(path, **{f"{i}": w for i, w in enumerate(net.get_weights())})
    except OSError as error:
        say(f"cannot write {printable(str(path))} ({error.strerror or error}): the next evaluation trains it again")
    return net


def read(net: keras.Model, x: np.ndarray) -> np.ndarray:
    """Return the most likely label of each image or z, (N,)."""
    return net.predict(x, batch_size=1000, verbose=0).argmax(axis=1)
