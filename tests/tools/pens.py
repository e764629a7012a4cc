"""A digit of MNIST's written on a page with a pen: strokes with clear edges, of a width, a colour and a grain."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from data.digit_photo import dilated

SKELETON = 224  # pixels a side at which strokes are thinned


class Pen(NamedTuple):
    """What writes. Ranges are drawn from, uniformly."""

    width: tuple[float, float] | None  # of a stroke, in heights of the digit; None: as broad as MNIST has it
    opacity: tuple[float, float]
    grain: float  # how much the paper's roughness interrupts a stroke
    colours: list[tuple[int, int, int]]


FELT = Pen(None, (0.85, 1.0), 0.05, [(25, 25, 30), (30, 50, 140), (170, 30, 40), (20, 110, 60)])
BALLPOINT = Pen((0.025, 0.045), (0.75, 0.95), 0.25, [(30, 45, 130), (35, 35, 40), (160, 30, 45)])
PENCIL = Pen((0.03, 0.055), (0.4, 0.65), 0.6, [(70, 70, 75), (85, 85, 85)])
CHALK = Pen((0.06, 0.1), (0.7, 0.95), 0.7, [(235, 235, 230), (235, 220, 150), (230, 180, 190)])


def field(shape: tuple[int, ...], grain: float, rng: np.random.Generator) -> np.ndarray:
    """Smooth noise (H, W) of mean 0 and deviation 1, its spots about `grain` pixels large."""
    coarse = rng.normal(size=[max(2, round(side / grain)) for side in shape[:2]]).astype(np.float32)
    fine = np.asarray(Image.fromarray(coarse).resize(shape[1::-1], Image.Resampling.BICUBIC))
    return (fine - fine.mean()) / fine.std()


def thinned(mask: np.ndarray) -> np.ndarray:
    """The skeleton of a bool (H, W) whose border is empty, by Zhang & Suen (1984)."""
    mask = mask.copy()
    ring = [(-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1)]
    while True:
        before = mask.copy()
        for first in (True, False):
            around = [np.roll(mask, (-y, -x), (0, 1)) for y, x in ring]
            count = np.sum(around, 0)
            turns = np.sum([~around[i] & around[(i + 1) % 8] for i in range(8)], 0)
            north, east, south, west = around[::2]
            ends = (north & east & south) | (east & south & west)
            if not first:
                ends = (north & east & west) | (north & south & west)
            mask &= ~((count >= 2) & (count <= 6) & (turns == 1) & ~ends)
        if (mask == before).all():
            return mask


def strokes(digit: np.ndarray, height: int, pen: Pen, rng: np.random.Generator) -> np.ndarray:
    """A digit, uint8 (28, 28), as strokes with clear edges: the ink's coverage in 0–1, (height, as it needs)."""
    smooth = Image.fromarray(digit).resize((SKELETON, SKELETON), Image.Resampling.LANCZOS)
    mask = np.asarray(smooth.filter(ImageFilter.GaussianBlur(3))) > 105
    if pen.width:
        mask = thinned(mask)
        reach = max(1, round(rng.uniform(*pen.width) * 20 / 28 * SKELETON / 2))
        mask = dilated(mask, reach)
    soft = Image.fromarray(np.uint8(255 * mask)).filter(ImageFilter.GaussianBlur(2))
    soft = soft.crop(soft.getbbox())
    size = (max(1, round(soft.width * height / soft.height)), height)
    grey = np.asarray(soft.resize(size, Image.Resampling.BICUBIC), float) / 255
    steep = max(2.0, 5 * height / SKELETON)  # an edge of a pixel or two
    return ((grey - 0.5) * steep + 0.5).clip(0, 1)


def write(
    page: np.ndarray,
    digit: np.ndarray,
    pen: Pen,
    rng: np.random.Generator,
    fill: tuple[float, float] = (0.15, 0.9),
    margin: float = 0.03,
) -> tuple[int, int, int, int]:
    """Write a digit on a page, in place; it takes some share within `fill` of the height. → top, left, height, width"""
    room = [round(side * (1 - 2 * margin)) for side in page.shape[:2]]
    height = round(page.shape[0] * np.exp(rng.uniform(*np.log(fill))))
    cover = strokes(digit, min(height, room[0]), pen, rng)
    if cover.shape[1] > room[1]:
        cover = strokes(digit, int(len(cover) * room[1] / cover.shape[1]), pen, rng)[:, : room[1]]
    grain = (1 + pen.grain * (field(cover.shape, 2, rng) - 0.3)).clip(0, 1)
    cover = (cover * grain * rng.uniform(*pen.opacity))[..., None]
    top, left = (
        round(side * margin) + rng.integers(r - c + 1)
        for side, r, c in zip(page.shape[:2], room, cover.shape[:2], strict=True)
    )
    spot = page[top : top + cover.shape[0], left : left + cover.shape[1]]
    spot[:] = spot * (1 - cover) + cover * pen.colours[rng.integers(len(pen.colours))]
    return top, left, *cover.shape[:2]
