"""The data sets: split, verified, downloaded from a loopback server, drawn; and IDX files damaged in every way."""

from __future__ import annotations

import gzip
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

import data
from data import drawn, idx, mnist
from engine.terminal import Failure

ROOT = Path(__file__).resolve().parent.parent


def small(seed: int = 0, train: int = 240, test: int = 30, side: int = 6) -> dict[str, np.ndarray]:
    """A well-formed data set of MNIST's four names."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for part, count in (("train", train), ("t10k", test)):
        arrays[f"{part}-images-idx3-ubyte"] = rng.integers(0, 256, (count, side, side), np.uint8)
        arrays[f"{part}-labels-idx1-ubyte"] = (np.arange(count) % 10).astype(np.uint8)
    return arrays


def put(folder: Path, arrays: dict[str, np.ndarray], end: str = ".gz") -> Path:
    for name, array in arrays.items():
        idx.write(folder / f"{name}{end}", array)
    return folder


@pytest.fixture
def default(tmp_path, monkeypatch) -> Path:
    """The folder that MNIST is downloaded into, in place of data/mnist; it does not exist yet."""
    monkeypatch.setattr(data, "MNIST_DIR", tmp_path / "default")
    return tmp_path / "default"


@pytest.fixture
def tiny(monkeypatch) -> dict[str, np.ndarray]:
    """A small data set that this test takes for MNIST; no mirror answers unless the test names one."""
    arrays = small()
    monkeypatch.setattr(mnist, "SHA256", {name: idx.sha256(arrays[name]) for name in mnist.FILES})
    monkeypatch.setattr(mnist, "MIRRORS", ())
    monkeypatch.setenv("no_proxy", "*")
    return arrays


# --- MNIST and other IDX data sets -------------------------------------------------------------------------------


def test_mnist_is_split_as_in_the_article(mnist_dir):
    digits = data.load("auto", mnist_dir)
    assert (digits.name, digits.title) == ("mnist", "MNIST")
    assert [s.images.shape for s in digits[2:5]] == [(n, 28, 28, 1) for n in (55_000, 5_000, 10_000)]
    images, labels = (idx.read(mnist.find(mnist_dir, name)) for name in mnist.FILES[:2])
    assert (digits.validation.images[..., 0] == images[:5_000]).all() and (digits.train.labels == labels[5_000:]).all()
    assert digits.train.labels[:8].tolist() == labels[5_000:5_008].tolist()
    assert np.bincount(digits.test.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert len(digits.fingerprint) == 64


@pytest.mark.parametrize("end", ["", ".gz"])
def test_three_channels_are_three_copies_of_the_same_data(tiny, tmp_path, end):
    grey, colour = (data.load("mnist", put(tmp_path, tiny, end), channels=c) for c in (1, 3))
    assert colour.train.images.shape == (220, 6, 6, 3) and colour.train.images.dtype == np.uint8
    assert (colour.train.images == grey.train.images).all() and colour.fingerprint == grey.fingerprint


def test_another_idx_data_set_loads_but_is_not_called_mnist(tmp_path, capsys):
    put(tmp_path, small(1))
    other = data.load("auto", tmp_path)
    assert other.name == "idx" and "not MNIST" in other.title and str(tmp_path) in other.title
    assert capsys.readouterr().out.count("\n") == 1
    assert [len(s.labels) for s in other[2:5]] == [220, 20, 30]
    assert data.load("idx", tmp_path).fingerprint == other.fingerprint
    assert data.load("idx", put(tmp_path / "2", small(2))).fingerprint != other.fingerprint
    with pytest.raises(Failure, match="not MNIST"):
        data.load("mnist", tmp_path)


def test_pictures_beside_idx_files_do_not_make_them_a_folder_of_pictures(tmp_path):
    put(tmp_path, small(1))
    for name in "rose", "tulip":
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(b"not looked at")
    assert data.load("auto", tmp_path).name == "idx"


def test_idx_never_downloads(tmp_path, monkeypatch):
    monkeypatch.setattr(mnist, "download", lambda folder: pytest.fail("downloaded"))
    with pytest.raises(Failure, match="has no train-images-idx3-ubyte.gz"):
        data.load("idx", tmp_path)


@pytest.mark.parametrize("arguments, message", [(("cifar",), "'cifar'"), (("drawn", None, 2), "2 channels")])
def test_unknown_requests_are_refused(arguments, message):
    with pytest.raises(Failure, match=message):
        data.load(*arguments)


def change(**replaced):
    arrays = small(3)
    for key, value in replaced.items():
        arrays[key.replace("_", "-")] = value
    return arrays


SETS = {
    "more labels than images": (change(train_labels_idx1_ubyte=np.zeros(241, np.uint8)), "240 images.*241 labels"),
    "label 10": (change(t10k_labels_idx1_ubyte=np.full(30, 10, np.uint8)), "has the label 10"),
    "labels for images": (change(train_images_idx3_ubyte=np.zeros(240, np.uint8)), "holds labels where images are due"),
    "images for labels": (change(t10k_labels_idx1_ubyte=np.ones((30, 2, 2), np.uint8)), "images where labels are due"),
    "two sizes": (change(t10k_images_idx3_ubyte=np.zeros((30, 5, 6), np.uint8)), "6 x 6.*5 x 6"),
    "too few": (small(train=60), "60 training images"),
}


@pytest.mark.parametrize("arrays, message", SETS.values(), ids=SETS)
def test_files_that_do_not_fit_are_refused_by_name(tmp_path, arrays, message):
    with pytest.raises(Failure, match=message) as error:
        data.load("auto", put(tmp_path, arrays))
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_mnist_under_the_wrong_name_is_told(tiny, tmp_path):
    put(tmp_path, tiny | {"train-labels-idx1-ubyte": tiny["t10k-labels-idx1-ubyte"]})
    with pytest.raises(Failure, match="train-labels-idx1-ubyte.gz holds MNIST's t10k-labels-idx1-ubyte"):
        data.load("auto", tmp_path)


def test_one_wrong_pixel_among_mnist_is_damage_not_another_data_set(tiny, tmp_path):
    put(tmp_path, tiny, "")
    path = tmp_path / "t10k-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(Failure, match="t10k-images-idx3-ubyte is damaged"):
        data.load("auto", tmp_path)


def test_auto_does_not_hide_a_damaged_file(tiny, default):
    put(default, tiny)
    path = default / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:1000])
    for where in (default, None):
        with pytest.raises(Failure, match="cut off"):
            data.load("auto", where)
    (default / "t10k-images-idx3-ubyte.gz").unlink()  # nor when there is something to download
    with pytest.raises(Failure, match="cut off"):
        data.load("auto")


# --- one file ----------------------------------------------------------------------------------------------------

GOOD = idx.header((3, 2, 2)) + bytes(range(12))
DAMAGED = {
    "empty": (b"", "cut off"),
    "half a magic": (GOOD[:3], "cut off"),
    "no sizes": (GOOD[:9], "cut off"),
    "cut off": (GOOD[:-1], "cut off"),
    "trailing": (GOOD + b"\0", "longer than"),
    "a page of HTML": (b"<html>no</html>", "not an IDX file"),
    "float32": (b"\0\0\x0d\x03" + GOOD[4:], "not an IDX file"),
    "rank 2": (b"\0\0\x08\x02" + GOOD[4:], "not an IDX file"),
    "no images": (idx.header((0, 2, 2)), "claims the size"),
    "4 G images": (idx.header((2**32 - 1, 2, 2)) + bytes(12), "claims the size"),
    "512 M labels": (idx.header((2**29,)) + bytes(12), "cut off"),
    "wide": (idx.header((1, 1, 513)) + bytes(513), "claims the size"),
    "gz: cut off": (gzip.compress(GOOD)[:-4], "cut off"),
    "gz: header only": (gzip.compress(GOOD)[:5], "cut off"),
    "gz: trailing": (gzip.compress(GOOD) + b"garbage", "damaged"),
    "gz: CRC": (gzip.compress(GOOD)[:-8] + b"\0\0\0\0" + gzip.compress(GOOD)[-4:], "damaged"),
    "gz: deflate": (gzip.compress(GOOD)[:10] + b"\xff" * 30, "damaged"),
    "gz: 512 M labels": (gzip.compress(idx.header((2**29,)) + bytes(12)), "cut off"),
    "gz: bomb": (gzip.compress(GOOD + bytes(2**24)), "longer than"),
}


@pytest.mark.parametrize("content, message", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_file_is_one_line_with_a_remedy(tmp_path, content, message):
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(content)
    tracemalloc.start()
    with pytest.raises(Failure, match=message) as error:
        idx.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(path) in str(error.value) and "delete it" in str(error.value) and "\n" not in str(error.value)
    assert peak < 2**21


def test_a_folder_or_an_unreadable_file_is_named(tmp_path):
    with pytest.raises(Failure, match="is not a file"):
        idx.read(tmp_path)
    with pytest.raises(Failure, match="is not a file"):
        idx.read(tmp_path / "absent")
    path = tmp_path / "closed"
    path.write_bytes(GOOD)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    with pytest.raises(Failure, match="cannot be read"):
        idx.read(path)


@pytest.mark.parametrize("shape", [(7,), (5, 4, 3)])
@pytest.mark.parametrize("end", ["", ".gz"])
def test_written_files_are_read_back_and_always_the_same(tmp_path, shape, end):
    array = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    paths = tmp_path / f"a{end}", tmp_path / f"b{end}"
    for path in paths:
        idx.write(path, array)
    assert (idx.read(paths[0]) == array).all() and idx.read(paths[0]).shape == shape
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert (paths[0].read_bytes()[:2] == b"\x1f\x8b") == bool(end)
    assert len(list(tmp_path.iterdir())) == 2


def test_no_mutated_file_gets_through_except_as_failure_or_array(tmp_path):
    rng = np.random.default_rng(0)
    bases = [GOOD, idx.header((20,)) + bytes(20), gzip.compress(GOOD, mtime=0)]
    bases += [gzip.compress(idx.header((50, 9, 9)) + rng.bytes(4050), mtime=0)]
    path, outcomes = tmp_path / "f", {"array": 0, "failure": 0}
    idx.read(put(tmp_path, {"g": np.zeros(3, np.uint8)}) / "g.gz")  # imports are not counted below
    tracemalloc.start()
    for _ in range(3000):
        content = bytearray(bases[rng.integers(len(bases))])
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(len(content) + 1) if rng.random() < 0.5 else rng.integers(min(24, len(content)) + 1))
            kind = rng.integers(4)
            if kind == 0:
                content[at : at + 1] = rng.bytes(1)
            elif kind == 1:
                content[at : at + int(rng.integers(8))] = b""
            elif kind == 2:
                content[at:at] = rng.bytes(int(rng.integers(8)))
            else:
                content = content[:at]
        path.write_bytes(content)
        try:
            array = idx.read(path)
            assert array.dtype == np.uint8 and array.ndim in (1, 3) and array.size
            outcomes["array"] += 1
        except Failure as error:
            assert "\n" not in str(error)
            outcomes["failure"] += 1
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert outcomes["failure"] > 1500 and outcomes["array"] > 20
    assert peak < 2**23  # the largest file has 4 kB, and 1032 times that is all deflate can hold


# --- the download ------------------------------------------------------------------------------------------------


@pytest.fixture
def serve(tmp_path):
    """serve(behaviour) -> the URL of a server that answers each GET with behaviour(handler, content of the file)."""
    served = put(tmp_path / "served", small())
    servers, release = [], threading.Event()

    def start(behaviour, log: list | None = None) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if log is not None:
                    log.append(self.path)
                behaviour(self, (served / self.path.lstrip("/")).read_bytes())

            def log_message(self, *_):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.release = release
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    release.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def send(handler, content, length=None):
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content) if length is None else length))
    handler.end_headers()
    handler.wfile.write(content)


def half(handler, content):
    send(handler, content[: len(content) // 2], len(content))


def stall(handler, content):
    half(handler, content)
    handler.wfile.flush()
    handler.server.release.wait(20)


def silent(handler, content):
    handler.server.release.wait(20)


def not_found(handler, content):
    handler.send_error(404)


def html(handler, content):
    send(handler, b"<html>please log in</html>")


def other(handler, content):
    send(handler, gzip.compress(idx.header((3,)) + b"123"))


def endless(handler, content):
    handler.send_response(200)
    handler.end_headers()
    try:
        for _ in range(100):
            handler.wfile.write(bytes(2**16))
    except OSError:
        pass


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


ALL = sorted(f"{name}.gz" for name in mnist.FILES)


def test_a_download_is_whole_verified_and_done_once(tiny, default, serve, monkeypatch):
    asked: list[str] = []
    monkeypatch.setattr(mnist, "MIRRORS", (serve(send, asked),))
    put(default, {mnist.FILES[1]: tiny[mnist.FILES[1]]}, "")
    assert data.load("auto").name == "mnist"
    assert len(asked) == 3 and files(default) == sorted([*set(ALL) - {f"{mnist.FILES[1]}.gz"}, mnist.FILES[1]])
    assert data.load("mnist").name == "mnist" and len(asked) == 3


def test_the_folder_of_a_download_is_made(tiny, tmp_path, serve, monkeypatch):
    monkeypatch.setattr(mnist, "MIRRORS", (serve(send),))
    monkeypatch.setattr(data, "MNIST_DIR", tmp_path / "new" / "folder")
    assert data.load("auto").name == "mnist" and files(tmp_path / "new" / "folder") == ALL


@pytest.mark.parametrize("bad", [half, stall, silent, not_found, html, other, endless])
def test_a_bad_mirror_is_left_for_the_next_one(tiny, default, serve, monkeypatch, bad):
    monkeypatch.setattr(mnist, "CONTACT", 0.5)
    monkeypatch.setattr(mnist, "STALL", 0.4)
    monkeypatch.setattr(mnist, "MAX_DOWNLOAD", 2**20)
    asked: list[str] = []
    monkeypatch.setattr(mnist, "MIRRORS", (serve(bad, asked), serve(send)))
    assert data.load("mnist").name == "mnist"
    assert files(default) == ALL and len(asked) == 1  # and the bad one is not asked again


@pytest.mark.parametrize("bad", [half, not_found, html, other])
def test_the_next_mirror_is_asked_only_for_what_is_still_missing(tiny, default, serve, monkeypatch, bad):
    def two_then_bad(handler, content):
        (send if len(first) <= 2 else bad)(handler, content)

    first: list[str] = []
    second: list[str] = []
    monkeypatch.setattr(mnist, "MIRRORS", (serve(two_then_bad, first), serve(send, second)))
    assert data.load("mnist").name == "mnist" and files(default) == ALL
    assert [len(first), len(second)] == [3, 2] and first[2:] == second[:1]  # what failed is asked for again


@pytest.mark.parametrize("bad", [half, stall, silent, not_found, html, other, endless])
def test_bad_mirrors_leave_no_file(tiny, default, serve, monkeypatch, capsys, bad):
    monkeypatch.setattr(mnist, "CONTACT", 0.3)
    monkeypatch.setattr(mnist, "STALL", 0.3)
    monkeypatch.setattr(mnist, "MAX_DOWNLOAD", 2**20)
    monkeypatch.setattr(mnist, "MIRRORS", (serve(bad), serve(bad)))
    with pytest.raises(Failure, match="could not be downloaded.*--data-dir") as error:
        data.load("mnist")
    assert "\n" not in str(error.value) and files(default) == []
    assert ("far too long" in str(error.value)) == (bad is endless)


def test_no_network_gives_drawn_digits_and_says_so(tiny, default, monkeypatch, capsys):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    monkeypatch.setattr(mnist, "MIRRORS", (f"http://127.0.0.1:{port}/", "http://name.invalid/"))
    monkeypatch.setattr(data, "DRAWN", (200, 20, 20))
    assert data.load("auto").name == "drawn"
    said = capsys.readouterr().out
    assert "NOT MNIST" in said and "DRAWN DIGITS" in said and "--data-dir" in said and said.count(data.RULE) == 2
    assert "127.0.0.1" in said


def test_a_network_that_swallows_everything_costs_less_than_15_seconds(tiny, tmp_path, monkeypatch):
    # A name server that hangs: no socket timeout covers it.
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: time.sleep(60))
    monkeypatch.setattr(mnist, "MIRRORS", ("http://one.invalid/", "http://two.invalid/"))
    assert len(mnist.MIRRORS) * mnist.CONTACT < 15
    monkeypatch.setattr(mnist, "CONTACT", 0.4)
    began = time.monotonic()
    with pytest.raises(mnist.Unreachable, match="one.invalid: no answer; two.invalid: no answer"):
        mnist.download(tmp_path)
    assert time.monotonic() - began < 0.8 + 1


def test_an_interrupted_download_leaves_nothing(tiny, tmp_path, serve, monkeypatch):
    monkeypatch.setattr(mnist, "MIRRORS", (serve(send),))

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(mnist, "_verify", interrupted)
    with pytest.raises(KeyboardInterrupt):
        mnist.download(tmp_path / "d")
    assert files(tmp_path / "d") == []


def test_mnist_is_not_downloaded_beside_another_data_set(tiny, default):
    put(default, {mnist.FILES[0]: small(9)[mnist.FILES[0]]})
    with pytest.raises(Failure, match="not MNIST's, and train-labels-idx1-ubyte.gz is missing"):
        data.load("auto")


def test_a_folder_that_cannot_be_made_is_a_failure(tiny, default):
    default.write_text("")
    with pytest.raises(Failure, match="cannot write to .*--data-dir"):
        data.load("auto")


@pytest.mark.parametrize("name", ["auto", "mnist", "idx"])
@pytest.mark.parametrize("there", [(), (2, 3), (0, 1, 3)])
def test_a_named_folder_without_the_files_is_refused_and_nothing_is_made(
    tiny, default, tmp_path, serve, monkeypatch, name, there
):
    """A mistyped --data-dir: no folder of that name, no MNIST in it, no drawn digits in its place."""
    asked: list[str] = []
    monkeypatch.setattr(mnist, "MIRRORS", (serve(send, asked),))
    folder = tmp_path / "mnits"
    put(folder, {mnist.FILES[i]: tiny[mnist.FILES[i]] for i in there})
    before = sorted(tmp_path.rglob("*"))
    lacking = next(file for i, file in enumerate(mnist.FILES) if i not in there)
    text = f"{folder} has no {lacking}.gz: put the four IDX files there, .*leave it out"
    with pytest.raises(Failure, match=text if there or name != "auto" else f"{folder} does not exist") as e:
        data.load(name, folder)
    assert "\n" not in str(e.value) and "--data-dir" in str(e.value)
    assert sorted(tmp_path.rglob("*")) == before and not asked


# --- the data of a run -------------------------------------------------------------------------------------------


def config_of(loaded: data.Dataset, data_dir: object = "", **changed) -> SimpleNamespace:
    """What engine.config.Config says of a run's data."""
    settings = {"dataset": loaded.name, "data_dir": str(data_dir), "fingerprint": loaded.fingerprint}
    settings |= {"image_shape": loaded.test.images.shape[1:], "label_names": (), "num_labels": loaded.num_labels}
    return SimpleNamespace(**settings | {"fit": "crop", "background": "white"} | changed)


