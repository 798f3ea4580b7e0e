"""Image processors by config, of those of transformers that work with Pillow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from lushan.configurable import Within, configurable
from lushan.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import BaseImageProcessor

Resample = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]

CHANNELS = 3


@configurable
def fresh(
    size: Annotated[int, Within(least=1)] = 224,
    mean: Sequence[float] = (0.5, 0.5, 0.5),
    std: Sequence[float] = (0.5, 0.5, 0.5),
    resample: Resample = "bilinear",
) -> BaseImageProcessor:
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


@configurable
def with_text(
    tokenizer: Callable[..., Any],
    image: Any,
    patch_size: Annotated[int, Within(least=1)],
    image_token: str = "<image>",
    *,
    texts: Callable[[], Any],
    cache_dir: Path,
) -> Any:
    """Make the processor of a fresh Llava: a tokenizer and an image processor in one.

    Args:
        tokenizer: Makes the tokenizer, which gets the token for images.
        image: The image processor.
        patch_size: Pixels of a side of what one token stands for.
        image_token: The text of that token.
        texts: Gives the training text, as often as it is called.
        cache_dir: Where trained tokenizers are kept.

    Raises:
        UserError: An image is no whole number of patches.
    """
    from transformers import LlavaProcessor

    make: Any = LlavaProcessor
    side = image.size["height"]
    if side % patch_size:
        raise UserError(
            f"an image of {side} pixels is no whole number of patches of {patch_size}",
            key="processor.patch_size",
            value=patch_size,
        )
    known = getattr(tokenizer, "keywords", {}).get("special_tokens") or []
    made = tokenizer(texts=texts, cache_dir=cache_dir, special_tokens=[*known, image_token])
    return make(
        image_processor=image,
        tokenizer=made,
        patch_size=patch_size,
        vision_feature_select_strategy="full",
        image_token=image_token,
    )


def unscaled(processor: Any, pixels: Tensor) -> Tensor:
    """Return images (B, C, H, W) as they were before a processor normalised them: from 0 to 1.

    Args:
        processor: Of images.
        pixels: As it made them, or a model of its units.
    """
    mean, std = (pixels.new_tensor(v).float() for v in (processor.image_mean, processor.image_std))
    return (pixels.float() * std[:, None, None] + mean[:, None, None]).clamp(0, 1)
