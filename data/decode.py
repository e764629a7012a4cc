"""One picture of any kind, brought to the form that a model sees: a square of 8-bit pixels."""

from __future__ import annotations

import contextlib
import functools
import importlib
import math
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, ImageColor, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile

from engine.photo_constants import MAX_PIXELS
from engine.terminal import Failure

FORMATS = tuple("PNG JPEG BMP GIF TIFF WEBP PPM AVIF JPEG2000 ICO PSD HEIF".split())  # no others are within reach
SUFFIXES = ".jpg .jpeg .jpe .jfif .png .webp .bmp .dib .gif .tif .tiff .ppm .pgm .pbm .pnm .ico .psd .jp2 .j2k .jpx"
SUFFIXES = (*SUFFIXES.split(), ".tga")  # TGA has no signature: only the suffix tells it
OPTIONAL = dict.fromkeys((".heic", ".heif", ".hif"), ("HEIF", "pip install pillow-heif"))
OPTIONAL |= dict.fromkeys((".avif", ".avifs"), ("AVIF", "pip install --upgrade pillow"))
NO_PICTURE = "no picture by the suffix"
DRAFT = 2  # a JPEG is decoded at an eighth, a quarter or half of its size, if that is this many times the target's
LARGEST_JPEG = 250_000_000  # pixels, of one that is decoded at a part of its size
WHITES = (1, 255, 1023, 4095, 16383, 65535)  # levels that are white in pictures of more than 8 bits
LUMA = np.array([19595, 38470, 7471], np.uint32)  # of 65,536: Pillow's weights; equal colours stay what they are

# Pillow's own, milder limit; and remarks on odd metadata. Once and for all: catch_warnings is not for several threads.
warnings.filterwarnings("ignore", module=r"PIL\.")
Image.MAX_IMAGE_PIXELS = LARGEST_JPEG // 2  # Pillow refuses twice as many before `opened` can tell the format


class Form(NamedTuple):
    """What pictures are brought to; for a whole set None is to be found."""

    size: int | None  # side in pixels
    channels: int | None
    fit: str = "crop"  # or pad, or stretch: see `pixels`
    paper: tuple[int, int, int] = (255, 255, 255)  # the colour behind what is transparent
    levels: tuple[float, ...] = ()  # black and white of more than 8 bits, see `eight_bit`


class Unreadable(Failure):
    """A file that is no picture, or not one to be decoded safely. `why` says it in a few words."""

    def __init__(self, path: str | os.PathLike, why: str, remedy: str = "save it again as PNG or JPEG") -> None:
        super().__init__(f"{path} cannot be read ({why}): {remedy}")
        self.why = why


@functools.cache
def formats() -> tuple[str, ...]:
    """Those of FORMATS that are installed; HEIF comes with pillow-heif."""
    Image.init()
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def why_no_picture(path: str) -> str:
    """Why a file is no picture, by its suffix, or by its first bytes if it has none; "" if it is one."""
    suffix = os.path.splitext(path)[1].lower()
    name, remedy = OPTIONAL.get(suffix, ("", ""))
    if name:
        return "" if name in formats() else f"{suffix}: export them as JPEG, or {remedy}"
    is_picture = suffix in SUFFIXES
    if not suffix:
        with contextlib.suppress(Unreadable):
            is_picture = opened(path, lambda image: True)
    return "" if is_picture else NO_PICTURE


def opened(path: str | os.PathLike, use: Callable[[Image.Image], Any]) -> Any:
    """`use(image)` of the picture in a file, of which only the header has been read yet. Raises Unreadable."""
    known = (*formats(), *["TGA"] * str(path).lower().endswith(".tga"))
    most = LARGEST_JPEG
    try:
        with Image.open(path, formats=known) as image:
            if not isinstance(image, JpegImageFile) or "progressive" in image.info:  # those are decoded whole
                most = MAX_PIXELS
            if math.prod(image.size) > most:  # known before a pixel is decoded
                raise Image.DecompressionBombError
            return use(image)
    except Image.DecompressionBombError:
        raise Unreadable(path, f"more than {most // 10**6} million pixels", "save it smaller") from None
    except Image.UnidentifiedImageError:
        why = "not a picture"
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    raise Unreadable(path, why)


def colour(name: str) -> tuple[int, int, int]:
    """A colour by its name, or as #rrggbb. Raises Failure if there is none."""
    try:
        return ImageColor.getrgb(name)[:3]
    except ValueError:
        raise Failure(f"there is no colour {name!r}: try white, black, grey or #ff8800") from None


