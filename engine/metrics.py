"""metrics.json: what a run reached, an entry per script that measured it."""

from __future__ import annotations

from pathlib import Path

from engine import files
from engine.evaluation import likelihood
from engine.evaluation.task import subset
from engine.terminal import Failure, say
from engine.trained import Trained

TEST = 10_000  # images at most: MNIST's, and as many of a larger set


def read(folder: Path) -> dict:
    """The entries of the run in `folder`; none if there is no such file, or one that is damaged."""
    try:
        return files.read_json(folder / "metrics.json")
    except Failure:
        return {}


def merge(folder: Path, entries: dict) -> None:
    """Write these entries into metrics.json, the others kept; a damaged file is first moved into damaged/."""
    path, kept = folder / "metrics.json", {}
    if path.exists():
        try:
            kept = files.read_json(path)
        except Failure:
            files.move([path], folder / "damaged")
    files.write_json(path, kept | entries)


def is_result(test: object, step: int, digest: str) -> bool:
    """Whether an entry is the test result at this step of the run whose config has this digest, and can be printed."""
    if not isinstance(test, dict) or (test.get("step"), test.get("config")) != (step, digest):
        return False
    return all(isinstance(test.get(key), int | float) for key in ("images", "negative_elbo", "nll", "kl"))


def test(run: Trained, dataset: object, seed: int) -> None:
    """The test result of train.py: measured once per step, kept, said."""
    if not len(dataset.test.labels):
        say("there are no test images, so there is no test result")
        return
    found = read(run.folder).get("test")
    if not is_result(found, run.step, run.config.digest):
        images = subset(dataset.test, TEST, 0)
        found = {"dataset": dataset.name, "config": run.config.digest, "unit": "nats per image", "step": run.step}
        found |= {"images": len(images[1])} | likelihood.elbo(run.model, images, seed, "test")
        merge(run.folder, {"test": found})
    terms = f"{found['negative_elbo']:.2f} nats = NLL {found['nll']:.2f} + KL {found['kl']:.2f}"
    say(f"test −ELBO {terms}, the mean of {found['images']:,} images")
