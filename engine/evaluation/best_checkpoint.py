"""Choose the checkpoint of a finished run: the newest, unless an earlier one has a clearly lower validation loss."""

import numpy as np

from engine.dataset import Split
from engine.latent.likelihood_bounds import losses
from engine.runs import checkpoints, trained_model
from engine.runs.trained_model import Trained
from engine.terminal import Failure, say


def choose(run: Trained, validation: Split) -> Trained:
    """Return `run`, or the checkpoint with the best validation loss if that is lower by over two standard errors.

    The differences are paired: the same images with the same noise. If an earlier checkpoint is chosen, this is
    printed and recorded in the run's folder, so that later loads use it.
    """
    best = checkpoints.best(run.folder).get("step", run.step)
    if best == run.step:
        return run
    try:
        other = trained_model.load(run.folder, str(run.folder / f"model.ckpt-{best}"))
    except Failure:  # damaged since
        return run
    results = [losses(each.model, validation, run.config.seed, "validation") for each in (run, other)]
    newest, earlier = (result.nll + result.kl for result in results)  # −ELBO of each image, (N,)
    worse = newest - earlier
    if not np.mean(worse) > 2 * np.std(worse, ddof=1) / np.sqrt(len(worse)):  # also if NaN, for a single image
        return run
    checkpoints.take_best(run.folder)
    say(f"step {best:,} is taken, not {run.step:,}: its validation loss is lower by {np.mean(worse):.0f} nats")
    return other
