"""A trained model, and where it comes from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf

from engine.config import Config
from engine.runs import checkpoints
from engine.terminal import Failure
from model import CVAE


class Trained(NamedTuple):
    model: CVAE
    config: Config
    folder: Path
    step: int

    def about(self, **more: object) -> dict[str, object]:
        """What the text metadata of this run's pictures says."""
        return {"run": self.folder.resolve().name, "step": self.step, "dataset": self.config.dataset, **more}


def load(folder: Path, checkpoint: str | None = None) -> Trained:
    """The checkpoint taken at the end of training, else the newest in `folder` that reads whole; or the one named.

    Nothing on the disk is touched.

    Raises:
        Failure: no run there, no checkpoint, the one named is damaged, or it is of another architecture.
    """
    config = Config.read(folder)
    prefixes = [checkpoints.prefix_of(checkpoint)] if checkpoint else checkpoints.newest_first(folder)
    prefixes.sort(key=lambda prefix: checkpoints.step_of(prefix) != checkpoints.default_step(folder))
    if checkpoint and not Path(f"{prefixes[0]}.index").exists():
        there = ", ".join(str(checkpoints.step_of(prefix)) for prefix in checkpoints.newest_first(folder))
        raise Failure(f"there is no {prefixes[0]}: name another --checkpoint (steps in {folder}: {there or 'none'})")
    model = CVAE(**config.architecture)
    state = tf.train.Checkpoint(model=checkpoints.trackable(model))
    for prefix in prefixes:
        try:
            checkpoints.restore(state, prefix, model)
            return Trained(model, config, folder, checkpoints.step_of(prefix))
        except checkpoints.Damaged as error:
            if checkpoint:
                raise Failure(f"{prefix} is damaged ({error}): name another --checkpoint") from None
            print(f"{prefix} is damaged ({error}): trying the one before", file=sys.stderr)
    raise Failure(f"no checkpoint in {folder}: run python train.py first")