def same(one: data.Dataset, other: data.Dataset) -> bool:
    pairs = zip(one[2:5], other[2:5], strict=True)
    return one.fingerprint == other.fingerprint and all((a.images == b.images).all() for a, b in pairs)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_run_gets_its_own_data_back(tiny, default, tmp_path, monkeypatch, channels):
    monkeypatch.setattr(data, "DRAWN", (200, 20, 20))
    drawn_digits = data.load("drawn", channels=channels)
    assert same(data.of_run(config_of(drawn_digits)), drawn_digits)
    other = data.load("auto", put(tmp_path / "other", small(4)), channels)
    assert same(data.of_run(config_of(other, tmp_path / "other")), other)
    (tmp_path / "other").rename(tmp_path / "moved")
    with pytest.raises(Failure, match="has no train-images"):
        data.of_run(config_of(other, tmp_path / "other"))
    assert same(data.of_run(config_of(other, tmp_path / "other"), tmp_path / "moved"), other)
    digits = data.load("mnist", put(default, tiny), channels)
    for where in ("", default, tmp_path / "gone", tmp_path / "moved" / "gone"):
        assert same(data.of_run(config_of(digits, where)), digits)
    with pytest.raises(Failure, match="gone has no train-images"):  # what the user names is taken at its word
        data.of_run(config_of(digits), tmp_path / "gone")


