"""A photo or drawing of one handwritten digit, brought to MNIST's form."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from data.decode import opened
from engine.terminal import Failure

WORK = 800  # longer side, in pixels, that the search for the digit works on
FIT = 130  # the same for the paper's surface
GRID = 130  # the same for the ink's connected parts
TRACE = 160  # the same for a digit's strokes, of which the longer side of their box counts
PEN = 1.0  # width of MNIST's thinnest strokes in its own pixels, by `_thickened`'s measure; the median is 1.8
FAINT = 0.06  # of the full ink: below, a pixel does not stretch the digit's box
FLAT = 25.0  # contrast below which a picture is blank: a Euclidean distance of colours, 14 levels of grey
PART = 0.04  # of the largest part's ink: smaller parts are specks


def prepare(path: str | os.PathLike, size: int = 28) -> np.ndarray:
    """The digit in an image file as MNIST would hold it: uint8 (size, size), ink 255 at its brightest on 0.

    As in MNIST, the digit is scaled to fit a box of 20/28 of the side, aspect kept, and its centre of mass
    is brought to the centre. Dark on light or light on dark: the paper is what the picture's border shows.
    However thin the pen, its strokes come out as wide as MNIST's thinnest.

    Raises:
        Failure: no such file, not an image, too large, or nothing is written on it; one line.
    """
    path = Path(path)
    ink, noise = _ink(_open(path))  # (H, W)
    part = _largest_parts(ink, noise)  # (H, W)
    if part is None:
        raise Failure(f"{path} shows no digit: write one with a clear contrast to the paper")
    return _place(_thickened(np.where(part, ink, 0)), size)


def _open(path: Path) -> np.ndarray:
    """Decode an image file to float (H, W, 3), 0 to 255, upright, at most WORK pixels long."""
    if not path.is_file():
        raise Failure(f"{path} is not a file: name a picture of one digit")
    return opened(path, lambda image: _pixels(ImageOps.exif_transpose(image)))


def _pixels(image: Image.Image) -> np.ndarray:
    """Any mode to float (H, W, 3), 0 to 255; transparency becomes white, or is itself the ink's shape."""
    if image.mode.startswith(("I", "F")):  # 16 and 32 bits, of which the picture may use only a part
        deep = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0)
        image = Image.fromarray(np.uint8(255 * (deep - deep.min()) / max(np.ptp(deep), 1e-9)))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image.thumbnail((WORK, WORK), Image.Resampling.BOX)
        rgba = np.asarray(image, float)
        colour, alpha = rgba[..., :3], rgba[..., 3:]
        opaque = alpha[..., 0] >= 128
        if np.median(_border(alpha)) < 128 and opaque.any():
            if opaque.mean() < 0.5 or colour[opaque].std(0).max() < 24:  # strokes on nothing, of whatever colour
                return np.repeat(255 - alpha, 3, -1)
        return (colour * alpha + 255 * (255 - alpha)) / 255
    image = image.convert("RGB")
    image.thumbnail((WORK, WORK), Image.Resampling.BOX)
    return np.asarray(image, float)


