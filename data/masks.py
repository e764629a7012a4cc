"""Grey levels and masks as NumPy arrays: thresholds, sizes, neighbourhoods, connected parts."""

from __future__ import annotations

import numpy as np
from PIL import Image


def otsu(values: np.ndarray) -> float:
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


def densest(values: np.ndarray) -> np.ndarray:
    """The middle of the shortest range that holds half of (M, C), of each column: where most of them are.

    Of two levels it is one, even where each has half of the values; a median would lie between them.
    """
    ordered = np.sort(values, 0)
    half = len(ordered) // 2
    start = (ordered[half:] - ordered[:-half]).argmin(0)
    return ordered[start + half // 2, np.arange(len(start))]


def shrink(array: np.ndarray, longest: int) -> np.ndarray:
    """Average a float (H, W) down to `longest` pixels; never up."""
    image = Image.fromarray(array.astype(np.float32))
    scale = min(1.0, longest / max(image.size))
    return np.asarray(image.resize([max(1, round(scale * side)) for side in image.size], Image.Resampling.BOX))


def enlarged(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A bool (H, W) at another shape, nearest neighbour."""
    return np.asarray(Image.fromarray(np.uint8(mask)).resize(shape[::-1], Image.Resampling.NEAREST)) > 0


def around(array: np.ndarray, reach: int, extreme: np.ufunc) -> np.ndarray:
    """np.maximum or np.minimum over the square that goes `reach` pixels to each side of (H, W)."""
    for _ in range(2):  # along the rows, then along the columns
        array = np.pad(array.T, ((reach, reach), (0, 0)), "edge")
        size = 1
        while size <= 2 * reach:
            step = min(size, 2 * reach + 1 - size)
            array = extreme(array[:-step], array[step:])
            size += step
    return array


def opened(array: np.ndarray, reach: int) -> np.ndarray:
    """(H, W) without what no square that goes `reach` pixels to each side finds room in (a morphological opening)."""
    return around(around(array, reach, np.minimum), reach, np.maximum)


def labelled(mask: np.ndarray) -> np.ndarray:
    """Each connected part of a bool (H, W) with a number of its own, 0 elsewhere: int32 (H, W)."""
    labels = np.where(mask, np.arange(1, mask.size + 1, dtype=np.int32).reshape(mask.shape), 0)
    while True:  # every pixel takes the highest number among its neighbours, then that number's own, until none changes
        spread = np.where(mask, around(labels, 1, np.maximum), 0)
        spread = np.append(np.int32(0), spread)[spread]
        if (spread == labels).all():
            return labels
        labels = spread


def cut(labels: np.ndarray) -> np.ndarray:
    """The numbers of the parts, int32 (H, W) as `labelled` gives them, that the picture's border cuts."""
    return np.setdiff1d(border(labels[..., None]), 0)


def box(mask: np.ndarray) -> tuple[slice, slice]:
    """The rows and the columns that hold all of a bool (H, W)."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def longer_side(mask: np.ndarray) -> int:
    """Of the box that holds all of a bool (H, W), in pixels."""
    return max(mask[box(mask)].shape)


def border(pixels: np.ndarray) -> np.ndarray:
    """The outermost pixels of (H, W, C) as (M, C)."""
    return np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
