"""Which checkpoint of a run is taken at its end: the newest, unless an earlier one was clearly better."""

from __future__ import annotations

import numpy as np

from engine.dataset import Split
from engine.latent.likelihood_bounds import losses
from engine.runs import checkpoints, trained_model
from engine.runs.trained_model import Trained
from engine.terminal import Failure, say

TRAINING_IMAGES = 1_000  # that tell whether the training pictures were learnt by heart


def choose(run: Trained, train: Split, validation: Split) -> Trained:
    """The newest checkpoint, or the best by validation loss where that is lower by over twice its standard error.

    The difference is that of pairs, of the same images with the same noise. A line says which is taken, and it is
    noted for those who load the run later.
    """
    best = checkpoints.best_step(run.folder)
    if best in (-1, run.step):
        return run
    try:
        other = trained_model.load(run.folder, str(run.folder / f"model.ckpt-{best}"))
    except Failure:  # damaged since
        return run
    worse = _worse(run, other, validation)
    if not np.mean(worse) > 2 * np.std(worse, ddof=1) / np.sqrt(len(worse)):  # also for a single image
        return run
    checkpoints.take_best(run.folder)
    say(f"step {best:,} is taken, not {run.step:,}: its validation loss is lower by {np.mean(worse):.0f} nats")
    if np.mean(_worse(run, other, train.subset(TRAINING_IMAGES, 0))) < 0:
        more = {"none": "--augment shift, or ", "shift": "--augment shift+flip if they may be mirrored, or "}
        say(f"the training pictures were learnt by heart since: {more.get(run.config.augment, '')}more pictures help")
    return other


def _worse(run: Trained, other: Trained, split: Split) -> np.ndarray:
    """How much higher the −ELBO of each image is in `run` than in `other`, in nats. (N,)"""
    under = [losses(each.model, split, run.config.seed, "validation") for each in (run, other)]
    newest, earlier = (result.nll + result.kl for result in under)
    return newest - earlier
