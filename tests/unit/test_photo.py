"""A photo of a digit becomes what MNIST would have made of it."""

from __future__ import annotations

import math
from pathlib import Path

import make_photos
import numpy as np
import pytest
from PIL import Image, ImageDraw

from data import digit_photo, synthetic
from engine.classifiers import digit_reader
from engine.drawing import sampling
from engine.runs import trained_model
from engine.runs.options import REFERENCE
from engine.terminal import Failure


def arc(x: float, y: float, rx: float, ry: float, start: int, end: int) -> list[tuple[float, float]]:
    """A part of an ellipse as a polyline; degrees, clockwise from the right."""
    angles = np.radians(np.linspace(start, end, 24))
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles]


STROKES = {  # of digits, as polylines in a square of side 1
    2: [[*arc(0.5, 0.34, 0.2, 0.17, 190, 380), (0.3, 0.83), (0.72, 0.83)]],
    5: [[(0.68, 0.17), (0.36, 0.17), (0.34, 0.45), *arc(0.48, 0.62, 0.2, 0.2, 230, 500)]],
    8: [arc(0.5, 0.33, 0.15, 0.16, 90, 450), arc(0.5, 0.67, 0.19, 0.18, -90, 270)],
}


def lines(digit: int, side: int = 600, width: int = 24) -> Image.Image:
    """A digit on white paper, in black lines of `width` pixels."""
    page = Image.new("L", (side, side), 255)
    pen = ImageDraw.Draw(page)
    for stroke in STROKES[digit]:
        pen.line([(side * x, side * y) for x, y in stroke], fill=0, width=width, joint="curve")
    return page


