"""Image processors by config, of those of transformers that work with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

from lushan.configurable import Within, configurable
from lushan.errors import UserError, first_line
from lushan.vision import images

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Resample = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]

CHANNELS = 3
MOST_SIDE = 4096
"""Pixels of the longest side that a processor may scale, crop or pad images to."""
_SIZES = ("size", "crop_size", "pad_size")
"""Settings of a processor that say how large an image becomes."""


@configurable
def fresh(
    size: Annotated[int, Within(least=1)] = 224,
    mean: Sequence[float] = (0.5, 0.5, 0.5),
    std: Sequence[float] = (0.5, 0.5, 0.5),
    resample: Resample = "bilinear",
) -> Any:
    """Make an image processor: RGB, scaled to a square, each channel normalised.

    Args:
        size: Pixels of a side.
        mean: Subtracted from each channel, whose values are from 0 to 1.
        std: What each channel is divided by then.
        resample: Filter of Pillow that scales.

    Raises:
        UserError: A channel has no mean or no deviation.
    """
    from PIL.Image import Resampling
    from transformers import ViTImageProcessorPil

    for name, values in (("mean", mean), ("std", std)):
        if len(values) != CHANNELS or (name == "std" and min(values) <= 0):
            raise UserError(
                f"one number for each of {CHANNELS} channels"
                + (", above 0" if name == "std" else ""),
                key=f"processor.{name}",
                value=list(values),
            )
    return ViTImageProcessorPil(
        size={"height": size, "width": size},
        image_mean=list(mean),
        image_std=list(std),
        resample=int(Resampling[resample.upper()]),
        do_convert_rgb=True,
    )


def pixels_of(processor: Any, pictures: Sequence[Picture]) -> Any:
    """Return what a model reads of images, (N, C, H, W)."""
    return processor(images=list(pictures), return_tensors="np")["pixel_values"]


def output_size(processor: Any) -> tuple[int, int]:
    """Return height and width of what an image processor makes of any image.

    Its settings may come from anybody: it is tried with images of two sizes before it is used.

    Raises:
        UserError: It cannot be used, makes images that are too large, or of different sizes.
    """
    _require_bounded(processor)
    try:
        with np.errstate(all="ignore"):
            made = [pixels_of(processor, [p]) for p in (images.blank(), images.noise(0))]
    except Exception as error:  # whatever settings of anybody make it raise
        raise _unusable(processor, first_line(error)) from error
    shapes = [np.shape(one) for one in made]
    if shapes[0] != shapes[1] or len(shapes[0]) != 4:
        sizes = " and ".join(" x ".join(map(str, shape[1:])) for shape in shapes)
        raise _unusable(processor, f"it makes arrays of {sizes} of two images, and not one size")
    if not all(np.isfinite(one).all() for one in made):
        raise _unusable(processor, "what it makes of an image is not finite")
    return int(shapes[0][2]), int(shapes[0][3])


def require_fits(picture: Picture, processor: Any, name: str) -> None:
    """Refuse an image that would become too large where its shorter side is scaled to a length.

    Args:
        picture: The image.
        processor: Scales it.
        name: Of the image.

    Raises:
        UserError: It is too long for its width.
    """
    edge = (_sizes(processor).get("size") or {}).get("shortest_edge")
    longest, shortest = max(picture.size), min(picture.size)
    if edge is not None and edge * edge * longest > images.MOST_PIXELS * shortest:
        raise UserError(
            f"the image {name} of {picture.width:,} x {picture.height:,} pixels is too long: "
            f"{edge} pixels of its shorter side would be more than {images.MOST_PIXELS:,} in all",
            key="data",
            hint="Crop or remove it.",
        )


def _sizes(processor: Any) -> dict[str, dict[str, Any]]:
    settings = processor.to_dict()
    found = {name: settings.get(name) for name in _SIZES}
    return {name: dict(value) for name, value in found.items() if isinstance(value, dict)}


def _require_bounded(processor: Any) -> None:
    for name, size in _sizes(processor).items():
        for part, value in size.items():
            if isinstance(value, int | float) and not 0 < value <= MOST_SIDE:
                raise _unusable(
                    processor,
                    f"its {name}.{part} is {value}, and 1 to {MOST_SIDE:,} pixels are used",
                )


def _unusable(processor: Any, problem: str) -> UserError:
    return UserError(
        f"the image processor cannot be used: {problem}",
        key="processor",
        value=type(processor).__name__,
        hint="Look at its preprocessor_config.json, or write processor=image.",
    )
