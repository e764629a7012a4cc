"""Export a run as a TensorFlow SavedModel, for tf.saved_model.load or TensorFlow Serving without this code."""

import contextlib
import dataclasses
import json
import os
from pathlib import Path

import keras
import tensorflow as tf

from engine import files, random_streams
from engine.latent.prior import Prior
from engine.runs.trained_model import Trained
from engine.terminal import Failure


def write(run: Trained, prior: Prior, folder: Path) -> None:
    """Write the model, a prior, label names and config as a SavedModel, atomically.

    Signatures take and return dictionaries. Images are float32 in 0–1 (B, H, W, C), labels int32 (B,), for any B:
        serving_default: label, seed (int64 scalar), temperature (scalar) → images. The noise is stateless, so it is the
            same on every machine and device; for a single label it is that of generate.py --label.
        generate_from_latent: z (B, L), label → images.
        encode: image, label → mean, a, sigma, (B, L) each.
        describe: no input → label_names (N,), config (JSON).

    Raises Failure if `folder` exists.
    """
    if os.path.lexists(folder):
        raise Failure(f"{folder} exists: choose another folder for --savedmodel")
    model, config = run.model, run.config
    settings = json.dumps(dataclasses.asdict(config) | {"step": run.step})

    def checked(label: tf.Tensor) -> tf.Tensor:
        valid = tf.reduce_all((label >= 0) & (label < model.num_labels))
        with tf.control_dependencies([tf.Assert(valid, [f"labels go from 0 to {model.num_labels - 1}, not", label])]):
            return tf.identity(label)

    def generate_from_latent(z: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"images": model.generate(z, checked(label))}

    def generate(label: tf.Tensor, seed: tf.Tensor, temperature: tf.Tensor) -> dict[str, tf.Tensor]:
        eps = random_streams.normal((tf.size(label), model.latent_dim), seed, "grid")
        uniform = random_streams.uniform(tf.size(label), seed, "grid")
        z = prior.sample(checked(label), eps, uniform, temperature)
        return generate_from_latent(tf.cast(z, tf.float32), label)

    def encode(image: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
        mean, a = model.encode(image, checked(label))
        return {"mean": mean, "a": a, "sigma": tf.exp(a)}

    def describe() -> dict[str, tf.Tensor]:
        return {"label_names": tf.constant(config.names), "config": tf.constant(settings)}

    image = tf.TensorSpec((None, *model.image_shape), tf.float32, "image")
    label, z = tf.TensorSpec((None,), tf.int32, "label"), tf.TensorSpec((None, model.latent_dim), tf.float32, "z")
    seed, temperature = tf.TensorSpec((), tf.int64, "seed"), tf.TensorSpec((), tf.float32, "temperature")
    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint("serving_default", generate, [label, seed, temperature])
    archive.add_endpoint("generate_from_latent", generate_from_latent, [z, label])
    archive.add_endpoint("encode", encode, [image, label])
    archive.add_endpoint("describe", describe, [])
    with files.whole(folder) as partial, contextlib.redirect_stdout(None):
        archive.write_out(str(partial), verbose=False)
