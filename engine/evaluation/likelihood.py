"""The likelihood of test images: −ELBO = NLL + KL and the importance-weighted bound, per label and overall."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from engine import random_streams
from engine.evaluation import statistics
from engine.evaluation.subject import Subject
from engine.latent.likelihood_bounds import Bounds, bounds, in_unit, squared_error
from engine.latent.prior import STANDARD_NORMAL
from engine.random_streams import BINARISE
from engine.terminal import Progress


def binarise(images: np.ndarray, seed: int) -> np.ndarray:
    """Each pixel 1 with its grey value as probability, float32; the channels of a pixel share one throw."""
    n, h, w, _ = images.shape
    throw = tf.random.stateless_uniform((n, h, w, 1), random_streams.key(seed, "evaluate", BINARISE)).numpy()
    return (throw < in_unit(images)).astype(np.float32)


def entropy(x: np.ndarray) -> np.ndarray:
    """The least NLL that a model can have on targets x (N, H, W, C) in 0–1: 0 if they are binary. (N,)"""
    p = np.clip(x.astype(np.float64), 1e-12, 1 - 1e-12)
    return -np.sum(p * np.log(p) + (1 - p) * np.log1p(-p), axis=(1, 2, 3))


def measure(subject: Subject, k: int) -> tuple[dict, np.ndarray]:
    """−ELBO = NLL + KL and the importance-weighted bound, per label and overall; Bernoulli also on binarised targets.

    Under N(0, I), and in an entry of its own under the label prior. Returns also by how many nats each image's NLL
    exceeds the least possible, (N,); of a Gaussian, for which there is no least one, the NLL.
    """
    model, (images, y) = subject.trained.model, subject.measured
    shares, targets, floors = (1.0,), {"pixels": images}, {"pixels": np.zeros(len(y))}
    if model.likelihood == "bernoulli":
        channels = model.image_shape[-1]
        shares = (1.0,) if channels == 1 else (1.0, 1 / channels)
        targets = {"grey": images, "binarised": binarise(images, subject.seed)}
        floors = {target: entropy(in_unit(x)) for target, x in targets.items()}
    priors, noise = (STANDARD_NORMAL, subject.prior), subject.draws(len(y))
    with Progress(len(targets) * k, "likelihood: z") as bar:
        measured = {t: bounds(model, x, y, k, noise, shares, priors, bar.advance) for t, x in targets.items()}
    result = {"unit": "nats per image", "images": len(y), "z_per_image": k, "label_prior": {}}
    result["reconstruction_rmse"] = float(np.sqrt(np.mean(squared_error(model, images, y))))
    for target, (standard, label) in measured.items():
        result |= _columns(target, standard, shares, floors[target], y)
        result["label_prior"] |= _columns(target, label, shares, floors[target], y)
    main = next(iter(targets))
    return result, measured[main][0].nll - floors[main]


def _columns(target: str, b: Bounds, shares: Sequence[float], floor: np.ndarray, y: np.ndarray) -> dict:
    """One target's means over all images and per label, as trained and, of several channels, per channel."""
    result = {}
    for s, share in enumerate(shares):
        columns = {
            "negative_elbo": share * b.nll + b.kl,
            "nll": share * b.nll,
            "kl": b.kl,
            "negative_importance_weighted": -b.iw[:, s],
        }
        result[target if share == 1 else f"{target}_per_channel"] = {
            **_averages(columns),
            "least_nll_possible": float(share * floor.mean()),
            "per_label": {label: _averages(columns, y == label) for label in np.unique(y)},
        }
    return result


def _averages(columns: dict[str, np.ndarray], which: np.ndarray | slice = slice(None)) -> dict[str, dict]:
    return {key: statistics.average(values[which]) for key, values in columns.items()}
