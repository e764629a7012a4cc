"""A run that is stopped and resumed ends with the bits of one that was not; and what signals do."""

from __future__ import annotations

import signal

import pytest
from helpers import Command, differences, digest, go, logged, steps

import engine.training.run
import train
from engine.drawing import training_grids
from engine.runs import trained_model
from engine.terminal import Stop

# Everything that a checkpoint has to hold: moments and σ² on two replicas, a loss that is logged between two saves.
WORDS = ("--channels", 3, "--likelihood", "gaussian", "--balance", "--devices", 2, "--batch-size", 32)


class Stopped(Stop):
    """As if SIGTERM had come before the first step."""

    signal = property(lambda self: signal.SIGTERM, lambda self, value: None)


@pytest.fixture
def few_words(digits: list[str], quick_finish: None, monkeypatch: pytest.MonkeyPatch) -> list:
    monkeypatch.setattr(engine.training.run, "LOG_EVERY", 8)
    monkeypatch.setattr(training_grids, "EARLY", (3,))
    return [*digits, *WORDS, "--save-every", 10, "--out"]


def test_k_steps_and_k_more_are_2k_steps(few_words, tmp_path):
    """Ended after ten steps in one folder, stopped by a signal after three in another."""
    whole, ended, stopped = (tmp_path / name for name in ("whole", "ended", "stopped"))
    assert go(*few_words, whole, "--steps", 20) == 0
    assert go(*few_words, ended, "--steps", 10) == 0
    assert len(differences(digest(whole), digest(ended))) > 60, "the comparison sees a difference"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.terminal, "Stop", Stopped)
        assert go(*few_words, stopped, "--steps", 20) == 143
    assert steps(stopped)[0] == 3 and not (stopped / "images" / "img_000003_real.png").exists()
    for folder in ended, stopped:
        assert go(*few_words, folder, "--steps", 20) == 0
        assert not differences(digest(whole), digest(folder))
    assert ("train/loss", 16) in logged(whole) and sum("model.ckpt-20" in key for key in digest(whole)) > 40


def test_stopped_between_two_saves_it_keeps_the_weights_and_draws_nothing(digits, tmp_path, quick_steps, monkeypatch):
    monkeypatch.setattr(train.terminal, "Stop", Stopped)
    out = tmp_path / "run"
    assert go(*digits, "--steps", 40, "--save-every", 40, "--out", out) == 143
    assert steps(out) == [10, 0] and not list((out / "images").glob("img_000010_*"))


def test_stopped_on_the_step_of_a_save_the_next_start_draws_the_grids(digits, tmp_path, quick_steps):
    words = [*digits, "--steps", 10, "--save-every", 10, "--out"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train.terminal, "Stop", Stopped)
        assert go(*words, tmp_path / "run") == 143
    assert go(*words, tmp_path / "run") == 0 and go(*words, tmp_path / "other") == 0
    assert not differences(digest(tmp_path / "run"), digest(tmp_path / "other"))


def test_signals_save_and_tell_how_to_go_on(digits, tmp_path):
    ends = {signal.SIGINT: 130, signal.SIGTERM: 143}
    out = {number: tmp_path / f"a {number.name}" for number in ends}
    words = [*digits, "--batch-size", 16, "--steps", 0, "--save-every", 50]
    children = {number: Command("train", *words, "--out", out[number]) for number in ends}
    for number, child in children.items():
        child.wait_for("step      50")
        child.kill(number)
    for number, child in children.items():
        status, said, err = child.finish(20)
        assert (status, err) == (ends[number], ""), said + err
        [step, *_] = steps(out[number])
        assert step >= 50 and f"stopped at step {step:,}, saved; go on with: python train.py " in said
        assert said.endswith(f"--out '{out[number]}'\n") and trained_model.load(out[number]).step == step


def test_killed_at_any_instant(tmp_path):
    """A small version of tests/tools/stress.py."""
    done = Command("stress", "--kills", 2, "--seed", 11, "--lives", "idx", "--work", tmp_path).finish(300)
    assert done.status == 0 and "all whole" in done.out, done.out + done.err
