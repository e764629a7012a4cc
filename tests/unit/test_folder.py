"""Pictures in a folder per label, .npz files and Keras' data sets: found, split, decoded, kept; and everything bad."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import config_of, failure, flowers, numbered, numbers, same, write_pictures
from PIL import Image

import data
from data import image_folder, picture_cache, splits
from data.image_folder import Picture
from engine.dataset import LeftOut, report
from engine.terminal import Failure

PARTS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch) -> Path:
    """The folder of the cache, in place of the user's; it does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "conditional-vae"


# --- which pictures, which labels ------------------------------------------------------------------------------------


def test_labels_are_the_folders_and_nothing_that_is_hidden_or_left_behind(tmp_path, capsys):
    good = ["rose/1.png", "rose/old/deep/2.PNG", "aster/3.png", "aster/4.bmp"]
    junk = [".git/5.png", "__MACOSX/6.png", "rose/.7.png", "rose/.ipynb_checkpoints/8.png", "aster/__MACOSX/9.png"]
    junk += ["loose.png"]
    root = write_pictures(tmp_path / "set", good + junk)
    for name in ("rose/notes.txt", "rose/Thumbs.db", "desktop.ini", "README.md"):
        (root / name).write_text("not a picture")
    (root / "empty").mkdir()
    (root / "texts").mkdir()
    (root / "texts" / "a.txt").write_text("")
    found = data.load("auto", root)
    assert (found.name, found.label_names, found.num_labels) == ("folder", ("aster", "rose"), 2)
    assert found.counts == (2, 2) and found.train.labels.dtype == np.uint8
    labels = {n: int(y) for split in found[2:5] for n, y in zip(numbers(split), split.labels, strict=True)}
    assert labels == {0: 1, 1: 1, 2: 0, 3: 0}
    assert "left out 1 of 5 pictures, which are in no label's folder" in capsys.readouterr().out


def test_links_stay_inside(tmp_path):
    root = flowers(tmp_path / "set", 3)
    outside = write_pictures(tmp_path / "outside", ["a.png", "b.png"], 100)
    (root / "rose" / "in.png").symlink_to(root / "tulip" / "1.png")
    (root / "rose" / "out.png").symlink_to(outside / "a.png")
    (root / "rose" / "gone.png").symlink_to(outside / "nothing.png")
    (root / "linked").symlink_to(outside)
    (root / "rose" / "loop").symlink_to(root)
    found = data.load("auto", root)
    assert found.label_names == ("rose", "tulip") and found.counts == (4, 3)


def test_a_hash_decides_so_that_more_pictures_move_none(tmp_path):
    root = flowers(tmp_path / "set", 60)
    before = data.load("folder", root)
    write_pictures(root, [f"{label}/more/{i}.png" for label in ("rose", "tulip", "aster") for i in range(30)], 200)
    after = data.load("folder", root)
    assert sum(after.counts) == 210 and sum(before.counts) == 120
    for old, new in zip(before[2:5], after[2:5], strict=True):
        assert set(numbers(old)) == {number for number in numbers(new) if number < 200} and len(old.labels)


def test_the_parts_never_change():
    """Another hash, or other fractions, would move everybody's test pictures into training."""
    found = splits.by_hash([f"rose/{i}.jpg" for i in range(40)], np.zeros(40, int))
    assert "".join(map(str, found)) == "0000102001220202000002000002020200200022"


def test_parts_have_their_sizes_and_every_label():
    names = [f"label {i % 6}/{i}.jpg" for i in range(12_000)]
    found = np.bincount(splits.by_hash(names, np.arange(12_000) % 6)) / 12_000
    assert found == pytest.approx([3 / 4, 1 / 12, 1 / 6], abs=0.01)
    for count, due in ((3, (1, 1, 1)), (2, (1, 1, 0))):
        for seed in range(50):
            found = splits.by_hash([f"{seed}/{i}" for i in range(count)], np.zeros(count, int))
            assert tuple(np.bincount(found, minlength=3)) == due
    for seed in range(50):
        assert np.bincount(splits.by_hash([f"{seed}-{i}" for i in range(7)], np.zeros(7, int)), minlength=3).min() > 0


def test_within_a_part_the_labels_are_mixed(tmp_path):
    labels = data.load("folder", flowers(tmp_path / "set", 40)).test.labels
    assert np.count_nonzero(np.diff(labels)) >= 4  # in the order of their names it would be 1


