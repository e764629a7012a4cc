"""Pictures in a folder per label, .npz files and Keras' data sets: found, split, decoded, kept; and everything bad."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import pickle
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import make_pictures
import numpy as np
import pytest
from helpers import config_of, failure, same
from PIL import Image

import data
from data import cache, decode, splits
from engine.terminal import Failure

ROOT = Path(__file__).resolve().parent.parent.parent
PARTS = ("train", "validation", "test")


@pytest.fixture(autouse=True)
def cached(tmp_path, monkeypatch) -> Path:
    """The folder of the cache, in place of the user's; it does not exist yet."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "conditional-vae"


def numbered(number: int, side: int = 6) -> Image.Image:
    """A picture of one colour from which `number` can be read again, whatever is done to it."""
    return Image.new("RGB", (side, side), (number // 256, number % 256, 77))


def numbers(split: data.Split) -> list[int]:
    """Of the pictures in a part."""
    return [256 * int(r) + int(g) for r, g, _ in split.images[:][:, 3, 3]]


def put(root: Path, names: Sequence[str], first: int = 0) -> Path:
    """Write numbered pictures under these paths."""
    for number, name in enumerate(names, first):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        numbered(number).save(root / name)
    return root


def flowers(root: Path, count: int = 12) -> Path:
    """Two labels, `count` pictures each."""
    return put(root, [f"{label}/{i}.png" for label in ("rose", "tulip") for i in range(count)])


# --- which pictures, which labels ------------------------------------------------------------------------------------


def test_labels_are_the_folders_and_nothing_that_is_hidden_or_left_behind(tmp_path):
    good = ["rose/1.png", "rose/old/deep/2.PNG", "aster/3.png", "aster/4.bmp"]
    junk = [".git/5.png", "__MACOSX/6.png", "rose/.7.png", "rose/.ipynb_checkpoints/8.png", "aster/__MACOSX/9.png"]
    root = put(tmp_path / "set", good + junk)
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


def test_links_stay_inside(tmp_path):
    root = flowers(tmp_path / "set", 3)
    outside = put(tmp_path / "outside", ["a.png", "b.png"], 100)
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
    put(root, [f"{label}/more/{i}.png" for label in ("rose", "tulip", "aster") for i in range(30)], 200)
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
    monkeypatch.setattr(cache, "BLOCK", 5 * 28 * 28 * 3)
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
    found = data.load("auto", put(tmp_path / "set", named))
    assert found.label_names == ("a", "b")
    assert [sorted(numbers(split)) for split in found[2:5]] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


def test_a_missing_part_is_carved_from_training(tmp_path):
    named = [f"{part}/{label}/{i}.png" for part in ("train", "test") for label in "ab" for i in range(30)]
    found = data.load("auto", put(tmp_path / "set", named))
    assert sorted(numbers(found.test)) == list(range(60, 120))
    assert len(found.validation.labels) >= 2 and len(found.train.labels) + len(found.validation.labels) == 60


def test_train_beside_other_labels_is_a_label(tmp_path):
    found = data.load("auto", put(tmp_path / "set", [f"{label}/{i}.png" for label in ("bus", "train") for i in (1, 2)]))
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
        put(tmp_path / "set" / "x", [f"../{name}/{i}.png" for i in range(3)])
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
    root = put(tmp_path / "set", [f"{name}/{i}.png" for name in ("a\nb", "a\tb") for i in range(3)])
    assert "rename one" in failure("auto", root)


def test_a_thousand_labels_and_not_one_more(tmp_path):
    root = put(tmp_path / "set", [f"{label:04d}/{i}.png" for label in range(1000) for i in range(2)])
    found = data.load("folder", root)
    assert found.num_labels == 1000 and found.counts == (2,) * 1000
    assert found.train.labels.dtype == np.uint16 and found.train.labels.max() == 999
    put(root, ["more/1.png", "more/2.png"])
    assert "1,001 folders are more labels than 1,000" in failure("folder", root)


def test_a_set_says_what_it_is(tmp_path):
    root = flowers(tmp_path / "set", 4)
    assert str(data.load("folder", root)).endswith("test images, 28×28×3; 2 labels with 4 to 4 images each")
    put(root, [f"tulip/more {i}.png" for i in range(5)])
    assert str(data.load("folder", root)).endswith("; 2 labels with 4 to 9 images each")


# --- one picture -----------------------------------------------------------------------------------------------------

RED, BLUE = (220, 20, 30), (10, 40, 200)


def two_halves(mode: str = "RGB") -> Image.Image:
    """Red on the left, blue on the right, 64 × 64."""
    image = Image.new("RGB", (64, 64), RED)
    image.paste(BLUE, (32, 0, 64, 64))
    return image.convert(mode)


WRITTEN = {
    "JPEG": (two_halves(), "a.jpg", {"quality": 95}),
    "JPEG of CMYK": (two_halves("CMYK"), "a.jpeg", {"quality": 95}),
    "PNG": (two_halves(), "a.png", {}),
    "PNG of a palette": (two_halves("P"), "a.png", {}),
    "WebP": (two_halves(), "a.webp", {"lossless": True}),
    "BMP": (two_halves(), "a.bmp", {}),
    "GIF": (two_halves("P"), "a.gif", {}),
    "TIFF": (two_halves(), "a.tif", {}),
    "TIFF with LZW": (two_halves(), "a.tiff", {"compression": "tiff_lzw"}),
    "TIFF of CMYK": (two_halves("CMYK"), "a.tiff", {}),
    "PPM": (two_halves(), "a.ppm", {}),
    "RGBA": (two_halves("RGBA"), "a.png", {}),
    "GIF of frames": (two_halves("P"), "a.gif", {"save_all": True, "append_images": [numbered(5, 64)] * 40}),
}


@pytest.mark.parametrize("image, name, how", WRITTEN.values(), ids=WRITTEN)
def test_every_format_and_mode_gives_its_colours(tmp_path, image, name, how):
    image.save(tmp_path / name, **how)
    found = decode.prepare(tmp_path / name, 32, 3).astype(int)
    assert found.shape == (32, 32, 3)
    assert np.abs(found[4:28, 4:12] - RED).max() < 45 and np.abs(found[4:28, 20:28] - BLUE).max() < 45


def grey_halves(path: Path, dtype: type, low: float, high: float) -> np.ndarray:
    """The picture (32, 32) that a file of two greys gives."""
    pixels = np.full((64, 64), low, dtype)
    pixels[:, 32:] = high
    Image.fromarray(pixels).save(path)
    return decode.prepare(path, 32, 1)[..., 0]


@pytest.mark.parametrize(
    "dtype, name, low, high, due",
    [
        (np.uint8, "a.png", 50, 200, (50, 200)),
        (bool, "a.png", False, True, (0, 255)),
        (np.uint16, "a.png", 257 * 50, 257 * 200, (50, 200)),  # not white
        (np.uint16, "a.tif", 257 * 50, 257 * 200, (50, 200)),
        (np.uint16, "a.pgm", 257 * 50, 257 * 200, (50, 200)),
        (np.int32, "a.tif", 257 * 50, 257 * 200, (50, 200)),
        (np.int32, "a.tif", -100, 2**30, (0, 255)),
        (np.float32, "a.tif", 0.25, 0.75, (64, 191)),
        (np.float32, "a.tif", 50.0, 200.0, (50, 200)),
        (np.float32, "a.tif", -1.0, 1.0, (0, 255)),
        (np.float32, "a.tif", -7.0, -7.0, (0, 0)),
    ],
)
def test_depths_other_than_8_bits_are_scaled(tmp_path, dtype, name, low, high, due):
    found = grey_halves(tmp_path / name, dtype, low, high)
    assert (int(found[16, 4]), int(found[16, 28])) == due


def turns(upright: np.ndarray) -> dict[int, np.ndarray]:
    """What is stored under each EXIF orientation so that it is shown as (H, W, 3) `upright`."""
    return {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }


def test_exif_turns_pictures(tmp_path):
    upright = np.zeros((48, 64, 3), np.uint8)
    upright[:24, :32], upright[24:, 32:] = RED, (255, 255, 255)
    for orientation, stored in turns(upright).items():
        exif = Image.Exif()
        exif[274] = orientation
        for name in ("a.jpg", "a.png", "a.webp"):
            Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / name, exif=exif, quality=95)
            found = decode.prepare(tmp_path / name, 32, 3).astype(int)
            expected = np.array([[RED, (0, 0, 0)], [(0, 0, 0), (255, 255, 255)]])
            assert np.abs(found[[[8, 8], [24, 24]], [[8, 24], [8, 24]]] - expected).max() < 40, (orientation, name)


def test_damaged_metadata_turn_nothing_and_say_nothing(tmp_path):
    bad = b"Exif\0\0" + b"II*\0\x08\0\0\0" + b"\x02\0\x12\x01\x03\0\xff\xff\xff\x7f" + b"\xff" * 12
    two_halves().save(tmp_path / "a.jpg", exif=bad, quality=95)
    code = "import sys; from data import decode; print(decode.prepare(sys.argv[1], 32, 3).shape)"
    command = [sys.executable, "-c", code, str(tmp_path / "a.jpg")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("(32, 32, 3)\n", "")


def see_through(path: Path, mode: str) -> Path:
    """A picture of which the left half is red or dark, the right half nothing at all, stored as black."""
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[:, :16] = (*RED, 255)
    image = Image.fromarray(pixels)
    if mode == "P":
        image = image.convert("RGB").convert("P", palette=Image.Palette.ADAPTIVE)
        image.info["transparency"] = image.getpixel((30, 3))
    image = image.convert(mode)
    image.save(path)
    return path


@pytest.mark.parametrize(
    "mode, name", [("RGBA", "a.png"), ("RGBA", "a.webp"), ("LA", "a.png"), ("P", "a.png"), ("P", "a.gif")]
)
def test_what_is_transparent_becomes_the_background(tmp_path, mode, name):
    path = see_through(tmp_path / name, mode)
    assert decode.prepare(path, 32, 3)[16, 28].tolist() == [255, 255, 255]
    found = decode.prepare(path, 32, 3, background="#104080")
    assert found[16, 28].tolist() == [16, 64, 128] and found[16, 4].max() < 230
    assert (found == data.decode.prepare(path, 32, 3, background="rgb(16,64,128)")).all()


def test_half_transparent_is_blended(tmp_path):
    Image.new("RGBA", (32, 32), (0, 0, 0, 64)).save(tmp_path / "a.png")
    assert decode.prepare(tmp_path / "a.png", 28, 1)[5, 5, 0] == 191


def test_fits(tmp_path):
    image = Image.new("RGB", (90, 30), RED)
    image.paste((0, 255, 0), (30, 0, 60, 30))
    image.paste(BLUE, (60, 0, 90, 30))
    image.save(tmp_path / "a.png")
    crop, pad, stretch = (decode.prepare(tmp_path / "a.png", 30, 3, fit, "yellow") for fit in decode.FITS)
    assert (crop == (0, 255, 0)).all()
    assert (pad[:10] == (255, 255, 0)).all() and (pad[20:] == (255, 255, 0)).all()
    assert pad[15, 5].tolist() == stretch[2, 5].tolist() == list(RED)
    assert pad[15, 25].tolist() == stretch[28, 25].tolist() == list(BLUE)


def test_a_picture_of_the_right_size_is_taken_pixel_by_pixel(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert (decode.prepare(tmp_path / "a.png", 32, 3) == pixels).all()
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    assert (decode.prepare(tmp_path / "a.png", 32, 1)[..., 0] == grey).all()


def test_scaling_down_averages(tmp_path):
    """A fine chequerboard turns grey, in a JPEG that is decoded at a part of its size as well."""
    board = np.indices((800, 800)).sum(0) % 2 * 255
    for name in ("a.png", "a.jpg"):
        Image.fromarray(np.uint8(board)).save(tmp_path / name, quality=95)
        found = decode.prepare(tmp_path / name, 32, 1).astype(int)
        assert abs(found.mean() - 127.5) < 3 and np.ptp(found) < 12


def test_a_large_jpeg_is_as_sharp_as_a_png(tmp_path):
    """It is decoded at a part of its size, but never at too small a one."""
    for size in ((530, 400), (150, 140)):
        grain = np.zeros((640, 740, 3), np.int16)
        image = make_pictures.scene(np.random.default_rng(2), grain, 9, size)
        image.save(tmp_path / "a.png")
        image.save(tmp_path / "a.jpg", quality=95, subsampling=0)
        png, jpeg = (decode.prepare(tmp_path / f"a.{end}", 64, 3).astype(float) for end in ("png", "jpg"))
        assert np.sqrt(((png - jpeg) ** 2).mean()) < 3


@pytest.mark.parametrize("end", [".jpg", ".png", ".webp", ".bmp", ".gif", ".tiff", ".ppm"])
def test_half_a_file_is_refused(tmp_path, end):
    path = tmp_path / f"a{end}"
    make_pictures.scene(np.random.default_rng(0), np.zeros((640, 740, 3), np.int16), 3, (200, 150)).save(path)
    decode.prepare(path, 32, 3)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(decode.Unreadable) as error:
        decode.prepare(path, 32, 3)
    assert "\n" not in str(error.value) and str(path) in str(error.value)


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
        data.load("auto", put(tmp_path / "set", names))
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
    assert "choose auto, mnist" in failure("cifar")
    assert not (tmp_path / "gone").exists()


def test_a_folder_that_may_not_be_read_is_told(tmp_path, monkeypatch):
    root, real = flowers(tmp_path / "set"), os.scandir

    def guarded(path):
        if str(path).endswith("tulip"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", guarded)
    assert "tulip cannot be read (Permission denied): check its permissions" in failure("folder", root)


def test_pictures_without_a_label_are_left_out_with_a_word(tmp_path, capsys):
    root = put(flowers(tmp_path / "set"), ["loose.png"], 500)
    assert data.load("auto", root).counts == (12, 12)
    assert "left out 1 of 25 pictures, which are in no label's folder" in capsys.readouterr().out


# --- the cache -------------------------------------------------------------------------------------------------------


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
    monkeypatch.setattr(cache, "BLOCK", 5 * 40 * 40)
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
    put(root, ["rose/new.png"], 99)
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
        put(root, ["rose/x.png"], 77)
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
    before = (entry / cache.INDEX).read_bytes()
    damage(entry / cache.IMAGES, entry / cache.INDEX)
    capsys.readouterr()
    assert same(data.load("auto", root), first)
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 2 and "is damaged: its pictures are decoded again" in said[0]
    assert len((entry / cache.INDEX).read_bytes()) == len(before)
    data.load("auto", root)
    assert capsys.readouterr().out == ""


def test_an_entry_that_another_process_wrote_first_is_taken(tmp_path, cached, monkeypatch):
    root, real = flowers(tmp_path / "set"), cache.files.whole_folder

    @contextlib.contextmanager
    def outrun(path):
        with real(path) as partial:
            yield partial
            shutil.copytree(partial, path)

    monkeypatch.setattr(cache.files, "whole_folder", outrun)
    found = data.load("auto", root)
    assert found.counts == (12, 12) and len(list(cached.iterdir())) == 1


def test_two_processes_at_once(tmp_path, cached):
    root = flowers(tmp_path / "set", 200)
    code = "import sys, data; print(data.load('folder', sys.argv[1]).fingerprint)"
    command = [sys.executable, "-c", code, str(root)]
    both = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0].splitlines()[-1] for process in both]
    assert said == [data.load("folder", root).fingerprint] * 2 and len(list(cached.iterdir())) == 1


def test_what_a_killed_process_left_is_deleted_after_a_day(tmp_path, cached):
    for name, hours in ("old", 25), ("new", 23):
        (cached / f".{name}.partial").mkdir(parents=True)
        os.utime(cached / f".{name}.partial", (time.time() - 3600 * hours,) * 2)
    data.load("folder", flowers(tmp_path / "set"))
    assert [path.name for path in cached.glob(".*")] == [".new.partial"]


@pytest.mark.parametrize("most", [0, 24 * 28 * 28 * 3])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, cached, most):
    """For the pixels as they are decoded, or for the cache's entry, which has a header, too."""
    root, before = flowers(tmp_path / "set"), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))  # writing beyond it fails
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            text = failure("auto", root)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "cannot write to" in text and "File too large" in text and "XDG_CACHE_HOME" in text
    assert list(cached.iterdir()) == []
    assert data.load("auto", root).counts == (12, 12)


