"""A photo of a digit becomes what MNIST would have made of it."""

from __future__ import annotations

import math
from pathlib import Path

import make_photos
import numpy as np
import pytest
from PIL import Image, ImageDraw

from data import masks, mnist, photo, synthetic
from engine import files, idx
from engine.runs import trained_model
from engine.terminal import Failure

UP = Image.Resampling.BICUBIC


@pytest.fixture(scope="module")
def digits(mnist_dir) -> np.ndarray:
    return idx.read(mnist.find(mnist_dir, "t10k-images-idx3-ubyte"))[:30]


def large(digit: np.ndarray, how=UP) -> Image.Image:
    return Image.fromarray(digit).resize((400, 400), how)


def dark(digit: np.ndarray, how=UP) -> Image.Image:
    return Image.fromarray(255 - np.asarray(large(digit, how)))


def cut_out(digit: np.ndarray, colour) -> Image.Image:
    image = Image.new("RGBA", (400, 400), colour)
    image.putalpha(large(digit))
    return image


def shifted(digit: np.ndarray) -> Image.Image:
    page = Image.new("L", (900, 900), 250)
    page.paste(Image.fromarray((250 - np.asarray(large(digit)) * 0.9).astype(np.uint8)), (450, 30))
    return page


def photographed(digit: np.ndarray) -> Image.Image:
    """On yellowish paper, lit from one side, with sensor noise and six specks."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:1:400j, 0:1:400j]
    ink = np.asarray(large(digit)) / 255 * 0.8
    pixels = (230 - 50 * x - 25 * y * y) * (1 - ink) + rng.normal(0, 5, ink.shape)
    for row, column in rng.integers(5, 390, (6, 2)):
        pixels[row : row + 4, column : column + 4] = 40
    return Image.fromarray((pixels[..., None] * (1, 0.97, 0.85)).clip(0, 255).astype(np.uint8))


def grainy(digit: np.ndarray) -> Image.Image:
    """In soft pencil, large, and in so much noise that the strokes' edges fray."""
    ink = np.asarray(Image.fromarray(digit).resize((900, 900), UP)) / 255 * 0.4
    noise = np.random.default_rng(0).normal(0, 10, ink.shape)
    return Image.fromarray((200 * (1 - ink) + noise).clip(0, 255).astype(np.uint8))


def coloured(digit: np.ndarray) -> Image.Image:
    """Red on a green of nearly the same brightness."""
    ink = np.asarray(large(digit))[..., None] / 255
    return Image.fromarray((np.array([90, 160, 90]) * (1 - ink) + np.array([220, 80, 60]) * ink).astype(np.uint8))


def turned(digit: np.ndarray, path: Path) -> None:
    image = dark(digit).transpose(Image.Transpose.ROTATE_90)
    exif = image.getexif()
    exif[0x0112] = 6  # to be shown turned back by 90 degrees
    image.save(path, exif=exif)


CASES = {  # name: (file's ending, picture, the greatest mean difference allowed, in 0 to 255)
    "itself": ("png", Image.fromarray, 0.6),
    "nearest": ("png", lambda d: Image.fromarray(d).resize((448, 448), Image.Resampling.NEAREST), 0.6),
    "nearest, inverted, JPEG": ("jpg", lambda d: dark(d, Image.Resampling.NEAREST), 2.5),
    "bicubic": ("png", large, 10),
    "bicubic, inverted, JPEG": ("jpg", dark, 10),
    "opaque RGBA": ("png", lambda d: dark(d).convert("RGBA"), 10),
    "black strokes on nothing": ("png", lambda d: cut_out(d, "black"), 10),
    "white strokes on nothing": ("png", lambda d: cut_out(d, "white"), 10),
    "palette": ("gif", lambda d: dark(d).convert("P"), 10),
    "16 bits": ("png", lambda d: Image.fromarray(np.asarray(dark(d)).astype(np.uint16) * 16), 10),
    "shifted": ("png", shifted, 10),
    "photographed": ("jpg", photographed, 13),
    "grainy": ("png", grainy, 11),
    "coloured": ("png", coloured, 10),
    "webp": ("webp", dark, 10),
}


