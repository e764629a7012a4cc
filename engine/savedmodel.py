"""A run as a TensorFlow SavedModel that needs none of this code: tf.saved_model.load, or TensorFlow Serving."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from engine import files, gaussian, noise
from engine.evaluation.likelihood import log_ratio
from engine.prior import Prior
from engine.terminal import Failure
from engine.trained import Trained
from model import CVAE, sample

DRAWS = 50  # z per image and label in `classify`, as many as generate.py --style-from takes


def write(run: Trained, prior: Prior | None, folder: Path) -> None:
    """Write the model, its label prior (None: N(0, I)), label names and config: all of it, or nothing.

    The signatures take and give dictionaries; images are float32 in 0–1 (B, H, W, C), labels int32 (B,), B is free:
        serving_default: label, seed (an int64 scalar), temperature (a scalar) → images. The seeded noise is stateless,
            so the same on every machine and device; it is that of generate.py --label of one label.
        generate_from_latent: z (B, L), label → images.
        encode: image, label → mean, a, sigma, (B, L) each.
        classify: image → log_p, a bound on ln p(x|y) in nats, and probabilities, (B, N) each.
        describe: nothing → label_names (N,), config (JSON).

    Raises:
        Failure: `folder` exists.
    """
    if os.path.lexists(folder):
        raise Failure(f"{folder} exists: choose another folder for --savedmodel")
    model, config = run.model, run.config
    given = _Normal(model) if prior is None else _Mixture(model, prior)
    names, settings = tf.constant(config.names), json.dumps(dataclasses.asdict(config) | {"step": run.step})

    def generate_from_latent(z: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"images": model.generate(z, _checked(label, model.num_labels))}

    def generate(label: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> dict[str, tf.Tensor]:
        return generate_from_latent(given.sample(_checked(label, model.num_labels), seed, temperature), label)

    def encode(image: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
        mean, a = model.encode(image, _checked(label, model.num_labels))
        return {"mean": mean, "a": a, "sigma": tf.exp(a)}

    def classify(image: tf.Tensor) -> dict[str, tf.Tensor]:
        log_p = _label_log_likelihoods(model, given, image)
        return {"log_p": log_p, "probabilities": tf.nn.softmax(log_p)}

    def describe() -> dict[str, tf.Tensor]:
        return {"label_names": names, "config": tf.constant(settings)}

    image = tf.TensorSpec((None, *model.image_shape), tf.float32, "image")
    label, z = tf.TensorSpec((None,), tf.int32, "label"), tf.TensorSpec((None, model.latent_dim), tf.float32, "z")
    seed, temperature = tf.TensorSpec((), tf.int64, "seed"), tf.TensorSpec((), tf.float32, "temperature")
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", generate, [label, seed, temperature])
    archive.add_endpoint("generate_from_latent", generate_from_latent, [z, label])
    archive.add_endpoint("encode", encode, [image, label])
    archive.add_endpoint("classify", classify, [image])
    archive.add_endpoint("describe", describe, [])
    with files.whole_folder(folder) as partial, contextlib.redirect_stdout(None):
        archive.write_out(str(partial), verbose=False)


def _checked(label: tf.Tensor, count: int) -> tf.Tensor:
    good = tf.reduce_all((label >= 0) & (label < count))
    with tf.control_dependencies([tf.debugging.Assert(good, [f"labels go from 0 to {count - 1}, not", label])]):
        return tf.identity(label)


class _Normal:
    """N(0, I), whatever the label."""

    def __init__(self, model: CVAE) -> None:
        self.latent_dim = model.latent_dim

    def sample(self, y: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
        return temperature * noise.normal((tf.size(y), self.latent_dim), seed, "grid")

    def log_ratio(self, z: tf.Tensor, y: tf.Tensor, a: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        """ln p(z|y) − ln q(z|x, y) of the z of one label that `eps` made, (B,)."""
        return tf.cast(log_ratio(z, a, eps), tf.float64)


class _Mixture:
    """engine.prior.Prior's sample and log_density in TensorFlow; labels with fewer components repeat their last."""

    def __init__(self, model: CVAE, prior: Prior) -> None:
        counts = np.bincount(prior.labels, minlength=model.num_labels)
        at = np.cumsum(counts) - counts
        index = at[:, None] + np.minimum(np.arange(counts.max()), counts[:, None] - 1)  # (N, K), the last one repeated
        real = np.arange(counts.max()) < counts[:, None]
        weights = np.where(real, prior.weights[index], 0)
        whiteners, log_dets = zip(*map(gaussian.whitener, prior.covariances), strict=True)
        self.full, self.latent_dim, self.last = prior.covariances.ndim == 3, model.latent_dim, counts - 1
        self.edges = tf.constant(np.where(real, np.cumsum(weights, axis=1), np.inf))
        with np.errstate(divide="ignore"):
            scale = np.log(weights) - 0.5 * (np.stack(log_dets)[index] + model.latent_dim * math.log(2 * math.pi))
        self.scale = tf.constant(scale)
        self.means = tf.constant(prior.means[index])
        self.roots = tf.constant(gaussian.roots(prior.covariances)[0][index])
        self.whiteners = tf.constant(np.stack(whiteners)[index])

    def sample(self, y: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> tf.Tensor:
        eps = tf.cast(noise.normal((tf.size(y), self.latent_dim), seed, "grid"), tf.float64)
        uniform = tf.cast(noise.uniform(tf.size(y), seed, "grid"), tf.float64)
        k = tf.reduce_sum(tf.cast(tf.gather(self.edges, y) <= uniform[:, None], tf.int32), axis=1)
        which = tf.stack([y, tf.minimum(k, tf.gather(tf.constant(self.last, tf.int32), y))], axis=1)
        root = tf.gather_nd(self.roots, which)
        away = tf.linalg.matvec(root, eps) if self.full else root * eps
        return tf.cast(tf.gather_nd(self.means, which) + tf.cast(temperature, tf.float64) * away, tf.float32)

    def log_ratio(self, z: tf.Tensor, y: tf.Tensor, a: tf.Tensor, eps: tf.Tensor) -> tf.Tensor:
        z, a, eps = (tf.cast(value, tf.float64) for value in (z, a, eps))
        away = z[:, None] - self.means[y]  # (B, K, L)
        white = tf.einsum("kij,bkj->bki", self.whiteners[y], away) if self.full else self.whiteners[y] * away
        log_p = tf.reduce_logsumexp(self.scale[y] - 0.5 * tf.reduce_sum(white**2, axis=2), axis=1)
        return log_p + tf.reduce_sum(0.5 * eps**2 + a, axis=1) + 0.5 * self.latent_dim * math.log(2 * math.pi)


def _label_log_likelihoods(model: CVAE, given: _Normal | _Mixture, x: tf.Tensor) -> tf.Tensor:
    """engine.evaluation.likelihood.label_log_likelihoods, with its noise of seed 0, as one graph. (B, N) float32"""
    count, labels = tf.shape(x)[0], model.num_labels

    def under(label: tf.Tensor) -> tf.Tensor:
        y = tf.fill([count], label)
        mean, a = model.encode(x, y)

        def one_more(total: tf.Tensor, draw: tf.Tensor) -> tf.Tensor:
            eps = noise.normal((count * labels, model.latent_dim), 0, "style", draw)
            eps = tf.reshape(eps, (count, labels, -1))[:, label]
            z = sample(mean, a, eps)
            weight = given.log_ratio(z, label, a, eps) - tf.cast(model.nll(x, model.decode(z, y)), tf.float64)
            return tf.reduce_logsumexp(tf.stack([total, weight]), axis=0)

        none = tf.fill([count], tf.constant(-np.inf, tf.float64))
        return tf.cast(tf.foldl(one_more, tf.range(DRAWS), none) - math.log(DRAWS), tf.float32)

    return tf.transpose(tf.map_fn(under, tf.range(labels), fn_output_signature=tf.TensorSpec((None,), tf.float32)))
