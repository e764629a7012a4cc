"""A photo of a digit becomes what MNIST would have made of it."""

import io
import math

import make_photos
import numpy as np
import pytest
from PIL import Image, ImageDraw

from data import digit_photo, synthetic
from engine.classifiers import digit_reader
from engine.drawing.sampling import Generator
from engine.latent.prior import STANDARD_NORMAL
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


def lines(digit: int, side: int = 600, width: int = 20) -> Image.Image:
    """A digit on white paper, in black lines of `width` pixels."""
    page = Image.new("L", (side, side), 255)
    pen = ImageDraw.Draw(page)
    for stroke in STROKES[digit]:
        pen.line([(side * x, side * y) for x, y in stroke], fill=0, width=width, joint="curve")
    return page


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory):
    """A function: what prepare makes of an image that is saved with these options."""
    folder = tmp_path_factory.mktemp("photos")

    def prepare(image: Image.Image, name: str = "a.png", side: int = 28, **options: object) -> np.ndarray:
        image.save(folder / name, **{"compress_level": 1} | options)
        return digit_photo.prepare(folder / name, side)

    return prepare


@pytest.fixture(scope="module")
def plain(prepared) -> dict[int, np.ndarray]:
    """The digits alone on white paper, prepared."""
    return {digit: prepared(lines(digit)) for digit in STROKES}


def likeness(first: np.ndarray, second: np.ndarray) -> float:
    """Correlation of two pictures where they lie best on one another: rounding may centre one a pixel further."""
    moves = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return max(np.corrcoef(np.roll(first, move, (0, 1)).ravel(), second.ravel())[0, 1] for move in moves)


def test_likeness_tells_digits_apart(plain):
    assert max(likeness(plain[a], plain[b]) for a, b in ((2, 5), (2, 8), (5, 8))) < 0.75


