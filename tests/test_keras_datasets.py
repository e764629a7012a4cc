"""MNIST and the other data sets of Keras: taken from where Keras keeps them, downloaded by it."""

from __future__ import annotations

import gzip
import hashlib
import inspect
import os
import pickle
import socket
import threading
import time
import urllib.error
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
from test_data import config_of, files, same, small

import data
from data import idx, keras_datasets, mnist
from engine.terminal import Failure, Progress

ASKED: list[str] = []  # what was downloaded
RELEASE = threading.Event()  # downloads that hang


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """Where Keras keeps its data sets, in place of the user's; and no network."""

    def offline(*_, **__):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    (tmp_path / "keras").mkdir()
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path / "keras"))
    monkeypatch.setattr(data, "MNIST_DIR", tmp_path / "none")
    monkeypatch.setattr(data, "DRAWN", (200, 20, 20))
    monkeypatch.setattr(socket, "getaddrinfo", offline)
    monkeypatch.setenv("no_proxy", "*")
    return tmp_path / "keras" / "datasets"


def keep(path: Path, arrays: dict[str, np.ndarray], patch: pytest.MonkeyPatch) -> bytes:
    """Write MNIST's arrays as Keras keeps them, and have Keras and this repository take that file for the right one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(path, **dict(zip(names, (arrays[name] for name in mnist.FILES), strict=True)))
    digest, get_file = hashlib.sha256(path.read_bytes()).hexdigest(), keras.utils.get_file
    patch.setattr("keras.src.datasets.mnist.get_file", lambda **k: get_file(**k | {"file_hash": digest}))
    source = keras_datasets.SOURCES["mnist"]._replace(sha256=digest)
    patch.setitem(keras_datasets.SOURCES, "mnist", source)
    return path.read_bytes()


@pytest.fixture
def content(tmp_path, monkeypatch) -> bytes:
    """A small mnist.npz that this test takes for MNIST's; nothing of it is in Keras' folder."""
    arrays = small(side=28)
    monkeypatch.setattr(mnist, "SHA256", {name: idx.sha256(array) for name, array in arrays.items()})
    return keep(tmp_path / "elsewhere" / "mnist.npz", arrays, monkeypatch)


@pytest.fixture
def serve(monkeypatch):
    """serve(behaviour, content): from now on behaviour(path, content) is what Keras' downloads do."""
    ASKED.clear()
    RELEASE.clear()

    def start(behaviour: Callable, content: bytes) -> None:
        def retrieve(url: str, path: str, *_: object) -> None:
            ASKED.append(url)
            behaviour(Path(path), content)

        monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", retrieve)

    yield start
    RELEASE.set()


def send(path, content):
    path.write_bytes(content[:100])
    time.sleep(0.3)
    path.write_bytes(content)