def test_a_run_on_other_data_is_told(tiny, default, tmp_path, monkeypatch):
    monkeypatch.setattr(data, "DRAWN", (200, 20, 20))
    digits = data.load("mnist", put(default, tiny))
    other, folder = data.load("idx", put(tmp_path / "other", small(4))), put(tmp_path / "another", small(5))
    for config, where in (
        (config_of(digits, fingerprint="0" * 64), None),
        (config_of(digits, image_shape=(7, 6, 1)), None),
        (config_of(other, folder), None),
        (config_of(other, tmp_path / "other"), folder),
        (config_of(other), None),  # an IDX run whose folder is now MNIST's
    ):
        with pytest.raises(Failure, match="was trained on other data than these: name its folder with --data-dir") as e:
            data.of_run(config, where)
        assert "\n" not in str(e.value)
    with pytest.raises(Failure, match="was trained on other data than these: .*Pillow"):
        data.of_run(config_of(data.load("drawn", seed=1)))
    with pytest.raises(Failure, match="not MNIST"):
        data.of_run(config_of(digits), folder)


def test_a_run_downloads_into_the_default_folder_only(tiny, default, tmp_path, serve, monkeypatch):
    monkeypatch.setattr(mnist, "MIRRORS", (serve(send),))
    monkeypatch.chdir(tmp_path)
    config = config_of(data.load("mnist", put(tmp_path / "was", tiny)), tmp_path / "elsewhere")
    assert data.of_run(config).name == "mnist" and files(default) == ALL
    assert not (tmp_path / "elsewhere").exists()


