"""Settings, terminals, homes and callers as they are in the wild: none of them changes what a run does."""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from known_models import random_run
from PIL import Image

from engine import files, terminal
from engine.drawing.generator import Generator
from engine.latent.prior import STANDARD_NORMAL
from engine.runs.tensorboard import EventLog
from engine.training import devices


def test_a_home_is_expanded_and_another_machine_refused():
    assert (
        terminal.local_path("~/run") == Path.home() / "run" and terminal.named(".png")("~/a.png").parent == Path.home()
    )
    for text in "gs://bucket/run", "s3://bucket", "hdfs://host/run":
        with pytest.raises(Exception, match="is not on this machine"):
            terminal.local_path(text)


def test_a_user_without_a_home_has_a_cache_for_temporary_files(monkeypatch):
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a number that names no user
    assert files.user_cache().is_absolute()


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"])
def test_a_signal_is_noted_unless_it_is_ignored_as_by_nohup(name):
    signum = getattr(signal, name)
    before = signal.signal(signum, signal.default_int_handler)  # these tests may run under nohup
    try:
        with terminal.Stop() as stop:
            os.kill(os.getpid(), signum)
            time.sleep(0.01)
        assert stop.signal == signum and signal.getsignal(signum) == signal.default_int_handler
        signal.signal(signum, signal.SIG_IGN)
        with terminal.Stop() as stop:
            os.kill(os.getpid(), signum)
            time.sleep(0.01)
        assert stop.signal == 0
    finally:
        signal.signal(signum, before)


def test_without_the_main_thread_there_are_no_signal_handlers():
    entered = []
    thread = threading.Thread(target=lambda: entered.append(terminal.Stop().__enter__().before))
    thread.start()
    thread.join()
    assert entered == [{}]


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


def test_a_worker_waits_for_the_others_and_says_for_whom(monkeypatch, capsys):
    with socket.create_server(("localhost", 0)) as own, socket.create_server(("localhost", 0)) as other:
        ports = [server.getsockname()[1] for server in (own, other)]
    cluster = {"worker": [f"localhost:{port}" for port in ports]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": "0"}}))
    assert devices.is_chief(), "an index may be text"
    waiting = threading.Thread(target=devices._wait_for_workers, daemon=True)
    waiting.start()
    waiting.join(0.5)
    assert waiting.is_alive() and f"waiting for the worker localhost:{ports[1]}" in capsys.readouterr().out
    socket.create_connection(("localhost", ports[0]), 5).close()  # it can be reached, or two would wait for each other
    with socket.create_server(("localhost", ports[1])):
        waiting.join(5)
    assert not waiting.is_alive()


def test_tensorboard_shows_training_and_validation_in_one_chart_and_the_grids(tmp_path):
    Image.new("L", (30, 20)).save(tmp_path / "a.png")
    log = EventLog(tmp_path / "logs")
    log.write("train", 5, {"loss": 3.0})
    log.write("validation", 5, {"loss": 4.0}, {"w": np.arange(9.0)}, {"fake1": tmp_path / "a.png"})
    values = {}
    for part in "train", "validation":
        log.writers[part].close()
        (path,) = (tmp_path / "logs" / part).iterdir()
        for event in tf.data.TFRecordDataset(str(path)):
            for value in tf.compat.v1.Event.FromString(event.numpy()).summary.value:
                values[part, value.tag] = value
    assert tf.make_ndarray(values["train", "loss"].tensor) == 3
    assert tf.make_ndarray(values["validation", "loss"].tensor) == 4
    picture = values["validation", "fake1"]
    width, height, png = tf.make_ndarray(picture.tensor)
    assert picture.metadata.plugin_data.plugin_name == "images" and (width, height) == (b"30", b"20")
    assert struct.unpack(">II", png[16:24]) == (30, 20)


def test_a_run_draws_from_python_as_generate_does(tmp_path):
    run = random_run(tmp_path, image_shape=(6, 5, 3), num_labels=3, latent_dim=4, stages=1, label_names=("1", "2", "b"))
    model = Generator(run, STANDARD_NORMAL)
    assert model.generate("b", count=7).shape == (7, 6, 5, 3) and model.generate("all", 2).shape == (2, 3, 6, 5, 3)
    assert (model.generate(1, 2) == model.generate("1", 2)).all(), "a name goes before a number"
    assert (model.generate(0, 2) == model.generate("1", 2)).all()
    images = model.generate(["2", "b"], 4, seed=1)[:, 1]
    mean, sigma = model.encode(images, "b")
    truth, a = run.model.encode(images / np.float32(255), np.full(4, 2))
    np.testing.assert_allclose(mean, truth, rtol=1e-5)
    np.testing.assert_allclose(sigma, np.exp(a), rtol=1e-5)
    restyled, z = model.restyle(images[0], "b", ["1", "b"]), np.float32(mean[:1].repeat(2, axis=0))
    np.testing.assert_allclose(restyled, 255 * run.model.generate(z, np.array([0, 2])), atol=0.6)
    with pytest.raises(ValueError, match="none of this run's labels: 1, 2, b"):
        model.generate("x")
