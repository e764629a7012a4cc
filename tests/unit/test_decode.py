"""One picture: every format and mode decoded, turned upright, laid on the background, made square, scaled."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import make_pictures
import numpy as np
import pytest
from helpers import ROOT
from PIL import Image

from data import decode

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
    "GIF of frames": (two_halves("P"), "a.gif", {"save_all": True, "append_images": [Image.new("RGB", (64, 64))] * 40}),
}


@pytest.mark.parametrize("image, name, how", WRITTEN.values(), ids=WRITTEN)
def test_every_format_and_mode_gives_its_colours(tmp_path, image, name, how):
    image.save(tmp_path / name, **how)
    found = decode.prepare(tmp_path / name, 32, 3).astype(int)
    assert found.shape == (32, 32, 3)
    assert np.abs(found[4:28, 4:12] - RED).max() < 45 and np.abs(found[4:28, 20:28] - BLUE).max() < 45


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
    pixels = np.full((64, 64), low, dtype)
    pixels[:, 32:] = high
    Image.fromarray(pixels).save(tmp_path / name)
    found = decode.prepare(tmp_path / name, 32, 1)[..., 0]
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
    assert (found == decode.prepare(path, 32, 3, background="rgb(16,64,128)")).all()


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
