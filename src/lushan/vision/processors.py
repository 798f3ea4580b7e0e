"""Image processors by config, of those of transformers that work with Pillow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lushan.configurable import Within, configurable
from lushan.errors import UserError, first_line
from lushan.vision import images

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from torch import Tensor
    from transformers import BaseImageProcessor, BatchFeature, ProcessorMixin

Resample = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]

CHANNELS = 3
MOST_SIDE = 4096
"""Pixels of the longest side that a processor may scale, crop or pad images to."""
_SCALING = ("resize", "rescale", "normalize")
_SIZES = ("size", "crop_size", "pad_size")
"""Settings of a processor that say how large an image becomes."""


@configurable
def fresh(
    size: Annotated[int, Within(least=1)] = 224,
    mean: Sequence[float] = (0.5, 0.5, 0.5),
    std: Sequence[float] = (0.5, 0.5, 0.5),
    resample: Resample = "bilinear",
) -> BaseImageProcessor:
    """Make an image processor: RGB, scaled to a square, each channel normalised.

    Args:
        size: Side of an image in pixels.
        mean: Mean to subtract from each channel, whose values are from 0 to 1.
        std: Standard deviation to divide each channel by.
        resample: Pillow's resampling filter.

    Raises:
        UserError: A channel has no mean or no deviation.
    """
    from PIL.Image import Resampling
    from transformers import ViTImageProcessorPil

    for name, values in (("mean", mean), ("std", std)):
        if len(values) != CHANNELS or (name == "std" and min(values) <= 0):
            raise UserError(
                f"needs one number for each of {CHANNELS} channels"
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
) -> ProcessorMixin:
    """Make the processor of a fresh Llava: a tokenizer and an image processor in one.

    Args:
        tokenizer: Makes the tokenizer, which gets the token for images.
        image: The image processor.
        patch_size: Side in pixels of the patch that one token stands for.
        image_token: Text of the image token.
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
            f"an image of {side} pixels is not a whole number of patches of {patch_size}",
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


