"""Changes to images as they are drawn in training, each a function of a random generator."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import numpy as np

from lushan.configurable import Within, configurable

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


@configurable
@dataclasses.dataclass(frozen=True, kw_only=True)
class Augment:
    """Crop, mirror, rotate and recolour, in this order; 0 or 1 leaves an image as it is.

    Args:
        crop: Minimum share of the area of a crop; 1 turns cropping off.
        ratio: Maximum change of the aspect ratio of a crop: 1.33 is from 3:4 to 4:3.
        mirror: Probability of a horizontal flip.
        rotate: Maximum angle of a rotation, in degrees; corners are white.
        color: Maximum change of brightness, contrast and saturation: 0.2 is from 0.8 to 1.2.
    """

    crop: Annotated[float, Within(above=0, most=1)] = 0.6
    ratio: Annotated[float, Within(least=1)] = 1.33
    mirror: Annotated[float, Within(least=0, most=1)] = 0.5
    rotate: Annotated[float, Within(least=0, most=180)] = 0.0
    color: Annotated[float, Within(least=0, below=1)] = 0.2

    def __call__(self, picture: Picture, rng: np.random.Generator) -> Picture:
        """Return a changed copy of an image in RGB.

        All numbers are drawn whether they are needed or not: what one setting is does not move the
        numbers of another.
        """
        from PIL import Image, ImageEnhance

        area, shape, left, top, swap, angle, *factors = rng.random(9).tolist()
        if self.crop < 1:
            picture = picture.crop(self._box(picture.size, area, shape, left, top))
        if swap < self.mirror:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if self.rotate:
            degrees = (2 * angle - 1) * self.rotate
            picture = picture.rotate(degrees, Image.Resampling.BILINEAR, fillcolor="white")
        if self.color:
            kinds = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
            for kind, factor in zip(kinds, factors, strict=True):
                picture = kind(picture).enhance(1 + (2 * factor - 1) * self.color)
        return picture

    def _box(
        self, size: tuple[int, int], area: float, shape: float, left: float, top: float
    ) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom of a crop (Szegedy et al., 2015, arXiv:1409.4842)."""
        width, height = size
        share = self.crop + area * (1 - self.crop)
        stretch = float(np.exp((2 * shape - 1) * np.log(self.ratio) / 2))
        kept = np.sqrt(share)
        wide = max(1, min(width, round(width * kept * stretch)))
        high = max(1, min(height, round(height * kept / stretch)))
        x, y = round(left * (width - wide)), round(top * (height - high))
        return x, y, x + wide, y + high