@pytest.mark.parametrize("end, picture, most", CASES.values(), ids=CASES)
def test_a_digit_comes_back_as_mnist_has_it(tmp_path, digits, end, picture, most):
    apart = []
    for number, digit in enumerate(digits[:6]):
        path = tmp_path / f"{number}.{end}"
        picture(digit).save(path)
        made = photo.prepare(path)
        assert made.shape == (28, 28) and made.dtype == np.uint8 and made.max() == 255 and made[0, 0] == 0
        apart.append(np.abs(made.astype(int) - digit).mean())
    assert np.mean(apart) < most  # two different digits are some 50 apart


def test_exif_rotation_is_honoured(tmp_path, digits):
    turned(digits[0], tmp_path / "turned.jpg")
    dark(digits[0]).save(tmp_path / "upright.jpg")
    made, upright = (photo.prepare(tmp_path / f"{name}.jpg").astype(int) for name in ("turned", "upright"))
    assert np.abs(made - upright).mean() < 2


FORMS = {
    "JPEG": ("jpg", lambda d, path: dark(d).save(path)),
    "RGBA": ("png", lambda d, path: cut_out(d, "white").save(path)),
    "EXIF": ("jpg", turned),
    "shifted": ("png", lambda d, path: shifted(d).save(path)),
}


@pytest.mark.parametrize("end, write", FORMS.values(), ids=FORMS)
def test_a_picture_has_nearly_the_z_of_its_digit(tmp_path, digits, end, write):
    """With the shipped run, over 30 test digits: |Δz| is on average below half the encoder's own σ (see with -rP)."""
    labels = np.array([7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6, 9, 0, 1, 5, 9, 7, 3, 4, 9, 6, 6, 5, 4, 0, 7, 4, 0, 1])
    made = []
    for number, digit in enumerate(digits):
        write(digit, tmp_path / f"{number}.{end}")
        made.append(photo.prepare(tmp_path / f"{number}.{end}"))
    model = trained_model.load(files.OUT / "reference").model
    (mean, a), (other, _) = (model.encode(np.float32(x)[..., None] / 255, labels) for x in (digits, np.array(made)))
    apart, sigma = np.abs(other - mean).mean(), np.exp(a).mean()
    print(f"mean |Δz| {apart:.3f}, mean σ {sigma:.3f}")
    assert 0 < apart < sigma / 2


