"""Images from files and bytes: decoded, upright, on white where they are transparent.

What was changed to read one is counted in the words of the constants here.
"""

from __future__ import annotations

import functools
import io
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from lushan.common.arrays import np
from lushan.common.parsing import OutOfBounds, read_bounded
from lushan.errors import UserError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

MOST_PIXELS = 100_000_000
"""Pixels of an image that is decoded; a small file can hold many more."""
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""Formats that are read. Of others Pillow starts programs (Ghostscript for EPS) or opens files."""
LARGEST = 256 << 20
"""Bytes of the largest file of an image."""
_ORIENTATION = 0x0112
"""The field of EXIF data that says how an image was turned."""


SEVERAL = "have several frames; only the first is used"
TRANSPARENT = "have transparent parts, which become white"
CMYK = "are in CMYK and were converted to RGB"
DEEP = "have 16 bits a channel and were scaled to 8"
TURNED = "were rotated as their EXIF data say"
MISNAMED = "have another format than their file names"


def decode(data: bytes, name: str, repairs: Counter[str] | None = None) -> Picture:
    """Decode an image as RGB.

    Args:
        data: An encoded image, of one of the `FORMATS`.
        name: For the error.
        repairs: Counts what was changed to read it.

    Raises:
        UserError: It is no image, is damaged or cut off, or has too many pixels.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(data), formats=FORMATS)
            if picture.width * picture.height > MOST_PIXELS:
                raise _bad(name, f"it has {picture.width:,} x {picture.height:,} pixels")
            picture.load()
            if repairs is not None:
                repairs.update(_oddities(picture, name))
            ImageOps.exif_transpose(picture, in_place=True)
            return _on_white(_shallow(picture))
    except UserError:
        raise
    except UnidentifiedImageError as error:
        raise _bad(name, "its format is not supported") from error
    except Exception as error:  # Pillow's plugins raise whatever a damaged file makes them
        raise _bad(name, str(error) or type(error).__name__) from error


def _oddities(picture: Picture, name: str) -> Iterator[str]:
    """Yield what is changed of an image to read it."""
    if getattr(picture, "is_animated", False):  # to count them all would be to read them
        yield SEVERAL
    if _is_transparent(picture):
        yield TRANSPARENT
    if picture.mode == "CMYK":
        yield CMYK
    if picture.mode.startswith("I"):
        yield DEEP
    if picture.getexif().get(_ORIENTATION, 1) != 1:
        yield TURNED
    known = _formats_by_ending().get(Path(name).suffix.lower())
    if known is not None and known != picture.format:
        yield MISNAMED


@functools.cache
def _formats_by_ending() -> dict[str, str]:
    from PIL import Image

    return dict(Image.registered_extensions())


def _shallow(picture: Picture) -> Picture:
    """Return an image with 8 bits a channel; Pillow would cut what is above 255 off."""
    from PIL import Image

    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers, with an unknown range")
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture).astype(np.int64)
    return Image.fromarray((values.clip(0, 65535) >> 8).astype(np.uint8))


def _is_transparent(picture: Picture) -> bool:
    return picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info


def _bad(name: str, problem: str) -> UserError:
    return UserError(
        f"the image {name} cannot be read: {problem}",
        key="data",
        hint=f"Replace or remove it. Supported: up to {MOST_PIXELS:,} pixels, "
        f"{', '.join(FORMATS)}.",
    )


def _on_white(picture: Picture) -> Picture:
    """Return an image in RGB; what is transparent is white, whatever colour lies under it."""
    from PIL import Image

    if _is_transparent(picture):
        layer = picture.convert("RGBA")
        ground = Image.new("RGBA", layer.size, "white")
        picture = Image.alpha_composite(ground, layer)
    found: Picture = picture if picture.mode == "RGB" else picture.convert("RGB")
    return found


def read_bytes(path: str) -> bytes:
    """Return the content of an image's file.

    Raises:
        UserError: It is gone, no regular file, or too large.
    """
    try:
        return read_bounded(path, LARGEST)
    except OutOfBounds as error:
        raise _bad(path, str(error)) from error
    except OSError as error:
        raise _bad(path, error.strerror or str(error)) from error


def blank() -> Picture:
    """Return a small white image."""
    from PIL import Image

    return Image.new("RGB", (8, 8), "white")


def noise(seed: int) -> Picture:
    """Return a small image of random pixels."""
    from PIL import Image

    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), np.uint8))


def encoded(color: str) -> bytes:
    """Return a small image of one colour as PNG."""
    from PIL import Image

    return png(Image.new("RGB", (8, 8), color))


def as_png(values: NDArray[np.floating]) -> bytes:
    """Return an image (3, H, W) of values from 0 to 1 as PNG."""
    from PIL import Image

    rounded = (values.transpose(1, 2, 0) * 255).round().astype(np.uint8)
    return png(Image.fromarray(rounded))


def png(picture: Picture) -> bytes:
    """Return an image as PNG."""
    sink = io.BytesIO()
    picture.save(sink, "PNG")
    return sink.getvalue()
