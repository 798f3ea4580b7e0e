"""Images of a language model: how many tokens stand for each, and what the model reads of it."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from lushan.errors import UserError, first_line
from lushan.vision import processors

if TYPE_CHECKING:
    from PIL.Image import Image as Picture
    from transformers import BatchFeature, ProcessorMixin

Seen = dict[str, Tensor]
"""What a model reads of some images, by the names of its arguments; the first size is theirs."""


class ImageReader:
    """Reads images by a processor of transformers that holds a tokenizer and an image processor.

    Raises:
        UserError: It does not say what stands for an image, or makes images too large.
    """

    def __init__(self, processor: ProcessorMixin) -> None:
        self.processor = processor
        self.token = str(getattr(processor, "image_token", None) or "")
        self._known: dict[tuple[int, int], list[int]] = {}
        kind = type(processor)
        own = any("replace_image_token" in vars(k) for k in kind.__mro__[:-1] if _is_own(k))
        if not self.token or not own:
            raise UserError(
                f"a {kind.__name__} does not define image tokens",
                key="processor",
                hint="Use the processor of Llava, Qwen2-VL, Gemma 3 or a similar model.",
            )
        processors.require_bounded(processor.image_processor)

    def tokens_of(self, picture: Picture) -> list[int]:
        """Return the ids of the tokens that stand for an image, which follow from its size."""
        if picture.size not in self._known:
            made = self._made(picture)
            text = self.processor.replace_image_token(dict(made), 0)
            found = self.processor.tokenizer(text, add_special_tokens=False)["input_ids"]
            self._known[picture.size] = list(found)
        return self._known[picture.size]

    def _made(self, picture: Picture) -> BatchFeature:
        read = self.processor.image_processor
        processors.require_fits(picture, read, "of a message")
        try:
            return processors.features_of(read, picture)
        except Exception as error:  # whatever settings of anybody make it raise
            raise processors.unusable(read, first_line(error)) from error

    def inputs_of(self, picture: Picture) -> Seen:
        """Return what the model reads of an image."""
        made = self._made(picture)
        return {name: value for name, value in made.items() if isinstance(value, Tensor)}


class Recent:
    """What was read of images, those that were asked for last, within a bound."""

    def __init__(self, largest: int) -> None:
        self.largest, self.size = largest, 0
        self._held: OrderedDict[str, Seen] = OrderedDict()

    def get(self, key: str) -> Seen | None:
        """Return what was read of an image; None where it is not held."""
        if key in self._held:
            self._held.move_to_end(key)
        return self._held.get(key)

    def put(self, key: str, seen: Seen) -> None:
        """Hold what was read of an image, and forget what was not asked for the longest."""
        self._held[key] = seen
        self.size += _bytes(seen)
        while self.size > self.largest:
            self.size -= _bytes(self._held.popitem(last=False)[1])


def _bytes(seen: Seen) -> int:
    return sum(value.nbytes for value in seen.values())


def _is_own(kind: type) -> bool:
    """Return whether a class is more than the base of all processors, which raises."""
    return kind.__name__ != "ProcessorMixin" and kind is not object


def reader_of(processor: ProcessorMixin) -> ImageReader | None:
    """Return the reader of a processor's images; None where it makes texts alone."""
    both = (getattr(processor, name, None) for name in ("tokenizer", "image_processor"))
    return ImageReader(processor) if all(part is not None for part in both) else None


def joined(several: list[Seen]) -> Seen:
    """Return what a model reads of some images as one; smaller ones are filled up with zeros."""
    names = dict.fromkeys(name for seen in several for name in seen)
    return {name: _joined([seen[name] for seen in several if name in seen]) for name in names}


def _joined(values: list[Tensor]) -> Tensor:
    sizes = [max(size) for size in zip(*(value.shape[1:] for value in values), strict=True)]
    if all(list(value.shape[1:]) == sizes for value in values):
        return torch.cat(values)
    wide = [value.new_zeros((len(value), *sizes)) for value in values]
    for whole, value in zip(wide, values, strict=True):
        whole[tuple(slice(size) for size in value.shape)] = value
    return torch.cat(wide)
