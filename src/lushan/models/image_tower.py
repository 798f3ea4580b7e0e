"""A vision tower of plain convolutions, for small images, as a model of transformers.

Towers of patches and attention take long to see the shape of a thing of ten pixels, and the
convolutional ones of transformers give no sequence of states. Importing this module lets
`AutoModel` load this one.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutput

from lushan.configurable import configurable

GROUPS = 4
"""Groups of channels that are normalised together."""


@configurable
@strict
class ConvTowerConfig(PreTrainedConfig):
    """Config of a `ConvTower`.

    Args:
        channels: Number of channels of each convolution.
        strides: Stride of each convolution.
        pool: Side of the max-pooling window after the last convolution.
    """

    model_type = "lushan_conv_tower"

    channels: list[int] | tuple[int, ...] = (16, 32, 64, 64)
    strides: list[int] | tuple[int, ...] = (2, 1, 2, 1)
    pool: int = 4

    def __post_init__(self, **kwargs: Any) -> None:
        """Refuse sizes that do not fit together.

        Raises:
            ValueError: They do not.
        """
        if not self.channels or len(self.channels) != len(self.strides):
            raise ValueError(f"channels={list(self.channels)} and strides={list(self.strides)}")
        if any(width < 1 or width % GROUPS for width in self.channels):
            raise ValueError(f"channels={list(self.channels)} are not multiples of {GROUPS}")
        if min(*self.strides, self.pool) < 1:
            raise ValueError("strides and pool must be 1 or more")
        super().__post_init__(**kwargs)  # type: ignore[no-untyped-call]

    @property
    def patch_size(self) -> int:
        """Pixels of a side of what is one state."""
        return math.prod(self.strides) * self.pool

    @property
    def hidden_size(self) -> int:
        """Width of a state."""
        return self.channels[-1]


class ConvTower(PreTrainedModel):
    """Convolutions of 3 x 3, each normalised by groups of channels, and maxima of their output."""

    config_class = ConvTowerConfig
    main_input_name = "pixel_values"
    input_modalities = "image"
    _supports_sdpa = True  # it has no attention, so any kind will do

    def __init__(self, config: ConvTowerConfig) -> None:
        super().__init__(config)
        layers: list[nn.Module] = []
        widths = itertools.pairwise([3, *config.channels])
        for (before, width), stride in zip(widths, config.strides, strict=True):
            convolution = nn.Conv2d(before, width, 3, stride, padding=1, bias=False)
            layers += [convolution, nn.GroupNorm(GROUPS, width), nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.MaxPool2d(config.pool))
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d):
            # Norms take the scale out, and weights that begin small are turned in fewer steps.
            init.kaiming_uniform_(module.weight, a=math.sqrt(5))
        else:
            super()._init_weights(module)  # type: ignore[no-untyped-call]

    def forward(self, pixel_values: Tensor, **_: object) -> BaseModelOutput:
        """Return the states (B, L, H) of images (B, 3, S, S), row by row."""
        states = self.layers(pixel_values).flatten(2).transpose(1, 2)
        return BaseModelOutput(last_hidden_state=states, hidden_states=(states,))


AutoConfig.register(ConvTowerConfig.model_type, ConvTowerConfig, exist_ok=True)
AutoModel.register(ConvTowerConfig, ConvTower, exist_ok=True)