def _border(pixels: np.ndarray) -> np.ndarray:
    """The outermost pixels of (H, W, C) as (M, C)."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])


def _ink(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """How far each pixel is from the paper, towards the ink's colour: float (H, W); and the paper's noise.

    The paper is a smooth surface (a quadratic, for uneven light) fitted to what looks like paper: first what
    resembles the border, then whatever lies within the noise.
    """
    height, width, _ = pixels.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    surface = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)  # (H, W, 6)
    step = -(-max(height, width) // FIT)
    some, terms = pixels[::step, ::step].reshape(-1, 3), surface[::step, ::step].reshape(-1, 6)
    away = np.abs(some - np.median(_border(pixels), axis=0)).max(-1)
    paper = away <= _otsu(away)
    for _ in range(5):
        fitted = np.linalg.lstsq(terms[paper], some[paper], rcond=None)[0]  # (6, 3)
        rest = some - terms @ fitted  # (M, 3)
        away = np.abs(rest).max(-1)
        near = away <= max(4.5 * np.median(away[paper]), 1.0)  # 3 standard deviations, were it Gaussian
        if near.sum() < 6:
            break
        paper = near
    every = pixels - surface @ fitted  # (H, W, 3); a thin stroke may lie between the pixels looked at so far
    away = np.abs(every).max(-1)
    towards = every[away >= 0.5 * away.max()].mean(0)
    towards /= np.linalg.norm(towards) or 1.0
    noise = 1.5 * float(np.median(np.abs(rest[paper] @ towards)))
    return every @ towards, noise


def _otsu(values: np.ndarray) -> float:
    """The threshold that parts `values` into two groups with the least variance within them (Otsu, 1979)."""
    if np.ptp(values) < 1e-3:
        return float(values.max())
    counts, edges = np.histogram(values, 256)
    middle = (edges[:-1] + edges[1:]) / 2
    below = counts.cumsum()
    above = below[-1] - below
    sums = (counts * middle).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1 + np.argmax(np.nan_to_num(between))])


def _shrink(array: np.ndarray, longest: int) -> np.ndarray:
    """Average a float (H, W) down to `longest` pixels; never up."""
    image = Image.fromarray(array.astype(np.float32))
    scale = min(1.0, longest / max(image.size))
    return np.asarray(image.resize([max(1, round(scale * side)) for side in image.size], Image.Resampling.BOX))


def _highest_around(array: np.ndarray, reach: int) -> np.ndarray:
    """The maximum over the square that goes `reach` pixels to each side: uint8, int32 or float32 (H, W)."""
    image = Image.fromarray(array)
    for _ in range(reach):  # far quicker than one large square
        image = image.filter(ImageFilter.MaxFilter(3))
    return np.asarray(image)


def _box(mask: np.ndarray) -> tuple[slice, slice]:
    """The rows and the columns that hold all of a bool (H, W)."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _largest_parts(ink: np.ndarray, noise: float) -> np.ndarray | None:
    """Where the digit is, its soft edges included: bool (H, W). Specks are left out. None if there is no digit."""
    grid = np.sqrt(_shrink(ink.clip(0) ** 2, GRID))  # root mean square: in a plain mean, a thin stroke would fade
    mask = grid > _otsu(grid)
    if grid.max() < max(FLAT, 5 * noise) or not mask.any():
        return None
    labels = np.where(mask, np.arange(1, mask.size + 1, dtype=np.int32).reshape(mask.shape), 0)
    while True:  # every pixel takes the highest number among its neighbours, then that number's own, until none changes
        spread = np.where(mask, _highest_around(labels, 1), 0)
        spread = np.append(np.int32(0), spread)[spread]
        if (spread == labels).all():
            break
        labels = spread
    weight = np.bincount(labels.ravel(), grid.ravel() * mask.ravel())
    keep = (weight >= PART * weight.max())[labels] & mask
    specks = _highest_around(np.uint8(mask & ~keep), 1)
    reach = -(-max(keep[_box(keep)].shape) // 16)  # more than a pixel of the 20 that will be
    around = np.where(specks, keep, _highest_around(np.uint8(keep), reach))
    return np.asarray(Image.fromarray(np.uint8(around)).resize(ink.shape[::-1], Image.Resampling.NEAREST)) > 0


def _thickened(ink: np.ndarray) -> np.ndarray:
    """Ink (H, W) on a scale where full ink is 1; strokes thinner than PEN are traced anew, with a pen of that width.

    What a pixel more on either side adds to a stroke tells its width. Measured and traced at TRACE, where noise is
    averaged away: it would make the edges ragged, and a broad stroke seem thin.
    """
    ink = np.pad(ink, max(ink.shape) // 40 + 1)  # room for strokes at the picture's edge to grow
    core = ink > _otsu(ink.clip(0))
    trace = _shrink(ink, round(TRACE * max(ink.shape) / max(ink[_box(core)].shape)))
    stroke = np.uint8(trace > _otsu(trace.clip(0)))
    area, grown = stroke.sum(), _highest_around(stroke, 1).sum()
    width = 2 * area / (grown - area)
    reach = round((PEN * max(stroke[_box(stroke > 0)].shape) / 20 - width) / 2)
    if reach > 0:
        return _highest_around(stroke, reach).astype(float)
    full = np.percentile(ink[core], 75)  # a stroke's core, not its edge and not one bright speck
    return np.minimum(ink / full, 1)


def _despeckled(grey: np.ndarray) -> np.ndarray:
    """A digit, uint8 (H, W), without what is much smaller than a pixel of the picture to come: noise, not strokes."""
    pixel = max(grey[_box(grey > 0)].shape) / 20
    for size in range(min(2 * int(pixel / 4) + 1, 7), 0, -2):
        clean = np.asarray(Image.fromarray(grey).filter(ImageFilter.MedianFilter(size)))
        if (clean > 127).sum() > 0.8 * (grey > 127).sum():  # else it is hatched, or otherwise made of fine lines
            break
    return clean


def _place(ink: np.ndarray, size: int) -> np.ndarray:
    """Scale the inked box of (H, W), full at 1, to fit 20/28 of `size`, and bring its centre of mass to the centre."""
    box = ink[_box(_despeckled(np.uint8(255 * ink.clip(0, 1))) > 255 * FAINT)]
    inner = round(size * 20 / 28)
    scale = inner / max(box.shape)
    height, width = (max(1, round(scale * side)) for side in box.shape)
    image = Image.fromarray(box.astype(np.float32))
    digit = np.asarray(image.resize((width, height), Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR))
    digit = np.where(digit > 0.01, digit / digit.max(), 0)
    total = digit.sum()
    top = size / 2 - (digit.sum(1) @ (np.arange(height) + 0.5)) / total
    left = size / 2 - (digit.sum(0) @ (np.arange(width) + 0.5)) / total
    # Rounded up: in every MNIST digit the centre of mass lies from 14.0 to 15.0, the frame being 28 wide.
    top, left = (min(max(math.ceil(at), 0), size - side) for at, side in ((top, height), (left, width)))
    page = np.zeros((size, size), np.uint8)
    page[top : top + height, left : left + width] = np.rint(255 * digit)
    return page
