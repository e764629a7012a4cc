"""Render synthetic photographs of handwritten digits, and count how many of them the digit reader reads correctly.

python tests/tools/make_photos.py out/photos                     20 of each kind, KIND/LABEL-NUMBER.ENDING; 2 minutes
python tests/tools/make_photos.py out/photos --count 5 --seed 1  others, 5 of each

The eighteen kinds differ in pen, paper, light, camera, and in other things in the picture. The digits are MNIST's test
images. data/digit_photo.py converts the photographs back to MNIST's form. Misread ones are listed. The same command
makes the same pictures.
"""

import os
import sys
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import data
from data import digit_photo
from engine import startup, terminal

startup.import_tensorflow()

from engine.classifiers import digit_reader

WHITE, BOARD = [(236, 233, 226), (225, 226, 228), (214, 208, 196)], [(40, 62, 52), (48, 50, 52)]
COLOURED = [(240, 215, 90), (235, 160, 175), (150, 205, 160), (150, 190, 230), (190, 150, 110)]


# ---- one of MNIST's digits, redrawn by a pen of a certain width, colour and grain ----------------------------------

SKELETON = 224  # side in pixels of the image in which strokes are thinned


class Pen(NamedTuple):
    """A pen. Its ranges are sampled uniformly."""

    width: tuple[float, float] | None  # of a stroke, as a share of the digit's height; None: as in MNIST
    opacity: tuple[float, float]
    grain: float  # how much the paper's roughness interrupts a stroke
    colours: list[tuple[int, int, int]]


FELT = Pen(None, (0.85, 1.0), 0.05, [(25, 25, 30), (30, 50, 140), (170, 30, 40), (20, 110, 60)])
BALLPOINT = Pen((0.025, 0.045), (0.75, 0.95), 0.25, [(30, 45, 130), (35, 35, 40), (160, 30, 45)])
PENCIL = Pen((0.03, 0.055), (0.4, 0.65), 0.6, [(70, 70, 75), (85, 85, 85)])
CHALK = Pen((0.06, 0.1), (0.7, 0.95), 0.7, [(235, 235, 230), (235, 220, 150), (230, 180, 190)])


