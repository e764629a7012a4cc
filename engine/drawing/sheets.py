"""Sheets of images as PNG and GIF: what a person looks at."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from engine.files import whole

PAPER, INK = 48, "#c8c8c8"  # grey of the gaps and of the labels
WIDEST = 1600  # pixels of a sheet


def scale_for(shape: Sequence[int]) -> int:
    """Pixels per pixel that suit images (H, W, C)."""
    return 2 if max(shape[:2]) <= 64 else 1


def sheet(images: np.ndarray, titles: Sequence[object] = (), scale: int | None = None, gap: int = 1) -> Image.Image:
    """Lay images out on a grid, labels along the upper edge.

    Args:
        images: uint8 (rows, columns, H, W, C), C = 1 or 3.
        titles: one per column, or one for the whole sheet, or none. With one per column, columns that make the sheet
            wider than WIDEST go on below.
        scale: pixels per pixel, nearest neighbour, so that every model pixel stays itself; None: `scale_for` these.
        gap: pixels around each image, before scaling.
    """
    scale = scale or scale_for(images.shape[2:])
    columns, names = images.shape[1], [str(title) for title in titles]
    most = max(10, WIDEST // (scale * (images.shape[3] + gap)))
    if columns <= most or len(names) != columns:
        return _band(images, names, scale, gap)
    missing = -columns % most  # in the last band, black
    images, names = np.pad(images, ((0, 0), (0, missing), (0, 0), (0, 0), (0, 0))), names + [""] * missing
    bands = [_band(images[:, i : i + most], names[i : i + most], scale, gap) for i in range(0, columns, most)]
    picture = Image.new(bands[0].mode, (bands[0].width, sum(band.height for band in bands)))
    for i, band in enumerate(bands):
        picture.paste(band, (0, i * band.height))
    return picture


def _band(images: np.ndarray, titles: Sequence[str], scale: int, gap: int) -> Image.Image:
    """A sheet whose columns stand beside one another, however many."""
    rows, columns, h, w, c = images.shape
    cells = np.pad(images, ((0, 0), (0, 0), (gap, 0), (gap, 0), (0, 0)), constant_values=PAPER)
    canvas = cells.swapaxes(1, 2).reshape(rows * (h + gap), columns * (w + gap), c)
    canvas = np.pad(canvas, ((0, gap), (0, gap), (0, 0)), constant_values=PAPER).repeat(scale, 0).repeat(scale, 1)
    font = ImageFont.load_default(max(10, 7 * scale))
    head = round(font.size * 1.5) if titles else 0
    canvas = np.pad(canvas, ((head, 0), (0, 0), (0, 0)), constant_values=PAPER)
    picture = Image.fromarray(canvas if c == 3 else canvas[..., 0])
    pen = ImageDraw.Draw(picture)
    for i, title in enumerate(titles):
        room = picture.width / len(titles)
        pen.text(((i + 0.5) * room, head / 2), _fitting(title, font, room), INK, font, anchor="mm")
    return picture


def _fitting(text: str, font: ImageFont.FreeTypeFont, room: float) -> str:
    """`text`, or as many of its first letters as there is room for, in pixels, and an ellipsis."""
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text + "…"


def square(images: np.ndarray) -> np.ndarray:
    """Fold (N, H, W, C) into a near-square (rows, columns, H, W, C), black where the last row runs out."""
    columns = int(np.ceil(np.sqrt(len(images))))
    cells = np.pad(images, ((0, -len(images) % columns), (0, 0), (0, 0), (0, 0)))
    return cells.reshape(-1, columns, *images.shape[1:])


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
