"""MNIST and the other data sets of Keras: taken from where Keras keeps them, downloaded by it."""

import gzip
import hashlib
import os
import pickle
import socket
import time
import urllib.error
from pathlib import Path

import keras
import numpy as np
import pytest
from helpers import config_of, failure, same, small, sums, write_idx

import data
from data import keras_datasets, mnist
from engine import idx
from engine.terminal import Failure


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
    """Write MNIST's arrays as Keras keeps them, and have Keras take that file for the right one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(path, **dict(zip(names, (arrays[name] for name in mnist.FILES), strict=True)))
    digest, get_file = hashlib.sha256(path.read_bytes()).hexdigest(), keras.utils.get_file
    patch.setattr("keras.src.datasets.mnist.get_file", lambda **k: get_file(**k | {"file_hash": digest}))
    return path.read_bytes()


# --- MNIST -----------------------------------------------------------------------------------------------------------


def test_mnist_of_keras_is_that_of_the_four_files(home, mnist_dir, monkeypatch):
    """Array for array, with the same fingerprint: a run on one resumes on the other."""
    from_files = data.load("mnist", mnist_dir)
    keep(home / "mnist.npz", {name: idx.read(mnist.files(mnist_dir)[name]) for name in mnist.FILES}, monkeypatch)
    from_keras = data.load("mnist")
    assert same(from_keras, from_files) and from_keras[:2] == from_files[:2]
    assert same(data.of_run(config_of(from_files, "gone"), download=False), from_files)


def test_keras_downloads_once_the_server_answers(home, tmp_path, monkeypatch, capsys):
    arrays, asked = small(side=28), []
    monkeypatch.setattr(mnist, "SHA256", sums(arrays))
    content = keep(tmp_path / "elsewhere" / "mnist.npz", arrays, monkeypatch)

    def retrieve(url: str, path: str, *_: object) -> None:
        asked.append(url)
        Path(path).write_bytes(content)

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", retrieve)
    monkeypatch.setattr(keras_datasets, "_contact", asked.append)
    assert data.load("auto").name == "mnist" and asked == [keras_datasets.GOOGLE + "mnist.npz"] * 2
    said = capsys.readouterr().out.splitlines()[0]
    assert said == f"MNIST is not in {home}: waiting for storage.googleapis.com, at most 5 seconds"
    assert data.load("mnist").name == "mnist" and len(asked) == 2 and capsys.readouterr().out == ""


def test_what_cannot_be_downloaded_is_not_called_mnist(home, monkeypatch, capsys):
    def broken(url: str, path: str, *_: object) -> None:
        Path(path).write_bytes(b"half")
        raise urllib.error.ContentTooShortError("retrieval incomplete", None)

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", broken)
    assert "MNIST could not be downloaded ([Errno -3]" in failure("mnist")
    monkeypatch.setattr(keras_datasets, "_contact", lambda url: None)
    text = failure("mnist")
    assert "MNIST could not be downloaded (retrieval" in text, text
    assert f"mnist.npz yourself and keep it as {home / 'mnist.npz'}, or name the folder" in text
    assert keras_datasets.missing("mnist") == home / "mnist.npz"
    assert data.load("auto").name == "drawn"
    said = capsys.readouterr().out
    assert "NOT MNIST" in said and "DRAWN DIGITS" in said and "--data-dir" in said


def test_a_name_server_that_hangs_costs_five_seconds(home, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: time.sleep(30))
    assert keras_datasets.CONTACT <= 5
    monkeypatch.setattr(keras_datasets, "CONTACT", 0.4)
    began = time.monotonic()
    assert "could not be downloaded (no answer)" in failure("mnist")
    assert time.monotonic() - began < 0.4 + 2 and socket.getdefaulttimeout() is None


def test_files_in_data_mnist_come_first_even_where_some_are_missing(home, tmp_path):
    write_idx(tmp_path / "none" / f"{mnist.FILES[0]}.gz", small()[mnist.FILES[0]])
    for name in "auto", "mnist":
        assert f"none has no {mnist.FILES[1]}.gz: put the four IDX files there" in failure(name)
    assert not home.exists()


# --- the others ------------------------------------------------------------------------------------------------------


def test_fashion_mnist_is_taken_from_where_keras_keeps_it(home):
    made = small(0, 120, 30, 28)
    for name, array in made.items():
        write_idx(home / "fashion-mnist" / f"{name}.gz", array)
    found = data.load("fashion_mnist")
    assert (found.name, found.title, found.num_labels) == ("fashion_mnist", "Fashion-MNIST", 10)
    assert found.label_names[0] == "T-shirt/top" and found.label_names[9] == "ankle boot"
    assert [split.images.shape for split in found[2:5]] == [(n, 28, 28, 1) for n in (110, 10, 30)]
    images, labels, test_images, test_labels = (made[name] for name in mnist.FILES)
    assert (found.validation.images[..., 0] == images[:10]).all() and (found.train.labels == labels[10:]).all()
    assert (found.test.images[..., 0] == test_images).all() and (found.test.labels == test_labels).all()
    assert same(data.of_run(config_of(found), download=False), found)


def test_nobody_is_told_to_delete_files_that_cannot_be_read(home):
    for name, array in small(0, 120, 30, 28).items():
        write_idx(home / "fashion-mnist" / f"{name}.gz", array)
    (home / "fashion-mnist" / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"nonsense"))
    text = failure("fashion_mnist")
    assert text.startswith(f"Fashion-MNIST cannot be read from {home} (") and text.endswith(": check the files there")


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
def test_offline_it_says_which_file_goes_where_as_keras_has_it(home, monkeypatch, capsys, name, writable):
    """What Keras asks the network for, and where it would put it; elsewhere if its folder cannot be written."""
    asked = []

    def retrieve(url, path, *_):
        asked.append((url, path))
        raise OSError("no network")

    monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", retrieve)
    monkeypatch.setattr(keras_datasets, "_contact", lambda url: None)
    monkeypatch.setattr(os, "makedirs", lambda *_, **__: None)
    monkeypatch.setattr(os, "access", lambda *_: writable)
    assert (keras_datasets.folder() == home) == writable
    text = failure(name)
    assert len(asked) == 1 and all(str(part) in text for part in asked[0])
    assert (f"as it cannot write to {home.parent}" in capsys.readouterr().out) != writable
    with pytest.raises(Failure, match="the run's data is not here: .*--dataset"):
        data.of_run(config_of(data.load("drawn"), dataset=name), download=False)


def test_they_are_not_looked_for_in_another_folder(tmp_path):
    assert "leave out --data-dir" in failure("cifar10", tmp_path)
