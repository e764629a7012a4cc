"""The reader of a run on digits: a small CNN that says which digit a picture shows, kept as reader.npz.

Bayes' rule under the model asks which label explains every pixel best. It is right about digits like those that the
model learnt from, but takes a stranger's hand, narrow, soft or with a bar through the 7, for whatever is as narrow or
soft. The reader learns from the same images in many hands (engine/augmentation.py).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence

import keras
import numpy as np

from engine import augmentation, kept
from engine.config import REFERENCE, Config
from engine.evaluation import likelihood, networks
from engine.evaluation.task import subset
from engine.kept import Unusable
from engine.prior import Prior
from engine.trained import Trained

NAME = "reader.npz"
MOST = 60_000  # training images that it learns from; of more, so many
EPOCHS, RATE, SEED = 5, 2e-3, 0
LARGEST_FILE = 1 << 24  # bytes, decompressed
RECIPE = 2  # raise it with any change of network, augmentation or training: readers made before are not taken any more


Reader = keras.Model  # digits, uint8 (N, H, W, C) → logits (N, 10)


def suits(config: Config) -> bool:
    """Whether a run has a reader: its pictures are those that data.picture_for makes a digit of."""
    height, width, _ = config.image_shape
    return config.digits and height == width


def network(shape: Sequence[int]) -> Reader:
    """Digits, uint8 (N, H, W, C) → logits (N, 10); 100,000 weights at 28 × 28. Its convolutions are the page's own."""
    stages = max(3, math.ceil(math.log2(shape[0] / 4)))  # until the map has 4 rows
    filters = (16, 32) + (48,) * (stages - 2)
    stack = [keras.Input(tuple(shape)), keras.layers.Rescaling(1 / 255)]
    for k, count in enumerate(filters, 1):
        stack.append(keras.layers.Conv2D(count, 5, 2, "same", activation="relu", name=f"conv{k}"))
    stack += [keras.layers.Flatten()]
    stack += [keras.layers.Dense(64, activation="relu", name="dense"), keras.layers.Dense(10, name="logits")]
    return keras.Sequential(stack)


def weights(net: Reader) -> dict[str, keras.Variable]:
    """By the names that they have in reader.npz and in the page: conv1/kernel …"""
    return {f"{layer.name}/{variable.name}": variable for layer in net.layers for variable in layer.weights}


def train(shape: Sequence[int], split: object, epochs: int = EPOCHS) -> Reader:
    """A reader of these images and labels; its weights are float16's numbers, which the file and the page keep."""
    x, y = subset(split, MOST, SEED)
    make = functools.partial(network, shape)
    net = networks.learn(make, x, y, epochs, SEED, "reader", RATE, augmentation.varied)
    for variable in net.weights:
        variable.assign(np.float16(variable.numpy()))
    return net


def keep_or_train(run: Trained, dataset: Callable[[], object], keep: bool = True) -> Reader | None:
    """The run's reader as it is kept; else the shipped run's, if it learnt from the same data; else trained now, which
    a line says. Kept, if it was not. None: the run has none.

    Args:
        dataset: gives the run's data; where it raises Failure, there is no reader, and a line says why.
        keep: False leaves what is kept as it is.
    """
    if not suits(run.config):
        return None

    def trained(data: object) -> tuple[Reader, str]:
        net = train(run.config.image_shape, data.train)
        return net, f"reader: {net.count_params():,} weights, trained on {min(MOST, len(data.train.labels)):,} digits"

    def found() -> Reader:
        try:
            return read(run)
        except Unusable as error:
            try:
                net = read(run._replace(folder=REFERENCE))
            except Unusable:
                raise error from None
            if keep:
                write(run, net)
            return net

    without = "no reader, so Bayes' rule alone reads pictures"
    write_it = functools.partial(write, run)
    return kept.or_made(run.folder / NAME, found, dataset, trained, write_it, without, keep, needed=False)


def write(run: Trained, net: Reader) -> None:
    """Write reader.npz into the run's folder, whole or not at all."""
    arrays = {name: variable.numpy().astype(np.float16) for name, variable in weights(net).items()}
    kept.write(run.into(run.folder) / NAME, data=np.str_(run.config.fingerprint), recipe=np.int64(RECIPE), **arrays)


def read(run: Trained) -> Reader:
    """The reader in the run's folder.

    Raises:
        Unusable: there is none, it is damaged, or it learnt from other data or in another way.
    """

    def take(arrays: dict[str, np.ndarray]) -> tuple[Reader, str, int]:
        net = network(run.config.image_shape)
        for name, variable in weights(net).items():
            value = arrays[name]
            if value.shape != tuple(variable.shape) or value.dtype != np.float16 or not np.isfinite(value).all():
                raise ValueError(name)
            variable.assign(value)
        return net, str(arrays["data"]), int(arrays["recipe"])

    path = run.folder / NAME
    net, data, recipe = kept.read(path, LARGEST_FILE, take)
    if (data, recipe) != (run.config.fingerprint, RECIPE):
        raise Unusable(f"{path} was of {'an older recipe' if data == run.config.fingerprint else 'other data'}")
    return net


def logits(net: Reader, images: np.ndarray) -> np.ndarray:
    """What the reader makes of uint8 (N, H, W, C), float64 (N, 10); softmax makes probabilities of it."""
    return net.predict(images, batch_size=1000, verbose=0).astype(np.float64)


def reading(run: Trained, prior: Prior, net: Reader | None, picture: np.ndarray, seed: int) -> tuple[int, str]:
    """The label of a picture, uint8 (H, W, C), and how sure that is, in words.

    By the reader; by Bayes' rule under the model where there is none. Where the two differ, the words say both.
    """
    log_p = likelihood.label_log_likelihoods(run.model, picture[None], seed, prior=prior)[0]
    scores = log_p if net is None else logits(net, picture[None])[0]
    label, own = int(scores.argmax()), run.config.names[int(log_p.argmax())]
    sure = f"{np.exp(scores[label] - np.logaddexp.reduce(scores)):.1%} sure"
    if own == run.config.names[label]:
        return label, f"{sure}; --style-label tells it otherwise"
    return label, f"{sure}; the model itself takes it for {own}: --style-label {own}"
