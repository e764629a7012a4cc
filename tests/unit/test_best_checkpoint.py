"""The best checkpoint: kept beside the newest five, taken at the end where the newest is clearly worse."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers import settings, steps

from engine.dataset import Split
from engine.evaluation import best_checkpoint
from engine.runs import checkpoints


class Nothing:
    """A state whose checkpoints are empty files."""

    def write(self, prefix: str) -> None:
        for suffix in (".index", ".data-00000-of-00001"):
            Path(prefix + suffix).touch()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(checkpoints.files, "check_held", lambda _: None)
    for step, loss in enumerate([9.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 8.5]):
        checkpoints.note_validation(tmp_path, step, loss)
        checkpoints.save(Nothing(), tmp_path, step)
    return tmp_path


def test_the_best_stays_beside_the_newest_five(folder: Path):
    assert steps(folder) == [7, 6, 5, 4, 3, 1] and checkpoints.best(folder)["step"] == 1
    assert checkpoints.default_step(folder) == 7, "until it is taken"
    checkpoints.take_best(folder)
    assert checkpoints.default_step(folder) == 1
    checkpoints.note_validation(folder, 8, 2.0)
    assert checkpoints.default_step(folder) == 7, "training goes on: the newest again"
    checkpoints.save(Nothing(), folder, 8)
    assert steps(folder) == [8, 7, 6, 5, 4]


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"step": "x/../7", "loss": 1}', '{"step": 7, "loss": "a"}', '{"step": 99, "loss": 1}']
)
def test_a_damaged_note_leaves_the_newest(folder: Path, content: str):
    (folder / checkpoints.BEST).write_text(content)
    assert checkpoints.default_step(folder) == 7 and not checkpoints.best(folder)
    checkpoints.note_validation(folder, 7, 1.0)
    assert json.loads((folder / checkpoints.BEST).read_text()) == {"step": 7, "loss": 1.0, "taken": False}


@pytest.mark.parametrize(
    ("noise", "taken"),
    [(0.1, True), (50.0, False)],
)
def test_the_best_is_taken_where_the_newest_is_clearly_worse(
    folder: Path, noise: float, taken: bool, monkeypatch: pytest.MonkeyPatch, capsys
):
    """`noise`: how much the difference varies from image to image."""

    def losses(model: str, split: Split, *_: object) -> SimpleNamespace:
        kl = np.random.default_rng(0).normal(0, noise, len(split.labels)) if model == "newest" else 0.0
        return SimpleNamespace(nll=np.full(len(split.labels), 1.0 * (model == "newest")), kl=kl)

    best = SimpleNamespace(model="best", step=1)
    monkeypatch.setattr(best_checkpoint, "losses", losses)
    monkeypatch.setattr(best_checkpoint.trained_model, "load", lambda *_: best)
    run = SimpleNamespace(model="newest", step=7, folder=folder, config=settings(augment="shift"))
    validation = Split(np.zeros((100, 1, 1, 1), np.uint8), np.zeros(100, np.uint8))
    assert best_checkpoint.choose(run, validation) is (best if taken else run)
    assert checkpoints.default_step(folder) == (1 if taken else 7)
    assert ("step 1 is taken, not 7" in capsys.readouterr().out) is taken