ODD = ["\0", "a\0b", "~\0", "~\ud800", "\ud800", "/\udcff", "~root", "~nobody-of-this-name", "~", "/dev/null", "\n"]
ODD += [".", "x" * 5000, "~" + "x" * 5000, "/" * 5000]


def test_whatever_a_config_says_of_its_folder_it_is_data_or_a_failure(tiny, default, tmp_path, monkeypatch):
    (tmp_path / "cwd").mkdir()
    monkeypatch.chdir(tmp_path / "cwd")
    digits = data.load("mnist", put(default, tiny))
    for text in ODD:
        assert same(data.of_run(config_of(digits, text)), digits)
    for path in default.iterdir():
        path.unlink()
    for text in ODD:
        for name in ("mnist", "idx"):
            with pytest.raises(Failure):
                data.of_run(config_of(digits, text, dataset=name))
    assert files(default) == files(tmp_path / "cwd") == []


# --- drawn digits ------------------------------------------------------------------------------------------------


def test_drawn_digits_are_pure_balanced_and_shaped():
    for channels in (1, 3):
        images, labels = drawn.digits(500, channels, seed=4)
        again = drawn.digits(500, channels, seed=4)
        assert images.shape == (500, 28, 28, channels) and images.dtype == labels.dtype == np.uint8
        assert (images == again[0]).all() and (labels == again[1]).all()
        assert np.bincount(labels).tolist() == [50] * 10 and labels[:10].tolist() != list(range(10))
        assert len(np.unique(images.reshape(500, -1), axis=0)) == 500
        assert not (images == drawn.digits(500, channels, seed=5)[0]).all()


