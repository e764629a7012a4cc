"""Two workers on loopback: killed, restarted, and at the end where one process alone would be."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import numpy as np
from helpers import Command, end_at_the_last_step, go, steps, tensors, write_data

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
    assert "Traceback" not in chief.err + follower.err and "differ from the chief's" in chief.err.splitlines()[-1]
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
