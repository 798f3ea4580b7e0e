"""Codecs of images: from images to a fixed number of codes each, and from codes to images.

A codec is a module of the model that reads and writes its codes, so that the checkpoints of that
model hold it whole: what was trained with one does not depend on where it came from.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing as mp
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from torch import Tensor, nn

from lushan.checkpoint.weights import weights_hash
from lushan.configurable import Within, configurable
from lushan.data import processing
from lushan.errors import UserError
from lushan.models import pretrained_weights
from lushan.models.image_autoencoder import ImageAutoencoder, ImageAutoencoderConfig
from lushan.run.artifacts import is_run
from lushan.vision import images, processors

if TYPE_CHECKING:
    from transformers import BaseImageProcessor

AT_ONCE = 64
"""Images that are encoded or decoded together."""


class ImageCodec(nn.Module):
    """A codec of images.

    Attributes:
        codes: How many codes there are.
        tokens: Codes of an image.
        size: Pixels of a side of what is decoded.
    """

    codes: int
    tokens: int
    size: int

    def state(self) -> dict[str, Any]:
        """Return what `restored` makes the same codec of, without its weights, as JSON."""
        raise NotImplementedError

    def codes_of(self, pictures: Sequence[Any]) -> Tensor:
        """Return the codes (N, tokens) of images of Pillow."""
        raise NotImplementedError

    def pixels_of(self, codes: Tensor) -> Tensor:
        """Return the images (N, 3, size, size), from 0 to 1, of codes (N, tokens)."""
        raise NotImplementedError

    @property
    def values_of_code(self) -> float:
        """Numbers that the pixels of an image have, by its codes."""
        return 3 * self.size**2 / self.tokens

    @property
    def fingerprint(self) -> str:
        """A hash of all that decides the codes."""
        return hashlib.sha256(json.dumps(self.state(), sort_keys=True).encode()).hexdigest()

    @torch.no_grad()
    def encode(self, pictures: Sequence[Any]) -> list[list[int]]:
        """Return the codes of images of Pillow."""
        if mp.parent_process() is not None:  # its threads did not come along
            torch.set_num_threads(1)
        parts = (pictures[at : at + AT_ONCE] for at in range(0, len(pictures), AT_ONCE))
        return [codes for part in parts for codes in self.codes_of(part).tolist()]

    @torch.no_grad()
    def decode(self, codes: Sequence[Sequence[int]]) -> list[bytes]:
        """Return the images of codes as PNG."""
        found = []
        for at in range(0, len(codes), AT_ONCE):
            pixels = self.pixels_of(torch.tensor(codes[at : at + AT_ONCE]))
            found += [images.as_png(each) for each in pixels.float().cpu().numpy()]
        return found


class PixelCodec(ImageCodec):
    """Colours of a few pixels, as Image GPT reads them (Chen et al., 2020); nothing is learned.

    Args:
        side: Side in pixels to which images are scaled; each pixel is a token.
        levels: Number of levels of each of red, green and blue; its cube is the number of codes.
    """

    def __init__(self, side: int, levels: int) -> None:
        super().__init__()
        self.side, self.levels = side, levels
        self.codes, self.tokens, self.size = levels**3, side**2, side

    def state(self) -> dict[str, Any]:
        """See `ImageCodec.state`."""
        return {"kind": "pixels", "side": self.side, "levels": self.levels}

    def codes_of(self, pictures: Sequence[Any]) -> Tensor:
        """See `ImageCodec.codes_of`."""
        from PIL.Image import Resampling

        sides = (self.side, self.side)
        small = [np.asarray(each.resize(sides, Resampling.BOX), np.float32) for each in pictures]
        places = (np.stack(small) / 255 * (self.levels - 1)).round().astype(np.int64)
        codes = (places * self.levels ** np.arange(3)).sum(-1)
        return torch.from_numpy(codes.reshape(len(pictures), -1))

    def pixels_of(self, codes: Tensor) -> Tensor:
        """See `ImageCodec.pixels_of`."""
        places = codes[:, None] // self.levels ** torch.arange(3)[:, None] % self.levels
        return (places / (self.levels - 1)).view(-1, 3, self.side, self.side)


class TrainedCodec(ImageCodec):
    """The model of an image tokenizer, frozen, with its processor."""

    def __init__(
        self, model: ImageAutoencoder, processor: BaseImageProcessor, weights: str
    ) -> None:
        super().__init__()
        self.model, self.processor, self.weights = model, processor, weights
        model.requires_grad_(False)
        self.eval()
        self.codes = model.quantizer.size
        self.tokens, self.size = model.config.grid**2, model.config.image_size

    def state(self) -> dict[str, Any]:
        """See `ImageCodec.state`."""
        return {
            "kind": "trained",
            "model": self.model.config.to_diff_dict(),
            "processor": self.processor.to_dict(),
            "weights": self.weights,
        }

    def codes_of(self, pictures: Sequence[Any]) -> Tensor:
        """See `ImageCodec.codes_of`."""
        read = self.processor(images=list(pictures), return_tensors="pt")["pixel_values"]
        return self.model.encode(read.to(self.model.device))

    def pixels_of(self, codes: Tensor) -> Tensor:
        """See `ImageCodec.pixels_of`."""
        return processors.unscaled(self.processor, self.model.decode(codes.to(self.model.device)))


@configurable
def pixels(
    side: Annotated[int, Within(least=1, most=64)] = 6,
    levels: Annotated[int, Within(least=2, most=16)] = 4,
) -> ImageCodec:
    """Make a codec of the colours of a few pixels, which needs no training.

    Args:
        side: Side in pixels to which images are scaled; each pixel is a token.
        levels: Number of levels of each of red, green and blue; its cube is the number of codes.
    """
    return PixelCodec(side, levels)


@configurable
def trained(path: str) -> ImageCodec:
    """Load the codec that a run of task=image_tokenizer has learned.

    Args:
        path: Folder of the run.

    Raises:
        UserError: It is no such run, or not complete.
    """
    key, folder = "task.images.path", Path(path).expanduser()
    if not is_run(folder):
        raise UserError(
            "this is not a run folder",
            key=key,
            value=path,
            hint="Train one with lushan train task=image_tokenizer, and give its folder.",
        )
    model: Any = pretrained_weights.read(str(folder), "AutoModel")[0]
    if not isinstance(model, ImageAutoencoder):
        raise UserError(
            f"this run has a {model.config.model_type}, which does not encode images as codes",
            key=key,
            value=path,
            hint="Give the folder of a run of task=image_tokenizer.",
        )
    processor = processing.require_image_processor(processing.stored(folder))
    return TrainedCodec(model, processor, weights_hash(model.state_dict()))


def restored(state: Mapping[str, Any]) -> ImageCodec:
    """Make the codec that has a state; the weights of a trained one come with the model's."""
    if state["kind"] == "pixels":
        return PixelCodec(state["side"], state["levels"])
    import transformers

    shape = dict(state["model"])
    make: Any = ImageAutoencoder
    model = make(ImageAutoencoderConfig(**shape)).eval()
    options = dict(state["processor"])
    name = str(options.pop("image_processor_type")).removesuffix("Pil") + "Pil"
    if not name.endswith("ImageProcessorPil") or not hasattr(transformers, name):
        raise UserError("unknown image processor of transformers", value=name)
    processor = getattr(transformers, name)(**options)
    return TrainedCodec(model, processor, state["weights"])


class WithCodec(nn.Module):
    """A language model beside the codec of the images that it reads and writes."""

    def __init__(self, encoder: Any, codec: ImageCodec) -> None:
        super().__init__()
        self.encoder, self.codec = encoder, codec

    def forward(self, **inputs: Any) -> Any:
        """See `LanguageModel.forward`."""
        return self.encoder(**inputs)


Make = Callable[[], ImageCodec]
"""Makes a codec."""
