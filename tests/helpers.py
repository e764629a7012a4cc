"""What several test files use: small data sets, runs compared bit for bit, commands run in this or in another process."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import io
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from PIL import Image  # noqa: E402

from data import drawn, idx  # noqa: E402
from engine import startup  # noqa: E402

startup.import_tensorflow()

import tensorflow as tf  # noqa: E402

from engine import checkpoints  # noqa: E402


# --- commands ----------------------------------------------------------------------------------------------------


class Result(NamedTuple):
    """How a command ended."""

    status: int  # negative: the signal that ended it
    out: str
    err: str


def call(script: str, *words: object) -> Result:
    """Run a script's main in this process. It may raise nothing but argparse's SystemExit."""
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            status = importlib.import_module(script).main([str(word) for word in words])
        except SystemExit as error:
            status = error.code
    return Result(status, out.getvalue(), err.getvalue())


def is_one_line(err: str) -> bool:
    """Whether stderr is one error message and no traceback."""
    return len(err.splitlines()) == 1 and ": error: " in err and err.endswith("\n") and "Traceback" not in err


class Command:
    """A script in a process of its own, forked from a server that has imported TensorFlow already.

    Attributes:
        pid: of the process.
    """

    def __init__(self, script: str, *words: object, environment: dict[str, str] | None = None) -> None:
        self.folder = tempfile.TemporaryDirectory()
        files = [f"{self.folder.name}/{name}" for name in ("out", "err")]
        argv = [f"{script}.py", *map(str, words)]
        self.process = _server().Process(target=_in_fork, args=(script, argv, files, environment or {}, os.getcwd()))
        self.process.start()
        self.pid = self.process.pid

    def output(self) -> str:
        """What it has printed so far."""
        path = Path(self.folder.name, "out")
        return path.read_text(errors="replace") if path.exists() else ""

    def wait_for(self, text: str, seconds: float = 60) -> None:
        """Wait until it has printed `text`."""
        end = time.monotonic() + seconds
        while text not in self.output():
            assert self.process.is_alive() and time.monotonic() < end, (text, self.output())
            time.sleep(0.02)

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def finish(self, seconds: float = 120) -> Result:
        """Wait for its end."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"still running: {self.output()}"
        out, err = (Path(self.folder.name, name).read_text(errors="replace") for name in ("out", "err"))
        self.folder.cleanup()
        return Result(self.process.exitcode, out, err)


def command(script: str, *words: object, environment: dict[str, str] | None = None) -> Result:
    """Run a script in a process of its own, and wait for its end."""
    return Command(script, *words, environment=environment).finish()


def _server() -> multiprocessing.context.ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["helpers", "train", "generate", "evaluate"])
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    return context


def _in_fork(script: str, argv: list[str], files: list[str], environment: dict[str, str], folder: str) -> None:
    for number, path in zip((1, 2), files, strict=True):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # multiprocessing's server ignores it
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = argv
    status = importlib.import_module(script).main(argv[1:])
    sys.stdout.flush()
    os._exit(status)
