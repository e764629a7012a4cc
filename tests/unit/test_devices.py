"""Where training runs: GPUs, cores, workers, and what is refused in words."""

import argparse
import json
import socket
import threading

import pytest
import tensorflow as tf

from engine.terminal import Failure
from engine.training import devices


@pytest.fixture(autouse=True)
def named_strategies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strategies that only know the names of their devices."""

    def strategy(names: str | list[str]) -> argparse.Namespace:
        return argparse.Namespace(names=names, num_replicas_in_sync=1 if isinstance(names, str) else len(names))

    for name in ("MirroredStrategy", "OneDeviceStrategy"):
        monkeypatch.setattr(tf.distribute, name, strategy)


def test_uneven_shares_are_refused_in_words():
    with pytest.raises(Failure, match="--batch-size 33 does not divide by 2"):
        devices.strategy(2, 33)


@pytest.mark.parametrize(
    ("cores", "batch", "replicas", "threads"),
    [(1, 64, 1, 1), (2, 64, 2, 1), (8, 64, 4, 2), (16, 256, 16, 1), (6, 64, 4, 1)],
)
def test_cores_take_shares_of_the_batch_and_then_of_operations(
    cores: int, batch: int, replicas: int, threads: int, monkeypatch: pytest.MonkeyPatch
):
    set_to = []
    monkeypatch.setattr(devices, "cores", lambda: cores)
    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", set_to.append)
    monkeypatch.setattr(tf.config, "set_logical_device_configuration", lambda cpu, logical: None)
    assert devices.strategy(None, batch).num_replicas_in_sync == replicas and set_to == [threads]
    assert devices.strategy(None, batch, begun_on=32).num_replicas_in_sync == 32  # a CPU can always do as before
    assert devices.strategy(2, batch, begun_on=32).num_replicas_in_sync == 2


@pytest.mark.parametrize(("gpus", "batch", "used"), [(3, 64, 2), (3, 66, 3), (4, 64, 4), (5, 7, 1)])
def test_as_many_gpus_as_divide_the_batch(gpus: int, batch: int, used: int, monkeypatch: pytest.MonkeyPatch):
    physical = [f"a GPU {i}" for i in range(gpus)]
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: physical if kind == "GPU" else [])
    assert devices.strategy(None, batch).names == ([f"GPU:{i}" for i in range(used)] if used > 1 else "GPU:0")
    assert devices.strategy(None, batch, begun_on=gpus + 1).names == devices.strategy(None, batch).names
    assert devices.strategy(None, batch, begun_on=1).names == "GPU:0"
    with pytest.raises(Failure, match=f"this machine has {gpus} GPUs"):
        devices.strategy(gpus + 1, batch)


def test_a_kernel_in_which_tensorflow_runs_already_is_told_so(monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setattr(devices, "cores", lambda: 3)  # the tests' own process has two devices
    assert devices.strategy(None, 96).names == ["CPU:0", "CPU:1"]
    assert "on 2 of 3 CPU devices: training in a new process is faster" in capsys.readouterr().out


CLUSTER = {"worker": ["localhost:1", "localhost:2"]}


def tf_config(kind: str, index: int, **cluster: list[str]) -> str:
    return json.dumps({"cluster": CLUSTER | cluster, "task": {"type": kind, "index": index}})


def test_who_is_chief(monkeypatch: pytest.MonkeyPatch):
    assert devices.is_chief(), "alone"
    chief = ["localhost:3"]
    for text, expected in (
        (tf_config("worker", 0), True),
        (tf_config("worker", 1), False),
        (tf_config("chief", 0, chief=chief), True),
        (tf_config("worker", 0, chief=chief), False),
    ):
        monkeypatch.setenv("TF_CONFIG", text)
        assert devices.is_chief() == expected, text


@pytest.mark.parametrize("text", [tf_config("ps", 0), "nonsense", '{"task": []}'])
def test_a_tf_config_that_does_not_train_is_refused(text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(Failure, match="TF_CONFIG is not the JSON that README shows, of chief or worker"):
        devices.is_chief()
    with pytest.raises(Failure, match="--devices does not go with TF_CONFIG"):
        devices.strategy(1, 64)


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
