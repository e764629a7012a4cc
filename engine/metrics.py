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


def merge(folder: Path, digest: str, entries: dict) -> None:
    """Write entries of the run whose config has this digest into metrics.json; a damaged file moves into damaged/.

    The other entries stay, but for those of another run: evaluate.py leaves the shipped run's in out/, where the user's
    own training may begin afterwards.
    """
    path, old = folder / "metrics.json", {}
    if path.exists():
        try:
            old = files.read_json(path)
        except Failure:
            files.move([path], folder / "damaged")
    own = {key: e for key, e in old.items() if not isinstance(e, dict) or e.get("config", digest) == digest}
    files.write_json(path, own | entries)


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
    result = read(run.folder).get("test")
    if not is_result(result, run.step, run.config.digest):
        images = subset(dataset.test, TEST, 0)
        result = {"dataset": dataset.name, "config": run.config.digest, "unit": "nats per image", "step": run.step}
        result |= {"images": len(images[1])} | likelihood.elbo(run.model, images, seed, "test")
        merge(run.folder, run.config.digest, {"test": result})
    terms = f"{result['negative_elbo']:.2f} nats = NLL {result['nll']:.2f} + KL {result['kl']:.2f}"
    say(f"test −ELBO {terms}, the mean of {result['images']:,} images")