def pixels_of(processor: BaseImageProcessor, pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """Return what a model reads of images, (N, C, H, W)."""
    found: NDArray[np.float32]
    if _only_scales(processor) and all(picture.mode == "RGB" for picture in pictures):
        return _scaled(processor, pictures)
    found = processor(images=list(pictures), return_tensors="np")["pixel_values"]
    return found


def _only_scales(processor: Any) -> bool:
    """Return whether a processor scales images to one size and their values, and no more."""
    size = _sizes(processor)
    return (
        type(processor).__name__ == "ViTImageProcessorPil"
        and all(getattr(processor, f"do_{what}", None) is True for what in _SCALING)
        and not any(getattr(processor, f"do_{what}", None) for what in ("center_crop", "pad"))
        and {*size.get("size", ())} == {"height", "width"}
        and all(type(side) is int and side > 0 for side in size["size"].values())
        and processor.resample in range(6)
    )


def _scaled(processor: Any, pictures: Sequence[Picture]) -> NDArray[np.float32]:
    """Do what a processor does that `_only_scales`, in a third of the time.

    Images are scaled by Pillow, as it does; what it makes of values it is asked once, of all 256.
    """
    height, width = processor.size["height"], processor.size["width"]
    table = _table_of(processor)
    found = np.empty((len(pictures), CHANNELS, height, width), np.float32)
    for place, picture in enumerate(pictures):
        small = np.asarray(picture.resize((width, height), processor.resample))
        for channel in range(CHANNELS):
            # Bytes are within the table; to check it, values would be copied once more.
            np.take(table[channel], small[..., channel], out=found[place, channel], mode="clip")
    return found


_TABLES: dict[str, NDArray[np.float32]] = {}
"""What is made of each of 256 values in each channel, (3, 256), by what decides it."""


def _table_of(processor: Any) -> NDArray[np.float32]:
    from PIL import Image

    settings = (processor.image_mean, processor.image_std, processor.rescale_factor)
    if (key := repr(settings)) not in _TABLES:
        ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
        asked = processor(images=[Image.fromarray(ramp)], do_resize=False, return_tensors="np")
        _TABLES[key] = asked["pixel_values"][0].reshape(CHANNELS, 256)
    return _TABLES[key]


def features_of(processor: Any, picture: Picture) -> BatchFeature:
    """Return all that a model reads of an image, as tensors."""
    if _only_scales(processor) and picture.mode == "RGB":
        import torch
        from transformers import BatchFeature

        return BatchFeature({"pixel_values": torch.from_numpy(_scaled(processor, [picture]))})
    return processor(images=[picture], return_tensors="pt")


def output_shape(processor: BaseImageProcessor) -> tuple[int, int, int]:
    """Return channels, height and width of what an image processor makes of any image.

    Its settings may come from anybody: it is tried with images of two sizes before it is used.

    Raises:
        UserError: It cannot be used, makes images that are too large, or of different sizes.
    """
    require_bounded(processor)
    try:
        with np.errstate(all="ignore"):
            made = [pixels_of(processor, [p]) for p in (images.blank(), images.noise(0))]
    except Exception as error:  # whatever settings of anybody make it raise
        raise unusable(processor, first_line(error)) from error
    shapes = [np.shape(one) for one in made]
    if shapes[0] != shapes[1] or len(shapes[0]) != 4:
        sizes = " and ".join(" x ".join(map(str, shape[1:])) for shape in shapes)
        raise unusable(processor, f"it returns arrays of different sizes for two images: {sizes}")
    if not all(np.isfinite(one).all() for one in made):
        raise unusable(processor, "its output for an image is not finite")
    _, channels, height, width = shapes[0]
    return channels, height, width


def require_fits(picture: Picture, processor: BaseImageProcessor, name: str) -> None:
    """Refuse an image that would become too large where its shorter side is scaled to a length."""
    if _counts_pixels(processor):
        return
    edge = (_sizes(processor).get("size") or {}).get("shortest_edge")
    longest, shortest = max(picture.size), min(picture.size)
    if edge is not None and edge * edge * longest > images.MOST_PIXELS * shortest:
        raise UserError(
            f"the image {name} of {picture.width:,} x {picture.height:,} pixels is too long: "
            f"{edge} pixels of its shorter side would be more than {images.MOST_PIXELS:,} in all",
            key="data",
            hint="Crop or remove it.",
        )


def _sizes(processor: BaseImageProcessor) -> dict[str, dict[str, Any]]:
    # Not by `to_dict`, which copies all settings: this is asked of each image.
    settings: Any = processor
    found: dict[str, Any] = {name: getattr(settings, name, None) for name in _SIZES}
    # A dictionary, or an object of pairs.
    return {name: dict(value) for name, value in found.items() if hasattr(value, "get")}


def require_bounded(processor: BaseImageProcessor) -> None:
    """Refuse an image processor that makes images too large."""
    # Of processors that merge patches, as that of Qwen2-VL, sizes count the pixels of an image.
    most = images.MOST_PIXELS if _counts_pixels(processor) else MOST_SIDE
    for name, size in _sizes(processor).items():
        for part, value in size.items():
            if isinstance(value, int | float) and not 0 < value <= most:
                problem = f"its {name}.{part} is {value}, but must be 1 to {most:,} pixels"
                raise unusable(processor, problem)


def _counts_pixels(processor: BaseImageProcessor) -> bool:
    return hasattr(processor, "merge_size")


def unusable(processor: BaseImageProcessor, problem: str) -> UserError:
    """Return the error for an image processor that cannot be used."""
    return UserError(
        f"the image processor cannot be used: {problem}",
        key="processor",
        value=type(processor).__name__,
        hint="Check its preprocessor_config.json, or write processor=image.",
    )