@pytest.mark.parametrize("side", [28, 97, 400])
def test_any_size_is_boxed_and_centred(tmp_path, side):
    images, _ = synthetic.digits(5, seed=8, size=side)
    for image in images[..., 0]:
        Image.fromarray(255 - np.roll(image, side // 8, 1)).save(tmp_path / "a.png")
        made = photo.prepare(tmp_path / "a.png")
        rows, columns = (np.flatnonzero(made.any(axis)) for axis in (1, 0))
        assert 19 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 20
        weight = made / made.sum()
        assert 14 <= weight.sum(1) @ (np.arange(28) + 0.5) <= 15 and 14 <= weight.sum(0) @ (np.arange(28) + 0.5) <= 15
        assert photo.prepare(tmp_path / "a.png", size=56).shape == (56, 56)


def test_specks_far_from_the_digit_do_not_stretch_it(tmp_path):
    page = 255 - np.pad(synthetic.digits(1, seed=8, size=200)[0][0, ..., 0], 100)
    Image.fromarray(page).save(tmp_path / "clean.png")
    for at in ((10, 10), (380, 20), (200, 390)):
        page[at[0] : at[0] + 4, at[1] : at[1] + 4] = 0
    Image.fromarray(page).save(tmp_path / "specks.png")
    made, clean = (photo.prepare(tmp_path / f"{name}.png").astype(int) for name in ("specks", "clean"))
    assert np.abs(made - clean).max() <= 2


# --- thin pens ---------------------------------------------------------------------------------------------------


def arc(x: float, y: float, rx: float, ry: float, start: int, end: int) -> list[tuple[float, float]]:
    """A part of an ellipse as a polyline; degrees, clockwise from the right."""
    angles = np.radians(np.linspace(start, end, 24))
    return [(x + rx * math.cos(angle), y + ry * math.sin(angle)) for angle in angles]


DIGITS = (  # their strokes as polylines, in a square of side 1
    [arc(0.5, 0.5, 0.22, 0.33, 0, 360)],
    [[(0.42, 0.28), (0.52, 0.17), (0.52, 0.83)]],
    [[*arc(0.5, 0.34, 0.2, 0.17, 190, 380), (0.3, 0.83), (0.72, 0.83)]],
    [arc(0.48, 0.33, 0.19, 0.16, 200, 450) + arc(0.48, 0.66, 0.22, 0.17, 270, 510)],
    [[(0.55, 0.17), (0.27, 0.62), (0.75, 0.62)], [(0.6, 0.45), (0.6, 0.85)]],
    [[(0.68, 0.17), (0.36, 0.17), (0.34, 0.45), *arc(0.48, 0.62, 0.2, 0.2, 230, 500)]],
    [[(0.62, 0.17), (0.42, 0.4)], arc(0.5, 0.64, 0.19, 0.19, 190, 550)],
    [[(0.28, 0.18), (0.7, 0.18), (0.45, 0.83)]],
    [arc(0.5, 0.33, 0.15, 0.16, 90, 450), arc(0.5, 0.67, 0.19, 0.18, -90, 270)],
    [[*arc(0.5, 0.35, 0.18, 0.18, 0, 360), (0.66, 0.5), (0.56, 0.84)]],
)


def lines(digit: int, side: int, width: int) -> Image.Image:
    """A digit on white paper, in black lines of `width` pixels."""
    page = Image.new("L", (side, side), 255)
    pen = ImageDraw.Draw(page)
    for stroke in DIGITS[digit]:
        pen.line([(side * x, side * y) for x, y in stroke], fill=0, width=width, joint="curve")
    return page


def pencilled(page: Image.Image) -> Image.Image:
    return Image.fromarray((190 + 0.25 * np.asarray(page)).astype(np.uint8))


def trimmed(page: Image.Image) -> Image.Image:
    """Cut to the strokes' outer edges."""
    return page.crop(Image.eval(page, lambda grey: 255 - grey).getbbox())


def specked(page: Image.Image) -> Image.Image:
    pixels = np.array(page)
    for row, column in np.random.default_rng(1).integers(20, 575, (25, 2)):
        pixels[row : row + 3, column : column + 3] = 0
    return Image.fromarray(pixels)


def noisy(page: Image.Image) -> Image.Image:
    noise = np.random.default_rng(0).normal(0, 4, page.size[::-1])
    return Image.fromarray((40 + 0.75 * np.asarray(page) + noise).clip(0, 255).astype(np.uint8))


def likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Correlation of two pictures where they lie best on one another: rounding may centre one a pixel further."""
    moves = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
    return max(np.corrcoef(np.roll(one, move, (0, 1)).ravel(), other.ravel())[0, 1] for move in moves)


THIN = {
    "1 px of 600": lambda digit: lines(digit, 600, 1),
    "2 px of 600": lambda digit: lines(digit, 600, 2),
    "3 px of 600": lambda digit: lines(digit, 600, 3),
    "6 px of 600": lambda digit: lines(digit, 600, 6),
    "2 px of 3,000": lambda digit: lines(digit, 3000, 2),
    "4 px of 3,000": lambda digit: lines(digit, 3000, 4),
    "1 px of 150": lambda digit: lines(digit, 150, 1),
    "1 px of 600, light on dark": lambda digit: Image.fromarray(255 - np.asarray(lines(digit, 600, 1))),
    "1 px of 800, pencil": lambda digit: pencilled(lines(digit, 800, 1)),
    "2 px of 600, trimmed": lambda digit: trimmed(lines(digit, 600, 2)),
    "1 px of 600, specks": lambda digit: specked(lines(digit, 600, 1)),
    "2 px of 600, noise": lambda digit: noisy(lines(digit, 600, 2)),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> dict[int, list[np.ndarray]]:
    """The ten digits from lines of 8, 24 and 60 px of 600, on nothing but paper."""
    path = tmp_path_factory.mktemp("written") / "a.png"
    made = {}
    for width in (8, 24, 60):
        made[width] = []
        for digit in range(10):
            lines(digit, 600, width).save(path)
            made[width].append(photo.prepare(path))
    return made


@pytest.fixture(scope="module")
def broad(written) -> list[np.ndarray]:
    """Of 24 px: about as broad as MNIST's thinnest strokes."""
    return written[24]


@pytest.mark.parametrize("picture", THIN.values(), ids=THIN)
def test_a_thin_pen_writes_the_digit_that_a_broad_one_does(tmp_path, broad, picture):
    alike = []
    for digit in range(10):
        picture(digit).save(tmp_path / "thin.png")
        made = photo.prepare(tmp_path / "thin.png")
        assert made.max() > 200 and 0.8 < made.sum() / broad[digit].sum() < 1.3
        alike.append(likeness(made, broad[digit]))
    assert min(alike) > 0.85 and np.mean(alike) > 0.95, np.round(alike, 2)


def test_likeness_tells_digits_apart(broad):
    alike = [likeness(broad[i], broad[j]) for i in range(10) for j in range(i)]
    assert max(alike) < 0.75 and np.mean(alike) < 0.5, np.round(alike, 2)


def extent(made: np.ndarray) -> list[int]:
    """Height and width of what is written."""
    return [np.ptp(np.flatnonzero((made > 40).any(axis))) + 1 for axis in (1, 0)]


@pytest.mark.parametrize("hatched", [600, 300], ids=["all of it", "its upper half"])
def test_a_hatched_digit_is_not_cut_to_its_filled_parts(tmp_path, hatched):
    for digit in range(10):
        page = np.array(lines(digit, 600, 60))
        Image.fromarray(page).save(tmp_path / "filled.png")
        rows = np.arange(600)
        page[(rows % 3 > 0) & (rows < hatched)] = 255
        Image.fromarray(page).save(tmp_path / "hatched.png")
        made, whole = (photo.prepare(tmp_path / f"{name}.png") for name in ("hatched", "filled"))
        assert np.abs(np.subtract(extent(made), extent(whole))).max() <= 1
        assert hatched < 600 or likeness(made, whole) > 0.95


def test_what_is_lighter_than_the_paper_is_not_ink(tmp_path):
    """An embossed digit: dark strokes, each with a highlight on one side, half as broad, that stands out even more."""
    for digit in range(10):
        ink, light = (np.asarray(lines(digit, 600, width)) < 128 for width in (36, 18))
        page = np.full((600, 600), 140, np.uint8)
        page[np.roll(light, (-20, -20), (0, 1))] = 240
        page[ink] = 80
        Image.fromarray(page).save(tmp_path / "embossed.png")
        lines(digit, 600, 36).save(tmp_path / "flat.png")
        made, flat = (photo.prepare(tmp_path / f"{name}.png") for name in ("embossed", "flat"))
        assert likeness(made, flat) > 0.85


def test_a_vertical_line_at_any_place_is_seen(tmp_path):
    for left in range(200, 212):  # the paper is looked at in every fifth column only
        page = np.full((600, 600), 255, np.uint8)
        page[100:500, left] = 0
        Image.fromarray(page).save(tmp_path / "line.png")
        made = photo.prepare(tmp_path / "line.png")
        assert made[4:24].max(1).min() > 100 and made.any(0).sum() <= 2


# --- what else is in the picture ---------------------------------------------------------------------------------


def marked(page: Image.Image, what: str) -> Image.Image:
    pen = ImageDraw.Draw(page)
    if what == "a neighbour's stroke":
        pen.line([(-10, 200), (25, 240), (-10, 300)], 60, 20)
    elif what == "a thumb":
        pen.ellipse((250, 550, 350, 700), 120)
    elif what == "a table":
        pen.rectangle((0, 0, 600, 50), 30)
    elif what == "a dark corner":
        pen.polygon([(600, 600), (600, 500), (500, 600)], 10)
    elif what == "a punched hole":
        pen.ellipse((-12, 280, 30, 322), 0)
    return page


@pytest.mark.parametrize("pencil", [False, True], ids=["black", "pencil"])
@pytest.mark.parametrize("what", ["a neighbour's stroke", "a thumb", "a table", "a dark corner", "a punched hole"])
def test_what_the_border_cuts_is_not_the_digits(tmp_path, broad, what, pencil):
    alike = []
    for digit in range(pencil, 10, 2):  # five in ink, the other five in pencil
        page = lines(digit, 600, 24)
        marked(pencilled(page) if pencil else page, what).save(tmp_path / "marked.png")
        alike.append(likeness(photo.prepare(tmp_path / "marked.png"), broad[digit]))
    assert len(alike) == 5 and min(alike) > 0.95, np.round(alike, 2)


@pytest.mark.parametrize("side", range(4), ids=["left", "top", "right", "bottom"])
def test_a_digit_that_the_border_cuts_is_still_one(tmp_path, side):
    """Cropped to a little within its strokes on one side, it is what it is in the middle of more paper."""
    for digit in range(10):
        page = lines(digit, 600, 24)
        crop = [0, 0, 600, 600]
        crop[side] = Image.eval(page, lambda grey: 255 - grey).getbbox()[side] + (6, 6, -6, -6)[side]
        cut = np.asarray(page.crop(crop))
        Image.fromarray(cut).save(tmp_path / "cut.png")
        Image.fromarray(np.pad(cut, 50, constant_values=255)).save(tmp_path / "inside.png")
        made, inside = (photo.prepare(tmp_path / f"{name}.png") for name in ("cut", "inside"))
        assert likeness(made, inside) > 0.95


def test_a_small_part_that_the_border_cuts_stays_if_it_is_near(tmp_path):
    """The upper stroke of a five, small and apart from the rest, in a picture twice as wide."""
    page = Image.new("L", (1200, 600), 255)
    pen = ImageDraw.Draw(page)
    pen.line([(1020, 150), (1010, 300), *arc(1090, 380, 100, 110, 230, 500)], 0, 24, joint="curve")
    page.save(tmp_path / "without.png")
    pen.line([(1050, 120), (1200, 112)], 0, 24)
    page.save(tmp_path / "with.png")
    made, without = (photo.prepare(tmp_path / f"{name}.png") for name in ("with", "without"))
    assert made[4:7].max(0).sum() > 1.5 * without[4:7].max(0).sum() and likeness(made, without) < 0.9


def in_shadow(page: Image.Image, angle: float, off: float) -> Image.Image:
    """At 0.55 of the light beyond a line that passes `off` pixels from the middle; the edge is 3 pixels wide."""
    y, x = np.mgrid[-300:300, -300:300]
    away = x * math.cos(angle) + y * math.sin(angle)
    return Image.fromarray(np.uint8((20 + 0.8 * np.asarray(page)) * (1 - 0.45 * ((away - off) / 3 + 0.5).clip(0, 1))))


@pytest.mark.parametrize(("angle", "off"), [(0, 0), (0, 40), (0.7, 40), (2.2, 0), (2.2, 40), (4, 40)])
@pytest.mark.parametrize("width", [8, 24, 60])
def test_a_shadow_with_a_hard_edge_is_paper(tmp_path, written, width, angle, off):
    alike = []
    for digit in range(10):
        in_shadow(lines(digit, 600, width), angle, off).save(tmp_path / "shadow.png")
        alike.append(likeness(photo.prepare(tmp_path / "shadow.png"), written[width][digit]))
    assert min(alike) > 0.9 and np.mean(alike) > 0.97, np.round(alike, 2)


def test_black_specks_leave_a_pencils_digit(tmp_path, written):
    alike = []
    for digit in range(10):
        page = np.array(pencilled(lines(digit, 600, 24)))
        for row, column in np.random.default_rng(digit).integers(40, 550, (3, 2)):
            page[row : row + 8, column : column + 8] = 10
        Image.fromarray(page).save(tmp_path / "specks.png")
        alike.append(likeness(photo.prepare(tmp_path / "specks.png"), written[24][digit]))
    assert min(alike) > 0.95, np.round(alike, 2)


def test_squares_fainter_by_far_than_the_digit_are_paper(tmp_path, written):
    alike = []
    for digit in range(10):
        page = np.full((1400, 1400), 235.0)
        for start in range(3):  # the lines are three pixels wide
            page[start::70] *= 0.85
            page[:, start::70] *= 0.85
        page[700:1300, 600:1200] *= np.asarray(lines(digit, 600, 24)) / 510 + 0.5
        Image.fromarray(np.uint8(page)).save(tmp_path / "squared.png")
        alike.append(likeness(photo.prepare(tmp_path / "squared.png"), written[24][digit]))
    assert min(alike) > 0.8 and np.mean(alike) > 0.95, np.round(alike, 2)


@pytest.mark.parametrize("kind", ["felt pen", "noisy", "40 pixels"])  # whose strokes are as broad as the digit has them
def test_photographs_are_made_and_read(tmp_path, kind):
    """Of the ten drawn digits; the same seed makes the same picture, and most become their own digit, not another."""
    digits, made = synthetic.digits(10, seed=4)[0][..., 0], []
    for i, digit in enumerate(digits):
        rngs = [np.random.default_rng((5, i)) for _ in range(2)]
        (image, options), (again, _) = (make_photos.photograph(kind, digit, rng) for rng in rngs)
        assert image.tobytes() == again.tobytes()
        image.save(tmp_path / "photo", **options)
        made.append(photo.prepare(tmp_path / "photo"))
    nearest = [np.argmax([likeness(one, digit) for digit in digits]) for one in made]
    assert np.sum(np.array(nearest) == np.arange(10)) >= 8, nearest


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (40, 33)])
def test_around_is_the_maximum_over_a_square(dtype, shape):
    array = np.random.default_rng(0).integers(0, 256, shape).astype(dtype)
    for reach in range(4):
        padded = np.pad(array, reach)
        squares = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1))
        found = masks.around(array, reach, np.maximum)
        assert found.dtype == dtype and (found == squares.max((2, 3))).all()


