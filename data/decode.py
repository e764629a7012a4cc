"""Decode one picture of any format to the form that a model takes: a square of 8-bit pixels."""

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

FORMATS = tuple("PNG JPEG BMP GIF TIFF WEBP PPM AVIF JPEG2000 ICO PSD HEIF".split())  # no other decoder is used
SUFFIXES = ".jpg .jpeg .jpe .jfif .png .webp .bmp .dib .gif .tif .tiff .ppm .pgm .pbm .pnm .ico .psd .jp2 .j2k .jpx"
SUFFIXES = (*SUFFIXES.split(), ".tga")  # TGA has no signature, so only the suffix identifies it
OPTIONAL = dict.fromkeys((".heic", ".heif", ".hif"), ("HEIF", "pip install pillow-heif"))
OPTIONAL |= dict.fromkeys((".avif", ".avifs"), ("AVIF", "pip install --upgrade pillow"))
NO_PICTURE = "no picture by the suffix"
DRAFT = 2  # a JPEG is decoded at 1/8, 1/4 or 1/2 of its size, if that is at least this many times the target size
LARGEST_JPEG = 250_000_000  # of a JPEG that can be decoded at reduced size, in pixels
WHITES = (1, 255, 1023, 4095, 16383, 65535)  # common white levels of pictures with more than 8 bits
LUMA = np.array([19595, 38470, 7471], np.uint32)  # / 65,536: Pillow's weights; their sum is 65,536, so grey stays equal

# Silence Pillow's warnings about large pictures and odd metadata. Globally: catch_warnings is not thread-safe.
warnings.filterwarnings("ignore", module=r"PIL\.")
Image.MAX_IMAGE_PIXELS = LARGEST_JPEG // 2  # Pillow refuses more than twice this, before `opened` knows the format


class Form(NamedTuple):
    """The form that pictures are decoded to. None: to be inferred from the set of pictures."""

    size: int | None  # of a side, in pixels
    channels: int | None
    fit: str = "crop"  # or "pad" or "stretch", see `pixels`
    paper: tuple[int, int, int] = (255, 255, 255)  # the colour behind transparent pixels
    levels: tuple[float, ...] = ()  # black and white of pictures with more than 8 bits, see `eight_bit`


class Unreadable(Failure):
    """The file is not a picture, is damaged, or is too large to decode. `why` is the reason in a few words."""

    def __init__(self, path: str | os.PathLike, why: str, remedy: str = "save it again as PNG or JPEG") -> None:
        super().__init__(f"{path} cannot be read ({why}): {remedy}")
        self.why = why


@functools.cache
def formats() -> tuple[str, ...]:
    """Return those of FORMATS that this Pillow can decode. HEIF needs the package pillow-heif."""
    Image.init()
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def why_no_picture(path: str) -> str:
    """Return why a file is not a picture, or "" if it is one. Looks at the suffix, or at the header if it has none."""
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
    """Open a picture and return `use(image)`; only its header is read before that call. Raises Unreadable."""
    if not os.path.isfile(path):  # a folder, or a pipe, which would block
        raise Unreadable(path, "it is not a file", "name a picture")
    known = (*formats(), *["TGA"] * str(path).lower().endswith(".tga"))
    limit = LARGEST_JPEG
    try:
        with Image.open(path, formats=known) as image:
            if not isinstance(image, JpegImageFile) or "progressive" in image.info:  # always decoded at full size
                limit = MAX_PIXELS
            if math.prod(image.size) > limit:  # the header says so, before any pixel is decoded
                raise Image.DecompressionBombError
            return use(image)
    except Image.DecompressionBombError:
        raise Unreadable(path, f"more than {limit // 10**6} million pixels", "save it smaller") from None
    except Image.UnidentifiedImageError:
        why = "not a picture"
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file
        why = getattr(error, "strerror", None) or str(error) or type(error).__name__
    raise Unreadable(path, why)


def colour(name: str) -> tuple[int, int, int]:
    """Parse a colour, a name or #rrggbb, to RGB. Raises Failure if it is unknown."""
    try:
        return ImageColor.getrgb(name)[:3]
    except ValueError:
        raise Failure(f"there is no colour {name!r}: try white, black, grey or #ff8800") from None


def pixels(path: str | os.PathLike, form: Form) -> np.ndarray:
    """Decode the picture in a file: upright, transparent pixels on `form.paper`, uint8 (size, size, channels).

    The fit "crop" scales the shorter side to `size` and keeps the centre, "pad" scales the longer side and fills the
    rest with the paper, "stretch" changes the aspect ratio. Raises Unreadable, also if the file is truncated.
    """

    def use(image: Image.Image) -> np.ndarray:
        image.draft(None, (DRAFT * form.size, DRAFT * form.size))  # no effect on formats other than JPEG
        image = eight_bit(image, form.levels)
        image.load()
        with contextlib.suppress(Exception):  # with damaged EXIF the picture is not rotated
            ImageOps.exif_transpose(image, in_place=True)
        return np.asarray(_fitted(flat(image, form.paper), form.size, form.fit, form.paper))

    return recoloured(opened(path, use), form.channels)


