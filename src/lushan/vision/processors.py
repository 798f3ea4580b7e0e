"""Image processors by config, of those of transformers that work with Pillow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from lushan.configurable import Within, configurable
from lushan.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

Resample = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]

CHANNELS = 3


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


def unscaled(processor: Any, pixels: Tensor) -> Tensor:
    """Return images (B, C, H, W) as they were before a processor normalised them: from 0 to 1.

    Args:
        processor: Of images.
        pixels: As it made them, or a model of its units.
    """
    mean, std = (pixels.new_tensor(v).float() for v in (processor.image_mean, processor.image_std))
    return (pixels.float() * std[:, None, None] + mean[:, None, None]).clamp(0, 1)