def test_drawn_ink_is_bright_on_black_and_stays_inside():
    images, _ = drawn.digits(2000, seed=1)
    ring = np.concatenate([images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]], 1)
    assert ring.max((1, 2)).mean() < 1 and images.max((1, 2, 3)).min() > 200 and 15 < images.mean() < 60


def test_drawn_digits_can_be_read():
    # The nearest of 2,000 other drawn digits, by bare pixels (a crude reader: 94%), mostly has the same label.
    (known, names), (asked, truth) = drawn.digits(2000, seed=1), drawn.digits(300, seed=2)
    known, asked = (a.reshape(len(a), -1) / 255.0 for a in (known, asked))
    nearest = ((known**2).sum(1) - 2 * asked @ known.T).argmin(1)
    assert (names[nearest] == truth).mean() > 0.9


def test_drawn_digits_stand_upright():
    """On the average each is more like its glyph in the font as it stands than like the same, turned or mirrored."""
    images, labels = drawn.digits(2000, seed=3)
    likeness = np.zeros(5)
    for label in range(10):
        mean, page = images[labels == label].mean((0, 3)), Image.new("L", (28, 28))
        ImageDraw.Draw(page).text((14, 14), str(label), 255, ImageFont.load_default(size=24), anchor="mm")
        glyph = np.asarray(page.filter(ImageFilter.GaussianBlur(1.5)))
        for i, view in enumerate([*(np.rot90(glyph, k) for k in range(4)), glyph[:, ::-1]]):
            likeness[i] += np.corrcoef(mean.ravel(), view.ravel())[0, 1] / 10
    assert likeness[0] > 0.8 and likeness[0] > likeness[1:].max() + 0.1


