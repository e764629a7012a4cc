"""The digit reader: a small CNN, shipped with its weights, that classifies images of digits.

Bayes' rule under a run's model misreads digits that do not look like MNIST's: a narrow or blurred one, or a 7 with a
bar. The reader was trained on MNIST with augmentation that imitates other hands (tests/tools/make_digit_reader.py).
It runs in NumPy, so that train.py can use it before TensorFlow's devices are configured.
"""

from pathlib import Path

import numpy as np

from engine import files
from engine.config import KNOWN_DIGITS
from engine.dataset import Dataset
from engine.latent import likelihood_bounds
from engine.latent.prior import Prior
from engine.runs.trained_model import Trained
from engine.terminal import Failure, say

WEIGHTS = Path(__file__).with_suffix(".npz")
SIDE = 28  # pixels: MNIST's image size
LOOKED_AT = 300  # training images read to decide whether a data set consists of digits
READ = 0.9  # share of them that must be read as their labels

Reader = dict[str, np.ndarray]  # weights by name, float32: conv1/kernel (5, 5, C, filters), conv1/bias (filters,) …


def load() -> Reader:
    """Load the shipped reader. Raises Failure if its file is missing or damaged."""
    try:
        arrays = files.read_npz(WEIGHTS)
    except ValueError:
        raise Failure(f"{WEIGHTS} is missing or damaged: git checkout restores it") from None
    return {name: value.astype(np.float32) for name, value in arrays.items() if "/" in name}


def are_digits(dataset: Dataset) -> bool:
    """Return whether a data set's images show digits and its labels name them. Prints what the reader found."""
    if dataset.name in KNOWN_DIGITS:
        return True
    if dataset.num_labels != 10 or dataset.label_names not in ((), tuple("0123456789")):
        return False
    images, labels = dataset.train
    chosen = np.unique(np.linspace(0, len(labels) - 1, LOOKED_AT).astype(int))
    share = np.mean(logits(load(), images[chosen]).argmax(axis=1) == labels[chosen])
    meaning = "they are digits" if share >= READ else "they are not digits, so pictures will be read by Bayes' rule"
    say(f"the digit reader reads {share:.0%} of {len(chosen)} training images as their labels: {meaning}")
    return bool(share >= READ)


def mnist_form(images: np.ndarray) -> np.ndarray:
    """Convert images of any size and colours to MNIST's form, bright on black: (N, H, W, C) → float32 (N, 28, 28, 1).

    The background is the median colour of the border. Ink is the distance from it, scaled to a maximum of 255.
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
    """Return the matrix that resizes a row of `size` pixels to SIDE by averaging over areas: (SIDE, size)."""
    old, new = np.arange(size + 1) / size, np.arange(SIDE + 1) / SIDE
    shared = np.minimum(new[1:, None], old[1:]) - np.maximum(new[:-1, None], old[:-1])
    return SIDE * np.maximum(shared, 0)


def logits(reader: Reader, images: np.ndarray) -> np.ndarray:
    """Return the reader's logits for images (N, H, W, C) in 0–255, of any size and colours: float64 (N, 10)."""
    h = mnist_form(images) / np.float32(255)
    for name in ("conv1", "conv2", "conv3"):  # Keras' Conv2D(filters, 5, strides=2, padding="same")
        pad = (h.shape[1] % 2 + 1, 2)  # SAME pads an even side by 1 and 2, an odd one by 2 and 2
        padded = np.pad(h, ((0, 0), pad, pad, (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(1, 2))[:, ::2, ::2]
        sums = np.tensordot(windows, reader[f"{name}/kernel"], axes=((4, 5, 3), (0, 1, 2)))
        h = np.maximum(sums + reader[f"{name}/bias"], 0)  # (N, 14, 14, 16), (N, 7, 7, 32), (N, 4, 4, 48)
    h = h.reshape(len(h), -1)  # (N, 768)
    h = np.maximum(h @ reader["dense/kernel"] + reader["dense/bias"], 0)  # (N, 64)
    return (h @ reader["logits/kernel"] + reader["logits/bias"]).astype(np.float64)


def reading(run: Trained, prior: Prior, picture: np.ndarray, seed: int) -> tuple[int, str]:
    """Return the label of a picture, uint8 (H, W, C), by the reader or by Bayes' rule, and its certainty as text."""
    log_p = likelihood_bounds.label_log_likelihoods(run.model, picture[None], seed, prior)[0]
    scores = logits(load(), picture[None])[0] if run.config.digits else log_p
    label, by_model = int(scores.argmax()), run.config.names[int(log_p.argmax())]
    sure = f"{np.exp(scores[label] - np.logaddexp.reduce(scores)):.1%} sure"
    if by_model == run.config.names[label]:
        return label, f"{sure}; --style-label tells it otherwise"
    return label, f"{sure}; the model itself takes it for {by_model}: --style-label {by_model}"
