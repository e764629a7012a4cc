"""TensorFlow is imported quietly, with oneDNN's kernels, and without garbage collections."""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine import startup

ROOT = Path(__file__).resolve().parent.parent.parent


def test_tensorflow_comes_with_oneDNN_and_is_never_searched_for_garbage():
    ask = (
        "import gc, os; from engine import startup; startup.import_tensorflow(); "
        "print(os.environ['TF_ENABLE_ONEDNN_OPTS'], gc.isenabled(), gc.get_freeze_count() > 100_000)"
    )
    env = {key: value for key, value in os.environ.items() if key != "TF_ENABLE_ONEDNN_OPTS"}
    done = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, env=env, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1 True True\n", "")


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
