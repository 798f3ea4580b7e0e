"""An autoencoder of images with a quantizer between its halves, as a model of transformers.

transformers has VQ-VAEs (`ChameleonVQVAE`, `JanusVQVAE`) to read images with: the one has no
decoder, the other decodes with codes of length 1 that its encoder does not have, and neither lets a
gradient through its decoder. This one is small, and importing this module lets `AutoModel` load it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers.utils.generic import ModelOutput

from lushan.configurable import configurable
from lushan.models.losses import wide
from lushan.vision.quantizers import FSQ, VQ

GROUPS = 8
"""Groups of channels that are normalised together."""


@configurable
@strict
class ImageAutoencoderConfig(PreTrainedConfig):
    """Config of an `ImageAutoencoder`.

    Args:
        image_size: Side of an image in pixels.
        patch_size: Patch size in pixels of the first convolution.
        channels: Width of each stage; each stage after the first halves the resolution.
        blocks: Number of residual blocks of a stage.
        quantizer: Quantizer: `fsq` or `vq`.
        levels: For `fsq`: number of levels of each dimension; their product is the number of codes.
        codebook_size: For `vq`: number of codes.
        codebook_width: For `vq`: dimension of a code.
    """

    model_type = "lushan_image_autoencoder"

    image_size: int = 32
    patch_size: int = 4
    channels: list[int] | tuple[int, ...] = (128,)
    blocks: int = 2
    quantizer: Literal["fsq", "vq"] = "fsq"
    levels: list[int] | tuple[int, ...] = (8, 5, 5, 5)
    codebook_size: int = 1024
    codebook_width: int = 8
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs: Any) -> None:
        """Refuse sizes that do not fit together.

        Raises:
            ValueError: They do not.
        """
        step = self.patch_size * 2 ** (len(self.channels) - 1)
        if not self.channels or self.image_size < 1 or self.image_size % step:
            raise ValueError(f"image_size={self.image_size} is not a multiple of {step} pixels")
        if any(width < 1 or width % GROUPS for width in self.channels):
            raise ValueError(f"channels={list(self.channels)} are not multiples of {GROUPS}")
        if not self.levels or min(self.levels) < 2:
            raise ValueError(f"levels={list(self.levels)}: each dimension needs 2 or more levels")
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]

    @property
    def grid(self) -> int:
        """Codes of a side of an image."""
        return self.image_size // (self.patch_size * 2 ** (len(self.channels) - 1))

    @property
    def hidden_size(self) -> int:
        """Width of the last stage."""
        return self.channels[-1]


@dataclasses.dataclass
class Reconstruction(ModelOutput):
    """Output of an `ImageAutoencoder`.

    Attributes:
        pixel_values: What is decoded, (B, 3, S, S), in the units of the input.
        codes: Of each image, row by row, int64 (B, grid²).
        quantizer_loss: Mean of each image's codes, (B,).
    """

    pixel_values: Tensor | None = None
    codes: Tensor | None = None
    quantizer_loss: Tensor | None = None


class ImageAutoencoder(PreTrainedModel):
    """Convolutions down to a grid of codes, and up again."""

    config_class = ImageAutoencoderConfig
    main_input_name = "pixel_values"
    input_modalities = "image"

    def __init__(self, config: ImageAutoencoderConfig) -> None:
        super().__init__(config)
        widths, patch = list(config.channels), config.patch_size
        self.quantizer: FSQ | VQ
        if config.quantizer == "fsq":
            self.quantizer = FSQ(config.levels)
        else:
            self.quantizer = VQ(config.codebook_size, config.codebook_width)
        down: list[nn.Module] = [nn.Conv2d(3, widths[0], patch, patch)]
        up: list[nn.Module] = [nn.Conv2d(self.quantizer.width, widths[-1], 3, padding=1)]
        for stage, width in enumerate(widths):
            if stage:
                down.append(nn.Conv2d(widths[stage - 1], width, 4, 2, 1))
            down += [_Residual(width) for _ in range(config.blocks)]
        for stage, width in reversed(list(enumerate(widths))):
            up += [_Residual(width) for _ in range(config.blocks)]
            if stage:
                up.append(nn.ConvTranspose2d(width, widths[stage - 1], 4, 2, 1))
        self.encoder = nn.Sequential(*down, *_projection(widths[-1], self.quantizer.width))
        self.decoder = nn.Sequential(
            *up, *_projection(widths[0], 3 * patch**2), nn.PixelShuffle(patch)
        )
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, pixel_values: Tensor, **_: object) -> Reconstruction:
        """Encode and decode images (B, 3, S, S)."""
        found, codes, loss = self.quantizer(self._states(pixel_values))
        decoded = self.decoder(found.to(self.dtype).movedim(-1, 1))
        return Reconstruction(
            pixel_values=decoded, codes=codes.flatten(1), quantizer_loss=loss.flatten(1).mean(1)
        )

    @torch.no_grad()
    def encode(self, pixel_values: Tensor) -> Tensor:
        """Return the codes (B, grid²) of images."""
        return self.quantizer(self._states(pixel_values))[1].flatten(1)

    def _states(self, pixel_values: Tensor) -> Tensor:
        """Return what is quantized of images, (B, grid, grid, D)."""
        return wide(self.encoder(pixel_values.to(self.dtype)).movedim(1, -1))

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Return the images (B, 3, S, S) of codes (B, grid²)."""
        grid = self.config.grid
        found = self.quantizer.vectors(codes.view(-1, grid, grid)).movedim(-1, 1)
        return self.decoder(found.to(self.dtype))


def _projection(width: int, out: int) -> Sequence[nn.Module]:
    return nn.GroupNorm(GROUPS, width), nn.SiLU(), nn.Conv2d(width, out, 3, padding=1)


class _Residual(nn.Module):
    """Two convolutions around which what comes in is added (He et al., 2016)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(*_projection(width, width), *_projection(width, width))

    def forward(self, states: Tensor) -> Tensor:
        return states + self.inner(states)


class Autoencoder(nn.Module):
    """The backbone of an `ImageAutoencoder`."""

    new_weights: Sequence[str] = ()
    max_length = None

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model, self.config = model, model.config
        self.width = model.config.hidden_size

    def forward(self, **batch: Tensor) -> Reconstruction:
        """Encode and decode the images of a batch."""
        return self.model(batch["pixel_values"])


AutoConfig.register(ImageAutoencoderConfig.model_type, ImageAutoencoderConfig, exist_ok=True)
AutoModel.register(ImageAutoencoderConfig, ImageAutoencoder, exist_ok=True)
