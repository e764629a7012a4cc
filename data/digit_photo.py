"""A photo or drawing of one handwritten digit, brought to MNIST's form."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from data import decode
from engine.photo_constants import BOX, CONTRAST, DARKER, LIGHT, LONGEST, NEAR, NOISE, PEN, SHEET, SMALL, STEP, TONE, WINDOW
from engine.terminal import Failure


def prepare(path: str | os.PathLike, side: int = 28) -> np.ndarray:
    """The digit in an image file as MNIST would hold it: uint8 (side, side), ink 255 at its brightest on 0.

    The digit is scaled to a box of 20/28 of the side, aspect kept, and its centre of mass is brought to the centre.
    Dark on light or light on dark. Strokes thinner than PEN are thickened to it.

    Raises:
        Failure: no such file, not an image, too large, or nothing is written on it; one line.
    """
    if not Path(path).is_file():
        raise Failure(f"{path} is not a file: name a picture of one digit")
    ink = _ink(decode.opened(path, _pixels))  # (H, W)
    digit = _digit(ink)
    if digit is None:
        raise Failure(f"{path} shows no digit: write one with a clear contrast to the paper")
    return _place(digit, side)


def _pixels(image: Image.Image) -> np.ndarray:
    """An image, decoded: float (H, W, 3), 0 to 255, upright, on white, at most LONGEST pixels long."""
    image.draft("RGB", (2 * LONGEST, 2 * LONGEST))  # a JPEG is decoded at a fraction of its size; else nothing
    image = ImageOps.exif_transpose(image)
    if decode.is_transparent(image):
        alpha = image.convert("RGBA").getchannel("A")
        if np.mean(alpha) < 128:  # strokes on nothing: their shape is the ink, whatever their colour
            image = ImageOps.invert(alpha)
    image = decode.flat(image, (255, 255, 255))
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.BOX)
    return np.asarray(image, float)


def _ink(pixels: np.ndarray) -> np.ndarray:
    """How far each pixel of (H, W, 3) is from the paper, towards the ink's colour: float (H, W)."""
    away = _tone(pixels) - _tone(_paper(pixels))  # (H, W, 3)
    size = np.linalg.norm(away, axis=-1)
    towards = away[size >= 0.5 * size.max()].mean(0)
    return away @ (towards / (np.linalg.norm(towards) or 1.0))


def _tone(pixels: np.ndarray) -> np.ndarray:
    return 255 * np.log1p(pixels / TONE) / np.log1p(255 / TONE)