def test_every_picture_keeps_its_label(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_cache, "BLOCK", 5 * 28 * 28 * 3)
    root = flowers(tmp_path / "set", 20)
    (root / "rose" / "bad.png").write_bytes(b"no picture")
    for _ in "decoded", "from the cache":
        splits = data.load("auto", root)[2:5]
        assert all((np.array(numbers(split)) // 20 == split.labels).all() for split in splits)
        assert sorted(number for split in splits for number in numbers(split)) == list(range(40))


def test_another_background_is_not_taken_from_the_cache(tmp_path):
    for label in "ab":
        (tmp_path / "set" / label).mkdir(parents=True)
        for i in range(3):
            Image.new("RGBA", (30, 30), (9, i, 9, 0)).save(tmp_path / "set" / label / f"{i}.png")
    for background, level in ("white", 255), ("black", 0), ("white", 255):
        assert (data.load("folder", tmp_path / "set", background=background).train.images == level).all()


def test_folders_of_the_parts_are_taken_as_they_are(tmp_path):
    named = [f"{part}/{label}/{i}.png" for part in ("train", "val", "Test") for label in "ab" for i in range(2)]
    found = data.load("auto", write_pictures(tmp_path / "set", named))
    assert found.label_names == ("a", "b")
    assert [sorted(numbers(split)) for split in found[2:5]] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_missing_part_is_carved_from_training(tmp_path):
    named = [f"{part}/{label}/{i}.png" for part in ("train", "test") for label in "ab" for i in range(30)]
    found = data.load("auto", write_pictures(tmp_path / "set", named))
    assert sorted(numbers(found.test)) == list(range(60, 120))
    assert len(found.validation.labels) >= 2 and len(found.train.labels) + len(found.validation.labels) == 60


def test_train_beside_other_labels_is_a_label(tmp_path):
    found = data.load(
        "auto", write_pictures(tmp_path / "set", ["bus/1.png", "bus/2.png", "train/1.png", "train/2.png"])
    )
    assert found.label_names == ("bus", "train")
    assert len(found.test.labels) == 0 and found.test.images.shape == (0, 28, 28, 3)


def test_a_copied_folder_is_the_same_set_and_a_changed_one_is_not(tmp_path):
    found = data.load("folder", flowers(tmp_path / "set"))
    shutil.copytree(tmp_path / "set", tmp_path / "copy", copy_function=shutil.copyfile)
    assert same(data.load("folder", tmp_path / "copy"), found)
    (tmp_path / "copy" / "rose").rename(tmp_path / "copy" / "pink")
    assert data.load("folder", tmp_path / "copy").fingerprint != found.fingerprint
    numbered(999).save(tmp_path / "set" / "rose" / "3.png")
    assert data.load("folder", tmp_path / "set").fingerprint != found.fingerprint


HOSTILE = ["a..b", "a\nb\x1b[31m", "🌹🌷", "\u202eright to left", "x" * 200, "שלום", "-rf", "%s{0}", "$(touch pwned)"]


def test_hostile_names_do_no_harm(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in HOSTILE:
        write_pictures(tmp_path / "set" / "x", [f"../{name}/{i}.png" for i in range(3)])
    os.mkdir(os.fsencode(tmp_path / "set") + b"/\xff\xfe")
    for i in range(3):
        numbered(i).save(tmp_path / "set" / "\udcff\udcfe" / f"{i}.png")
    (tmp_path / "set" / HOSTILE[1] / "bad.png").write_text("")
    shutil.rmtree(tmp_path / "set" / "x", ignore_errors=True)
    found = data.load("auto", tmp_path / "set")
    names = found.label_names
    assert len(names) == len(HOSTILE) + 1 and all(name.isprintable() for name in names)
    assert {"🌹🌷", "x" * 200, "-rf", " right to left", "a b [31m"} <= set(names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "set"]
    said = capsys.readouterr().out
    assert "\x1b" not in said and "bad.png" in said and said.count("\n") == 2
    assert same(data.load("auto", tmp_path / "set"), found)


def test_names_that_look_the_same_are_refused(tmp_path):
    root = write_pictures(tmp_path / "set", [f"{name}/{i}.png" for name in ("a\nb", "a\tb") for i in range(3)])
    assert "rename one" in failure("auto", root)


def test_a_thousand_labels_and_not_one_more():
    found = [Picture(f"{label:04d}/1.png", f"{label:04d}", 0, 0, 0, 0) for label in range(1001)]
    assert len(image_folder.label_names(found[:1000])) == 1000
    with pytest.raises(Failure, match="1,001 folders are more labels than 1,000"):
        image_folder.label_names(found)


def test_labels_beyond_255_are_kept(tmp_path):
    root = write_pictures(tmp_path / "set", [f"{label:04d}/{i}.png" for label in range(260) for i in range(2)])
    found = data.load("folder", root)
    assert found.counts == (2,) * 260 and found.train.labels.dtype == np.uint16 and found.train.labels.max() == 259


def test_a_report_says_what_a_run_learns_from_and_what_not():
    def said(labels: int, **more: object) -> list[str]:
        parts = [np.repeat(np.arange(labels), n + np.arange(labels)) for n in (3, 2, 1)]
        splits = [data.Split(np.zeros((len(y), 8, 8, 1), np.uint8), y) for y in parts]
        return report(data.Dataset("folder", "pictures in x", *splits, "", labels, **more))

    left = [LeftOut(f"kind {i}", 4, ("a", "b\n", "c")) for i in range(3)]
    lines = said(2, label_names=("rose", "tulip"), split_from="folders", notes=("so",), left_out=(left[0],))
    assert lines[:2] == ["pictures in x: 7 training, 5 validation and 3 test images, 8×8×1", "split: folders"]
    assert lines[2] == "2 labels, images for training+validation+test: rose 3+2+1, tulip 4+3+2"
    assert lines[3:] == ["so", "left out 4, kind 0: a, b , c, …"]
    assert said(20)[1].endswith(": 0 3+2+1, 1 4+3+2, 2 5+4+3, …, 17 20+19+18, 18 21+20+19, 19 22+21+20")
    many = said(1, left_out=(*left, *left, *left, *left))
    assert len(many) == 12 and "1 label, so" in many[1]
    assert many[-1] == "left out 4, kind 0; left out 4, kind 1; left out 4, kind 2"


# --- pictures that cannot be decoded ---------------------------------------------------------------------------------


def png_of(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")


BAD = {
    "empty": (b"", "not a picture"),
    "HTML": (b"<html>not found</html>", "not a picture"),
    "EPS": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
    "wide": (png_of(1_000_000, 1_000), "more than 50 million pixels"),
    "a bomb": (png_of(60_000, 60_000), "more than 50 million pixels"),
    "a short PNG": (png_of(300, 300), ""),
}


@pytest.mark.parametrize("content, why", BAD.values(), ids=BAD)
def test_a_bad_file_is_left_out_by_name(tmp_path, capsys, content, why):
    root = flowers(tmp_path / "set")
    (root / "rose" / "odd.png").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = data.load("folder", root)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # kB
    said = capsys.readouterr().out.splitlines()
    assert found.counts == (12, 12) and len(said) == 2
    assert said[1].startswith("left out 1 of 25 pictures, which cannot be decoded: rose/odd.png (") and why in said[1]
    data.load("folder", root)
    assert capsys.readouterr().out.splitlines() == said[1:]  # the second time, too


def test_a_file_that_may_not_be_read_is_left_out(tmp_path, monkeypatch, capsys):
    root = flowers(tmp_path / "set")
    real = Image.open

    def guarded(path, **kwargs):
        if str(path).endswith("rose/3.png"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, **kwargs)

    monkeypatch.setattr(Image, "open", guarded)
    assert data.load("folder", root).counts == (11, 12)
    assert "rose/3.png (Permission denied)" in capsys.readouterr().out


def test_more_than_a_tenth_bad_is_an_error_that_names_them(tmp_path):
    root = flowers(tmp_path / "set", 10)
    for i in range(2):
        (root / "rose" / f"{i}.png").write_text("")
    assert data.load("folder", root).counts == (8, 10)
    (root / "rose" / "2.png").write_text("")
    text = failure("folder", root)
    assert "over a tenth of the 20 pictures" in text and "mend or move rose/0.png (not a picture), rose/1" in text


# --- size, colour ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sides, due", [((32, 32), 32), ((20, 20), 28), ((32, 33), 64), ((100, 100), 64), ((64, 64), 64)]
)
def test_the_size_is_found(tmp_path, sides, due):
    for label in "ab":
        for i in range(4):
            (tmp_path / "set" / label).mkdir(parents=True, exist_ok=True)
            numbered(i, sides[i % 2]).save(tmp_path / "set" / label / f"{i}.png")
    assert data.load("auto", tmp_path / "set").train.images.shape[1:] == (due, due, 3)
    assert data.load("auto", tmp_path / "set", size=40).train.images.shape[1:] == (40, 40, 3)


def test_grey_is_found(tmp_path):
    for i in range(8):
        path = tmp_path / "set" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new(("L", "RGB", "LA", "P")[i // 2], (40, 40), 0).save(path)
    assert data.load("auto", tmp_path / "set").train.images.shape[1:] == (40, 40, 1)
    grey, colour = (data.load("auto", tmp_path / "set", c).train.images for c in (1, 3))
    assert grey.shape[-1] == 1 and colour.shape[-1] == 3 and (colour == grey).all()
    numbered(5).save(tmp_path / "set" / "a" / "0.png")
    assert data.load("auto", tmp_path / "set").train.images.shape[-1] == 3
    assert data.load("auto", tmp_path / "set", 1).train.images.shape[-1] == 1


# --- bad input -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names, message",
    [
        (["1.png", "2.png"], "at least two labels: such as .*set/rose/1.jpg, .*set/tulip/2.png"),
        (["rose/1.png", "rose/2.png"], "needs a folder of pictures for each of at least two labels"),
        (["rose/1.png", "rose/2.png", "tulip/1.png"], "a label needs 2 pictures, 'tulip' has 1 that can be read"),
        (["train/1.png", "train/2.png", "test/3.png"], "train needs a folder of pictures for each"),
        (["train/a/1.png", "train/a/2.png", "test/b/3.png", "test/b/4.png"], "'b' has no picture under train"),
    ],
)
def test_folders_that_will_not_do_are_told(tmp_path, names, message):
    with pytest.raises(Failure, match=message) as error:
        data.load("auto", write_pictures(tmp_path / "set", names))
    assert "\n" not in str(error.value)


def test_other_bad_input_is_told(tmp_path, capsys):
    root = flowers(tmp_path / "set")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file.txt").write_text("")
    for i in range(3):
        for label in "ab":
            (tmp_path / "broken" / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / "broken" / label / f"{i}.png").write_text("")
    assert "over a tenth of the 6 pictures" in failure("auto", tmp_path / "broken")
    assert "rose/1.jpg" in failure("auto", tmp_path / "empty") and "IDX" in failure("auto", tmp_path / "empty")
    assert "is not a folder" in failure("folder", tmp_path / "gone")
    assert "is not a folder" in failure("folder", tmp_path / "file.txt")
    assert "is a file, but no .npz" in failure("auto", tmp_path / "file.txt")
    assert "there is no colour 'pinkish'" in failure("auto", root, background="pinkish")
    assert "leave out --size" in failure("drawn", size=64)
    assert "--data-dir" in failure("folder")
    assert "choose auto, mnist" in failure("cifar") and "2 channels" in failure("drawn", None, 2)
    assert not (tmp_path / "gone").exists()


def test_a_folder_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    root, real = flowers(tmp_path / "set"), os.scandir

    def guarded(path):
        if str(path).endswith("tulip"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert "tulip cannot be read (Permission denied): check its permissions" in failure("folder", root)


# --- the data of a run -----------------------------------------------------------------------------------------------


def test_a_run_gets_its_folder_back_or_is_told_what_changed(tmp_path):
    root = flowers(tmp_path / "set")
    found = data.load("auto", root, size=40, fit="pad", background="red")
    config = config_of(found, root, fit="pad", background="red")
    assert same(data.of_run(config), found)
    root.rename(tmp_path / "moved")
    with pytest.raises(Failure, match="is not a folder"):
        data.of_run(config)
    assert same(data.of_run(config, tmp_path / "moved"), found)
    write_pictures(tmp_path / "moved", ["rose/new.png"], 700)
    with pytest.raises(Failure, match="other data than these: .*moved: that is another, or has changed since"):
        data.of_run(config, tmp_path / "moved")


def test_a_run_of_pictures_takes_any_picture_as_its_training_had_them(tmp_path, monkeypatch):
    root = flowers(tmp_path / "set")
    found = data.load("auto", root)
    config = config_of(found, root)
    assert (data.picture_for(config, "test:0") == found.test.images[0]).all()
    number = numbers(found.train)[0]
    path = root / ("rose" if number < 12 else "tulip") / f"{number % 12}.png"
    assert (data.picture_for(config, str(path)) == found.train.images[0]).all()
    with pytest.raises(Failure, match="is not a file"):
        data.picture_for(config, str(tmp_path / "gone.png"))
    few = data.load("auto", write_pictures(tmp_path / "few", ["a/1.png", "a/2.png", "b/3.png", "b/4.png"]))
    with pytest.raises(Failure, match="no test images"):
        data.picture_for(config_of(few, tmp_path / "few"), "test:0")
