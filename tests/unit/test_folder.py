"""Pictures in a folder per label, .npz files and Keras' data sets: found, split, decoded, kept; and everything bad."""

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
from engine.dataset import LeftOut, report
from engine.terminal import Failure

PARTS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch) -> Path:
    """The folder of the cache, in place of the user's; it does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "conditional-vae"


def places(found: data.Dataset) -> dict[int, tuple[str, str]]:
    """The label and the part of each numbered picture: what stands in the pixels is where it should be."""
    parts = zip(PARTS, found[2:5], strict=True)
    return {
        number: (found.label_names[label], part)
        for part, split in parts
        for number, label in zip(numbers(split), split.labels.tolist(), strict=True)
    }


# --- which pictures, which labels ------------------------------------------------------------------------------------


def test_labels_are_the_folders_and_nothing_that_is_hidden_or_left_behind(tmp_path):
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
    assert {number: label for number, (label, _) in places(found).items()} == dict(
        enumerate(["rose"] * 2 + ["aster"] * 2)
    )
    assert found.left_out == (
        LeftOut("hidden, or left behind by a system", 7, (".git", "__MACOSX", "aster/__MACOSX")),
        LeftOut("in no label's folder", 1, ("loose.png",)),
        LeftOut("no picture by the suffix", 3, ("README.md", "rose/notes.txt", "texts/a.txt")),
    )


def test_links_are_followed_but_not_in_circles(tmp_path):
    root = flowers(tmp_path / "set", 3)
    outside = write_pictures(tmp_path / "outside", ["a.png", "b.png"], 100)
    (root / "rose" / "out.png").symlink_to(outside / "a.png")
    (root / "rose" / "gone.png").symlink_to(outside / "nothing.png")
    (root / "linked").symlink_to(outside)
    (root / "rose" / "loop").symlink_to(root)
    found = data.load("auto", root)
    due = {0: "rose", 1: "rose", 2: "rose", 3: "tulip", 4: "tulip", 5: "tulip", 101: "linked"}
    assert found.counts == (2, 4, 3) and found.notes == ("links are followed: 2",)
    assert {number: label for number, (label, _) in places(found).items() if number != 100} == due
    assert found.left_out == (
        LeftOut("links back to a folder that they are in", 1, ("rose/loop",)),
        LeftOut("links that lead nowhere (No such file or directory)", 1, ("rose/gone.png",)),
    )


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


SPLITS = {  # the folders, and the part that each is
    "train/ val/ Test/": ("train", "validation", "test"),
    "training/ testing/": ("train", "test"),
    "Training/ Test/": ("train", "test"),
    "train/ dev/ test/": ("train", "validation", "test"),
    "train/ eval/": ("train", "validation"),
    "seg_train/seg_train/ seg_test/seg_test/": ("train", "test"),
    "training_set/ test_set/": ("train", "test"),
    "train2017/ val2017/": ("train", "validation"),
    "archive/TRAIN/ archive/VALID/": ("train", "validation"),
}


@pytest.mark.parametrize("folders, parts", SPLITS.items(), ids=SPLITS)
def test_folders_named_as_parts_are_the_split(tmp_path, folders, parts):
    named = [(label, part) for part in parts for label in ("train", "bus") for _ in range(6)]
    paths = [f"{folder}{label}/{i}.png" for folder in folders.split() for label in ("train", "bus") for i in range(6)]
    found = data.load("auto", write_pictures(tmp_path / "set", [*paths, "docs/1.png"] if len(parts) == 3 else paths))
    assert found.label_names == ("bus", "train") and found.split_from.startswith("by folder, ")
    assert found.left_out == (LeftOut("beside the folders of the split", 1, ("docs/1.png",)),) * (len(parts) == 3)
    assert places(found).keys() == set(range(len(named))) and all(len(split.labels) for split in found[2:5])
    for number, (label, part) in places(found).items():
        if named[number][1] == "train" and part not in parts:
            part = "train"  # carved from it
        assert (label, part) == named[number]


LABELS = {  # the folders that are labels, each with a folder in it, and whether they could be a split
    "train/1 bus/1 car/1": False,
    "rose/2023 rose/2024": True,
    "rose/2023 rose/2024 tulip/2023 tulip/2024": True,
    "teil1/rose teil1/tulip teil2/rose teil2/tulip": True,
    "rose/a tulip/b": False,
}


@pytest.mark.parametrize("folders, doubtful", LABELS.items(), ids=LABELS)
def test_other_folders_are_labels_and_a_line_says_what_else_they_could_be(tmp_path, folders, doubtful):
    paths = [f"{folder}/{i}.png" for folder in folders.split() for i in range(3)]
    found = data.load("auto", write_pictures(tmp_path / "set", paths))
    assert {number: label for number, (label, _) in places(found).items()} == {
        number: path.split("/")[0] for number, path in enumerate(paths)
    }
    assert bool(found.notes) == doubtful and found.split_from == "by a hash of each path"
    assert not doubtful or "rename them train and test" in found.notes[0] or "by --data-dir" in found.notes[0]


def test_parts_without_labels_are_left_out_before_anything_is_decoded(tmp_path, monkeypatch):
    """As tiny-imagenet has them; where a part has labels of its own that training lacks, it is refused at once."""
    paths = [f"train/{label}/images/{i}.png" for label in ("n1", "n2") for i in range(3)]
    root = write_pictures(tmp_path / "set", [*paths, "val/images/1.png", "test/images/2.png"])
    found = data.load("auto", root)
    assert {number: label for number, (label, _) in places(found).items()} == dict(enumerate(["n1"] * 3 + ["n2"] * 3))
    due = LeftOut("in a folder that is no label under train", 2, ("test/images/2.png", "val/images/1.png"))
    assert found.left_out == (due,)
    write_pictures(root, ["val/n1/1.png"])
    monkeypatch.setattr(Image, "open", lambda *_, **__: pytest.fail("a picture was opened"))
    assert "a label needs 2 pictures, 'images' has 1" in failure("auto", root)


TABLES = [  # the folder of the pictures, the table, its rows
    ("", "metadata.csv", "file_name,text,label 0.png,x,rose 1.png,y,tulip 2.png,z,rose 3.png,,tulip"),
    ("train", "labels.csv", "id,breed 0,rose 1,tulip 2,rose 3,tulip gone,rose"),
    ("train_images", "train.csv", "\ufefflabel;image rose;0.png tulip;1.png rose;2 tulip;3"),
    ("images", "labels.csv", "class,path rose,./images/0.png tulip,images\\1.png rose,2 tulip,images/3"),
]


@pytest.mark.parametrize("folder, name, rows", TABLES)
def test_a_table_names_the_labels_of_pictures_in_one_folder(tmp_path, folder, name, rows):
    root = write_pictures(tmp_path / "set", [f"./{folder}/{i}.png" for i in range(5)])
    write_pictures(root, ["test/0.png", "test/1.png"] if folder.startswith("train") else [], 90)
    (root / name).write_text(rows.replace(" ", "\r\n"))
    found = data.load("auto", root)
    labels = {number: label for number, (label, _) in places(found).items()}
    assert labels == {0: "rose", 1: "tulip", 2: "rose", 3: "tulip"} and name in found.notes[0]
    left = {why: names for why, _, names in found.left_out}
    assert f"{folder}/4.png".lstrip("/") in left["in no row of a table"]
    rows_left = left.get(f"rows of {name} without a picture, or without one label", ())
    assert ("gone" in rows_left) == ("gone" in rows)


def test_tables_beside_each_part_are_taken_together(tmp_path):
    root = write_pictures(tmp_path / "set", [f"{part}/{i}.png" for part in ("train", "test") for i in range(8)])
    for part in ("train", "test"):
        rows = "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(8))
        (root / part / "metadata.csv").write_text(f"file_name,label\n{rows}0.png,b\n1.png,\n")
    found = data.load("auto", root)
    assert {number: label for number, (label, _) in places(found).items()} == {i: "ab"[i % 2] for i in range(16)}
    assert sorted(numbers(found.test)) == list(range(8, 16))
    assert [left.names for left in found.left_out] == [("0.png", "1.png")] * 2


def test_a_table_whose_label_nobody_can_tell_is_refused_and_one_of_no_use_is_left_out(tmp_path):
    root = write_pictures(tmp_path / "flat", [f"{i}.png" for i in range(4)])
    (root / "train.csv").write_text("id,colour,size\n0,red,1\n1,blue,2\n")
    assert "which column is the label? Name it label in the first row (id, colour, size)" in failure("auto", root)
    root = flowers(tmp_path / "set")
    (root / "labels.csv").write_text("id,label\nrose/1,x\ntulip/1,y\n")
    (root / "metadata.csv").write_text("label," + "pixel," * 784 + "\nrose" + ",1" * 784)
    found = data.load("auto", root)
    assert found.label_names == ("rose", "tulip") and found.left_out[0].names == ("labels.csv", "metadata.csv")


def test_one_label_is_enough(tmp_path):
    found = data.load("auto", write_pictures(tmp_path / "set", [f"rose/{i}.png" for i in range(20)]))
    assert found.label_names == ("rose",) and places(found).keys() == set(range(20))
    assert "1 label, so" in report(found)[2]


def test_names_of_labels_are_told_apart_as_people_do(tmp_path):
    """The same letters in two forms are one label; joiners stay; numbers are in the order of their values."""
    paths = [f"train/{name}/{i}.png" for name in ("が", "👩\u200d🌾") for i in range(3)]
    found = data.load("auto", write_pictures(tmp_path / "a", [*paths, "test/か\u3099/1.png"]))
    assert found.label_names == ("か\u3099", "👩\u200d🌾") and found.counts == (4, 3)
    assert places(found)[6] == ("か\u3099", "test")
    found = data.load("auto", write_pictures(tmp_path / "b", [f"{i % 12}/{i}.png" for i in range(36)]))
    assert found.label_names == tuple(map(str, range(12)))
    assert all(label == str(number % 12) for number, (label, _) in places(found).items())
    assert found.notes == ("labels that are numbers are in the order of their values",)


def test_pictures_of_16_bits_have_the_same_levels_in_the_whole_set(tmp_path):
    for i in range(8):
        (tmp_path / "set" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((32, 32), 500 * i, np.uint16)).save(tmp_path / "set" / "ab"[i % 2] / f"{i}.png")
    found = data.load("auto", tmp_path / "set")
    levels = sorted(int(image[3, 3, 0]) for split in found[2:5] for image in split.images)
    assert levels == [round(500 * i * 255 / 4095) for i in range(8)] and found.levels == (0, 4095)
    assert "levels 0 to 4095 of pictures of more than 8 bits become 0 to 255" in report(found)
    config = config_of(found, tmp_path / "set")
    assert data.picture_for(config, str(tmp_path / "set" / "b" / "1.png")).max() == round(500 * 255 / 4095)
    before = config_of(found, tmp_path / "set", fingerprint="before", notes=())
    with pytest.raises(Failure, match="or has changed since; levels 0 to 4095 of pictures of more than 8 bits"):
        data.of_run(before)


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
    said = "".join(report(found)) + capsys.readouterr().out
    assert "\x1b" not in said and "bad.png" in said and said.count("\n") == 1
    assert same(data.load("auto", tmp_path / "set"), found)


def test_names_that_look_the_same_are_refused(tmp_path):
    root = write_pictures(tmp_path / "set", [f"{name}/{i}.png" for name in ("a\nb", "a\tb") for i in range(3)])
    assert "rename one" in failure("auto", root)


def test_a_thousand_labels_and_not_one_more():
    assert len(image_folder.label_names([str(i) for i in range(1000)])) == 1000
    with pytest.raises(Failure, match="1,001 are more labels than 1,000"):
        image_folder.label_names([str(i) for i in range(1001)])


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
    "large": (png_of(10_000, 6_000), "more than 50 million pixels"),
    "wide": (png_of(1_000_000, 1_000), "more than 250 million pixels"),
    "a short PNG": (png_of(300, 300), ""),
}


@pytest.mark.parametrize("content, why", BAD.values(), ids=BAD)
def test_a_bad_file_is_left_out_by_name(tmp_path, content, why):
    root = flowers(tmp_path / "set")
    (root / "rose" / "odd.png").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = data.load("folder", root)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # kB
    (left,) = found.left_out
    assert found.counts == (12, 12) and left[:2] == ("cannot be decoded", 1)
    assert left.names[0].startswith("rose/odd.png (") and why in left.names[0]
    assert data.load("folder", root).left_out == found.left_out  # from the cache, too


def test_a_file_that_may_not_be_read_is_left_out(tmp_path, monkeypatch):
    root = flowers(tmp_path / "set")
    real = Image.open

    def guarded(path, **kwargs):
        if str(path).endswith("rose/3.png"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path, **kwargs)

    monkeypatch.setattr(Image, "open", guarded)
    found = data.load("folder", root)
    assert found.counts == (11, 12) and found.left_out[0].names == ("rose/3.png (Permission denied)",)


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
        (["1.png", "2.png"], "each label: such as .*set/rose/1.jpg, .*; left out 2, in no label's folder: 1.png"),
        (["rose/1.png", "rose/2.png", "tulip/1.png"], "a label needs 2 pictures, 'tulip' has 1 that can be read"),
        (["train/1.png", "train/2.png", "test/3.png"], "train needs a folder of pictures for each"),
        (["train/a/1.png", *(f"test/{y}/{i}.png" for y in "ab" for i in "23")], "'b' has no picture under train"),
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
    assert few.test.images.shape == (0, 28, 28, 3)
    with pytest.raises(Failure, match="no test images"):
        data.picture_for(config_of(few, tmp_path / "few"), "test:0")