def test_a_cache_folder_that_cannot_be_made_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "name another folder by XDG_CACHE_HOME" in failure("auto", flowers(tmp_path / "set"))


INTERRUPTED = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # as a background job this ignores it
import numpy as np
from data import decode
import data

def slow(*_):
    sys.stdout.write("at work\\n")
    time.sleep(0.4)
    return np.zeros((28, 28, 3), np.uint8)

decode.pixels = slow
data.load("folder", sys.argv[1])
"""


def test_ctrl_c_ends_it_at_once_and_leaves_nothing(tmp_path, cached):
    root = flowers(tmp_path / "set", 500)
    command = [sys.executable, "-u", "-c", INTERRUPTED, str(root)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b"decoding 1,000 pictures")
        assert process.stdout.readline() == b"at work\n"
        process.send_signal(signal.SIGINT)
        process.wait(3)
        assert b"KeyboardInterrupt" in process.stderr.read()
    assert not cached.exists() or list(cached.iterdir()) == []


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
    put(tmp_path / "moved", ["rose/new.png"], 700)
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
    with pytest.raises(Failure, match="no test images"):
        data.picture_for(
            config_of(
                data.load("auto", put(tmp_path / "few", ["a/1.png", "a/2.png", "b/3.png", "b/4.png"])), tmp_path / "few"
            ),
            "test:0",
        )


# --- the script that makes pictures ----------------------------------------------------------------------------------


def test_pictures_are_made_and_one_is_broken(tmp_path, capsys):
    for kind, count, counts in ("shapes", 12, (12,) * 4), ("photos", 20, (2,) * 10), ("many", 40, (20, 20)):
        made = []
        for folder in tmp_path / kind, tmp_path / f"{kind} again":
            make_pictures.main([kind, str(folder), "--count", str(count)])
            made.append(data.load("auto", folder))
        assert made[0].fingerprint == made[1].fingerprint and sum(made[0].counts) == sum(counts)
    assert "circle/broken.jpg (image file is truncated" in capsys.readouterr().out