def test_any_scrawl_is_a_digit_or_a_failure(tmp_path):
    rng = np.random.default_rng(0)
    seen = {"digit": 0, "failure": 0}
    for kind in range(120):
        height, width = rng.integers(1, 300, 2)
        page = np.full((height, width), float(rng.integers(256)))
        if kind % 4 == 0:
            page[rng.random(page.shape) < 10 ** rng.uniform(-5, -0.3)] = rng.integers(256)  # dots
        elif kind % 4 == 1:
            page[:: rng.integers(1, 9), :: rng.integers(1, 9)] = rng.integers(256)  # a lattice
        elif kind % 4 == 2:
            page[:: rng.integers(1, 9)] = rng.integers(256)  # stripes
        else:
            image = Image.fromarray(np.uint8(page))
            pen = ImageDraw.Draw(image)
            for corners in rng.uniform(0, 1, (5, 3, 2)) * (width, height):  # lines, lighter and darker than the paper
                pen.line(corners.ravel().tolist(), int(rng.integers(256)), int(rng.integers(1, 5)))
            page = np.asarray(image) + rng.normal(0, rng.choice([0, 10]), page.shape)
        Image.fromarray(page.clip(0, 255).astype(np.uint8)).save(tmp_path / "scrawl.png")
        try:
            made = photo.prepare(tmp_path / "scrawl.png")
            assert made.shape == (28, 28) and made.max() == 255
            seen["digit"] += 1
        except Failure:
            seen["failure"] += 1
    assert min(seen.values()) > 10