@pytest.fixture
def prepared(tmp_path: Path):
    """A function: what prepare makes of an image that is saved with these options."""

    def prepare(image: Image.Image, name: str = "a.png", side: int = 28, **options: object) -> np.ndarray:
        image.save(tmp_path / name, **options)
        return digit_photo.prepare(tmp_path / name, side)

    return prepare


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two pictures where they lie best on one another: rounding may centre one a pixel further."""
    moves = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return max(np.corrcoef(np.roll(first, move, (0, 1)).ravel(), second.ravel())[0, 1] for move in moves)


def test_likeness_tells_digits_apart(prepared):
    two, five, eight = (prepared(lines(digit)) for digit in STROKES)
    assert max(likeness(two, five), likeness(two, eight), likeness(five, eight)) < 0.75


# --- each step ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [28, 56])
@pytest.mark.parametrize("size", [28, 97, 400])
def test_a_digit_fills_the_box_and_its_mass_is_centred(prepared, side, size):
    for image in synthetic.digits(5, seed=8, size=size)[0][..., 0]:
        made = prepared(Image.fromarray(255 - np.roll(image, size // 8, 1)), side=side)
        assert made.shape == (side, side) and made.dtype == np.uint8 and made.max() == 255
        assert max(np.ptp(np.flatnonzero(made.any(axis))) + 1 for axis in (0, 1)) in (
            side * 20 // 28 - 1,
            side * 20 // 28,
        )
        weight = made / made.sum()
        for axis in (0, 1):
            assert side / 2 <= weight.sum(axis) @ (np.arange(side) + 0.5) <= side / 2 + 1


def turned(image: Image.Image) -> tuple[Image.Image, dict]:
    exif = image.getexif()
    exif[0x0112] = 6  # to be shown turned back by 90 degrees
    return image.transpose(Image.Transpose.ROTATE_90), {"exif": exif, "name": "a.jpg"}


def cut_out(image: Image.Image, colour: str) -> Image.Image:
    strokes = Image.new("RGBA", image.size, colour)
    strokes.putalpha(Image.eval(image, lambda grey: 255 - grey))
    return strokes


def coloured(image: Image.Image) -> Image.Image:
    """Red on a green of nearly the same brightness."""
    ink = 1 - np.asarray(image)[..., None] / 255
    return Image.fromarray(np.uint8(np.array([90, 160, 90]) * (1 - ink) + np.array([220, 80, 60]) * ink))


FORMS = {  # of a file that shows the same digit
    "JPEG": lambda image: (image, {"name": "a.jpg"}),
    "palette": lambda image: (image.convert("P"), {"name": "a.gif"}),
    "light on dark": lambda image: (Image.eval(image, lambda grey: 255 - grey), {}),
    "turned by EXIF": turned,
    "white strokes on nothing": lambda image: (cut_out(image, "white"), {}),
    "10 of 16 bits": lambda image: (Image.fromarray(np.asarray(image) * np.uint16(4)), {}),
    "16 bits": lambda image: (Image.fromarray(np.asarray(image) * np.uint16(257)), {}),
    "coloured": lambda image: (coloured(image), {}),
    "4,000 pixels": lambda image: (image.resize((4000, 3000)).resize((4000, 4000)), {"name": "a.jpg"}),
    "trimmed": lambda image: (image.crop(Image.eval(image, lambda grey: 255 - grey).getbbox()), {}),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_a_file_gives_the_same_digit(prepared, form):
    for digit in STROKES:
        image, options = form(lines(digit))
        assert likeness(prepared(image, **options), prepared(lines(digit))) > 0.9


@pytest.mark.parametrize(("side", "width"), [(150, 1), (300, 1), (600, 2), (600, 6), (3000, 2)])
def test_a_thin_pen_writes_the_digit_that_a_broad_pen_does(prepared, side, width):
    for digit in STROKES:
        thin, broad = prepared(lines(digit, side, width)), prepared(lines(digit, 600, 20))
        assert likeness(thin, broad) > 0.9 and 0.6 < thin.sum() / broad.sum() < 1.3


def test_strokes_broader_than_the_paper_between_them_stay_whole(prepared):
    for digit in STROKES:
        made = prepared(lines(digit, 600, 80).crop((90, 40, 510, 560)))
        assert likeness(made, prepared(lines(digit, 600, 80))) > 0.95


def shadow(image: Image.Image) -> None:
    y, x = np.mgrid[-300:300, -300:300]
    dark = np.asarray(image) * np.where(0.8 * x + 0.6 * y > 40, 0.55, 1)
    image.paste(Image.fromarray(np.uint8(dark)))


def shade(image: Image.Image) -> None:
    image.paste(Image.fromarray(np.uint8(np.asarray(image) * np.linspace(1, 0.5, 600))))


def squares(image: Image.Image) -> None:
    pixels = np.asarray(image) * 1.0
    pixels[::40] *= 0.8
    pixels[:, ::40] *= 0.8
    image.paste(Image.fromarray(np.uint8(pixels)))


BESIDE = {  # what else is on the page
    "specks": lambda page: [ImageDraw.Draw(page).ellipse((x, y, x + 6, y + 6), 0) for x, y in ((40, 50), (560, 300))],
    "a thumb": lambda page: ImageDraw.Draw(page).ellipse((250, 560, 350, 700), 120),
    "a table": lambda page: ImageDraw.Draw(page).rectangle((0, 0, 600, 40), 30),
    "a shadow": shadow,
    "shade": shade,
    "squares": squares,
}


@pytest.mark.parametrize("grey", [0, 110], ids=["ink", "pencil"])
@pytest.mark.parametrize("what", BESIDE)
def test_what_is_beside_a_digit_is_left_out(prepared, what, grey):
    for digit in STROKES:
        if grey and what == "a shadow":
            continue  # as dark as the pencil
        page = Image.eval(lines(digit), lambda level: grey + round(level * (230 - grey) / 255))
        BESIDE[what](page)
        assert likeness(prepared(page), prepared(lines(digit))) > 0.9


def test_a_digit_that_the_border_cuts_is_still_read(prepared):
    whole = lines(5)
    left, top, right, bottom = Image.eval(whole, lambda grey: 255 - grey).getbbox()
    assert likeness(prepared(whole.crop((left + 6, top - 40, right + 40, bottom + 40))), prepared(whole)) > 0.9


def test_components_are_numbered_apart():
    mask = np.random.default_rng(0).random((40, 50)) < 0.35
    labels = digit_photo.components(mask)
    assert ((labels > 0) == mask).all()
    for label in np.unique(labels[mask]):  # grown from one pixel, nothing but the component is reached
        grown, start = np.zeros_like(mask), np.argmax(labels == label)
        grown.flat[start] = True
        before = 0
        while grown.sum() > before:
            before, grown = grown.sum(), digit_photo.dilated(grown, 1) & mask
        assert (grown == (labels == label)).all()


@pytest.mark.parametrize("kind", ["felt pen", "pencil", "chalk", "squared", "hard shadow", "border mark", "noisy"])
def test_photographs_are_read(prepared, kind):
    """By the digit reader, of digits that the shipped run draws; the same seed makes the same photograph."""
    model = trained_model.load(REFERENCE).model
    digits, labels = sampling.labelled_set(model, list(range(10)), 1, 0, temperature=0.7)
    made = []
    for i, digit in enumerate(digits[..., 0]):
        image, options = make_photos.photograph(kind, digit, np.random.default_rng((5, i)))
        if not i:
            again, _ = make_photos.photograph(kind, digit, np.random.default_rng((5, i)))
            assert image.tobytes() == again.tobytes()
        made.append(prepared(image, "photo", **options))
    read = digit_reader.logits(digit_reader.load(), np.stack(made)[..., None]).argmax(1)
    assert np.sum(read == labels) >= 8


# --- what is no digit --------------------------------------------------------------------------------------------

NOISE = np.random.default_rng(0).normal(200, 6, (300, 300)).clip(0, 255).astype(np.uint8)
BLANK = {
    "white": np.full((50, 50), 255, np.uint8),
    "black": np.zeros((50, 50), np.uint8),
    "noise": NOISE,
    "16-bit noise": NOISE.astype(np.uint16) * 257,
    "a table's edge": np.tile(np.repeat(np.uint8([170, 7]), [140, 60]), (200, 1)),
    "shade": np.linspace(90, 220, 200 * 200).reshape(200, 200).astype(np.uint8),
}


@pytest.mark.parametrize("pixels", BLANK.values(), ids=BLANK)
def test_blank_paper_is_refused(prepared, pixels):
    with pytest.raises(Failure, match="shows no digit"):
        prepared(Image.fromarray(pixels))


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.gif", "a.tif", "a.bmp"])
def test_a_truncated_file_is_refused_in_a_line(tmp_path, name):
    lines(5).save(tmp_path / name)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Failure, match=f"{name} cannot be read") as error:
        digit_photo.prepare(tmp_path / name)
    assert "\n" not in str(error.value)


def test_what_is_no_picture_is_refused(tmp_path):
    (tmp_path / "text.png").write_bytes(b"seven")
    for name, why in {"text.png": "not a picture", "absent.png": "is not a file", ".": "is not a file"}.items():
        with pytest.raises(Failure, match=why):
            digit_photo.prepare(tmp_path / name)


@pytest.mark.parametrize("side, most", [(8_000, 50), (20_000, 250)])
def test_a_huge_picture_is_refused_before_it_is_decoded(tmp_path, side, most):
    (tmp_path / "big.pgm").write_bytes(b"P5\n%d %d\n255\n" % (side, side))  # the pixels do not even exist
    with pytest.raises(Failure, match=f"more than {most} million pixels"):
        digit_photo.prepare(tmp_path / "big.pgm")
