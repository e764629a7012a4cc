"""A photo or drawing of one handwritten digit, brought to MNIST's form."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from data import masks
from data.decode import opened
from engine.terminal import Failure

WORK = 800  # longer side, in pixels, that the search for the digit works on
FIT = 130  # the same for the paper's surface
GRID = 130  # the same for the ink's connected parts
TRACE = 160  # the same for a digit's strokes, of which the longer side of their box counts
PEN = 1.0  # width of MNIST's thinnest strokes in its own pixels, by `_thickened`'s measure; the median is 1.8
FAINT = 0.06  # of the full ink: below, a pixel does not stretch the digit's box
FLAT = 25.0  # contrast below which a picture is blank: a Euclidean distance of colours, 14 levels of grey
BROAD = 10  # of the longer side a tenth to each side of a pixel: broader than any stroke
SMALL = 0.1  # of the longer side: nothing smaller is taken for the digit in place of what the border cuts
DEPTH = 0.25  # of a side: what reaches farther in from the border is no mark
DARKER = 2.0  # times the mean of what else stands out: the digit, and not a shade, a crease or ruling
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
        colour, alpha = np.split(np.asarray(image, float), [3], -1)
        opaque = alpha[..., 0] >= 128
        if np.median(masks.border(alpha)) < 128 and opaque.any():
            if opaque.mean() < 0.5 or colour[opaque].std(0).max() < 24:  # strokes on nothing, of whatever colour
                return np.repeat(255 - alpha, 3, -1)
        return (colour * alpha + 255 * (255 - alpha)) / 255
    image = image.convert("RGB")
    image.thumbnail((WORK, WORK), Image.Resampling.BOX)
    return np.asarray(image, float)


def _ink(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """How far each pixel is from the paper, towards the ink's colour: float (H, W); and the paper's noise.

    Where a hard-edged shadow lies on the paper, its level is what an opening leaves, which keeps edges, but no strokes;
    and the ink there is brought to its contrast in full light.
    """
    sheet, rest = _sheet(pixels)
    every = pixels - sheet  # (H, W, 3)
    away = np.abs(every).max(-1)
    beside = _beside(away)
    clear = np.where(beside, 0, away)
    towards = every[clear >= 0.5 * clear.max()].mean(0)
    towards /= np.linalg.norm(towards) or 1.0
    ink = every @ towards
    if beside.any():
        level = masks.opened(ink, max(ink.shape) // BROAD)
        level += np.median((ink - level)[beside])  # in noise, an opening lies below most pixels
        with np.errstate(divide="ignore", invalid="ignore"):
            light = np.nan_to_num((1 + level / (sheet @ towards)).clip(0.4, 2.5), nan=1.0)
        ink = np.where(beside, (ink - level) / light, ink)
    return ink, 1.5 * float(np.median(np.abs(rest @ towards)))


def _sheet(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The paper's colour at every pixel, float (H, W, 3); and how far some pixels that show it are from it, (M, 3).

    It is a smooth surface (a quadratic, for uneven light) fitted to what looks like paper: first what resembles the
    border, then whatever lies within the noise.
    """
    height, width, _ = pixels.shape
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    surface = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], -1)  # (H, W, 6)
    step = -(-max(height, width) // FIT)
    some, terms = pixels[::step, ::step].reshape(-1, 3), surface[::step, ::step].reshape(-1, 6)
    away = np.abs(some - masks.densest(masks.border(pixels))).max(-1)
    paper = away <= masks.otsu(away)
    for _ in range(5):
        fitted = np.linalg.lstsq(terms[paper], some[paper], rcond=None)[0]  # (6, 3)
        rest = some - terms @ fitted
        away = np.abs(rest).max(-1)
        near = away <= max(4.5 * np.median(away[paper]), 1.0)  # 3 standard deviations, were it Gaussian
        if near.sum() < 6:
            break
        paper = near
    return surface @ fitted, rest[paper]


def _beside(away: np.ndarray) -> np.ndarray:
    """Where something broader than any stroke comes in from the picture's border, a shadow or a table: bool (H, W).

    Args:
        away: how far each pixel is from the paper's surface, float (H, W).
    """
    grid = masks.shrink(away, GRID) > FLAT / 2
    labels = masks.labelled(masks.opened(grid, max(grid.shape) // BROAD))
    return masks.enlarged(masks.around(np.isin(labels, masks.cut(labels)), 2, np.maximum), away.shape)


def _largest_parts(ink: np.ndarray, noise: float) -> np.ndarray | None:
    """Where the digit is, its soft edges included: bool (H, W). Specks are left out. None if there is no digit."""
    grid = np.sqrt(masks.shrink(ink.clip(0) ** 2, GRID))  # root mean square: in a plain mean, a thin stroke would fade
    least = max(FLAT, 5 * noise)
    if grid.max() < least or grid.max() <= masks.otsu(grid):
        return None
    mask = _inked(grid, _clear(grid, least))
    keep = _largest(mask, grid)
    specks = masks.around(mask & ~keep, 1, np.maximum)
    reach = -(-masks.longer_side(keep) // 16)  # more than a pixel of the 20 that will be
    return masks.enlarged(np.where(specks, keep, masks.around(keep, reach, np.maximum)), ink.shape)


def _inked(grid: np.ndarray, clear: np.ndarray) -> np.ndarray:
    """What stands out where it is clear: bool (H, W); as long as something in it, no speck, is DARKER, only that."""
    mask = clear & (grid > masks.otsu(grid[clear]))
    while mask.any():
        dark = mask & (grid > masks.otsu(grid[mask]))
        labels, weight = _weighed(dark, grid)
        if not dark.any() or masks.longer_side(labels == weight.argmax()) <= SMALL * max(grid.shape):
            break
        if grid[dark].mean() < DARKER * grid[mask & ~dark].mean():
            break
        mask = dark
    return mask


def _clear(grid: np.ndarray, least: float) -> np.ndarray:
    """Where no mark is at the picture's border: bool (H, W). Everywhere, if without the marks there is no digit."""
    clear = everywhere = np.ones_like(grid, bool)
    while clear.any() and grid[clear].max() >= least:
        mask = _inked(grid, clear)
        if not mask.any():
            break
        marks = _marks(mask, grid)
        if not marks.any():
            return clear if masks.longer_side(_largest(mask, grid)) > SMALL * max(grid.shape) else everywhere
        # And again: beside a dark mark, a pencil's strokes looked like paper.
        clear = clear & ~masks.around(marks, 1, np.maximum)
    return everywhere


def _weighed(mask: np.ndarray, grid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A mask's connected parts, int32 (H, W), and the grid's ink in each of them, by number; 0 is no part."""
    labels = masks.labelled(mask)
    return labels, np.bincount(labels.ravel(), grid.ravel() * mask.ravel())


def _largest(mask: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """A mask's connected parts, but for those that have much less of the grid's ink than the largest."""
    labels, weight = _weighed(mask, grid)
    return (weight >= PART * weight.max())[labels] & mask


def _marks(mask: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """A mask's parts that the border cuts, that keep to it, and that are away from the main part: bool (H, W)."""
    labels, weight = _weighed(mask, grid)
    cut = masks.cut(labels)
    weight[cut] = 0
    marks, near = np.zeros_like(mask), np.zeros_like(mask)
    if weight.any():
        rows, columns = masks.box(labels == weight.argmax())
        gap = max(rows.stop - rows.start, columns.stop - columns.start) // 16
        near[max(rows.start - gap, 0) : rows.stop + gap, max(columns.start - gap, 0) : columns.stop + gap] = True
    for label in cut:
        part = labels == label
        sides = (np.flatnonzero(turned.any(1)) / len(turned) for turned in (part, part[::-1], part.T, part.T[::-1]))
        depth = min(side[-1] for side in sides if side[0] == 0)
        if depth < DEPTH and not (part & near).any():
            marks |= part
    return marks


def _thickened(ink: np.ndarray) -> np.ndarray:
    """Ink (H, W) on a scale where full ink is 1; strokes thinner than PEN are traced anew, with a pen of that width.

    What a pixel more on either side adds to a stroke tells its width. Measured and traced at TRACE, where noise is
    averaged away: it would make the edges ragged, and a broad stroke seem thin.
    """
    ink = np.pad(ink, max(ink.shape) // 40 + 1)  # room for strokes at the picture's edge to grow
    core = ink > masks.otsu(ink.clip(0))
    trace = masks.shrink(ink, round(TRACE * max(ink.shape) / masks.longer_side(core)))
    stroke = np.uint8(trace > masks.otsu(trace.clip(0)))
    area, grown = stroke.sum(), masks.around(stroke, 1, np.maximum).sum()
    width = 2 * area / (grown - area)
    reach = round((PEN * masks.longer_side(stroke > 0) / 20 - width) / 2)
    if reach > 0:
        return masks.around(stroke, reach, np.maximum).astype(float)
    full = np.percentile(ink[core], 75)  # a stroke's core, not its edge and not one bright speck
    return np.minimum(ink / full, 1)


def _despeckled(grey: np.ndarray) -> np.ndarray:
    """A digit, uint8 (H, W), without what is much smaller than a pixel of the picture to come: noise, not strokes."""
    pixel = masks.longer_side(grey > 0) / 20
    for size in range(min(2 * int(pixel / 4) + 1, 7), 0, -2):
        clean = np.asarray(Image.fromarray(grey).filter(ImageFilter.MedianFilter(size)))
        if (clean > 127).sum() > 0.8 * (grey > 127).sum():  # else it is hatched, or otherwise made of fine lines
            break
    return clean


def _place(ink: np.ndarray, size: int) -> np.ndarray:
    """Scale the inked box of (H, W), full at 1, to fit 20/28 of `size`, and bring its centre of mass to the centre."""
    box = ink[masks.box(_despeckled(np.uint8(255 * ink.clip(0, 1))) > 255 * FAINT)]
    scale = round(size * 20 / 28) / max(box.shape)
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
