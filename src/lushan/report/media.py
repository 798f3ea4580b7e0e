"""Images of stored predictions: copied small into the report, from few places alone.

Shown is what `lushan.run.media` may read, and of that only images, and of videos some frames.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from lushan.data import drawing
from lushan.data.drawing import Part
from lushan.run.media import Refused, read_media
from lushan.vision import clips

FOLDER = "media"
WIDEST = 320
"""Pixels of a copy's longer side."""
MOST_IMAGES = 2000
MOST_BYTES = 64 << 20
"""Bytes of all images of a report together."""
_FORMATS = {"PNG": "png", "JPEG": "jpg", "GIF": "png", "WEBP": "png", "BMP": "png"}


class Media:
    """Copies images into a report, each once."""

    def __init__(self, report: Path) -> None:
        self.report = report
        self.copied: dict[str, str] = {}
        self.size = 0

    def of_run(self, folder: Path, refused: Counter[str]) -> Callable[[str], Part]:
        """Return what gives the part that stands for an image, by its path in a record."""

        def shown(path: str) -> Part:
            try:
                return drawing.image(self._copy(folder, path), path)
            except Refused as reason:
                refused[str(reason)] += 1
                return drawing.text(path)

        return shown

    def _copy(self, folder: Path, path: str) -> str:
        """Copy an image, and return its path in the report.

        Raises:
            Refused: It is not shown.
        """
        content = read_media(folder, path)
        digest = hashlib.sha256(content).hexdigest()[:16]
        if digest in self.copied:
            return self.copied[digest]
        small, ending = _thumbnail(content)
        if len(self.copied) >= MOST_IMAGES or self.size + len(small) > MOST_BYTES:
            raise Refused(f"a report contains at most {MOST_IMAGES:,} images")
        place = self.report / FOLDER / f"{digest}.{ending}"
        place.parent.mkdir(exist_ok=True)
        place.write_bytes(small)
        self.size += len(small)
        self.copied[digest] = f"{FOLDER}/{place.name}"
        return self.copied[digest]


def _thumbnail(content: bytes) -> tuple[bytes, str]:
    """Return an image made small, and the ending of its file.

    Raises:
        Refused: It is no image.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            if clips.is_video(content):
                return clips.thumbnail(content, WIDEST), "png"
            with Image.open(io.BytesIO(content), formats=tuple(_FORMATS)) as picture:
                if getattr(picture, "is_animated", False):
                    return clips.thumbnail(content, WIDEST), "png"
                ending = _FORMATS[str(picture.format)]
                picture.thumbnail((WIDEST, WIDEST))
                small = picture.convert("RGB" if ending == "jpg" else "RGBA")
        made = io.BytesIO()
        small.save(made, "JPEG" if ending == "jpg" else "PNG")
    except Exception as error:  # whatever a decoder meets in bytes of anybody
        raise Refused("it is not an image, or damaged") from error
    return made.getvalue(), ending
