"""Lay images out on sheets with titles, and write PNG and GIF files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, PngImagePlugin

from engine.files import whole

PAPER, INK = 48, "#c8c8c8"  # greys of the background and of the titles
WIDEST = 1600  # largest width of a sheet, in pixels


def scale_for(shape: Sequence[int]) -> int:
    """Return the default enlargement for images (H, W, C), in pixels per pixel."""
    return 2 if max(shape[:2]) <= 64 else 1


def sheet(images: np.ndarray, titles: Sequence[str] = (), scale: int | None = None, gap: int = 1) -> Image.Image:
    """Lay images out on a grid, with titles along the upper edge.

    Args:
        images: uint8 (rows, columns, H, W, C), C = 1 or 3.
        titles: one per column, or one for the whole sheet, or none. With one per column, a sheet that would be wider
            than WIDEST continues in a second band below.
        scale: pixels per pixel, by nearest neighbour, so that every pixel stays visible; default: `scale_for`.
        gap: pixels around each image, before scaling.
    """
    scale = scale or scale_for(images.shape[2:])
    columns = images.shape[1]
    most = max(10, WIDEST // (scale * (images.shape[3] + gap)))
    if columns <= most or len(titles) != columns:
        return _band(images, titles, scale, gap)
    missing = -columns % most  # black columns that fill the last band
    images, titles = np.pad(images, ((0, 0), (0, missing), (0, 0), (0, 0), (0, 0))), [*titles, *[""] * missing]
    bands = [_band(images[:, i : i + most], titles[i : i + most], scale, gap) for i in range(0, columns, most)]
    return Image.fromarray(np.concatenate([np.asarray(band) for band in bands]))


def _band(images: np.ndarray, titles: Sequence[str], scale: int, gap: int) -> Image.Image:
    """Draw a sheet as a single band, however wide."""
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
        width = picture.width / len(titles)
        while len(title) > 1 and font.getlength(title) > width:
            title = title[:-2] + "…"
        pen.text(((i + 0.5) * width, head / 2), title, INK, font, anchor="mm")
    return picture


def square(images: np.ndarray) -> np.ndarray:
    """Fold (N, H, W, C) into a near-square (rows, columns, H, W, C); the rest of the last row is black."""
    columns = int(np.ceil(np.sqrt(len(images))))
    cells = np.pad(images, ((0, -len(images) % columns), (0, 0), (0, 0), (0, 0)))
    return cells.reshape(-1, columns, *images.shape[1:])


def write_png(path: Path, picture: Image.Image, metadata: dict[str, object]) -> None:
    """Write a PNG atomically, with `metadata` as text chunks."""
    info = PngImagePlugin.PngInfo()
    for key, value in metadata.items():
        info.add_itxt(key, str(value))
    with whole(path) as partial:
        picture.save(partial, "PNG", pnginfo=info)


def write_gif(path: Path, frames: Sequence[Image.Image], milliseconds: int | Sequence[int]) -> None:
    """Write a looping GIF atomically. `milliseconds` is the duration of every frame, or one duration per frame."""
    flat = [frame.quantize(16, dither=Image.Dither.NONE) for frame in frames]  # undithered: smooth, half the bytes
    with whole(path) as partial:
        flat[0].save(partial, "GIF", save_all=True, append_images=flat[1:], duration=milliseconds, loop=0)
