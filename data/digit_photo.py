"""Convert a photo or drawing of one handwritten digit to MNIST's form."""

import math
import os

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from data import decode
from engine.photo_constants import BOX, CONTRAST, DARKER, LIGHT, LONGEST, NEAR, PEN, SHEET, SMALL, STEP, TONE, WINDOW
from engine.terminal import Failure

TONES = 255 * np.log1p(np.arange(256) / TONE) / np.log1p(255 / TONE)
LEVELS = np.arange(256)


def prepare(path: str | os.PathLike, side: int = 28) -> np.ndarray:
    """Return the digit in an image file in MNIST's form: uint8 (side, side), ink up to 255 on a background of 0.

    It may be dark on light or light on dark. It is scaled to a box of 20/28 of the side, with its aspect ratio; its
    centre of mass is moved to the centre; strokes thinner than PEN are thickened. Raises Failure if the file is no
    image or shows no digit.
    """
    digit = _digit(_ink(decode.opened(path, _pixels)))
    if digit is None:
        raise Failure(f"{path} shows no digit: write one with a clear contrast to the paper")
    return _placed(_thickened(digit), side)


def _pixels(image: Image.Image) -> np.ndarray:
    """Decode an image: uint8 (H, W, 3), upright, on white, its longer side at most LONGEST pixels."""
    image.draft(None, (2 * LONGEST, 2 * LONGEST))  # decodes a JPEG at reduced size
    image = ImageOps.exif_transpose(decode.eight_bit(image))
    if image.has_transparency_data:
        alpha = image.convert("RGBA").getchannel("A")
        if np.mean(alpha) < 128:  # mostly transparent: the opaque pixels are the ink, whatever their colour
            image = ImageOps.invert(alpha)
    image = decode.flat(image, (255, 255, 255))
    image.thumbnail((LONGEST, LONGEST), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _ink(pixels: np.ndarray) -> np.ndarray:
    """Return the ink of each pixel, its difference from the paper along the ink's colour: uint8 (H, W)."""
    image = Image.fromarray(pixels)
    image.thumbnail((SHEET, SHEET), Image.Resampling.BOX)
    copy = np.asarray(image)
    paper = _medians(copy, np.ones(copy.shape[:2], bool))
    rough = _away(copy, paper, paper)
    paper = _medians(copy, rough <= _thresholds(rough)[0])  # without the ink, or broad strokes would count as paper
    # All colours between nearby medians count as paper, so that the edge of a shadow is not ink.
    return _away(pixels, paper.filter(ImageFilter.MinFilter(3)), paper.filter(ImageFilter.MaxFilter(3)))


def _medians(copy: np.ndarray, blank: np.ndarray) -> Image.Image:
    """Return the local median colours of the blank pixels, bool (H, W), as an image STEP times smaller."""

    def windows(length: int) -> list[slice]:
        starts = np.arange(0, length, STEP) + STEP // 2 - WINDOW // 2
        return [slice(max(start, 0), start + WINDOW) for start in starts]

    def median(*window: slice) -> np.ndarray:
        colours = copy[window][blank[window]]  # (N, 3)
        return np.median(colours if len(colours) else copy[window].reshape(-1, 3), 0)

    rows, columns = (windows(length) for length in copy.shape[:2])
    return Image.fromarray(np.uint8([[median(row, column) for column in columns] for row in rows]))


def _away(pixels: np.ndarray, low: Image.Image, high: Image.Image) -> np.ndarray:
    """Return the distance of each pixel of (H, W, 3) from paper of colours `low` to `high`: uint8 (H, W)."""
    size = pixels.shape[1::-1]
    paper = pixels.clip(*(np.asarray(level.resize(size, Image.Resampling.BILINEAR)) for level in (low, high)))
    away = TONES[pixels] - TONES[paper]  # (H, W, 3)
    distance = np.linalg.norm(away, axis=-1)
    towards = away[distance >= distance.max() / 2].mean(0)
    ink = away @ (towards / (np.linalg.norm(towards) or 1.0)) / math.sqrt(3)
    return np.uint8(np.rint(ink.clip(0, 255)))


def otsu(counts: np.ndarray) -> int:
    """Return the threshold of a histogram (256,) with the least variance within its two classes (Otsu, 1979)."""
    below = counts.cumsum()
    above = below[-1] - below
    sums = (counts * LEVELS).cumsum()
    means = sums / np.maximum(below, 1), (sums[-1] - sums) / np.maximum(above, 1)
    return int(np.argmax(below * above * (means[0] - means[1]) ** 2))


def _thresholds(ink: np.ndarray) -> list[int]:
    """Return thresholds of the ink (H, W), to be tried in order: Otsu's, after a higher one for ink that is DARKER."""
    counts = np.bincount(ink.ravel(), minlength=256)
    level = otsu(counts)
    counts[: level + 1] = 0
    higher = otsu(counts)
    if higher <= level:  # a single level above the threshold
        return [level]
    faint, strong = (np.average(LEVELS[part], weights=counts[part]) for part in np.split(LEVELS, [higher + 1]))
    return [higher, level] if strong >= DARKER * faint else [level]


def dilated(array: np.ndarray, reach: int) -> np.ndarray:
    """Dilate (H, W): the maximum over the square that extends `reach` pixels to each side of each pixel."""
    for _ in range(2):  # along the columns, then along the rows
        padded = np.pad(array.T, ((reach, reach), (0, 0)), "edge")
        array = np.maximum.reduce([padded[by : by + array.shape[1]] for by in range(2 * reach + 1)])
    return array


def components(mask: np.ndarray) -> np.ndarray:
    """Label the connected components of a bool (H, W), with 8 neighbours: int (H, W), 0 where it is False."""
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:  # each pixel takes the highest label near it, then that label's current label
        spread = np.where(mask, dilated(labels, 1), 0)
        spread = np.append(0, spread)[spread]
        if (spread == labels).all():
            return labels
        labels = spread


def box(mask: np.ndarray) -> tuple[slice, slice]:
    """Return the bounding box of a bool (H, W), as slices of rows and columns."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _digit(ink: np.ndarray) -> np.ndarray | None:
    """Cut the digit out of ink, uint8 (H, W), and scale full ink to 255; None if nothing stands out.

    The digit is the heaviest connected component that does not touch the border, with its fragments. If there is none,
    the components at the border are erased and the search repeats: beside a dark table, pencil strokes do not stand
    out. If nothing is left, the digit is the component that was erased first, if it reaches the picture's middle.
    """
    cut_digit = None
    while True:
        for threshold in _thresholds(ink):
            mask = ink > threshold
            if not mask.any() or ink[mask].mean() < CONTRAST:
                return cut_digit
            labels = components(dilated(mask, 1))
            weight = np.bincount(labels.ravel(), ink.ravel() * mask.ravel())
            cut = np.setdiff1d(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]), 0)
            inner = weight.copy()
            inner[cut] = 0
            if inner.any() and max(ink[box(labels == inner.argmax())].shape) >= SMALL * max(ink.shape):
                return _cut_out(ink, mask, labels, inner)
        heaviest, (height, width) = weight.argmax(), np.array(labels.shape) // 4
        middle = labels[height : len(labels) - height, width : labels.shape[1] - width]
        if cut_digit is None and (heaviest not in cut or heaviest in middle):
            cut_digit = _cut_out(ink, mask, labels, weight)
        if not cut.size:
            return cut_digit
        ink = np.where(np.isin(labels, cut), 0, ink)


def _cut_out(ink: np.ndarray, mask: np.ndarray, labels: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Crop the heaviest component, with the components NEAR it that are not too LIGHT."""
    main = weight.argmax()
    rows, columns = box(labels == main)
    reach = math.ceil(NEAR * max(rows.stop - rows.start, columns.stop - columns.start))
    near = labels[max(rows.start - reach, 0) : rows.stop + reach, max(columns.start - reach, 0) : columns.stop + reach]
    keep = np.isin(labels, [part for part in np.unique(near) if weight[part] >= LIGHT * weight[main]])
    full = np.percentile(ink[keep & mask], 75)  # ink in the core of a stroke, not at its edge
    digit = np.uint8(np.where(keep, ink * 255.0 / full, 0).clip(0, 255))
    return digit[box(digit > 0)]


def _scaled(ink: np.ndarray, longest: int) -> np.ndarray:
    """Scale ink, uint8 (H, W), so that its longer side has `longest` pixels."""
    scale = longest / max(ink.shape)
    size = [max(1, round(scale * length)) for length in ink.shape[::-1]]
    how = Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR
    return np.asarray(Image.fromarray(ink).resize(size, how))


def _thickened(ink: np.ndarray) -> np.ndarray:
    """Thicken the strokes of ink, uint8 (H, W), to a width of PEN at least."""
    fine = np.pad(_scaled(ink, 4 * 20), 4)  # four pixels per pixel of MNIST, and a margin for thicker strokes
    stroke = fine > 127
    area = stroke.sum()
    width = 2 * area / max(dilated(stroke, 1).sum() - area, 1)  # dilation by one pixel adds twice the strokes' length
    reach = round((4 * PEN - width) / 2)
    if reach <= 0:
        return ink
    return dilated(fine, reach)[4 - reach : len(fine) - 4 + reach, 4 - reach : fine.shape[1] - 4 + reach]


def _placed(ink: np.ndarray, side: int) -> np.ndarray:
    """Scale ink, uint8 (H, W), to BOX of `side` and centre it by its centre of mass: uint8 (side, side)."""
    digit = _scaled(ink, round(BOX * side)).astype(float)
    # Rounded up: in every MNIST digit, 28 pixels wide, the centre of mass lies from 14.0 to 15.0.
    start = []
    for axis, length in enumerate(digit.shape):
        centre = digit.sum(1 - axis) @ (np.arange(length) + 0.5) / digit.sum()
        start.append(min(max(math.ceil(side / 2 - centre), 0), side - length))
    page = np.zeros((side, side), np.uint8)
    page[start[0] : start[0] + len(digit), start[1] : start[1] + digit.shape[1]] = np.rint(255 * digit / digit.max())
    return page
