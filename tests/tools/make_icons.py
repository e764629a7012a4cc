"""Draw icons to train on: eight objects of a few parts each, in five styles. The same command makes the same pictures.

python tests/tools/make_icons.py out/icons            eight labels, 400 each, 96 × 96 PNG; two minutes
"""

import functools
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from engine import terminal  # noqa: E402

COUNT, SIDE, FINE = 400, 96, 3  # icons per label, their side in pixels, supersampling factor
_, OUTLINE, SHADED, STICKER, LINE = range(5)  # styles


def shape(*points: tuple[float, float], colour: int = 0) -> tuple[str, list, int]:
    return "polygon", list(points), colour


def boxed(kind: str, x: float, y: float, w: float, h: float, colour: int = 0) -> tuple[str, list, int]:
    return kind, [(x - w / 2, y - h / 2), (x + w / 2, y + h / 2)], colour


rectangle, ellipse = functools.partial(boxed, "rectangle"), functools.partial(boxed, "ellipse")


def parts(thing: str, rng: np.random.Generator) -> list[tuple]:
    """Return an object's parts, rearmost first: ImageDraw method, points in 0–1, colour index (4: the background)."""
    u, one, half = rng.uniform, rng.random() < 0.5, (-1, 1)
    if thing == "house":
        w, top, roof = u(0.4, 0.6), u(0.42, 0.52), u(0.15, 0.3)
        doors = [rectangle(0.5 - w / 4, 0.74, 0.13, 0.22, 2), rectangle(0.5 + w / 5, 0.62, 0.14, 0.13, 3)]
        gable = shape((0.42 - w / 2, top), (0.5, top - roof), (0.58 + w / 2, top), colour=1)
        chimney = [rectangle(0.5 + w / 4, top - roof / 2, 0.09, roof, 2)] * one
        return [*chimney, rectangle(0.5, (top + 0.85) / 2, w, 0.85 - top), *doors, gable]
    if thing == "tree":
        w, trunk = u(0.4, 0.6), rectangle(0.5, 0.76, u(0.08, 0.14), 0.24, 1)
        if one:
            tops = [(0.68 - 0.17 * i, w * (0.5 - 0.11 * i)) for i in range(rng.integers(2, 4))]
            return [trunk, *(shape((0.5 - v, y), (0.5, y - 0.3), (0.5 + v, y)) for y, v in tops)]
        crowns = [(0.5, 0.36), (0.5 - w / 4, 0.48), (0.5 + w / 4, 0.48)][rng.integers(3) :]
        return [trunk, *(ellipse(x, y, w * 0.75, w * 0.7) for x, y in crowns)]
    if thing == "car":
        w, h, cab, x = u(0.65, 0.8), u(0.16, 0.22), u(0.15, 0.21), u(0.42, 0.55)
        roof = shape((x - cab - 0.09, 0.52), (x - cab, 0.34), (x + cab, 0.34), (x + cab + 0.09, 0.52), colour=1)
        panes = [rectangle(x + side * cab / 2, 0.44, cab / 1.3, 0.11, 3) for side in half]
        wheels = [ellipse(0.5 + side * w / 3.4, 0.54 + h, r, r, c) for side in half for r, c in ((0.19, 2), (0.08, 3))]
        return [roof, *panes, rectangle(0.5, 0.52 + h / 2, w, h), *wheels]
    if thing == "fish":
        w, h, way = u(0.45, 0.58), u(0.26, 0.42), half[one]
        end = 0.5 - way * w / 2
        tail = shape((end + way * 0.08, 0.5), *((end - way * 0.16, 0.5 + side * h / 2) for side in half), colour=1)
        fin = shape((0.44, 0.54 - h / 2), (0.5, 0.4 - h / 2), (0.6, 0.54 - h / 2), colour=1)
        eye = [ellipse(0.5 + way * w / 4, 0.46, size, size, c) for size, c in ((0.1, 3), (0.05, 2))]
        return [tail, fin, ellipse(0.52, 0.5, w, h), *eye]
    if thing == "cup":
        w, h, low = u(0.36, 0.48), u(0.32, 0.46), u(0.6, 1.0)
        ear = [ellipse(0.46 + w / 2, 0.36 + h / 2.4, a, h * b, c) for a, b, c in ((0.24, 0.6, 0), (0.13, 0.35, 4))]
        body = shape(*((0.46 + s * w / 2, y) for s, y in ((-1, 0.36), (1, 0.36), (low, 0.36 + h), (-low, 0.36 + h))))
        return [ellipse(0.46, 0.38 + h, w * 1.5, 0.08, 1)] * one + [*ear, body, ellipse(0.46, 0.36, w, 0.1, 2)]
    if thing == "flower":
        count, reach, size = rng.integers(5, 9), u(0.14, 0.19), u(0.15, 0.22)
        angles = [2 * math.pi * (i + u(0, 0.1)) / count for i in range(count)]
        petals = [ellipse(0.5 + reach * math.cos(a), 0.37 + reach * math.sin(a), size, size) for a in angles]
        leaves = [ellipse(0.5 + side * 0.12, 0.76, 0.2, 0.09, 1) for side in half[one:]]
        return [rectangle(0.5, 0.68, 0.05, 0.4, 1), *leaves, *petals, ellipse(0.5, 0.37, u(0.13, 0.2), 0.17, 3)]
    if thing == "rocket":
        w, h, top = u(0.1, 0.14), u(0.34, 0.44), u(0.18, 0.26)
        fins = [shape((0.5 + s * w, 0.5), (0.5 + 2.2 * s * w, 0.76), (0.5 + s * w, 0.72), colour=1) for s in half]
        nose = shape((0.5 - w, 0.73 - h), (0.5, 0.73 - h - top), (0.5 + w, 0.73 - h), colour=1)
        flame = shape((0.5 - w / 2, 0.72), (0.5, 0.72 + top), (0.5 + w / 2, 0.72), colour=3)
        return [*fins, flame, rectangle(0.5, 0.73 - h / 2, 2 * w, h), nose, ellipse(0.5, 0.5, 1.2 * w, 1.2 * w, 2)]
    w, h, panels = u(0.6, 0.78), u(0.3, 0.42), 2 * rng.integers(1, 4)
    arc = [(0.5 - w / 2 * math.cos(t), 0.52 - h * math.sin(t)) for t in np.linspace(0, math.pi, 30)]
    edges = [0.5 + w * (i / panels - 0.5) for i in range(panels + 1)]
    gores = [shape((edges[i], 0.52), (0.5, 0.52 - h), (edges[i + 1], 0.52), colour=1) for i in range(0, panels, 2)]
    return [rectangle(0.5, 0.66, 0.04, 0.4, 2), ellipse(0.46, 0.85, 0.12, 0.08, 2), shape(*arc), *gores * one]


