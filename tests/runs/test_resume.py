"""A run that is stopped or killed and resumed ends where one ends that was not, in one process or in two workers."""

import json
import signal
import socket
from pathlib import Path

import numpy as np
import stress
from helpers import Command, differences, digest, end_at_the_last_step, go, logged, steps, tensors, write_data

import engine.training.run
import train
from engine.drawing import training_grids
from engine.runs import checkpoints, trained_model
from engine.terminal import Stop


class Stopped(Stop):
    """As if SIGTERM had come before the first step."""

    signal = property(lambda self: signal.SIGTERM, lambda self, value: None)


def test_a_stopped_run_goes_on_to_the_bits_of_one_that_was_not(digits, tmp_path, quick_finish, monkeypatch):
    """All that a checkpoint has to hold: σ², moments of two replicas, a loss that is logged between two saves. It is
    stopped twice: between two saves, and on the step of one, which is made before the run ends."""
    monkeypatch.setattr(engine.training.run, "LOG_EVERY", 8)
    monkeypatch.setattr(training_grids, "EARLY", (4,))
    words = [*digits, "--channels", 3, "--likelihood", "gaussian", "--balance", "--devices", 2, "--batch-size", 32]
    words += ["--steps", 12, "--save-every", 6, "--out"]
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert go(*words, whole) == 0
    with monkeypatch.context() as patch:
        patch.setattr(train.terminal, "Stop", Stopped)
        assert go(*words, halves) == 143 and steps(halves) == [4, 0]
        assert not training_grids.are_written(halves, 4)
        assert go(*words, halves) == 143 and steps(halves) == [6, 4, 0]
    assert training_grids.are_written(halves, 6) and ("validation/loss", 6) in logged(halves)
    for path in checkpoints.files_of(str(halves / "model.ckpt-4")):
        path.unlink()  # which the other run never had
    assert len(differences(digest(whole), digest(halves))) > 60, "the comparison sees a difference"
    halves = halves.rename(tmp_path / "its new name")
    assert go(*words, halves) == 0
    assert not differences(digest(whole), digest(halves))
    stopped, passed = (tensors(str(folder / "model.ckpt-6")) for folder in (halves, whole))
    assert all((stopped[name] == passed[name]).all() for name in passed), "also what was saved at the stop"
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
        assert step >= 50 and f"stopped at step {step:,}, saved; go on with: " in said
        assert said.endswith(f"--out '{out[number]}'\n") and trained_model.load(out[number]).step == step


def test_killed_at_any_instant(tmp_path):
    """A small version of tests/tools/stress.py, which raises where anything is lost."""
    assert stress.stress(2, 11, tmp_path, short=True).total() == 2


# --- two workers on loopback -------------------------------------------------------------------------------------

WORDS = ("--batch-size", 16, "--save-every", 2)


def workers(*commands: tuple[object, ...]) -> list[Command]:
    """A worker for each of these command lines, the chief first, on free ports."""
    sockets = [socket.create_server(("localhost", 0)) for _ in commands]  # TensorFlow wants to know them before
    cluster = {"worker": [f"localhost:{s.getsockname()[1]}" for s in sockets]}
    for s in sockets:
        s.close()
    tasks = [{"cluster": cluster, "task": {"type": "worker", "index": i}} for i in range(len(commands))]
    environments = [{"TF_CONFIG": json.dumps(task)} for task in tasks]
    return [
        Command("train", *c, environment=e, prepare=end_at_the_last_step)
        for c, e in zip(commands, environments, strict=True)
    ]


def test_workers_of_different_runs_do_not_train_together(digits: list[str], tmp_path: Path):
    other = ["--data-dir", write_data(tmp_path / "other", seed=1)]
    commands = [(*data, *WORDS, "--out", tmp_path / "run") for data in (digits[:2], (*other, "--seed", 1))]
    chief, follower = (child.finish() for child in workers(*commands))
    assert (chief.status, follower.status) == (1, 1), chief.out + follower.out
    assert "Traceback" not in chief.err + follower.err and "another worker's" in chief.err.splitlines()[-1]
    told = follower.err.splitlines()[-1].split("differing: ")[1]
    assert sorted(difference.split()[0] for difference in told.split("; ")) == ["fingerprint", "seed"]
    assert not steps(tmp_path / "run")


def test_two_workers_killed_and_restarted_equal_one_process(digits: list[str], tmp_path: Path):
    words = [*digits[:2], *WORDS, "--out", tmp_path / "two"]
    chief, follower = workers(*[[*words, "--steps", 10**6]] * 2)
    chief.wait_for("step       4")
    follower.kill()
    lost = chief.finish()
    assert lost.status == 1 and "Traceback" not in lost.err and "what was saved is safe" in lost.err, lost
    assert follower.finish().status == -9
    saved = steps(tmp_path / "two")[0]
    assert saved >= 4

    pair = [child.finish() for child in workers(*[[*words, "--steps", saved + 4]] * 2)]
    assert [child.status for child in pair] == [0, 0] and f"going on from step {saved:,}" in pair[0].out, pair
    assert steps(tmp_path / "two")[0] == saved + 4
    assert go(*digits, *WORDS, "--steps", saved + 4, "--out", tmp_path / "one") == 0
    two, alone = (tensors(str(tmp_path / name / f"model.ckpt-{saved + 4}")) for name in ("two", "one"))
    for name in (name for name in alone if name.startswith("model/")):
        np.testing.assert_allclose(two[name], alone[name], atol=1e-3, err_msg=name)
