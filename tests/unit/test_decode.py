"""One picture: every format and mode decoded, turned upright, laid on the background, made square, scaled."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import make_pictures
import numpy as np
import pytest
from helpers import ROOT
from PIL import Image

from data import decode

RED, BLUE = (220, 20, 30), (10, 40, 200)


def prepare(path: Path, size: int, channels: int, fit: str = "crop", paper: str = "white", levels=()) -> np.ndarray:
    return decode.pixels(path, decode.Form(size, channels, fit, decode.colour(paper), levels))


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
    "AVIF": (two_halves(), "a.avif", {"quality": 90}),
    "JPEG 2000": (two_halves(), "a.JP2", {}),
    "TGA": (two_halves(), "a.tga", {}),
    "ICO": (two_halves(), "a.ico", {"sizes": [(64, 64)]}),
    "RGBA": (two_halves("RGBA"), "a.png", {}),
    "GIF of frames": (two_halves("P"), "a.gif", {"save_all": True, "append_images": [Image.new("RGB", (64, 64))] * 40}),
}


@pytest.mark.parametrize("image, name, how", WRITTEN.values(), ids=WRITTEN)
def test_every_format_and_mode_gives_its_colours(tmp_path, image, name, how):
    if name.endswith(".avif") and "AVIF" not in decode.formats():
        pytest.skip("this version of Pillow has no AVIF")
    image.save(tmp_path / name, **how)
    found = prepare(tmp_path / name, 32, 3).astype(int)
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
        (np.uint16, "a.png", 50, 200, (50, 200)),  # 8 bits in a file for 16
        (np.uint16, "a.tif", 0, 3000, (0, 187)),  # of a microscope's 12
        (np.uint16, "a.png", 1000, 5000, (51, 255)),
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
    if name.endswith(".pgm"):  # which not every version of Pillow writes
        (tmp_path / name).write_bytes(b"P5 64 64 65535\n" + pixels.astype(">u2").tobytes())
    else:
        Image.fromarray(pixels).save(tmp_path / name)
    found = prepare(tmp_path / name, 32, 1)[..., 0]
    assert (int(found[16, 4]), int(found[16, 28])) == due


def deep_png(pixels: np.ndarray) -> bytes:
    """A PNG of 16-bit colour, (H, W, 3) or (H, W, 4), which Pillow does not write."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", width, height, 16, 2 if channels == 3 else 6, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    written = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in chunks]
    return b"\x89PNG\r\n\x1a\n" + b"".join(written)


@pytest.mark.parametrize("white, channels", [(4095, 3), (255, 3), (5000, 4), (65535, 3)])
def test_16_bits_a_channel_in_colour_are_scaled_by_what_they_use(tmp_path, white, channels):
    pixels = np.random.default_rng(0).integers(0, white + 1, (32, 32, channels))
    pixels[0, 0], pixels[..., 3:] = white, 65535
    (tmp_path / "a.png").write_bytes(deep_png(pixels))
    colour = pixels[..., :3]
    due = colour >> 8 if white == 65535 else colour * (255 / white)  # as ever where all levels are used
    assert np.abs(prepare(tmp_path / "a.png", 32, 3) - due).max() < 0.501


def test_deep_pictures_share_the_levels_that_they_are_told(tmp_path):
    for name, high in ("a.png", 1000), ("b.png", 4000):
        Image.fromarray(np.full((32, 32), high, np.uint16)).save(tmp_path / name)
    levels = decode.common_levels([decode.header(tmp_path / name)[1] for name in ("a.png", "b.png")])
    assert levels == (0, 4095) and decode.header(tmp_path / "a.png")[0] == (32, 32)
    assert [prepare(tmp_path / name, 32, 1, levels=levels).max() for name in ("a.png", "b.png")] == [62, 249]
    assert prepare(tmp_path / "b.png", 32, 1, levels=(0, 255)).max() == 255  # brighter than any of the set
    two_halves().save(tmp_path / "c.png")
    assert decode.header(tmp_path / "c.png") == ((64, 64), None)


def test_only_baseline_jpegs_may_have_more_than_50_million_pixels(tmp_path):
    """They are decoded at a part of their size; a progressive one, like all other formats, is decoded whole."""
    image = Image.new("L", (9000, 6000), 40)
    image.paste(200, (0, 0, 4500, 6000))
    image.save(tmp_path / "a.jpg")
    found = prepare(tmp_path / "a.jpg", 32, 1)
    assert np.abs(found[16, [4, 28], 0].astype(int) - [200, 40]).max() < 3
    image.save(tmp_path / "a.jpg", progressive=True)
    with pytest.raises(decode.Unreadable, match="more than 50 million pixels.: save it smaller"):
        prepare(tmp_path / "a.jpg", 32, 1)


