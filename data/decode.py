"""One picture of any kind, brought to the form that a model sees: a square of 8-bit pixels."""

from __future__ import annotations

import contextlib
import math
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageColor, ImageOps

from engine.photo_constants import MAX_PIXELS
from engine.terminal import Failure

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # Pillow's rarer parsers stay out of reach
FITS = ("crop", "pad", "stretch")
DRAFT = 2  # a JPEG is decoded at an eighth, a quarter or half of its size, if that is this many times the target's
LUMA = np.array([19595, 38470, 7471], np.uint32)  # of 65,536: Pillow's weights; equal colours stay what they are

# Pillow's own, milder limit; and remarks on odd metadata. Once and for all: catch_warnings is not for several threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class Unreadable(Failure):
    """A file that is no picture, or not one to be decoded safely. `why` says it in a few words."""

    def __init__(self, path: str | os.PathLike, why: str) -> None:
        super().__init__(f"{path} cannot be read ({why}): save it again as PNG or JPEG")
        self.why = why


def opened(path: str | os.PathLike, use: Callable[[Image.Image], Any]) -> Any:
    """`use(image)` of the picture in a file, of which only the header has been read yet. Raises Unreadable."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            if math.prod(image.size) > MAX_PIXELS:  # known before a pixel is decoded
                raise Image.DecompressionBombError
            return use(image)
    except Image.DecompressionBombError:
        why = f"more than {MAX_PIXELS // 10**6} million pixels"
    except Image.UnidentifiedImageError:
        why = "not a picture"
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    raise Unreadable(path, why)


def prepare(path: str | Path, size: int, channels: int, fit: str = "crop", background: str = "white") -> np.ndarray:
    """The picture in a file as a model of folders sees it: uint8 (size, size, channels). Raises Failure."""
    if not Path(path).is_file():
        raise Failure(f"{path} is not a file: name a picture")
    return recoloured(pixels(path, size, fit, colour(background)), channels)


def colour(name: str) -> tuple[int, int, int]:
    """A colour by its name, or as #rrggbb. Raises Failure if there is none."""
    try:
        return ImageColor.getrgb(name)[:3]
    except ValueError:
        raise Failure(f"there is no colour {name!r}: try white, black, grey or #ff8800") from None


def pixels(path: str | os.PathLike, size: int, fit: str, background: tuple[int, int, int]) -> np.ndarray:
    """The picture in a file, upright, on `background` where it is transparent: uint8 (size, size, 3).

    The fit "crop" scales the shorter side to `size` and keeps the centre, "pad" scales the longer side and fills up
    with `background`, "stretch" scales each side by itself. Raises Unreadable, also if the file is cut off.
    """

    def use(image: Image.Image) -> np.ndarray:
        image.draft(None, (DRAFT * size, DRAFT * size))  # does nothing to other formats
        image.load()
        with contextlib.suppress(Exception):  # damaged metadata turn nothing
            ImageOps.exif_transpose(image, in_place=True)
        return np.asarray(_fitted(flat(image, background), size, fit, background))

    return opened(path, use)


def recoloured(images: np.ndarray, channels: int) -> np.ndarray:
    """uint8 (..., 1 or 3) with so many channels: grey is copied, colour becomes its luma."""
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    return ((images @ LUMA + 32768) >> 16).astype(np.uint8)[..., None]


def flat(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Any mode to RGB, on `background` where it is transparent."""
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bit(image))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, background)
        return Image.alpha_composite(page, image).convert("RGB")
    return image.convert("RGB")


def _eight_bit(image: Image.Image) -> np.ndarray:
    """16 or 32 bits to uint8 (H, W): by as many bits as cameras have, else by the picture's own range."""
    deep = np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0)
    low, high = float(deep.min()), float(deep.max())
    scales = (1, 255, 65535) if image.mode == "F" else (1023, 4095, 65535)  # 10, 12 and 16 bits
    scale = next((scale for scale in scales if low >= 0 and high <= scale), None)
    if scale is None:
        deep, scale = deep - low, (high - low) or 1.0
    return np.uint8(np.rint(deep * (255 / scale)))


def _fitted(image: Image.Image, size: int, fit: str, background: tuple[int, int, int]) -> Image.Image:
    """An RGB image scaled to (size, size), once."""
    if fit == "stretch":
        return image.resize((size, size), Image.Resampling.LANCZOS)
    if fit == "crop":
        return ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    inner = [max(1, round(size * side / max(image.size))) for side in image.size]
    page = Image.new("RGB", (size, size), background)
    page.paste(image.resize(inner, Image.Resampling.LANCZOS), tuple((size - side) // 2 for side in inner))
    return page
