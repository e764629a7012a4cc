"""A run that is stopped and resumed ends with the bits of one that was not; and what signals do."""

from __future__ import annotations

import signal

import stress
from helpers import Command, differences, digest, go, logged, steps

import engine.training.run
import train
from engine.drawing import training_grids
from engine.runs import trained_model
from engine.terminal import Stop


class Stopped(Stop):
    """As if SIGTERM had come before the first step."""

    signal = property(lambda self: signal.SIGTERM, lambda self, value: None)


def test_a_stopped_run_goes_on_to_the_bits_of_one_that_was_not(digits, tmp_path, quick_finish, monkeypatch):
    """All that a checkpoint has to hold: σ², moments of two replicas, a loss that is logged between two saves. It is
    stopped on the step of a save, whose grids the next start draws."""
    monkeypatch.setattr(engine.training.run, "LOG_EVERY", 8)
    monkeypatch.setattr(training_grids, "EARLY", (6,))
    words = [*digits, "--channels", 3, "--likelihood", "gaussian", "--balance", "--devices", 2, "--batch-size", 32]
    words += ["--steps", 12, "--save-every", 6, "--out"]
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert go(*words, whole) == 0
    with monkeypatch.context() as patch:
        patch.setattr(train.terminal, "Stop", Stopped)
        assert go(*words, halves) == 143
    assert steps(halves) == [6, 0] and not training_grids.are_written(halves, 6)
    assert len(differences(digest(whole), digest(halves))) > 60, "the comparison sees a difference"
    halves = halves.rename(tmp_path / "its new name")
    assert go(*words, halves) == 0 and training_grids.are_written(halves, 6)
    assert not differences(digest(whole), digest(halves))
    assert ("train/loss", 8) in logged(whole) and sum("model.ckpt-12" in key for key in digest(whole)) > 40


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
        assert step % 50 == 0 or not training_grids.are_written(out[number], step)
        assert step >= 50 and f"stopped at step {step:,}, saved; go on with: python train.py " in said
        assert said.endswith(f"--out '{out[number]}'\n") and trained_model.load(out[number]).step == step


def test_killed_at_any_instant(tmp_path):
    """A small version of tests/tools/stress.py, which raises where anything is lost."""
    assert stress.stress(2, 11, tmp_path, short=True).total() == 2
