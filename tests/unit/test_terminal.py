"""Paths, signals, callers and output of the scripts, in terminals and without one."""

import errno
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from engine import terminal


def test_a_home_is_expanded_and_another_machine_refused():
    assert (
        terminal.local_path("~/run") == Path.home() / "run" and terminal.named(".png")("~/a.png").parent == Path.home()
    )
    for text in "gs://bucket/run", "s3://bucket", "hdfs://host/run":
        with pytest.raises(Exception, match="is not on this machine"):
            terminal.local_path(text)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_signal_is_noted_a_second_one_leaves_at_once_and_an_ignored_one_stays_so(name, monkeypatch):
    """Ignored as by nohup, or of a script's job in the background."""
    signum, left = getattr(signal, name), []
    monkeypatch.setattr(os, "_exit", left.append)
    before = signal.signal(signum, signal.default_int_handler)  # these tests may be such a job
    try:
        with terminal.Stop() as stop:
            os.kill(os.getpid(), signum)
            assert stop.signal == signum and not left
            os.kill(os.getpid(), signum)
            assert left == [128 + signum]
        assert signal.getsignal(signum) == signal.default_int_handler
        signal.signal(signum, signal.SIG_IGN)
        with terminal.Stop() as stop:
            os.kill(os.getpid(), signum)
            assert stop.signal == 0
    finally:
        signal.signal(signum, before)


def test_without_the_main_thread_there_are_no_signal_handlers():
    handler, during = signal.getsignal(signal.SIGTERM), []

    def enter() -> None:
        with terminal.Stop():
            during.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert during == [handler] == [signal.getsignal(signal.SIGTERM)]


def test_called_from_python_a_script_takes_no_words_of_its_caller(monkeypatch):
    monkeypatch.setattr("sys.argv", ["ipykernel_launcher.py", "-f", "kernel.json"])

    def main(argv: list[str] | None) -> int:
        return 0 if argv == [] else 1

    assert terminal.command(main)() == 0


def test_a_terminal_that_is_gone_stops_nothing_but_a_closed_pipe_does(monkeypatch):
    def gone(number: int):
        def write(*_, **__):
            raise OSError(number, os.strerror(number))

        return write

    monkeypatch.setattr("builtins.print", gone(errno.EIO))
    terminal.say("saved")
    monkeypatch.setattr("builtins.print", gone(errno.EPIPE))
    with pytest.raises(BrokenPipeError):
        terminal.say("saved")


def test_no_time_is_estimated_from_what_comes_before_the_first_report(monkeypatch, capsys):
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with terminal.Progress(100, "step") as bar:
        for seconds in 600, 11, 11:  # compiling takes ten minutes, ten steps eleven seconds
            now[0] += seconds
            bar.advance(10)
    lines = capsys.readouterr().out.splitlines()
    assert "left" not in lines[0] and "1:28 left" in lines[1] and "1:17 left" in lines[2]
