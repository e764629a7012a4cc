"""Load a trained model from a run's folder."""

import sys
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from engine.config import Config
from engine.runs import checkpoints
from engine.terminal import Failure
from model import CVAE


class Trained(NamedTuple):
    """A model with its run: the config, the folder, and the step of its checkpoint."""

    model: CVAE
    config: Config
    folder: Path
    step: int

    def about(self, **more: object) -> dict[str, object]:
        """Return the text metadata of the pictures that this run makes."""
        return {"run": self.folder.resolve().name, "step": self.step, "dataset": self.config.dataset, **more}


def load(folder: Path, checkpoint: str | None = None) -> Trained:
    """Load the named checkpoint, else the default one, else the newest undamaged one. Changes nothing on the disk.

    Raises Failure if there is no run or no checkpoint, the named one is damaged, or one is of another architecture.
    """
    config = Config.read(folder)
    prefixes = [checkpoints.prefix_of(checkpoint)] if checkpoint else checkpoints.newest_first(folder)
    default = checkpoints.default_step(folder)
    prefixes.sort(key=lambda prefix: checkpoints.step_of(prefix) != default)
    if checkpoint and not Path(f"{prefixes[0]}.index").exists():
        steps = ", ".join(str(checkpoints.step_of(prefix)) for prefix in checkpoints.newest_first(folder))
        raise Failure(f"there is no {prefixes[0]}: name another --checkpoint (steps in {folder}: {steps or 'none'})")
    model = CVAE(**config.architecture)
    state = tf.train.Checkpoint(model=checkpoints.trackable(model))
    for prefix in prefixes:
        try:
            checkpoints.restore(state, prefix, model)
            return Trained(model, config, folder, checkpoints.step_of(prefix))
        except checkpoints.Damaged as error:
            if checkpoint:
                raise
            print(f"{error}: trying the one before", file=sys.stderr)
    raise Failure(f"no checkpoint in {folder}: run python train.py first")
