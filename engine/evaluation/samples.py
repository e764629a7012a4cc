"""Is the digit asked for the digit drawn? Samples from the prior: read by the classifier, compared, learnt from."""

from __future__ import annotations

from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from engine.classifiers import networks
from engine.dataset import Split
from engine.drawing.sampling import render
from engine.evaluation import statistics
from engine.evaluation.subject import Subject
from engine.latent.prior import STANDARD_NORMAL, Prior
from engine.random_streams import GENERATED, PRIOR
from engine.terminal import Progress

TEMPERATURES = (0.6, 0.7, 0.8, 0.9, 1.0)  # the last is the model's own; what is not per temperature is about it


class Samples(NamedTuple):
    images: np.ndarray  # uint8 (N, H, W, C)
    asked: np.ndarray  # (N,) the labels that they were drawn under
    p: np.ndarray  # (N, labels) the classifier's probabilities

    @property
    def right(self) -> np.ndarray:
        """Whether each reads as its label, (N,)."""
        return self.p.argmax(1) == self.asked


def measure(subject: Subject, classifier: keras.Model, count: int, prior: Prior) -> tuple[dict, Samples]:
    """How often the classifier reads the label asked for in `count` samples of it; and the samples of temperature 1."""
    model = subject.trained.model
    labels = np.arange(model.num_labels)
    asked = np.repeat(labels, count)
    per_temperature = {}
    with Progress(len(TEMPERATURES), "samples: temperature") as bar:
        for temperature in TEMPERATURES:
            images = render(model, subject.latents(asked, PRIOR, prior, temperature), asked)
            samples = Samples(images, asked, networks.read(classifier, images))
            per_temperature[temperature] = statistics.wilson(samples.right)
            bar.advance()
    found = {
        "per_temperature": per_temperature,
        "per_label": {label: statistics.wilson(samples.right[asked == label]) for label in labels},
        "confusion": tf.math.confusion_matrix(asked, samples.p.argmax(1), len(labels)).numpy(),  # (asked, read)
    }
    return found, samples


def variety(samples: Samples, test: Split, classifier: keras.Model) -> dict:
    """How far apart two samples of a label are, in the classifier's features, over the same of as many test images.

    Only what reads as its label counts: a 7 that looks like a 1 is far from the sevens, but no merit.
    """
    real, y = test
    legible = networks.read(classifier, real).argmax(1) == y
    features = keras.Model(classifier.inputs, classifier.layers[-2].output)
    per_label = {}
    for label in np.unique(samples.asked):
        drawn = samples.asked == label
        ours = samples.images[samples.right & drawn]
        theirs = real[legible & (y == label)][: drawn.sum()]
        if min(len(ours), len(theirs)) < 2:
            continue
        distance, unit = (statistics.spread(features.predict(x, 1000, verbose=0)) for x in (ours, theirs))
        if unit > 0:
            per_label[label] = distance / unit
    return {
        "unit": "mean distance of two samples of a label over that of two test images, classifier's features",
        "mean": float(np.mean(list(per_label.values()))) if per_label else None,
        "per_label": per_label,
    }


def write_misread(subject: Subject, samples: Samples, name: str) -> None:
    """Write <name>.png: of every label asked for, the ten samples that convince the classifier least."""
    order = np.argsort(samples.p[np.arange(len(samples.p)), samples.asked], kind="stable")
    labels = np.unique(samples.asked)[:50]
    worst = np.stack([order[samples.asked[order] == label][:10] for label in labels], axis=1)  # (10, labels)
    titles = [subject.names[label] for label in labels]
    subject.write(name, samples.images[worst], titles, columns="label asked for, the least convincing first")


def train_on_generated(subject: Subject, count: int, epochs: int) -> dict:
    """Train on generated, test on real (Ravuri & Vinyals 2019, arXiv 1905.10887), beside the same with real images."""
    model = subject.trained.model
    real, y = subject.train.subset(count, subject.seed)
    sources = {
        "generated": render(model, subject.latents(y, GENERATED, STANDARD_NORMAL), y),
        "generated_by_label_prior": render(model, subject.latents(y, GENERATED, subject.prior), y),
        "real": real,
    }
    found = {"training_images": len(y), "epochs": epochs}
    for name, images in sources.items():
        net = networks.convnet(model.image_shape, model.num_labels, subject.seed)
        networks.learn(net, images, y, epochs, subject.seed, f"train on {name.replace('_', ' ')}")
        found[name] = statistics.accuracy(net, *subject.test)
    return found
