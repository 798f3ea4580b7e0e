"""A small model that scores candidates by their features: linear, or with hidden layers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal, cast

import torch
from huggingface_hub.dataclasses import strict
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from lushan.configurable import configurable

Objective = Literal["listwise", "pairwise"]


@configurable
@strict
class RankerConfig(PreTrainedConfig):
    """Config of a `Ranker`.

    Args:
        features: Number of features of a candidate.
        hidden_sizes: Widths of the hidden layers; an empty list is a linear model.
        dropout: Dropout of hidden layers.
    """

    model_type = "lushan_ranker"

    features: int = 1
    hidden_sizes: list[int] | tuple[int, ...] = ()
    dropout: float = 0.0
    initializer_range: float = 0.02

    @property
    def hidden_size(self) -> int:
        """Width of what is scored last."""
        return self.hidden_sizes[-1] if self.hidden_sizes else self.features


class Ranker(PreTrainedModel):
    """Scores of candidates, each by itself."""

    config_class = RankerConfig
    main_input_name: Any = None  # no processor makes its features: they come with the data

    def __init__(self, config: RankerConfig) -> None:
        super().__init__(config)
        widths = [config.features, *config.hidden_sizes]
        layers: list[nn.Module] = []
        for before, width in itertools.pairwise(widths):
            layers += [nn.Linear(before, width), nn.GELU(), nn.Dropout(config.dropout)]
        # What is added to all candidates alike orders none of them: there is no last bias.
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1, bias=False))
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, features: Tensor, **_: object) -> Tensor:
        """Return scores (B, C) of features (B, C, F)."""
        weights = next(self.layers.parameters())
        with torch.autocast(features.device.type, enabled=False):  # near features differ
            scores = cast(Tensor, self.layers(features.to(weights.dtype)))
        return scores.squeeze(-1)


class Scorer(nn.Module):
    """The backbone of a `Ranker`."""

    new_weights: Sequence[str] = ()
    max_length = None

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        self.model, self.config = model, model.config
        self.width = int(model.config.hidden_size)

    def forward(self, **batch: Tensor) -> Any:
        """Score the candidates of a batch."""
        return self.model(batch["features"])


def losses(scores: Tensor, right: Tensor, there: Tensor, objective: Objective) -> Tensor:
    """Return the loss of each list, (B,); 0 where it holds nothing that is right.

    Args:
        scores: (B, C), float32.
        right: Whether a candidate is right, (B, C).
        there: Whether there is one, (B, C).
        objective: `listwise`: the cross-entropy of right candidates among all (ListNet: Cao et al.,
            2007). `pairwise`: that of each right one against each other (RankNet: Burges et al.,
            2005), a mean over pairs.
    """
    if objective == "listwise":
        logs = scores.masked_fill(~there, -torch.inf).log_softmax(1)
        counts = right.sum(1).clamp(min=1)
        return -logs.masked_fill(~right, 0).sum(1) / counts
    pairs = right[:, :, None] & (there & ~right)[:, None, :]  # (B, C, C)
    apart = F.softplus(scores[:, None, :] - scores[:, :, None])
    return (apart * pairs).sum((1, 2)) / pairs.sum((1, 2)).clamp(min=1)


AutoConfig.register(RankerConfig.model_type, RankerConfig, exist_ok=True)
AutoModel.register(RankerConfig, Ranker, exist_ok=True)