def test_a_file_is_a_picture_by_its_suffix_or_else_by_its_first_bytes(tmp_path, monkeypatch):
    two_halves().save(tmp_path / "picture", "PNG")
    (tmp_path / "text").write_text("no picture")
    for name in ("a.eps", "a.pdf", "a.wmf", "a.h5", "a.mp4", "a.txt", "text"):
        assert decode.why_no_picture(str(tmp_path / name)) == decode.NO_PICTURE
    for name in ("a.JPG", "a.psd", "a.Tga", "picture"):
        assert decode.why_no_picture(str(tmp_path / name)) == ""
    assert not {"EPS", "PDF", "WMF", "HDF5", "MPEG"} & set(decode.formats())
    monkeypatch.setattr(decode, "formats", lambda: ("PNG",))
    assert decode.why_no_picture("a.HEIC") == ".heic: export them as JPEG, or pip install pillow-heif"
    monkeypatch.setattr(decode, "formats", lambda: ("PNG", "HEIF", "AVIF"))
    assert decode.why_no_picture("a.HEIC") == decode.why_no_picture("a.avif") == ""


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
            found = prepare(tmp_path / name, 32, 3).astype(int)
            expected = np.array([[RED, (0, 0, 0)], [(0, 0, 0), (255, 255, 255)]])
            assert np.abs(found[[[8, 8], [24, 24]], [[8, 24], [8, 24]]] - expected).max() < 40, (orientation, name)


def test_damaged_metadata_turn_nothing_and_say_nothing(tmp_path):
    bad = b"Exif\0\0" + b"II*\0\x08\0\0\0" + b"\x02\0\x12\x01\x03\0\xff\xff\xff\x7f" + b"\xff" * 12
    two_halves().save(tmp_path / "a.jpg", exif=bad, quality=95)
    code = "import sys; from data import decode; print(decode.pixels(sys.argv[1], decode.Form(32, 3)).shape)"
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
    assert prepare(path, 32, 3)[16, 28].tolist() == [255, 255, 255]
    found = prepare(path, 32, 3, paper="#104080")
    assert found[16, 28].tolist() == [16, 64, 128] and found[16, 4].max() < 230
    assert (found == prepare(path, 32, 3, paper="rgb(16,64,128)")).all()


def test_half_transparent_is_blended(tmp_path):
    Image.new("RGBA", (32, 32), (0, 0, 0, 64)).save(tmp_path / "a.png")
    assert prepare(tmp_path / "a.png", 28, 1)[5, 5, 0] == 191


def test_fits(tmp_path):
    image = Image.new("RGB", (90, 30), RED)
    image.paste((0, 255, 0), (30, 0, 60, 30))
    image.paste(BLUE, (60, 0, 90, 30))
    image.save(tmp_path / "a.png")
    crop, pad, stretch = (prepare(tmp_path / "a.png", 30, 3, fit, "yellow") for fit in ("crop", "pad", "stretch"))
    assert (crop == (0, 255, 0)).all()
    assert (pad[:10] == (255, 255, 0)).all() and (pad[20:] == (255, 255, 0)).all()
    assert pad[15, 5].tolist() == stretch[2, 5].tolist() == list(RED)
    assert pad[15, 25].tolist() == stretch[28, 25].tolist() == list(BLUE)


def test_a_picture_of_the_right_size_is_taken_pixel_by_pixel(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert (prepare(tmp_path / "a.png", 32, 3) == pixels).all()
    grey = np.asarray(Image.fromarray(pixels).convert("L"))
    assert (prepare(tmp_path / "a.png", 32, 1)[..., 0] == grey).all()


def test_scaling_down_averages(tmp_path):
    """A fine chequerboard turns grey, in a JPEG that is decoded at a part of its size as well."""
    board = np.indices((800, 800)).sum(0) % 2 * 255
    for name in ("a.png", "a.jpg"):
        Image.fromarray(np.uint8(board)).save(tmp_path / name, quality=95)
        found = prepare(tmp_path / name, 32, 1).astype(int)
        assert abs(found.mean() - 127.5) < 3 and np.ptp(found) < 12


def test_a_large_jpeg_is_as_sharp_as_a_png(tmp_path):
    """It is decoded at a part of its size, but never at too small a one."""
    for size in ((530, 400), (150, 140)):
        grain = np.zeros((640, 740, 3), np.int16)
        image = make_pictures.scene(np.random.default_rng(2), grain, 9, size)
        image.save(tmp_path / "a.png")
        image.save(tmp_path / "a.jpg", quality=95, subsampling=0)
        png, jpeg = (prepare(tmp_path / f"a.{end}", 64, 3).astype(float) for end in ("png", "jpg"))
        assert np.sqrt(((png - jpeg) ** 2).mean()) < 3


@pytest.mark.parametrize("end", [".jpg", ".png", ".webp", ".bmp", ".gif", ".tiff", ".ppm"])
def test_half_a_file_is_refused(tmp_path, end):
    path = tmp_path / f"a{end}"
    make_pictures.scene(np.random.default_rng(0), np.zeros((640, 740, 3), np.int16), 3, (200, 150)).save(path)
    prepare(path, 32, 3)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(decode.Unreadable) as error:
        prepare(path, 32, 3)
    assert "\n" not in str(error.value) and str(path) in str(error.value)
