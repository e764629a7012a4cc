"""Two workers on loopback: killed, restarted, and at the end where one process alone would be."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

import train
from data import synthetic
from engine import idx

ROOT = Path(__file__).resolve().parent.parent.parent


def words(folder: Path, digits: Path, steps: int, *more: str) -> list[str]:
    said = ["--data-dir", str(digits), "--out", str(folder)]
    return [*said, "--steps", str(steps), "--save-every", "20", *more]


def start(folder: Path, digits: Path, steps: int, workers: list[str], index: int, *more: str) -> subprocess.Popen:
    task = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
    command = [sys.executable, "train.py", *words(folder, digits, steps, *more)]
    environment = os.environ | {"TF_CONFIG": json.dumps(task)}
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment, **output)


def addresses() -> list[str]:
    """Two free ports; TensorFlow wants to know them before it listens."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(2)]
    found = [f"localhost:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return found


def write_digits(folder: Path, seed: int) -> Path:
    for part, count in ("train", 800), ("t10k", 100):
        images, labels = synthetic.digits(count, 1, (seed, len(part)) if seed else len(part))
        idx.write(folder / f"{part}-images-idx3-ubyte", images[..., 0])
        idx.write(folder / f"{part}-labels-idx1-ubyte", labels)
    return folder


def test_workers_of_different_runs_do_not_train_together(tmp_path: Path):
    digits, workers = [write_digits(tmp_path / f"digits{seed}", seed) for seed in (0, 1)], addresses()
    pair = [start(tmp_path / "run", digits[i], 20, workers, i, "--seed", str(i)) for i in range(2)]
    chief, follower = (process.communicate(timeout=120)[0] for process in pair)
    assert [process.returncode for process in pair] == [1, 1], chief + follower
    assert "Traceback" not in chief + follower and "differ from the chief's" in chief.splitlines()[-1]
    told = follower.splitlines()[-1].split("differing: ")[1]
    assert [difference.split()[0] for difference in told.split("; ")] == ["fingerprint", "seed"]
    assert not list((tmp_path / "run").glob("model.ckpt-*"))


def test_two_workers_killed_and_restarted_equal_one_process(tmp_path: Path):
    digits = write_digits(tmp_path / "digits", 0)
    workers = addresses()
    pair = [start(tmp_path / "two", digits, 10**6, workers, i) for i in range(2)]
    give_up = time.monotonic() + 120
    while not (tmp_path / "two" / "model.ckpt-40.index").exists() and time.monotonic() < give_up:
        time.sleep(0.05)
    pair[1].send_signal(signal.SIGKILL)
    lost, _ = pair[0].communicate(timeout=120)
    assert pair[0].returncode == 1 and "Traceback" not in lost and "what was saved is safe" in lost
    saved = max(int(path.stem.split("-")[1]) for path in (tmp_path / "two").glob("model.ckpt-*.index"))
    assert saved >= 40

    steps, workers = saved + 40, addresses()
    pair = [start(tmp_path / "two", digits, steps, workers, i) for i in range(2)]
    said = [process.communicate(timeout=120)[0] for process in pair]
    assert [process.returncode for process in pair] == [0, 0], said
    assert f"going on from step {saved:,}" in said[0]

    assert train.main(words(tmp_path / "one", digits, steps, "--devices", "1")) == 0
    two, one = (
        json.loads((tmp_path / name / "metrics.json").read_text())["test"]["negative_elbo"] for name in ("two", "one")
    )
    assert two == pytest.approx(one, rel=5e-3)