# --- each step ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "side"), [(28, 28), (97, 56), (400, 28)])
def test_a_digit_fills_the_box_and_its_mass_is_centred(prepared, side, size):
    box = side * 20 // 28
    for digit in synthetic.digits(3, seed=8)[0][..., 0]:
        image = np.asarray(Image.fromarray(digit).resize((size, size)))
        made = prepared(Image.fromarray(255 - np.roll(image, size // 8, 1)), side=side)
        assert made.shape == (side, side) and made.dtype == np.uint8 and made.max() == 255
        assert max(np.ptp(np.flatnonzero(made.any(axis))) + 1 for axis in (0, 1)) in (box - 1, box)
        for axis in (0, 1):
            assert side / 2 <= made.sum(axis) / made.sum() @ (np.arange(side) + 0.5) <= side / 2 + 1


def turned(image: Image.Image) -> tuple[Image.Image, dict]:
    exif = image.getexif()
    exif[0x0112] = 6  # to be shown turned back by 90 degrees
    return image.transpose(Image.Transpose.ROTATE_90), {"exif": exif, "name": "a.jpg"}


def cut_out(image: Image.Image) -> tuple[Image.Image, dict]:
    strokes = Image.new("RGBA", image.size, "white")
    strokes.putalpha(Image.eval(image, lambda grey: 255 - grey))
    return strokes, {}


def coloured(image: Image.Image) -> tuple[Image.Image, dict]:
    """Red on a green of nearly the same brightness."""
    ink = 1 - np.asarray(image)[..., None] / 255
    return Image.fromarray(np.uint8(np.array([90, 160, 90]) * (1 - ink) + np.array([220, 80, 60]) * ink)), {}


FORMS = {  # of a file that shows the same digit
    "light on dark": lambda image: (Image.eval(image, lambda grey: 255 - grey), {}),
    "turned by EXIF": turned,
    "white strokes on nothing": cut_out,
    "10 of 16 bits": lambda image: (Image.fromarray(np.asarray(image) * np.uint16(4)), {}),
    "coloured": coloured,
    "4,000 pixels": lambda image: (image.resize((4000, 4000)), {"name": "a.jpg"}),
    "trimmed": lambda image: (image.crop(Image.eval(image, lambda grey: 255 - grey).getbbox()), {}),
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_a_file_gives_the_same_digit(prepared, plain, form):
    image, options = form(lines(5))
    assert likeness(prepared(image, **options), plain[5]) > 0.9


@pytest.mark.parametrize(("side", "width"), [(150, 1), (600, 2), (600, 6), (1500, 1)])
@pytest.mark.parametrize("digit", STROKES)
def test_a_thin_pen_writes_the_digit_that_a_broad_pen_does(prepared, plain, digit, side, width):
    thin = prepared(lines(digit, side, width))
    assert likeness(thin, plain[digit]) > 0.9 and 0.6 < thin.sum() / plain[digit].sum() < 1.3


@pytest.mark.parametrize("digit", STROKES)
def test_strokes_broader_than_the_paper_between_them_stay_whole(prepared, digit):
    made = prepared(lines(digit, 600, 80).crop((90, 40, 510, 560)))
    assert likeness(made, prepared(lines(digit, 600, 80))) > 0.95


# --- what else is on the page ------------------------------------------------------------------------------------


def times(image: Image.Image, share: np.ndarray) -> None:
    """Darken an image to a share of its light, (H, W) or what broadcasts to it."""
    image.paste(Image.fromarray(np.uint8(np.asarray(image) * share)))


Y, X = np.mgrid[-300:300, -300:300]
SQUARES = np.where(np.arange(600) % 40, 1, 0.8)
BESIDE = {
    "specks": lambda page: [ImageDraw.Draw(page).ellipse((x, y, x + 6, y + 6), 0) for x, y in ((40, 50), (560, 300))],
    "a thumb": lambda page: ImageDraw.Draw(page).ellipse((250, 560, 350, 700), 120),
    "a table": lambda page: ImageDraw.Draw(page).rectangle((0, 0, 600, 40), 30),
    "a shadow": lambda page: times(page, np.where(0.8 * X + 0.6 * Y > 40, 0.4, 1)),
    "shade": lambda page: times(page, np.linspace(1, 0.3, 600)),
    "squares": lambda page: times(page, SQUARES * SQUARES[:, None]),
}


@pytest.mark.parametrize("grey", [0, 110], ids=["ink", "pencil"])
@pytest.mark.parametrize("what", BESIDE)
def test_what_is_beside_a_digit_is_left_out(prepared, plain, what, grey):
    for digit in STROKES if (what, grey) != ("a shadow", 110) else ():  # as dark as the pencil
        page = Image.eval(lines(digit), lambda level: grey + round(level * (230 - grey) / 255))
        BESIDE[what](page)
        assert likeness(prepared(page), plain[digit]) > 0.9


def test_a_small_digit_in_pencil_is_told_from_faint_lines_that_are_larger(prepared):
    """The lines are the first that stand out; the digit does from them."""
    page = Image.new("L", (600, 600), 230)
    page.paste(Image.eval(lines(5, 150, 6), lambda level: 110 + round(level * 120 / 255)), (225, 225))
    alone = prepared(page)
    times(page, np.where(np.arange(600) % 60 < 8, 0.85, 1))
    assert likeness(prepared(page), alone) > 0.9


def test_what_is_near_belongs_to_a_digit_and_another_digit_farther_away_does_not(prepared, plain):
    apart = lines(5)
    ImageDraw.Draw(apart).rectangle((0, 140, 600, 160), 255)  # below its bar
    assert likeness(prepared(apart), plain[5]) > 0.9
    page = Image.new("L", (1000, 600), 255)
    page.paste(lines(5), (0, 0))
    page.paste(lines(8, 300, 20), (680, 150))
    assert likeness(prepared(page), plain[5]) > 0.9


def test_a_digit_that_the_border_cuts_is_still_read(prepared, plain):
    left, top, right, bottom = Image.eval(lines(5), lambda grey: 255 - grey).getbbox()
    cut = lines(5).crop((left + 6, top - 40, right + 40, bottom + 40))
    assert likeness(prepared(cut), plain[5]) > 0.9


def test_photographs_of_every_kind_are_read(prepared):
    """By the digit reader, of digits that the shipped run draws; the same seed makes the same photograph."""
    kinds = [kind for kind in make_photos.KINDS if kind != "4,000 pixels"]  # takes as long as five others
    shipped = Generator(trained_model.load(REFERENCE), STANDARD_NORMAL)
    digits, labels = shipped.labelled_set(range(10), 2, temperature=0.7)

    def photograph(i: int) -> tuple[Image.Image, dict]:
        return make_photos.photograph(kinds[i], digits[i, ..., 0], np.random.default_rng((5, i)))

    assert photograph(0)[0].tobytes() == photograph(0)[0].tobytes()
    photos = [photograph(i) for i in range(len(kinds))]
    made = np.stack([prepared(image, "photo", **options) for image, options in photos])[..., None]
    read = digit_reader.logits(digit_reader.load(), made).argmax(1)
    wrong = [kind for kind, digit, label in zip(kinds, read, labels, strict=False) if digit != label]
    assert len(wrong) <= 1, wrong


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


def half(form: str) -> bytes:
    """A file that was cut in its middle."""
    lines(5).save(whole := io.BytesIO(), form)
    return whole.getvalue()[: len(whole.getvalue()) // 2]


NO_PICTURES = {form: half(form) for form in ("PNG", "JPEG")} | {"text": b"seven"}
NO_PICTURES |= {f"{side}": b"P5\n%d %d\n255\n" % (side, side) for side in (8_000, 20_000)}  # without their pixels


@pytest.mark.parametrize("what", [*NO_PICTURES, "absent", "folder"])
def test_what_is_no_picture_is_refused_in_a_line_and_a_huge_one_before_it_is_decoded(tmp_path, what):
    path = tmp_path if what == "folder" else tmp_path / "a.png"
    if what in NO_PICTURES:
        path.write_bytes(NO_PICTURES[what])
    whys = {"text": "not a picture", "absent": "is not a file", "folder": "is not a file"}
    whys |= {"8000": "more than 50 million pixels", "20000": "more than 250 million pixels"}
    with pytest.raises(Failure, match=whys.get(what, "a.png cannot be read")) as error:
        digit_photo.prepare(path)
    assert "\n" not in str(error.value)
