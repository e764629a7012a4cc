"""Redraw test images: under every label (swap), where the new label should be recognised, and under their own."""

import keras
import numpy as np
from PIL import Image

from engine.classifiers import networks
from engine.dataset import Split
from engine.drawing.sampling import moved, render
from engine.drawing.sheets import sheet
from engine.evaluation import statistics
from engine.latent.likelihood_bounds import BATCH, posterior
from engine.latent.prior import Prior
from engine.runs.trained_model import Trained
from engine.terminal import Progress
from model import CVAE

SHOWN = 12  # labels shown at most on a sheet


def measure_swap(model: CVAE, classifier: keras.Model, test: Split, prior: Prior) -> dict:
    """Decode the mean z of images under every label; return how often the new label is recognised.

    Args:
        prior: maps z from the old label to the new one; N(0, I) leaves z unchanged.
    """
    labels, y = np.arange(model.num_labels), test.labels
    mean, _ = posterior(model, *test)
    read = []
    with Progress(len(y), "swap: digit") as bar:
        for i in range(0, len(y), BATCH):
            drawn = render(model, moved(mean[i : i + BATCH], y[i : i + BATCH], labels, prior), labels)
            read.append(networks.read(classifier, drawn.reshape(-1, *model.image_shape)))
            bar.advance(len(drawn))
    hits = np.concatenate(read).reshape(-1, len(labels)) == labels  # (N, labels)
    own = y[:, None] == labels
    return {"new_label": statistics.wilson(hits[~own]), "own_label": statistics.wilson(hits[own])}


def swap(run: Trained, test: Split, prior: Prior) -> Image.Image:
    """Return a sheet with a row per label: its first image, followed by all labels drawn in that image's style."""
    (images, y), model = test, run.model
    labels = np.arange(model.num_labels)[:SHOWN]
    first = np.array([index for label in labels for index in np.flatnonzero(y == label)[:1]])
    mean, _ = posterior(model, images[first], y[first])
    drawn = render(model, moved(mean, y[first], labels, prior), labels)
    rows = np.concatenate([images[first][:, None], drawn], axis=1)
    return sheet(rows, ["real", *run.config.names[: len(labels)]])


def reconstructions(run: Trained, test: Split) -> Image.Image:
    """Return a sheet with a column per label: five images, each above its reconstruction from q's mean."""
    (images, y), model = test, run.model
    labels = np.unique(y)[:SHOWN]
    five = np.stack([np.resize(np.flatnonzero(y == label), 5) for label in labels], axis=1)  # (5, labels)
    mean, _ = posterior(model, images[five.ravel()], y[five.ravel()])
    redrawn = render(model, mean.reshape(*five.shape, -1), y[five])  # (5, labels, H, W, C)
    pairs = np.stack([images[five], redrawn], axis=1)  # (5, 2, labels, H, W, C)
    return sheet(pairs.reshape(-1, *pairs.shape[2:]), [run.config.names[label] for label in labels])