def half(path, content):
    path.write_bytes(content[: len(content) // 2])
    raise urllib.error.ContentTooShortError("retrieval incomplete", None)


def stall(path, content):
    path.write_bytes(content[:100])
    RELEASE.wait(20)


def silent(path, content):
    RELEASE.wait(20)


def not_found(path, content):
    raise urllib.error.HTTPError("", 404, "Not Found", None, None)


def html(path, content):
    path.write_bytes(b"<html>please log in</html>")


def failure(*args, **kwargs) -> str:
    """The one line that `load` fails with."""
    with pytest.raises(Failure) as error:
        data.load(*args, **kwargs)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- MNIST -----------------------------------------------------------------------------------------------------------


def test_mnist_of_keras_is_that_of_the_four_files(home, mnist_dir, monkeypatch):
    """Array for array, with the same fingerprint: a run on one resumes on the other."""
    from_files = data.load("mnist", mnist_dir)
    keep(home / "mnist.npz", {name: idx.read(mnist.find(mnist_dir, name)) for name in mnist.FILES}, monkeypatch)
    from_keras = data.load("mnist")
    assert same(from_keras, from_files) and from_keras[:2] == from_files[:2]
    assert same(data.of_run(config_of(from_files, "gone"), download=False), from_files)
    assert data.load("auto", channels=3).train.images.shape == (55_000, 28, 28, 3)


def test_what_keras_has_must_be_mnist(home, monkeypatch):
    keep(home / "mnist.npz", small(), monkeypatch)
    assert "is not MNIST" in failure("auto")


def test_a_download_is_announced_and_done_once(home, content, serve, capsys):
    serve(send, content)
    assert data.load("auto").name == "mnist" and ASKED == [keras_datasets.GOOGLE + "mnist.npz"]
    waiting, downloading = capsys.readouterr().out.splitlines()
    assert waiting == f"MNIST is not in {home}: waiting for storage.googleapis.com, at most 5 seconds"
    assert downloading == f"downloading MNIST to {home}"
    assert data.load("mnist").name == "mnist" and len(ASKED) == 1 and capsys.readouterr().out == ""


@pytest.mark.parametrize("bad", [half, stall, silent, not_found, html])
def test_a_failed_download_leaves_no_file_and_is_not_called_mnist(home, content, serve, monkeypatch, capsys, bad):
    monkeypatch.setattr(keras_datasets, "CONTACT", 1.0)
    monkeypatch.setattr(keras_datasets, "STALL", 1.0)
    serve(bad, content)
    text = failure("mnist")
    assert "MNIST could not be downloaded (" in text and "mnist.npz yourself and keep it as" in text
    assert "--data-dir" in text and keras_datasets.missing("mnist")
    assert bad is html or files(home) == []  # HTML is there whole; by its digest it counts as missing
    assert "downloading MNIST" not in capsys.readouterr().out or bad in (half, stall, html)
    assert data.load("auto").name == "drawn"
    said = capsys.readouterr().out
    assert "NOT MNIST" in said and "DRAWN DIGITS" in said and "--data-dir" in said and said.count(data.RULE) == 2


def test_a_network_that_swallows_everything_costs_five_seconds(home, monkeypatch):
    # A name server that hangs: no socket timeout covers it.
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: time.sleep(30))
    assert keras_datasets.CONTACT <= 5
    monkeypatch.setattr(keras_datasets, "CONTACT", 0.4)
    began = time.monotonic()
    assert "no answer from storage.googleapis.com" in failure("mnist")
    assert time.monotonic() - began < 0.4 + 1


def test_an_interrupted_download_leaves_nothing(home, content, serve, monkeypatch):
    serve(stall, content)

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Progress, "advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        data.load("auto")
    assert files(home) == []


def test_a_damaged_copy_is_downloaded_again_but_only_where_that_is_allowed(home, content, serve, capsys):
    serve(send, content)
    config = config_of(data.load("auto"))
    (home / "mnist.npz").write_bytes(content[:-9])
    with pytest.raises(Failure, match="the run's data is not here: --data-dir names its folder, or python train.py"):
        data.of_run(config, download=False)
    assert len(ASKED) == 1 and (home / "mnist.npz").read_bytes() == content[:-9]
    capsys.readouterr()
    assert data.of_run(config).name == "mnist" and (home / "mnist.npz").read_bytes() == content
    assert f"{home / 'mnist.npz'} is damaged: waiting for" in capsys.readouterr().out


def test_files_in_data_mnist_come_first_even_where_some_are_missing(home, content, tmp_path):
    idx.write(tmp_path / "none" / f"{mnist.FILES[0]}.gz", small()[mnist.FILES[0]])
    for name in "auto", "mnist":
        assert f"none has no {mnist.FILES[1]}.gz: put the four IDX files there" in failure(name)
    assert not home.exists()


# --- the others ------------------------------------------------------------------------------------------------------


def test_fashion_mnist_is_taken_from_where_keras_keeps_it(home):
    made = small(0, 120, 30, 28)
    for name, array in made.items():
        idx.write(home / "fashion-mnist" / f"{name}.gz", array)
    found = data.load("fashion_mnist")
    assert (found.name, found.title, found.num_labels) == ("fashion_mnist", "Fashion-MNIST", 10)
    assert found.label_names[0] == "T-shirt/top" and found.label_names[9] == "ankle boot"
    assert [split.images.shape for split in found[2:5]] == [(n, 28, 28, 1) for n in (110, 10, 30)]
    images, labels, test_images, test_labels = (made[name] for name in mnist.FILES)
    assert (found.validation.images[..., 0] == images[:10]).all() and (found.train.labels == labels[10:]).all()
    assert (found.test.images[..., 0] == test_images).all() and (found.test.labels == test_labels).all()
    assert same(data.of_run(config_of(found), download=False), found)


def test_only_a_file_that_is_damaged_is_to_be_deleted(home, monkeypatch):
    for name, array in small(0, 120, 30, 28).items():
        idx.write(home / "fashion-mnist" / f"{name}.gz", array)
    with monkeypatch.context() as patch:
        patch.setattr(keras.datasets.fashion_mnist, "load_data", lambda: 1 / 0)
        text = failure("fashion_mnist")
    assert "cannot be read" in text and "delete" not in text
    path = home / "fashion-mnist" / "t10k-images-idx3-ubyte.gz"
    for content in gzip.compress(b"nonsense"), path.read_bytes()[:-50]:
        path.write_bytes(content)
        text = failure("fashion_mnist")
        assert text.startswith(f"{path} is damaged (") and "delete it to" in text and "train" not in text


def test_cifar_100_is_in_colour_and_has_its_fine_names(tmp_path, monkeypatch):
    """Through Keras' own reader; only the archive, whose digest a small file cannot have, is not asked for."""
    rng, inner = np.random.default_rng(0), tmp_path / "got" / "cifar-100-python"
    inner.mkdir(parents=True)
    for part, count in (("train", 240), ("test", 100)):
        labels = (np.arange(count) % 100).tolist()
        content = {b"data": rng.integers(0, 256, (count, 3072), np.uint8), b"fine_labels": labels}
        (inner / part).write_bytes(pickle.dumps(content))
    monkeypatch.setattr("keras.src.datasets.cifar100.get_file", lambda **_: str(tmp_path / "got"))
    monkeypatch.setattr(keras_datasets, "missing", lambda _: None)
    found = data.load("cifar100")
    assert [split.images.shape for split in found[2:5]] == [(n, 32, 32, 3) for n in (220, 20, 100)]
    assert len(found.label_names) == found.num_labels == 100 and found.test.labels.tolist() == list(range(100))
    assert [found.label_names[i] for i in (0, 1, 47, 99)] == ["apple", "aquarium fish", "maple tree", "worm"]
    assert data.load("cifar100", channels=1).train.images.shape[-1] == 1


@pytest.mark.parametrize("name", keras_datasets.SOURCES)
@pytest.mark.parametrize("writable", [True, False])
def test_offline_it_says_which_file_goes_where_as_keras_has_it(home, monkeypatch, name, writable):
    """What Keras asks the network for, and where it would put it; elsewhere if its folder cannot be written."""
    asked = []

    def retrieve(url, path, *_):
        asked.append((url, path))
        raise OSError("no network")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", retrieve)
    monkeypatch.setattr(os, "makedirs", lambda *_, **__: None)
    monkeypatch.setattr(os, "access", lambda *_: writable)
    assert (keras_datasets.folder() == home) == writable
    text = failure(name)
    assert len(asked) == 1 and all(str(part) in text for part in asked[0])
    assert "could not be downloaded (no network): download " in text and "yourself and keep it as" in text
    with pytest.raises(Failure, match="the run's data is not here: .*--dataset"):
        data.of_run(config_of(data.load("drawn"), dataset=name), download=False)
    source = inspect.getsource(getattr(keras.datasets, name).load_data)
    assert keras_datasets.SOURCES[name].sha256 in source and name == "fashion_mnist" or "file_hash" in source


def test_they_are_not_looked_for_in_another_folder(tmp_path):
    assert "leave out --data-dir" in failure("cifar10", tmp_path)
