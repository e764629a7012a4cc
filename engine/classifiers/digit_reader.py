"""The digit reader: a small CNN, shipped with its weights, that says which digit an image shows.

Bayes' rule under a run's model takes a stranger's digit, narrow, soft or with a bar through the 7, for whatever is as
narrow or soft. The reader learnt MNIST's digits, augmented to look like many hands (tests/tools/make_digit_reader.py).
It runs in NumPy, so that a run can ask it before TensorFlow's devices are chosen.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine import npz
from engine.config import KNOWN_DIGITS, Config
from engine.dataset import Dataset
from engine.latent import likelihood_bounds
from engine.latent.prior import Prior
from engine.runs.trained_model import Trained
from engine.terminal import Failure, say

WEIGHTS = Path(__file__).with_suffix(".npz")
LARGEST_FILE = 1 << 24  # bytes, decompressed
SIDE = 28  # pixels, of MNIST's form
BATCH = 250  # images at a time: bounds the memory
LOOKED_AT = 300  # training images that show whether a data set is digits
READ = 0.9  # share of them that must be read as their labels

Reader = dict[str, np.ndarray]  # weights by name, float32: conv1/kernel (5, 5, C, filters), conv1/bias (filters,) …


def load() -> Reader:
    """The shipped reader. Raises Failure if its file is missing or damaged."""
    try:
        arrays = npz.read(WEIGHTS, LARGEST_FILE)
    except (OSError, ValueError):
        raise Failure(f"{WEIGHTS} is missing or damaged: git checkout restores it") from None
    return {name: value.astype(np.float32) for name, value in arrays.items() if "/" in name}


def for_run(config: Config) -> Reader | None:
    """The reader, if the run's data are digits; None where Bayes' rule reads."""
    return load() if config.digits else None


def are_digits(dataset: Dataset) -> bool:
    """Whether the labels of a data set are the ten digits that its images show; a line says what the reader read."""
    if dataset.name in KNOWN_DIGITS:
        return True
    if dataset.num_labels != 10 or dataset.label_names not in ((), tuple("0123456789")):
        return False
    images, labels = dataset.train
    chosen = np.unique(np.linspace(0, len(labels) - 1, LOOKED_AT).astype(int))
    share = np.mean(logits(load(), images[chosen]).argmax(axis=1) == labels[chosen])
    meaning = "they are digits" if share >= READ else "they are no digits, and Bayes' rule reads pictures"
    say(f"the digit reader reads {share:.0%} of {len(chosen)} training images as their labels: {meaning}")
    return bool(share >= READ)


def mnist_form(images: np.ndarray) -> np.ndarray:
    """Images of any size and colours as MNIST has digits, bright ink on black: (N, H, W, C) → float32 (N, 28, 28, 1).

    The paper is the median colour along the border, the ink whatever differs from it; the strongest ink becomes 255.
    """
    _, height, width, _ = images.shape
    images = images.astype(np.float64)
    border = np.ones((height, width), bool)
    border[1:-1, 1:-1] = False
    paper = np.median(images[:, border], axis=1)  # (N, C)
    ink = np.abs(images - paper[:, None, None]).mean(axis=-1)  # (N, H, W)
    ink = _area_weights(height) @ ink @ _area_weights(width).T  # (N, 28, 28)
    strongest = ink.max(axis=(1, 2), keepdims=True)
    return (255 * ink / np.maximum(strongest, 1e-9)).astype(np.float32)[..., None]


def _area_weights(size: int) -> np.ndarray:
    """What each of `size` pixels in a row contributes to each of SIDE, by their common area: (SIDE, size)."""
    old, new = np.arange(size + 1) / size, np.arange(SIDE + 1) / SIDE
    shared = np.minimum(new[1:, None], old[1:]) - np.maximum(new[:-1, None], old[:-1])
    return SIDE * np.maximum(shared, 0)


def logits(reader: Reader, images: np.ndarray) -> np.ndarray:
    """The reader's logits of images (N, H, W, C) in 0–255, of any size and colours: float64 (N, 10)."""
    parts = []
    for i in range(0, len(images), BATCH):
        h = mnist_form(images[i : i + BATCH]) / np.float32(255)
        for name in ("conv1", "conv2", "conv3"):
            h = np.maximum(_conv2d(h, reader[f"{name}/kernel"]) + reader[f"{name}/bias"], 0)
        h = h.reshape(len(h), -1)  # (N, 768)
        h = np.maximum(h @ reader["dense/kernel"] + reader["dense/bias"], 0)  # (N, 64)
        parts.append(h @ reader["logits/kernel"] + reader["logits/bias"])
    return np.concatenate(parts).astype(np.float64)


def _conv2d(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Keras' Conv2D(filters, 5, strides=2, padding="same") without its bias: (N, H, W, C) → (N, H/2, W/2, filters)."""
    pads = [((side % 2) + 1, 2) for side in x.shape[1:3]]  # an even side is padded by 1 and 2, an odd one by 2 and 2
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(1, 2))[:, ::2, ::2]  # (N, h, w, C, 5, 5)
    return np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2)))


def reading(run: Trained, prior: Prior, reader: Reader | None, picture: np.ndarray, seed: int) -> tuple[int, str]:
    """The label of a picture, uint8 (H, W, C), by the reader, else by Bayes' rule; and how sure that is, in words."""
    log_p = likelihood_bounds.label_log_likelihoods(run.model, picture[None], seed, prior=prior)[0]
    scores = log_p if reader is None else logits(reader, picture[None])[0]
    label, own = int(scores.argmax()), run.config.names[int(log_p.argmax())]
    sure = f"{np.exp(scores[label] - np.logaddexp.reduce(scores)):.1%} sure"
    if own == run.config.names[label]:
        return label, f"{sure}; --style-label tells it otherwise"
    return label, f"{sure}; the model itself takes it for {own}: --style-label {own}"