def pixels(path: str | os.PathLike, form: Form) -> np.ndarray:
    """The picture in a file, upright, on the paper where it is transparent: uint8 (size, size, channels).

    The fit "crop" scales the shorter side to `size` and keeps the centre, "pad" scales the longer side and fills up
    with the paper, "stretch" scales each side by itself. Raises Unreadable, also if the file is cut off.
    """

    def use(image: Image.Image) -> np.ndarray:
        image.draft(None, (DRAFT * form.size, DRAFT * form.size))  # does nothing to other formats
        image = eight_bit(image, form.levels)
        image.load()
        with contextlib.suppress(Exception):  # damaged metadata turn nothing
            ImageOps.exif_transpose(image, in_place=True)
        return np.asarray(_fitted(flat(image, form.paper), form.size, form.fit, form.paper))

    return recoloured(opened(path, use), form.channels)


def recoloured(images: np.ndarray, channels: int) -> np.ndarray:
    """uint8 (..., 1 or 3) with so many channels: grey is copied, colour becomes its luma."""
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    return ((images @ LUMA + 32768) >> 16).astype(np.uint8)[..., None]


def flat(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Any mode to RGB, on `background` where it is transparent."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, background)
        return Image.alpha_composite(page, image).convert("RGB")
    return image.convert("RGB")


def eight_bit(image: Image.Image, levels: tuple[float, ...] = ()) -> Image.Image:
    """An opened picture; of more than 8 bits its `levels`, black and white, become 0 and 255, by default its own."""
    deep = _deep(image)
    if deep is None:
        return image
    black, white = levels or common_levels([_range(deep)])
    if deep.ndim == 3 and (black, white) == (0, 65535):
        return image  # which Pillow has brought to 8 bits itself
    scaled = np.uint8(np.rint((deep - black).clip(0, white - black) * (255 / (white - black))))
    if image.mode == "RGBA":
        scaled = np.dstack([scaled, np.asarray(image)[..., 3]])
    result = Image.fromarray(scaled)
    result.info = {key: value for key, value in image.info.items() if key != "transparency"}  # EXIF is in there
    return result


def common_levels(ranges: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Black and white for pictures whose pixels are in these ranges: 0 and a white of WHITES, if they fill half of it.

    Else white is the maximum; where there are negative pixels, black is the minimum.
    """
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    if low >= 0:
        return 0, next((white for white in WHITES if white / 2 < high <= white), high or 1)
    return low, max(high, low + 1)


def header(path: str | os.PathLike) -> tuple[tuple[int, int], tuple[float, float] | None]:
    """The size of the picture in a file, and the range of its pixels if they have more than 8 bits, else None."""
    return opened(path, lambda image: (image.size, _range(_deep(image))))


def _range(deep: np.ndarray | None) -> tuple[float, float] | None:
    return None if deep is None else (float(deep.min()), float(deep.max()))


def _deep(image: Image.Image) -> np.ndarray | None:
    """The pixels of an opened picture that has more than 8 bits, float32 (H, W) or (H, W, 3); else None.

    Of 16 bits a channel Pillow keeps the upper 8 in colour. Read as of the other byte order it keeps the lower ones.
    """
    if image.mode.startswith(("I", "F")):
        return np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0)
    tiles = [tile for tile in image.tile if "RGB;16" in str(tile[3]) or "RGBA;16" in str(tile[3])]
    if image.mode not in ("RGB", "RGBA") or not tiles:
        return None
    with Image.open(image.filename, formats=[image.format]) as lower:
        lower.tile = [_of_other_order(*tile) for tile in tiles]
        both = np.asarray(image, np.float32) * 256 + np.asarray(lower)
    return both[..., :3]


def _of_other_order(codec: str, extents: tuple, offset: int, args: str | tuple) -> tuple:
    """A tile of Pillow's whose raw mode, such as RGB;16B, has its bytes the other way round."""
    raw, *more = [args] if isinstance(args, str) else args
    other = raw[:-1] + ("B" if raw[-1] == "L" or (raw[-1] == "N" and sys.byteorder == "little") else "L")
    tile = codec, extents, offset, other if isinstance(args, str) else (other, *more)
    return getattr(ImageFile, "_Tile", lambda *parts: parts)(*tile)


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
