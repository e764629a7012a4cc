"""Draw digits with Pillow's built-in font, each different: a data set for machines without network."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

VERSION = 1  # part of the data's fingerprint: increase it whenever the drawing changes
OVER = 2  # supersampling factor: digits are drawn larger, then averaged, for smooth edges
STROKES = (0, 1, 2)  # widths added to strokes, in supersampled pixels; 3 would close the gap of a 5
MARGIN = 2  # empty pixels around a glyph, into which bilinear sampling fades out


def _glyphs(height: int) -> list[list[Image.Image]]:
    """Draw every digit in every stroke width, [10][len(STROKES)]: grey, cropped, about `height` pixels high."""
    font = ImageFont.load_default(size=height / 0.72)  # the height of its digits is 0.72 of the size

    def glyph(digit: int, stroke: int) -> Image.Image:
        page = Image.new("L", (3 * height, 3 * height))
        ImageDraw.Draw(page).text((height, height), str(digit), 255, font, stroke_width=stroke)
        left, top, right, bottom = page.getbbox()
        return page.crop((left - MARGIN, top - MARGIN, right + MARGIN, bottom + MARGIN))

    return [[glyph(digit, stroke) for stroke in STROKES] for digit in range(10)]


def digits(count: int, channels: int = 1, seed: int | Sequence[int] = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw digits with random slant, rotation, size, aspect ratio, stroke width and position, as many of each label.

    Returns images, uint8 (count, 28, 28, channels), and labels (count,). One channel is bright ink on black, as in
    MNIST; with 3, each digit has random ink and paper colours. The same arguments give the same bytes.
    """
    rng = np.random.default_rng(seed)
    big = OVER * 28  # pixels
    glyphs = _glyphs(round(0.7 * big))
    labels = rng.permutation(np.arange(count) % 10).astype(np.uint8)
    weights = rng.integers(len(STROKES), size=count)
    height = rng.uniform(0.54, 0.74, count) * big
    aspect = rng.uniform(0.75, 1.1, count)  # factor on the font's own
    slant = rng.normal(0.1, 0.15, count).clip(-0.2, 0.4)  # handwriting leans to the right
    turn = np.radians(rng.normal(0, 6, count).clip(-14, 14))  # a 6 must not become a 9, nor a 1 a 7
    shift = rng.normal(0, 0.03, (count, 2)).clip(-0.06, 0.06) * big

    # Pillow needs the map from image to glyph: the inverse of scaling, then slanting, then rotating.
    glyph = [glyphs[label][weight] for label, weight in zip(labels, weights, strict=True)]
    sizes = np.array([g.size for g in glyph], float)  # (N, 2) width, height
    scale = height / (sizes[:, 1] - 2 * MARGIN)
    cos, sin = np.cos(turn), np.sin(turn)
    turned = np.stack([cos, -sin, sin, cos], -1).reshape(-1, 2, 2)
    slanted = np.stack([scale * aspect, -slant * scale, 0 * scale, scale], -1).reshape(-1, 2, 2)
    back = np.linalg.inv(turned @ slanted)  # (N, 2, 2)
    centre = np.einsum("nij,nj->ni", back, big / 2 + shift)  # (N, 2) the target of the glyph's centre
    offset = sizes / 2 - centre
    affine = np.concatenate([back, offset[..., None]], -1).reshape(-1, 6).tolist()

    images = np.empty((count, 28, 28), np.uint8)
    for image, g, m in zip(images, glyph, affine, strict=True):
        image[:] = g.transform((big, big), Image.Transform.AFFINE, m, Image.Resampling.BILINEAR).reduce(OVER)
    return _colour(images, rng) if channels == 3 else images[..., None], labels


def _colour(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Give each grey image (N, H, W) an ink and a paper colour that differ by 80 or more in every channel."""
    dark, light = rng.integers(0, 88, (len(images), 3)), rng.integers(168, 256, (len(images), 3))
    swap = rng.integers(2, size=(len(images), 1)) == 1
    paper, ink = np.where(swap, light, dark), np.where(swap, dark, light)
    levels = np.arange(256)[:, None]
    tables = (np.uint8(p + (i - p) * levels / 255 + 0.5) for p, i in zip(paper, ink, strict=True))  # (256, 3) each
    return np.stack([table[grey] for table, grey in zip(tables, images, strict=True)])
