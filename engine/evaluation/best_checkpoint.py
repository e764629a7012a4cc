"""Choose the checkpoint of a finished run: the newest, unless an earlier one has a clearly lower validation loss."""

import numpy as np

from engine.dataset import Split
from engine.latent.likelihood_bounds import losses
from engine.runs import checkpoints, trained_model
from engine.runs.trained_model import Trained
from engine.terminal import Failure, say

TRAINING_IMAGES = 1_000  # used to detect overfitting


def choose(run: Trained, train: Split, validation: Split) -> Trained:
    """Return `run`, or the checkpoint with the best validation loss if that is lower by over two standard errors.

    The differences are paired: the same images with the same noise. If an earlier checkpoint is chosen, this is
    printed and recorded in the run's folder, so that later loads use it.
    """
    best = checkpoints.best_step(run.folder)
    if best in (-1, run.step):
        return run
    try:
        other = trained_model.load(run.folder, str(run.folder / f"model.ckpt-{best}"))
    except Failure:  # damaged since
        return run
    worse = _worse(run, other, validation)
    if not np.mean(worse) > 2 * np.std(worse, ddof=1) / np.sqrt(len(worse)):  # also if NaN, for a single image
        return run
    checkpoints.take_best(run.folder)
    say(f"step {best:,} is taken, not {run.step:,}: its validation loss is lower by {np.mean(worse):.0f} nats")
    if np.mean(_worse(run, other, train.subset(TRAINING_IMAGES, 0))) < 0:
        more = {"none": "--augment shift, or ", "shift": "--augment shift+flip if they may be mirrored, or "}
        say(f"after that step the model overfitted: {more.get(run.config.augment, '')}more training pictures help")
    return other


def _worse(run: Trained, other: Trained, split: Split) -> np.ndarray:
    """Return the −ELBO of each image under `run` minus that under `other`, in nats. (N,)"""
    results = [losses(each.model, split, run.config.seed, "validation") for each in (run, other)]
    newest, earlier = (result.nll + result.kl for result in results)
    return newest - earlier
