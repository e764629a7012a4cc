"""Measure whether samples show the label asked for, by the evaluation classifier."""

from typing import NamedTuple

import keras
import numpy as np

from engine.classifiers import networks
from engine.drawing.sampling import render
from engine.evaluation import statistics
from engine.evaluation.evaluated_run import EvaluatedRun
from engine.latent.prior import Prior
from engine.random_streams import PRIOR


class Samples(NamedTuple):
    images: np.ndarray  # uint8 (N, H, W, C)
    asked: np.ndarray  # (N,) the labels that the images were drawn under
    p: np.ndarray  # (N, labels) the evaluation classifier's probabilities


def draw(subject: EvaluatedRun, classifier: keras.Model, count: int, prior: Prior) -> Samples:
    """Draw `count` samples of each label and classify them."""
    asked = np.repeat(np.arange(subject.trained.model.num_labels), count)
    images = render(subject.trained.model, subject.latents(asked, PRIOR, prior), asked)
    return Samples(images, asked, networks.read(classifier, images))


def measure(samples: Samples) -> dict:
    """Return the share of samples classified as the label asked for, overall and per label."""
    right = samples.p.argmax(1) == samples.asked
    per_label = {label: statistics.wilson(right[samples.asked == label]) for label in np.unique(samples.asked)}
    return {**statistics.wilson(right), "per_label": per_label}


def write_misread(subject: EvaluatedRun, samples: Samples, name: str) -> None:
    """Write <name>.png: for every label, the ten samples to which the classifier gives it the lowest probability."""
    order = np.argsort(samples.p[np.arange(len(samples.p)), samples.asked], kind="stable")
    labels = np.unique(samples.asked)[:50]
    worst = np.stack([order[samples.asked[order] == label][:10] for label in labels], axis=1)  # (10, labels)
    titles = [subject.names[label] for label in labels]
    subject.write(name, samples.images[worst], titles, columns="label asked for, the least convincing first")
