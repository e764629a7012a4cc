"""TensorFlow is imported quietly, with oneDNN's kernels, and without garbage collections."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import DRAWN, ROOT

from engine import startup

# A run of one step as a user starts it; then what was asked of TensorFlow.
COMMAND = """
import gc, os, sys
sys.path.insert(0, sys.argv.pop(1))
import data, train
data.DRAWN = 100, 50, 50
assert (os.environ["TF_ENABLE_ONEDNN_OPTS"], gc.isenabled()) == ("1", True) and gc.get_freeze_count() > 100_000
sys.exit(train.main(sys.argv[1:]))
"""


def test_a_terminal_shows_nothing_but_the_run(tmp_path: Path):
    """In a process of its own: no start-up noise of TensorFlow's on either stream."""
    words = [sys.executable, "-c", COMMAND, str(ROOT), *DRAWN, "--steps", "1", "--out", str(tmp_path / "run")]
    env = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"}
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0 and done.stderr == ""
    lines = [line for line in done.stdout.splitlines() if not line.endswith(" left")]  # progress, where it takes long
    assert lines[0].startswith("drawn digits: 100 training") and "python generate.py --label 7" in lines[-1]
    assert len(lines) == 8


def test_an_import_that_fails_leaves_the_users_setting_and_the_garbage_collector_as_they_were(monkeypatch):
    @contextlib.contextmanager
    def broken():
        assert not gc.isenabled()
        raise ImportError("no TensorFlow here")
        yield

    monkeypatch.setattr(startup, "quiet", broken)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    with pytest.raises(ImportError):
        startup.import_tensorflow()
    assert gc.isenabled() and os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"
