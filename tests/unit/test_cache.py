"""The cache of decoded pictures: used, renewed, damaged, raced for, interrupted, without room."""

import contextlib
import io
import os
import pickle
import shutil
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from helpers import failure, flowers, numbered, same, small_files, write_pictures
from PIL import Image

import data
from data import decode, picture_cache

PARTS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch) -> Path:
    """The folder of the cache, in place of the user's; it does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "conditional-vae"


def test_the_second_start_opens_no_picture(tmp_path, cached, monkeypatch, capsys):
    root = flowers(tmp_path / "set")
    first = data.load("auto", root)
    assert len(capsys.readouterr().out.splitlines()) == 1
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("a picture was opened"))
    assert same(data.load("auto", root), first)
    assert same(data.load("folder", root, 3, size=28), first)  # as a run asks for it
    assert capsys.readouterr().out == ""
    assert len(list(cached.iterdir())) == 1


def test_images_are_mapped_not_read_and_outlive_their_files(tmp_path, cached):
    found = data.load("folder", flowers(tmp_path / "set"))
    for split in found[2:5]:
        assert type(split.images) is np.ndarray and not split.images.flags.owndata and not split.images.flags.writeable
    kept = [split.images.copy() for split in found[2:5]]
    shutil.rmtree(cached)
    assert all((split.images == images).all() for split, images in zip(found[2:5], kept, strict=True))


def test_the_fingerprint_never_changes(tmp_path, monkeypatch):
    """Another one, and no run on a folder of pictures would resume. These are of the first version that had it."""
    root = flowers(tmp_path / "set")
    due = "1ffe7b692c0ce79a79f4aa3037c41c9721f8745ed3d13656dc4df04b7029e628"
    assert data.load("folder", root).fingerprint == due
    monkeypatch.setattr(picture_cache, "BLOCK", 5 * 40 * 40)
    due = "a2f7c889c51f3b1433cd645f315a988811e4eee4947de80777c5be2e310c5f54"
    assert data.load("folder", root, 1, size=40).fingerprint == due


def test_sizes_are_kept_beside_each_other_until_the_pictures_change(tmp_path, cached, monkeypatch):
    root = flowers(tmp_path / "set")
    both = [data.load("auto", root, size=size) for size in (None, 40)]
    with monkeypatch.context() as patch:
        patch.setattr(Image, "open", lambda *_, **__: pytest.fail("a picture was opened"))
        assert all(same(data.load("auto", root, size=size), was) for size, was in zip((None, 40), both, strict=True))
    names = [path.name for path in cached.iterdir()]
    assert len(names) == 2
    write_pictures(root, ["rose/new.png"], 99)
    data.load("auto", root)
    assert len(list(cached.iterdir())) == 1


@pytest.mark.parametrize("change", ["time", "size", "neither", "added", "removed"])
def test_a_changed_folder_is_decoded_again(tmp_path, cached, capsys, change):
    root = flowers(tmp_path / "set")
    data.load("auto", root)
    path = root / "rose" / "5.png"
    if change == "time":
        os.utime(path, ns=(1, 1))
    elif change == "size":
        numbered(5, 30).save(path)
    elif change == "neither":  # as from an archive whose times are fixed
        before, content = path.stat(), bytearray(path.read_bytes())
        content[-20] ^= 1
        path.write_bytes(content)
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    elif change == "added":
        write_pictures(root, ["rose/x.png"], 77)
    else:
        path.unlink()
    capsys.readouterr()
    data.load("auto", root, size=28)
    assert capsys.readouterr().out.startswith("decoding ") and len(list(cached.iterdir())) == 1


DAMAGE = {
    "pixels cut off": lambda npy, npz: npy.write_bytes(npy.read_bytes()[:-1]),
    "pixels gone": lambda npy, npz: npy.unlink(),
    "header": lambda npy, npz: npy.write_bytes(b"X" + npy.read_bytes()[1:]),
    "pixels of another set": lambda npy, npz: np.save(npy, np.zeros((23, 28, 28, 3), np.uint8)),
    "index cut off": lambda npy, npz: npz.write_bytes(npz.read_bytes()[:500]),
    "index with a wrong bit": lambda npy, npz: npz.write_bytes(npz.read_bytes().replace(b"r\0\0\0o", b"n\0\0\0o", 1)),
    "index of other things": lambda npy, npz: np.savez(npz, labels=np.zeros(24), fingerprint=1),
    "index pickled": lambda npy, npz: npz.write_bytes(pickle.dumps({"labels": 1})),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_cache_is_made_again(tmp_path, cached, capsys, damage):
    root = flowers(tmp_path / "set")
    first = data.load("auto", root)
    first = first._replace(**{part: data.Split(*map(np.array, getattr(first, part))) for part in PARTS})
    (entry,) = cached.iterdir()
    before = (entry / picture_cache.INDEX).read_bytes()
    damage(entry / picture_cache.IMAGES, entry / picture_cache.INDEX)
    capsys.readouterr()
    assert same(data.load("auto", root), first)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and "is damaged: its pictures are decoded again" in said[0]
    assert len((entry / picture_cache.INDEX).read_bytes()) == len(before)
    data.load("auto", root)
    assert capsys.readouterr().out == ""


def test_an_entry_that_another_process_wrote_first_is_taken(tmp_path, cached, monkeypatch):
    root, real = flowers(tmp_path / "set"), picture_cache.files.whole

    @contextlib.contextmanager
    def outrun(path):
        with real(path) as partial:
            yield partial
            shutil.copytree(partial, path)

    monkeypatch.setattr(picture_cache.files, "whole", outrun)
    found = data.load("auto", root)
    assert found.counts == (12, 12) and len(list(cached.iterdir())) == 1


def test_what_a_killed_process_left_is_deleted_after_an_hour(tmp_path, cached):
    for name, hours in ("old", 1.1), ("new", 0.9):
        (cached / f".{name}.partial").mkdir(parents=True)
        os.utime(cached / f".{name}.partial", (time.time() - 3600 * hours,) * 2)
    data.load("folder", flowers(tmp_path / "set"))
    assert [path.name for path in cached.glob(".*")] == [".new.partial"]


@pytest.mark.parametrize("most", [0, 24 * 28 * 28 * 3])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, cached, most):
    """For the pixels as they are decoded, or for the cache's entry, which has a header, too."""
    root = flowers(tmp_path / "set")
    with small_files(most), contextlib.redirect_stdout(io.StringIO()):
        text = failure("auto", root)
    assert "cannot write to" in text and "File too large" in text and "XDG_CACHE_HOME" in text
    assert list(cached.iterdir()) == []
    assert data.load("auto", root).counts == (12, 12)


def test_a_cache_folder_that_cannot_be_made_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "name another folder by XDG_CACHE_HOME" in failure("auto", flowers(tmp_path / "set"))


def test_ctrl_c_ends_it_at_once_and_leaves_nothing(tmp_path, cached, monkeypatch):
    calls = []

    def slow(*_, **__):
        calls.append(True)
        if len(calls) == 4:  # all threads have begun, and the main one waits for them
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.4)
        return np.zeros((28, 28, 3), np.uint8)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
    monkeypatch.setattr(decode, "pixels", slow)
    root, began = flowers(tmp_path / "set", 60), time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        data.load("folder", root)
    signal.signal(signal.SIGINT, before)
    assert time.monotonic() - began < 3 and not (cached.exists() and list(cached.iterdir()))