# --- what is no digit --------------------------------------------------------------------------------------------

NOISE = np.random.default_rng(0).normal(200, 6, (300, 300)).clip(0, 255).astype(np.uint8)
BLANK = {
    "white": np.full((50, 50), 255, np.uint8),
    "black": np.zeros((50, 50), np.uint8),
    "one pixel": np.zeros((1, 1), np.uint8),
    "noise": NOISE,
    "small noise": NOISE[:60, :60],
    "16-bit noise": NOISE.astype(np.uint16) * 3,
    "two halves": np.repeat(np.uint8([[170], [7]]), 198, axis=1),
    "shade": np.linspace(90, 220, 200 * 200).reshape(200, 200).astype(np.uint8),
}


@pytest.mark.parametrize("pixels", BLANK.values(), ids=BLANK)
def test_blank_paper_is_refused(tmp_path, pixels):
    Image.fromarray(pixels).save(tmp_path / "blank.png")
    with pytest.raises(Failure, match="shows no digit"):
        photo.prepare(tmp_path / "blank.png")


def test_what_is_not_a_picture_is_refused_in_one_line(tmp_path):
    page = synthetic.digits(1, seed=8, size=200)[0][0, ..., 0]
    for name in ("a.png", "a.jpg", "a.gif", "a.tif", "a.bmp"):
        Image.fromarray(page).save(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(whole[: len(whole) // 2])
        with pytest.raises(Failure, match="cannot be read") as error:
            photo.prepare(tmp_path / name)
        assert "\n" not in str(error.value) and name in str(error.value)
    for name, content in {"empty.png": b"", "text.png": b"seven", "eps.png": b"%!PS-Adobe-3.0 EPSF-3.0\n"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Failure, match="not a picture"):
            photo.prepare(tmp_path / name)
    for path in (tmp_path, tmp_path / "absent.png"):
        with pytest.raises(Failure, match="is not a file"):
            photo.prepare(path)


@pytest.mark.parametrize("side", [8_000, 20_000])
def test_an_enormous_picture_is_refused_before_it_is_decoded(tmp_path, side, monkeypatch):
    head = b"P5\n%d %d\n255\n" % (side, side)  # the pixels do not even exist
    (tmp_path / "big.pgm").write_bytes(head)
    with pytest.raises(Failure, match="more than 50 million pixels"):
        photo.prepare(tmp_path / "big.pgm")


def test_damaged_pictures_give_a_failure_or_a_digit(tmp_path):
    rng = np.random.default_rng(0)
    page = Image.fromarray(synthetic.digits(1, seed=8, size=40)[0][0, ..., 0])
    failures = 0
    for name in ("a.png", "a.jpg", "a.gif", "a.tif", "a.bmp", "a.webp"):
        page.save(tmp_path / name)
        whole = (tmp_path / name).read_bytes()
        for _ in range(40):
            content = bytearray(whole)
            for at in rng.integers(len(content), size=3):
                content[at] = rng.integers(256)
            (tmp_path / name).write_bytes(content)
            try:
                assert photo.prepare(tmp_path / name).shape == (28, 28)
            except Failure as error:
                assert "\n" not in str(error)
                failures += 1
    assert failures > 40
