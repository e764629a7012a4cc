"""Sheets of images as PNG and GIF: what a person looks at."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from engine.files import whole

PAPER, INK = 48, 200  # grey levels of the gaps and of the labels
WIDEST = 1600  # pixels of a sheet


def scale_for(shape: Sequence[int]) -> int:
    """Pixels per pixel that suit images (H, W, C)."""
    return 2 if max(shape[:2]) <= 64 else 1


def sheet(images: np.ndarray, titles: Sequence[object] = (), scale: int | None = None, gap: int = 1) -> Image.Image:
    """Lay images out on a grid with one-pixel gaps, labels along the upper edge, integer up-scaling.

    Args:
        images: uint8 (rows, columns, H, W, C), C = 1 or 3.
        titles: one per column, or one for the whole sheet, or none. With one per column, columns that make the sheet
            wider than WIDEST go on below.
        gap: pixels around each image, before scaling.
        scale: pixels per pixel, nearest neighbour, so that every model pixel stays itself; None: `scale_for` these.
    """
    scale = scale or scale_for(images.shape[2:])
    columns = images.shape[1]
    most = max(10, WIDEST // (scale * (images.shape[3] + gap)))
    if columns <= most or len(titles) != columns:
        return _band(images, [str(title) for title in titles], scale, gap)
    bands = []
    for i in range(0, columns, most):
        some = images[:, i : i + most]
        padded = np.zeros((some.shape[0], most, *some.shape[2:]), np.uint8)
        padded[:, : some.shape[1]] = some
        names = [str(title) for title in titles[i : i + most]]
        bands.append(_band(padded, names + [""] * (most - len(names)), scale, gap))
    picture = Image.new(bands[0].mode, (bands[0].width, sum(band.height for band in bands)))
    for i, band in enumerate(bands):
        picture.paste(band, (0, i * band.height))
    return picture


def _band(images: np.ndarray, titles: Sequence[str], scale: int, gap: int) -> Image.Image:
    """A sheet whose columns stand beside one another, however many."""
    rows, columns, h, w, c = images.shape
    canvas = np.full((rows * (h + gap) + gap, columns * (w + gap) + gap, c), PAPER, np.uint8)
    for row in range(rows):
        for column in range(columns):
            top, left = gap + row * (h + gap), gap + column * (w + gap)
            canvas[top : top + h, left : left + w] = images[row, column]
    grid = Image.fromarray(canvas if c == 3 else canvas[..., 0])
    grid = grid.resize((grid.width * scale, grid.height * scale), Image.Resampling.NEAREST)
    if not titles:
        return grid
    font = ImageFont.load_default(max(10, 7 * scale))
    head = round(font.size * 1.5)
    picture = Image.new(grid.mode, (grid.width, grid.height + head), PAPER if c == 1 else (PAPER,) * 3)
    picture.paste(grid, (0, head))
    pen, room = ImageDraw.Draw(picture), grid.width / len(titles)
    for i, title in enumerate(titles):
        text = _fitting(title, font, room)
        pen.text(((i + 0.5) * room, head / 2), text, INK if c == 1 else (INK,) * 3, font, anchor="mm")
    return picture


def _fitting(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """`text`, or as many of its first letters as there is room for, in pixels, and an ellipsis."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text + "…"


def square(images: np.ndarray) -> np.ndarray:
    """Fold (N, H, W, C) into a tidy near-square (rows, columns, H, W, C), black where the last row runs out."""
    columns = int(np.ceil(np.sqrt(len(images))))
    rows = -(-len(images) // columns)
    cells = np.zeros((rows * columns, *images.shape[1:]), images.dtype)
    cells[: len(images)] = images
    return cells.reshape(rows, columns, *images.shape[1:])


def write_png(path: str | os.PathLike, picture: Image.Image, about: dict[str, object] | None = None) -> None:
    """Write a PNG, whole or not at all, with `about` as text metadata."""
    info = PngImagePlugin.PngInfo()
    for key, value in (about or {}).items():
        info.add_itxt(key, str(value))
    with whole(path) as partial:
        picture.save(partial, "PNG", pnginfo=info)


def write_gif(path: str | os.PathLike, frames: Sequence[Image.Image], milliseconds: int | Sequence[int]) -> None:
    """Write a looping GIF, whole or not at all; each frame for its own or the common number of milliseconds."""
    flat = [frame.quantize(16, dither=Image.Dither.NONE) for frame in frames]  # smooth strokes, a half of the bytes
    with whole(path) as partial:
        flat[0].save(partial, "GIF", save_all=True, append_images=flat[1:], duration=milliseconds, loop=0)


def write_walk_gif(path: str | os.PathLike, walks: np.ndarray, titles: Sequence[object], scale: int | None) -> None:
    """uint8 walks (rows, T, H, W, C) as a looping GIF of T squares, there and back."""
    frames = [sheet(square(walks[:, i]), titles, scale) for i in range(walks.shape[1])]
    write_gif(path, frames + frames[-2:0:-1], 100)