def icon(thing: str, rng: np.random.Generator) -> Image.Image:
    """Draw one icon of an object in a random style: first its shadow, then part after part."""
    side, style, hue, night = SIDE * FINE, rng.integers(5), rng.integers(0, 256, 3), rng.random() < 0.3
    strong, paper = rng.integers(130, 230, 2), (rng.integers(60, 160), 70) if night else (rng.integers(10, 60), 240)
    hsv = [(hue[0], strong[0], 200), (hue[1], strong[1], 190), (hue[0], 90, 70), (hue[1], 40, 245), (hue[2], *paper)]
    colours = np.array(Image.fromarray(np.uint8([hsv]), "HSV").convert("RGB"))[0]
    slope = np.linspace(1.3, 0.65, side)[:, None, None]
    shaded = [np.uint8(np.clip(colour * slope, 0, 255)) for colour in colours]  # (side, 1, 3), the same in all columns
    image = Image.fromarray(np.uint8(0.7 * colours[4] + 0.25 * shaded[4]).repeat(side, axis=1))
    scale, shift, masks = rng.uniform(0.85, 1.1), rng.uniform(-0.05, 0.05, 2) + 0.5, []
    for kind, points, colour in parts(thing, rng):
        masks.append((Image.new("L", (side, side)), colour))
        placed = [tuple(side * (scale * (np.array(point) - 0.5) + shift)) for point in points]
        getattr(ImageDraw.Draw(masks[-1][0]), kind)(placed, 255)
    whole = Image.fromarray(np.max([mask for mask, _ in masks], axis=0))
    if style in (SHADED, STICKER):
        image.paste(
            0, (side // 50, side // 28), whole.filter(ImageFilter.GaussianBlur(side / 40)).point(lambda v: v * 0.45)
        )
    if style == STICKER:
        image.paste((255, 255, 255), mask=whole.filter(ImageFilter.MaxFilter(15)))
    for mask, colour in masks:
        if style in (OUTLINE, LINE):
            image.paste(tuple(colours[3 if night else 2]), mask=mask.filter(ImageFilter.MaxFilter(9)))
        plain = tuple(colours[4 if style == LINE else colour])
        image.paste(Image.fromarray(shaded[colour].repeat(side, axis=1)) if style == SHADED else plain, mask=mask)
    return image.resize((SIDE, SIDE), Image.Resampling.BOX)


@terminal.command
def main(argv: list[str] | None = None) -> int:
    parser = terminal.Parser(__doc__)
    parser.add_argument("folder", type=Path, help="made if need be")
    args, rng = parser.parse_args(argv), np.random.default_rng(0)
    things = "house tree car fish cup flower rocket umbrella".split()
    with terminal.Progress(COUNT * len(things), "icons") as bar:
        for thing in things:
            (args.folder / thing).mkdir(parents=True, exist_ok=True)
            for i in range(COUNT):
                icon(thing, rng).save(args.folder / thing / f"{i:04d}.png")
                bar.advance()
    return 0


if __name__ == "__main__":
    sys.exit(main())
