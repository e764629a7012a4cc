"""One picture of any kind, brought to the form that a model sees: a square of 8-bit pixels."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageColor, ImageOps

from engine.photo_constants import MAX_PIXELS
from engine.terminal import Failure

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # Pillow's rarer parsers stay out of reach
FITS = ("crop", "pad", "stretch")
DRAFT = 2  # a JPEG is decoded at an eighth, a quarter or half of its size, if that is this many times the target's
LUMA = np.array([19595, 38470, 7471], np.uint32)  # of 65,536: Pillow's weights; equal colours stay what they are

Result = TypeVar("Result")

# Pillow's own, milder limit; and remarks on odd metadata. Once and for all: catch_warnings is not for several threads.
warnings.filterwarnings("ignore", module=r"PIL\.")


class Unreadable(Failure):
    """A file that is no picture, or not one to be decoded safely. `why` says it in a few words."""

    def __init__(self, path: str | os.PathLike, why: str) -> None:
        super().__init__(f"{path} cannot be read ({why}): save it again as PNG or JPEG")
        self.why = why


def opened(path: str | os.PathLike, use: Callable[[Image.Image], Result]) -> Result:
    """`use(image)` of the picture in a file, of which nothing but the header has been read yet.

    Raises:
        Unreadable: whatever is wrong with the file.
    """
    try:
        with Image.open(path, formats=FORMATS) as image:
            width, height = image.size
            if width * height <= MAX_PIXELS:  # known before a pixel is decoded
                return use(image)
    except Image.DecompressionBombError:
        pass
    except Image.UnidentifiedImageError:
        raise Unreadable(path, "not a picture") from None
    except OSError as error:
        raise Unreadable(path, error.strerror or str(error)) from None
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        raise Unreadable(path, str(error) or type(error).__name__) from None
    raise Unreadable(path, f"more than {MAX_PIXELS // 10**6} million pixels")


def prepare(
    path: str | os.PathLike, size: int, channels: int, fit: str = "crop", background: str = "white"
) -> np.ndarray:
    """The picture in a file as a model of folders sees it: uint8 (size, size, channels).

    Raises:
        Failure: there is no such file, or no picture in it that can be decoded; no such colour; one line.
    """
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

    Args:
        fit: "crop" scales the shorter side to `size` and keeps the centre, "pad" scales the longer side and fills up
            with `background`, "stretch" scales each side by itself.

    Raises:
        Unreadable: it cannot be decoded, or not to its end.
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


def is_grey(image: np.ndarray) -> bool:
    """Whether every pixel of (H, W, 3) has three equal colours."""
    return bool((image == image[..., :1]).all())


def flat(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Any mode to RGB, on `background` where it is transparent."""
    if image.mode.startswith(("I", "F")):
        image = Image.fromarray(_eight_bit(image))
    if is_transparent(image):
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, background)
        return Image.alpha_composite(page, image).convert("RGB")
    return image.convert("RGB")


def is_transparent(image: Image.Image) -> bool:
    """Whether an image has an alpha channel, or a colour that stands for nothing."""
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


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
    width, height = image.size
    if fit == "stretch":
        return image.resize((size, size), Image.Resampling.LANCZOS)
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) / 2, (height - side) / 2
        return image.resize((size, size), Image.Resampling.LANCZOS, (left, top, left + side, top + side))
    inner = [max(1, round(size * side / max(width, height))) for side in image.size]
    page = Image.new("RGB", (size, size), background)
    page.paste(image.resize(inner, Image.Resampling.LANCZOS), tuple((size - side) // 2 for side in inner))
    return page
