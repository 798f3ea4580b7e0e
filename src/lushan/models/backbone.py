"""Backbone: a model of any modality as tasks use it, and the head on it, as one module."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from lushan.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


class Backbone(Protocol):
    """A model of transformers, as tasks use it: a batch in, hidden states or a model's output out.

    Attributes:
        new_weights: Names of weights that the checkpoint which it was read from has not.
    """

    new_weights: Sequence[str]

    @property
    def model(self) -> PreTrainedModel:
        """The model of transformers."""

    @property
    def width(self) -> int:
        """Width of the hidden states."""

    @property
    def max_length(self) -> int | None:
        """Tokens it can read; None where positions set no bound."""

    def __call__(self, **batch: Tensor) -> Any:
        """Run the model on those entries of a batch that it takes.

        Returns:
            Hidden states (B, L, H) of an encoder; of a language model its own output.
        """


Wrap = Callable[[Any], Backbone]
"""Makes a backbone of a model of transformers."""


_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def accepted(model: PreTrainedModel) -> frozenset[str]:
    """Return the names of a batch's entries that a model of transformers takes.

    No labels: losses are the task's. A single segment is the same as none, and some models know no
    argument for it. Where `forward` takes any name, the arguments of the class that it derives from
    count as well.
    """
    above = (vars(kind)["forward"] for kind in type(model).__mro__ if "forward" in vars(kind))
    names: set[str] = set()
    for forward in (model.forward, *above):
        parameters = inspect.signature(forward).parameters.values()
        names |= {p.name for p in parameters if p.kind in _NAMED}
        if all(p.kind is not p.VAR_KEYWORD for p in parameters):
            break
    names -= {"self", "labels"}
    if (getattr(model.config, "type_vocab_size", None) or 0) <= 1:
        names.discard("token_type_ids")
    return frozenset(names)


def cache_name(names: Collection[str]) -> str:
    """Return what a `forward` that takes these arguments calls its cache of keys and values.

    It is `cache` from transformers 5.24 on, where the name before it is accepted with a warning.
    """
    return "cache" if "cache" in names and "past_key_values" not in names else "past_key_values"


def text_config_of(config: PreTrainedConfig) -> PreTrainedConfig:
    """Return the part of a model's config that is about text; all of one that has no parts."""
    return config.get_text_config() if hasattr(config, "get_text_config") else config


def width_of(config: PreTrainedConfig) -> int:
    """Return the width of the last hidden states of a model with this config.

    Raises:
        UserError: The config does not say.
    """
    text = text_config_of(config)
    for found in (text, config):
        width = getattr(found, "hidden_size", None) or getattr(found, "hidden_sizes", None)
        if width:
            return int(width[-1] if isinstance(width, list | tuple) else width)
    raise UserError(
        f"{type(config).__name__} does not define the width of hidden states",
        key="model",
        hint="The config needs hidden_size or hidden_sizes.",
    )


class WordModel(nn.Module):
    """Encoder and head over words: each word is its first subword's hidden state."""

    def __init__(self, encoder: Backbone, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head

    def forward(self, inputs: dict[str, Tensor], positions: Tensor) -> Tensor:
        """Scores of every word.

        Args:
            inputs: A batch; the encoder takes what it knows of it, each (B, L).
            positions: Where each word's first subword stands, (B, W).

        Returns:
            (B, W, C)
        """
        hidden = self.encoder(**inputs)  # (B, L, H)
        index = positions[..., None].expand(-1, -1, hidden.shape[-1])
        return self.head(torch.gather(hidden, 1, index))


class PooledModel(nn.Module):
    """Encoder, pooling and head: one row of scores an example."""

    def __init__(self, encoder: Backbone, pooler: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        # Both are fresh, and so learn at the head's rate.
        self.head = nn.ModuleDict({"pooler": pooler, "scores": head})

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        """Return the scores (B, C) of a batch; without `attention_mask` (B, L) all states count."""
        hidden = self.encoder(**inputs)  # (B, L, H)
        mask = inputs.get("attention_mask")
        if mask is None:
            mask = hidden.new_ones(hidden.shape[:2])
        pooled = self.head["pooler"](hidden, mask)  # (B, H)
        return self.head["scores"](pooled)


def blocks(model: nn.Module) -> list[nn.Module]:
    """The layers that a model is a pile of: the entries of its outermost lists of modules."""
    found: list[nn.Module] = []
    for child in model.children():
        if isinstance(child, nn.ModuleList):
            found += [m for m in child if any(True for _ in m.parameters())]
        else:
            found += blocks(child)
    return found


def token_table(model: Any) -> Any:
    """Return the embeddings of a model's tokens; None where it has several towers, or none."""
    with contextlib.suppress(NotImplementedError, AttributeError):
        return model.get_input_embeddings()
    return None