def _paper(pixels: np.ndarray) -> np.ndarray:
    """The paper's colour at every pixel of (H, W, 3): the median of what is around it, which strokes do not change."""
    image = Image.fromarray(np.uint8(pixels))
    copy = image.copy()
    copy.thumbnail((SHEET, SHEET), Image.Resampling.BOX)
    copy = np.asarray(copy)
    windows = [
        [slice(start, start + WINDOW) for start in np.clip(np.arange(STEP // 2, max(length, STEP), STEP) - WINDOW // 2, 0, max(0, length - WINDOW))]
        for length in copy.shape[:2]
    ]
    paper = [[np.median(copy[rows, columns], (0, 1)) for columns in windows[1]] for rows in windows[0]]
    paper = Image.fromarray(np.uint8(paper)).resize(image.size, Image.Resampling.BICUBIC)
    return np.asarray(paper, float)


def otsu(values: np.ndarray) -> float:
    """The threshold that parts `values` into two groups with the least variance within them (Otsu, 1979)."""
    counts, edges = np.histogram(values, 256)
    below = counts.cumsum()[:-1]
    above = counts.sum() - below
    sums = (counts * (edges[:-1] + edges[1:]) / 2).cumsum()
    between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / np.maximum(above, 1)) ** 2
    return float(edges[1 + np.argmax(between)])


def dilated(array: np.ndarray, reach: int) -> np.ndarray:
    """The maximum over the square that goes `reach` pixels to each side of each pixel of (H, W)."""
    for _ in range(2):  # along the columns, then along the rows
        padded = np.pad(array.T, ((reach, reach), (0, 0)), "edge")
        array = padded[reach : len(padded) - reach]
        for shift in range(2 * reach + 1):
            array = np.maximum(array, padded[shift : len(padded) - 2 * reach + shift])
    return array


def components(mask: np.ndarray) -> np.ndarray:
    """Each connected component of a bool (H, W) with a number of its own, 0 elsewhere: int (H, W)."""
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:  # every pixel takes the highest number among its neighbours, then that number's own
        spread = np.where(mask, dilated(labels, 1), 0)
        spread = np.append(0, spread)[spread]
        if (spread == labels).all():
            return np.unique(labels, return_inverse=True)[1].reshape(mask.shape)
        labels = spread


def box(mask: np.ndarray) -> tuple[slice, slice]:
    """The rows and the columns that hold all of a bool (H, W)."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _digit(ink: np.ndarray) -> np.ndarray | None:
    """The digit alone, cropped, full ink at 1, of ink (H, W). None if nothing stands out from the paper.

    It is the heaviest component that the border does not cut, and what belongs to it. Where there is none, what the
    border cuts is wiped out, as a pencil's strokes are not seen beside a dark table. Without any, the digit is cut.
    """
    least = max(CONTRAST, NOISE * np.median(np.abs(ink)))
    clean, cut_digit = ink, None
    while True:
        mask = _strong(clean, clean > otsu(clean.clip(0)))
        if not mask.any() or clean[mask].mean() < least:
            return cut_digit
        labels = components(dilated(mask, 1))
        weight = np.bincount(labels.ravel(), (clean * mask).ravel())
        weight[0] = 0
        cut = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
        inner = weight.copy()
        inner[cut] = 0
        main = inner.argmax()
        if inner[main] and max(ink[box(labels == main)].shape) >= SMALL * max(ink.shape):
            return _cut_out(clean, mask, labels, inner)
        if cut_digit is None:
            cut_digit = _cut_out(clean, mask, labels, weight)
        if not weight[cut].any():
            return cut_digit
        clean = np.where(np.isin(labels, cut[cut > 0]), 0, clean)


def _strong(ink: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """The part of a mask (H, W) whose ink is DARKER times as strong as the rest's, if there is one: no shade, no crease."""
    if np.ptp(ink[mask]) < 1:
        return mask
    strong = mask & (ink > otsu(ink[mask]))
    if not strong.any() or ink[strong].mean() < DARKER * ink[mask & ~strong].mean():
        return mask
    return strong


def _cut_out(ink: np.ndarray, mask: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The heaviest component, and what lies near it and is not much lighter, cropped: ink in 0-1."""
    main = weight.argmax()
    rows, columns = box(labels == main)
    reach = math.ceil(NEAR * max(rows.stop - rows.start, columns.stop - columns.start))
    around = labels[max(rows.start - reach, 0) : rows.stop + reach, max(columns.start - reach, 0) : columns.stop + reach]
    keep = np.isin(labels, [part for part in np.unique(around) if weight[part] >= LIGHT * weight[main]])
    full = np.percentile(ink[keep & mask], 75)  # a stroke's core, not its edge
    return np.where(keep, ink / full, 0).clip(0, 1)[box(keep)]


def _scaled(ink: np.ndarray, longest: int) -> np.ndarray:
    """Ink (H, W) in 0-1 at another size, of which the longer side is given."""
    scale = longest / max(ink.shape)
    size = [max(1, round(scale * length)) for length in ink.shape[::-1]]
    how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(ink.astype(np.float32)).resize(size, how))


def _thickened(ink: np.ndarray) -> np.ndarray:
    """Ink (H, W) in 0-1, its strokes as wide as PEN at least."""
    fine = np.pad(_scaled(ink, 4 * 20), 4)  # four pixels for each of MNIST's
    stroke = fine > 0.5
    area = stroke.sum()
    width = 2 * area / max(dilated(stroke, 1).sum() - area, 1)  # what a pixel more on either side adds tells it
    reach = round((4 * PEN - width) / 2)
    if reach <= 0:
        return ink
    thick = dilated(fine, reach)
    return thick[box(thick > 0.1)]


def _place(ink: np.ndarray, side: int) -> np.ndarray:
    """Scale ink (H, W) to BOX of `side`, and bring its centre of mass to the centre: uint8 (side, side)."""
    digit = _scaled(_thickened(ink), round(BOX * side))
    digit = digit / digit.max()
    # Rounded up: in every MNIST digit the centre of mass lies from 14.0 to 15.0, the frame being 28 wide.
    at = []
    for axis, length in enumerate(digit.shape):
        centre = digit.sum(1 - axis) @ (np.arange(length) + 0.5) / digit.sum()
        at.append(min(max(math.ceil(side / 2 - centre), 0), side - length))
    page = np.zeros((side, side), np.uint8)
    page[at[0] : at[0] + digit.shape[0], at[1] : at[1] + digit.shape[1]] = np.rint(255 * digit)
    return page
