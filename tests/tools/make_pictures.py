"""Make folders of pictures for trials and measurements, not to be committed: the same command makes the same pictures.

python tests/tools/make_pictures.py shapes DIR                  four shapes, 300 each, six formats, one file broken; 3 s
python tests/tools/make_pictures.py many DIR --count 1000000    very many JPEGs of 64 × 64 in 10 labels; minutes
"""

import io
import math
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from engine import terminal

SHAPES = ("circle", "square", "triangle", "star")
SUFFIXES = (".jpg", ".png", ".webp", ".bmp", ".gif", ".tiff")
LABELS = 10  # labels of "many"
DISTINCT = 4_000  # different files among "many"; the rest are copies
ROOM = 1_000  # files per folder of "many"


def drawn(shape: str, rng: np.random.Generator) -> Image.Image:
    """Draw a shape with random colours, position and size: RGB, sides of 40 to 160 pixels."""
    width, height = (int(side) for side in rng.integers(40, 161, 2))
    short = min(width, height)
    dark, light = rng.integers(0, 110, 3), rng.integers(146, 256, 3)
    paper, ink = (dark, light) if rng.random() < 0.5 else (light, dark)
    image = Image.new("RGB", (4 * width, 4 * height), tuple(paper.tolist()))
    radius = 4 * short * rng.uniform(0.28, 0.4)
    spare = (4 * short / 2 - radius) / 3  # a crop of the centre shows the whole shape
    x, y = 2 * width + rng.uniform(-spare, spare), 2 * height + rng.uniform(-spare, spare)
    pen, colour = ImageDraw.Draw(image), tuple(ink.tolist())
    if shape == "circle":
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), colour)
    else:
        corners = {"square": 4, "triangle": 3, "star": 10}[shape]
        turn = (math.pi / 4 if shape == "square" else -math.pi / 2) + rng.uniform(-0.2, 0.2)
        points = []
        for i in range(corners):
            reach = radius * (0.45 if shape == "star" and i % 2 else 1)
            angle = turn + 2 * math.pi * i / corners
            points.append((x + reach * math.cos(angle), y + reach * math.sin(angle)))
        pen.polygon(points, colour)
    return image.resize((width, height), Image.Resampling.BOX)


def shapes(folder: Path, count: int, seed: int) -> None:
    """Write `count` pictures of each shape, and one truncated file."""
    rng = np.random.default_rng(seed)
    for shape in SHAPES:
        (folder / shape).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            drawn(shape, rng).save(folder / shape / f"{i:05d}{SUFFIXES[i % len(SUFFIXES)]}")
    whole = (folder / SHAPES[0] / "00000.jpg").read_bytes()
    (folder / SHAPES[0] / "broken.jpg").write_bytes(whole[: len(whole) // 2])


def scene(rng: np.random.Generator, grain: np.ndarray, label: int, size: tuple[int, int]) -> Image.Image:
    """Draw soft colours, ellipses (more for a higher label) and grain, so that it compresses like a photo."""
    soft = Image.fromarray(rng.integers(0, 256, (6, 7, 3), np.uint8)).resize(size, Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(soft)
    for _ in range(2 + 2 * label):
        x, y, r = rng.uniform(0, size[0]), rng.uniform(0, size[1]), rng.uniform(0.02, 0.2) * size[0]
        pen.ellipse((x - r, y - r, x + r, y + r), tuple(rng.integers(0, 256, 3).tolist()))
    top, left = rng.integers(0, 100, 2)
    noisy = np.asarray(soft, np.int16) + grain[top : top + size[1], left : left + size[0]]
    return Image.fromarray(np.uint8(noisy.clip(0, 255)))


def many(folder: Path, count: int, seed: int) -> None:
    """Write `count` small JPEGs, at most ROOM per folder. It is fast, as only DISTINCT of them are encoded."""
    rng = np.random.default_rng(seed)
    grain = rng.normal(0, 6, (200, 200, 3)).astype(np.int16)
    encoded = [io.BytesIO() for _ in range(min(DISTINCT, count))]
    for i, file in enumerate(encoded):
        scene(rng, grain, i % LABELS, (64, 64)).save(file, "JPEG", quality=80)
    for i in range(count):
        nth = i // LABELS
        path = folder / f"kind {i % LABELS}" / f"{nth // ROOM:04d}" / f"{nth:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded[i % len(encoded)].getvalue())


@terminal.command
def main(argv: list[str] | None = None) -> int:
    kinds = {"shapes": (shapes, 300), "many": (many, 1_000_000)}
    parser = terminal.Parser(__doc__)
    parser.add_argument("kind", choices=kinds)
    parser.add_argument("folder", type=Path, help="made if need be")
    count = "pictures; of shapes: of each (default 300, 1,000,000)"
    parser.add_argument("--count", type=terminal.bounded(int, 1), help=count)
    parser.add_argument("--seed", type=terminal.bounded(int, 0), default=0, help="(default %(default)s)")
    args = parser.parse_args(argv)
    make, count = kinds[args.kind]
    make(args.folder, args.count or count, args.seed)
    print(f"{sum(len(files) for _, _, files in os.walk(args.folder)):,} files in {args.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