def recoloured(images: np.ndarray, channels: int) -> np.ndarray:
    """Convert uint8 (..., 1 or 3) to this number of channels: grey is copied, colour becomes its luma."""
    if images.shape[-1] == channels:
        return images
    if channels == 3:
        return np.repeat(images, 3, axis=-1)
    return ((images @ LUMA + 32768) >> 16).astype(np.uint8)[..., None]


def flat(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    """Convert an image of any mode to RGB, transparent pixels on `background`."""
    if image.has_transparency_data:
        image = image.convert("RGBA")
        page = Image.new("RGBA", image.size, background)
        return Image.alpha_composite(page, image).convert("RGB")
    return image.convert("RGB")


def eight_bit(image: Image.Image, levels: tuple[float, ...] = ()) -> Image.Image:
    """Return a picture in 8 bits. Of a deeper one, `levels` (black, white), by default its own, become 0 and 255."""
    deep = _deep(image)
    if deep is None:
        return image
    black, white = levels or common_levels([_range(deep)])
    if deep.ndim == 3 and (black, white) == (0, 65535):
        return image  # Pillow itself has converted it to 8 bits like this
    scaled = np.uint8(np.rint((deep - black).clip(0, white - black) * (255 / (white - black))))
    if image.mode == "RGBA":
        scaled = np.dstack([scaled, np.asarray(image)[..., 3]])
    result = Image.fromarray(scaled)
    result.info = {key: value for key, value in image.info.items() if key != "transparency"}  # keeps EXIF
    return result


def common_levels(ranges: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return black and white for pictures with pixels in these ranges: their minimum and maximum if any is negative.

    Else black is 0, and white the first of WHITES between the maximum and twice the maximum, or the maximum itself.
    """
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    if low >= 0:
        return 0, next((white for white in WHITES if white / 2 < high <= white), high or 1)
    return low, max(high, low + 1)


def header(path: str | os.PathLike) -> tuple[tuple[int, int], tuple[float, float] | None]:
    """Return the size of a picture, (width, height), and the range of its pixels if it has over 8 bits, or None."""
    return opened(path, lambda image: (image.size, _range(_deep(image))))


def _range(deep: np.ndarray | None) -> tuple[float, float] | None:
    return None if deep is None else (float(deep.min()), float(deep.max()))


def _deep(image: Image.Image) -> np.ndarray | None:
    """Return the pixels of a picture with more than 8 bits, float32 (H, W) or (H, W, 3); None for 8 bits.

    Of 16-bit colour, Pillow keeps the upper byte only. Read again with the byte order swapped, it yields the lower one.
    """
    if image.mode.startswith(("I", "F")):
        return np.nan_to_num(np.asarray(image, np.float32), posinf=0, neginf=0)
    tiles = [tile for tile in image.tile or () if "RGB;16" in str(tile[3]) or "RGBA;16" in str(tile[3])]
    if image.mode not in ("RGB", "RGBA") or not tiles:
        return None
    with Image.open(image.filename, formats=[image.format]) as lower:
        lower.tile = [_swapped_bytes(*tile) for tile in tiles]
        values = np.asarray(image, np.float32) * 256 + np.asarray(lower)
    return values[..., :3]


def _swapped_bytes(codec: str, extents: tuple, offset: int, args: str | tuple) -> tuple:
    """Return a tile of Pillow's with the byte order of its raw mode, such as RGB;16B, swapped."""
    raw, *more = [args] if isinstance(args, str) else args
    swapped = raw[:-1] + ("B" if raw[-1] == "L" or (raw[-1] == "N" and sys.byteorder == "little") else "L")
    return getattr(ImageFile, "_Tile", lambda *parts: parts)(codec, extents, offset, (swapped, *more))


def _fitted(image: Image.Image, size: int, fit: str, background: tuple[int, int, int]) -> Image.Image:
    """Scale an RGB image to (size, size), with a single resampling."""
    if fit == "stretch":
        return image.resize((size, size), Image.Resampling.LANCZOS)
    if fit == "crop":
        return ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)
    inner = [max(1, round(size * side / max(image.size))) for side in image.size]
    page = Image.new("RGB", (size, size), background)
    page.paste(image.resize(inner, Image.Resampling.LANCZOS), tuple((size - side) // 2 for side in inner))
    return page