def test_drawn_colours_differ_between_ink_and_paper_and_keep_the_shapes():
    grey, colour = drawn.digits(300, 1, seed=3)[0], drawn.digits(300, 3, seed=3)[0].astype(int)
    paper = colour[:, 0, 0]
    ink = np.stack([c[g[..., 0] == g.max()].mean(0) for c, g in zip(colour, grey, strict=True)])
    assert np.abs(ink - paper).min() > 70
    assert (colour[grey[..., 0] == 0] == np.repeat(paper, (grey[..., 0] == 0).sum((1, 2)), axis=0)).all()
    assert len(np.unique(paper, axis=0)) > 290


def test_drawn_splits_are_disjoint_and_seeded(monkeypatch):
    monkeypatch.setattr(data, "DRAWN", (300, 100, 100))
    digits = data.load("drawn", seed=1)
    assert digits.name == "drawn" and [len(s.labels) for s in digits[2:5]] == [300, 100, 100]
    everything = np.concatenate([s.images for s in digits[2:5]]).reshape(500, -1)
    assert len(np.unique(everything, axis=0)) == 500
    assert data.load("drawn", seed=1).fingerprint == digits.fingerprint != data.load("drawn", seed=2).fingerprint


def test_the_package_does_not_need_tensorflow():
    code = "import sys, data, data.digit_photo; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