def field(shape: tuple[int, ...], grain: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise (H, W) of mean 0 and standard deviation 1; its spots are about `grain` pixels large."""
    coarse = rng.normal(size=[max(2, round(side / grain)) for side in shape[:2]]).astype(np.float32)
    fine = np.asarray(Image.fromarray(coarse).resize(shape[1::-1], Image.Resampling.BICUBIC))
    return (fine - fine.mean()) / fine.std()


def thinned(mask: np.ndarray) -> np.ndarray:
    """Return the skeleton of a mask, bool (H, W), whose border is empty (Zhang & Suen, 1984)."""
    mask = mask.copy()
    ring = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]
    while True:
        before = mask.copy()
        for first in (True, False):
            around = [np.roll(mask, (-y, -x), (0, 1)) for y, x in ring]
            count = np.sum(around, 0)
            turns = np.sum([~around[i] & around[(i + 1) % 8] for i in range(8)], 0)
            north, east, south, west = around[::2]
            kept = east & south & (north | west) if first else north & west & (east | south)
            mask &= ~((count >= 2) & (count <= 6) & (turns == 1) & ~kept)
        if (mask == before).all():
            return mask


def strokes(digit: np.ndarray, height: int, pen: Pen, rng: np.random.Generator) -> np.ndarray:
    """Redraw a digit, uint8 (28, 28), with sharp edges: the ink's coverage in 0–1, (height, width by aspect)."""
    smooth = Image.fromarray(digit).resize((SKELETON, SKELETON), Image.Resampling.LANCZOS)
    mask = np.asarray(smooth.filter(ImageFilter.GaussianBlur(3))) > 105
    if pen.width:
        mask = thinned(mask)
        reach = max(1, round(rng.uniform(*pen.width) * 20 / 28 * SKELETON / 2))
        mask = digit_photo.dilated(mask, reach)
    soft = Image.fromarray(np.uint8(255 * mask)).filter(ImageFilter.GaussianBlur(2))
    soft = soft.crop(soft.getbbox())
    size = (max(1, round(soft.width * height / soft.height)), height)
    grey = np.asarray(soft.resize(size, Image.Resampling.BICUBIC), float) / 255
    steep = max(2.0, 5 * height / SKELETON)  # edges of one or two pixels
    return ((grey - 0.5) * steep + 0.5).clip(0, 1)


def write(page, digit, pen, rng, fill=(0.15, 0.9), margin=0.03) -> tuple[int, int, int, int]:
    """Write a digit on a page, in place; its height is a random share of the page's, within `fill`. Returns its box."""
    sides = page.shape[:2]
    room = [round(side * (1 - 2 * margin)) for side in sides]
    cover = strokes(digit, min(round(sides[0] * np.exp(rng.uniform(*np.log(fill)))), room[0]), pen, rng)
    if cover.shape[1] > room[1]:
        cover = strokes(digit, int(len(cover) * room[1] / cover.shape[1]), pen, rng)[:, : room[1]]
    height, width = cover.shape
    grain = (1 + pen.grain * (field(cover.shape, 2, rng) - 0.3)).clip(0, 1)
    cover = (cover * grain * rng.uniform(*pen.opacity))[..., None]
    top = round(sides[0] * margin) + rng.integers(room[0] - height + 1)
    left = round(sides[1] * margin) + rng.integers(room[1] - width + 1)
    spot = page[top : top + height, left : left + width]
    spot[:] = spot * (1 - cover) + cover * pen.colours[rng.integers(len(pen.colours))]
    return top, left, height, width


# ---- a page and its content: float (H, W, 3), 0 to 255 ------------------------------------------------------------


def paper(rng: np.random.Generator, colours: list = WHITE, longest: int = 900) -> np.ndarray:
    """An empty sheet in square, portrait or landscape format, with slightly uneven light."""
    shape = [(longest, longest), (longest, longest * 3 // 4), (longest * 3 // 4, longest)][rng.integers(3)]
    fibres = 1 + 0.012 * (field(shape, 2, rng) + field(shape, 7, rng)) / 2 + 0.02 * field(shape, 400, rng)
    return colours[rng.integers(len(colours))] * fibres[..., None]


def camera(page: np.ndarray, rng: np.random.Generator, noise: float = 2.5, blur: float = 0.7) -> Image.Image:
    """Photograph a page: blur by the lens and noise of the sensor. RGB."""
    soft = Image.fromarray(np.uint8(page.clip(0, 255))).filter(ImageFilter.GaussianBlur(blur))
    return Image.fromarray(np.uint8((np.asarray(soft) + rng.normal(0, noise, page.shape)).clip(0, 255)))


def half_plane(shape: tuple[int, ...], y: float, x: float, soft: float, rng: np.random.Generator) -> np.ndarray:
    """1 on one side of a random line through (y, x), 0 on the other, a ramp of `soft` pixels between: (H, W, 1)."""
    angle = rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    away = (rows - y) * np.sin(angle) + (columns - x) * np.cos(angle)
    return (away / soft + 0.5).clip(0, 1)[..., None]


def pen_of(rng: np.random.Generator) -> Pen:
    return (FELT, BALLPOINT)[rng.integers(2)]


def written(digit, rng, pen=None, before=lambda page, rng: page, fill=(0.15, 0.9), margin=0.03, **sheet) -> np.ndarray:
    """A sheet of paper on which a digit is written, after `before` has changed the sheet."""
    page = before(paper(rng, **sheet), rng)
    write(page, digit, pen or pen_of(rng), rng, fill, margin)
    return page


# ---- the kinds: (digit, rng) → picture, or (picture, options for saving it) ---------------------------------------


def plain(digit, rng, **how):
    return camera(written(digit, rng, **how), rng)


def smeared(page, rng):
    """Add the chalk that a sponge leaves on a board."""
    return page + 9 * field(page.shape, 90, rng).clip(0, 2)[..., None]


def ruled(page, rng, both_ways=False):
    spacing, thick = round(900 * rng.uniform(0.06, 0.25)), int(rng.integers(1, 4))
    for pixels in (page, page.swapaxes(0, 1)) if both_ways else (page,):
        for top in range(int(rng.integers(spacing)), len(pixels), spacing):
            pixels[top : top + thick] *= rng.uniform(0.8, 0.88) * np.array([0.92, 0.98, 1.08])
    return page


def shade(digit, rng):
    page = written(digit, rng)
    spot = 1 / (1 + np.exp(-2 * field(page.shape, 420, rng)))[..., None]
    fall = half_plane(page.shape, *np.array(page.shape[:2]) / 2, 1.5 * max(page.shape), rng)
    return camera(page * (1 - rng.uniform(0.25, 0.5) * spot) * (1 - rng.uniform(0.1, 0.4) * fall), rng)


def hard_shadow(digit, rng):
    page = paper(rng)
    top, left, height, width = write(page, digit, pen_of(rng), rng, (0.2, 0.9))
    y, x = top + height * rng.uniform(0.25, 0.75), left + width * rng.uniform(0.25, 0.75)
    dark = half_plane(page.shape, y, x, rng.uniform(2, 8), rng)
    if rng.random() < 0.4:  # a shadow with two edges: a corner or a strip
        dark = dark * half_plane(page.shape, y, x, rng.uniform(2, 8), rng)
    return camera(page * (1 - dark * rng.uniform(0.3, 0.55) * np.array([1.03, 1, 0.95])), rng)


def border_mark(digit, rng):
    page = paper(rng)
    write(page, digit, (FELT, BALLPOINT, PENCIL)[rng.integers(3)], rng, (0.2, 0.7), 0.15)
    turn = rng.integers(4)  # the mark is drawn on the left; this rotation moves it to any side
    page = np.rot90(page, turn)
    height, width, _ = page.shape
    rows, columns = np.mgrid[:height, :width]
    cover, kind = np.zeros((height, width)), rng.integers(5)
    if kind == 0:  # a neighbour's stroke, on the left
        beside = strokes(np.rot90(digit, 2), round(height * rng.uniform(0.2, 0.6)), FELT, rng)
        beside = beside[:, -round(rng.uniform(0.02, 0.1) * width) :]
        top = rng.integers(height - len(beside))
        cover[top : top + len(beside), : beside.shape[1]] = beside
        colour = FELT.colours[rng.integers(4)]
    elif kind == 1:  # a thumb
        y, x, r = height * rng.uniform(0.2, 0.8), width * rng.uniform(-0.06, 0.02), height * rng.uniform(0.07, 0.14)
        away = np.hypot((rows - y) / r, (columns - x) / (r * 0.9))
        cover = ((1 - away) * r / 3).clip(0, 1)
        colour = np.array([205, 150, 125]) * (1.05 - 0.35 * away.clip(0, 1)[..., None] ** 2)
    elif kind == 2:  # the table beyond the sheet's edge
        slope = rng.uniform(-0.06, 0.06)
        cover = columns + slope * (rows - height / 2) < rng.uniform(0.03, 0.13) * width
        wood = 1 + 0.1 * field(page.shape, 25, rng)
        colour = wood[..., None] * [(95, 62, 40), (50, 48, 50)][rng.integers(2)]
    elif kind == 3:  # a punched hole, cut by the picture's border
        y, r = height * rng.uniform(0.1, 0.9), width * rng.uniform(0.02, 0.045)
        cover = np.hypot(rows - y, columns - r * rng.uniform(-0.5, 0.7)) < r
        colour = (45, 40, 38)
    else:  # a corner of something dark
        cover = columns / rng.uniform(0.08, 0.25) / width + rows / rng.uniform(0.08, 0.25) / height < 1
        colour = (35, 35, 40)
    cover = cover[..., None]
    return camera(np.rot90(page * (1 - cover) + cover * colour, -turn), rng)


def phone(digit, rng):
    turn, tag = [("ROTATE_90", 6), ("ROTATE_180", 3), ("ROTATE_270", 8)][rng.integers(3)]
    image = plain(digit, rng, pen=pen_of(rng), longest=1200).transpose(Image.Transpose[turn])
    exif = image.getexif()
    exif[0x0112] = tag
    return image, {"format": "JPEG", "quality": 85, "exif": exif}


def deep(digit, rng):
    grey = np.asarray(plain(digit, rng, pen=pen_of(rng)).convert("L"), np.uint16)
    return Image.fromarray(grey * np.uint16(rng.choice([4, 16, 257])))


def tiny(digit, rng):
    image = plain(digit, rng, pen=FELT, longest=400, fill=(0.55, 0.9))
    return image.resize((40, round(40 * image.height / image.width)), Image.Resampling.BOX)


def huge(digit, rng):
    image = plain(digit, rng, pen=pen_of(rng), longest=1600)
    scale = 4000 / max(image.size)
    return image.resize([round(scale * side) for side in image.size]), {"format": "JPEG", "quality": 90}


def coloured_paper(digit, rng):
    return plain(digit, rng, pen=pen_of(rng)._replace(colours=[(30, 30, 40)]), colours=COLOURED)


def see_through(digit, rng):
    cover = np.zeros((600, 600, 1))
    write(cover, digit, FELT._replace(colours=[(1,)], grain=0), rng)
    colour = np.broadcast_to(rng.integers(0, 256, 3), (600, 600, 3))
    return Image.fromarray(np.uint8(np.concatenate([colour, 255 * cover], -1)), "RGBA")


def slanted(digit, rng):
    page = written(digit, rng, fill=(0.2, 0.65), margin=0.16)
    height, width, _ = page.shape
    corners = np.array([(0, 0), (0, height), (width, height), (width, 0)])
    corners = corners + rng.uniform(0, 0.15, (4, 2)) * (width, height) * np.where(corners > 0, -1, 1)
    image = camera(page, rng)
    return image.transform(image.size, Image.Transform.QUAD, corners.ravel().tolist(), Image.Resampling.BICUBIC)


def noisy(digit, rng):
    page = written(digit, rng, FELT, lambda page, rng: page * rng.uniform(0.4, 0.8), longest=640)
    return camera(page, rng, noise=rng.uniform(8, 18)), {"format": "JPEG", "quality": int(rng.integers(12, 35))}


def crumpled(digit, rng):
    page = written(digit, rng)
    for _ in range(14):
        y, x = rng.uniform(0, 1, 2) * page.shape[:2]
        away = 2 * half_plane(page.shape, y, x, rng.uniform(60, 300), rng) - 1
        depth = (field(page.shape, 300, rng).clip(0, 1.5) * rng.uniform(0.04, 0.1))[..., None]
        page *= 1 + depth * np.sign(away) * (1 - np.abs(away))  # a crease: bright on one side, dark on the other
    return camera(page, rng)


KINDS = {
    "felt pen": partial(plain, pen=FELT),
    "ballpoint": partial(plain, pen=BALLPOINT),
    "pencil": partial(plain, pen=PENCIL),
    "chalk": partial(plain, pen=CHALK, colours=BOARD, before=smeared),
    "ruled": partial(plain, before=ruled),
    "squared": partial(plain, before=partial(ruled, both_ways=True)),
    "shade": shade,
    "hard shadow": hard_shadow,
    "border mark": border_mark,
    "phone": phone,
    "16 bits": deep,
    "40 pixels": tiny,
    "4,000 pixels": huge,
    "coloured paper": coloured_paper,
    "see-through": see_through,
    "slanted": slanted,
    "noisy": noisy,
    "crumpled": crumpled,
}


def photograph(kind: str, digit: np.ndarray, rng: np.random.Generator) -> tuple[Image.Image, dict]:
    """Render a photograph of a digit, uint8 (28, 28); return it and the options for saving it."""
    made = KINDS[kind](digit, rng)
    return made if isinstance(made, tuple) else (made, {"format": "PNG"})


def make(folder: Path, digits: data.Split, count: int, seed: int) -> list[Path]:
    """Write `count` photographs of each kind, of as many different digits. Returns their paths."""
    images, labels = digits
    paths = []
    with terminal.Progress(len(KINDS) * count, "photographs made") as bar:
        for number, kind in enumerate(KINDS):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            for i in range(count):
                rng = np.random.default_rng((seed, number, i))
                digit = rng.choice(np.flatnonzero(labels == i % 10))
                image, options = photograph(kind, images[digit, ..., 0], rng)
                paths.append(folder / kind / f"{i % 10}-{i:03d}.{options['format'].lower()}")
                image.save(paths[-1], **options)
                bar.advance()
    return paths


def label_of(path: Path, reader: digit_reader.Reader) -> str:
    """Return the label that the reader gives a photograph, or "no digit" if digit_photo finds none."""
    try:
        digit = digit_photo.prepare(path)
    except terminal.Failure:
        return "no digit"
    return str(digit_reader.logits(reader, digit[None, ..., None]).argmax())


@terminal.command
def main(argv: list[str] | None = None) -> int:
    parser = terminal.Parser(__doc__)
    parser.add_argument("folder", type=Path, help="made if need be")
    parser.add_argument("--count", type=terminal.bounded(int, 1), default=20, help="of each kind (default %(default)s)")
    parser.add_argument("--seed", type=terminal.bounded(int, 0), default=0, help="(default %(default)s)")
    parser.add_argument("--data-dir", default=os.environ.get("MNIST_DIR"), help="of MNIST's files (default $MNIST_DIR)")
    args = parser.parse_args(argv)
    paths = make(args.folder, data.load("mnist", args.data_dir).test, args.count, args.seed)
    reader, right = digit_reader.load(), dict.fromkeys(KINDS, 0)
    for path in paths:
        label = label_of(path, reader)
        right[path.parent.name] += label == path.name[0]
        if label != path.name[0]:
            print(f"{path.relative_to(args.folder)} is read as {label}")
    for kind, count in right.items():
        print(f"{kind:16}{count:5} of {args.count}")
    print(f"{'all':16}{sum(right.values()):5} of {len(paths)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
