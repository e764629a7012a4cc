"""Damaged, unreadable and diverged: the newest good checkpoint counts, and nothing bad is saved."""

import errno
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers import DRAWN, check_whole, differences, digest, go, listing, steps, tensors

from engine.latent import likelihood_bounds
from engine.runs import checkpoints, trained_model
from engine.terminal import Failure
from engine.training.run import Run

DATA, INDEX = "model.ckpt-60.data-00000-of-00001", "model.ckpt-60.index"


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0x10
    path.write_bytes(content)


DAMAGES = {
    "data truncated": lambda run: os.truncate(run / DATA, 300_000),
    "data empty": lambda run: os.truncate(run / DATA, 0),
    "data flipped": lambda run: flip(run / DATA, 200_000),  # a weight; the optimizer's moments come after them
    "data missing": lambda run: (run / DATA).unlink(),
    "index truncated": lambda run: os.truncate(run / INDEX, 700),
    "index empty": lambda run: os.truncate(run / INDEX, 0),
    "index flipped": lambda run: flip(run / INDEX, 600),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_checkpoint_is_passed_over(damage: Callable[[Path], None], run, capsys):
    damage(run)
    before = listing(run)
    assert trained_model.load(run).step == 40
    out, err = capsys.readouterr()
    assert "model.ckpt-60 is damaged" in err and len(err.splitlines()) == 1 and not out
    assert listing(run) == before, "a reader moves nothing"


def test_training_goes_on_from_the_checkpoint_before_to_the_same_end(run, tiny_run, quick_finish, capsys):
    DAMAGES["data flipped"](run)
    before = listing(run)
    assert go(*DRAWN, "--steps", 60, "--out", run) == 0
    out = capsys.readouterr().out
    assert "model.ckpt-60 is damaged" in out and "going on from step 40" in out
    kept = {name: content for name, content in before.items() if name.startswith("model.ckpt-60")}
    assert listing(run / "damaged") == kept, "set aside as they were"
    shutil.rmtree(run / "damaged")
    assert differences(digest(run), digest(tiny_run)) == ["explorer.html"], "which names the folder of its run"


@pytest.mark.parametrize("why", ["Permission denied", "of another architecture: a/bias is (20,) there and (21,) here"])
def test_what_is_not_damaged_is_not_moved(why, run, monkeypatch, capsys):
    def refuse(path: Path, *args: object):
        raise OSError(errno.EACCES, "Permission denied", str(path))

    text = (run / "config.json").read_text()
    if why == "Permission denied":
        monkeypatch.setattr(checkpoints, "open", refuse, raising=False)
    else:
        (run / "config.json").write_text(text.replace('"latent_dim": 20', '"latent_dim": 21'))
    before = listing(run)
    assert go(*DRAWN, "--steps", 80, "--out", run) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and why in err
    assert listing(run) == before


def test_all_checkpoints_damaged(run, quick_steps):
    for path in run.glob("model.ckpt-*.index"):
        os.truncate(path, 10)
    with pytest.raises(Failure, match="no checkpoint"):
        trained_model.load(run)
    assert go(*DRAWN, "--steps", 1, "--out", run) == 0
    assert steps(run) == [1, 0] and len(list((run / "damaged").glob("*.index"))) == 4


# --- NaN and infinity --------------------------------------------------------------------------------------------


def test_divergence_stops_before_anything_bad_is_saved(digits, tmp_path, capsys):
    argv = [*digits, "--learn-rate", "1e6", "--steps", "200", "--save-every", "5", "--out", str(tmp_path / "run")]
    assert go(*argv) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and "error: step " in err
    assert any(word in err for word in ("the loss", "weights", "validation loss"))
    assert shlex.split(err.split("python train.py ")[1]) == [*argv, "--fresh", "--learn-rate", "0.002"]
    assert steps(tmp_path / "run")
    for prefix in checkpoints.newest_first(tmp_path / "run"):
        assert all(np.isfinite(value).all() for value in tensors(prefix).values()), prefix
    check_whole(tmp_path / "run")


@pytest.mark.parametrize(("what", "step"), [("weights are", 1), ("validation loss is", 0)])
def test_what_is_not_finite_is_not_saved(what, step, digits, tmp_path, monkeypatch, capsys):
    """The loss of a step can be finite where its gradient is not, the weights where exp of what they give is not."""

    def advance(run: Run, *_: object) -> None:
        weight = run.model.trainable_variables[3]
        weight.assign(weight + np.where(np.arange(weight.shape[-1]) == 1, np.nan, 0))
        run.step += 1

    monkeypatch.setattr(Run, "advance", advance)
    if step == 0:
        infinite = {"negative_elbo": np.inf, "nll": 1.0, "kl": np.inf}
        monkeypatch.setattr(likelihood_bounds, "elbo", lambda *_: infinite)
    assert go(*digits, "--steps", 1, "--out", tmp_path) == 1
    err = capsys.readouterr().err
    assert f"step {step}: the {what} not finite; nothing of it was saved" in err and len(err.splitlines()) == 1
    assert steps(tmp_path) == [0][:step] and not list(tmp_path.glob(f"images/img_{step:06d}_*"))
