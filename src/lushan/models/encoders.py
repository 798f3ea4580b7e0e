"""Backbones: a checkpoint that transformers reads, or a fresh model by its config.

The task names the Auto class and wraps the model: `model=bert_small` is an encoder under a head of
ours for classification, and BERT with its own output for masked words.
"""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor, nn

from lushan.configurable import Within, configurable
from lushan.errors import UserError
from lushan.models import dropout, fused, pretrained_weights
from lushan.models.architectures import auto, class_of, config_of, longest, options_of
from lushan.models.backbone import Backbone, Wrap, accepted, width_of
from lushan.models.own_code import require_whole
from lushan.run import remote_code
from lushan.run.files import intact
from lushan.text import hub

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel


class Encoder(nn.Module):
    """A model of any modality up to its last hidden states."""

    new_weights: Sequence[str] = ()

    def __init__(self, model: PreTrainedModel) -> None:
        super().__init__()
        fused.fuse(model)
        self.model = model
        self.config = model.config
        self.width = width_of(self.config)
        self.max_length = longest(model)
        self._accepted = accepted(model)

    def forward(self, **batch: Tensor) -> Tensor:
        """Return hidden states (B, L, H); of an image, L patches or places, row by row.

        Args:
            batch: `input_ids`, `attention_mask`, `pixel_values`: what of it the model does not
                take is left out.
        """
        inputs = {name: value for name, value in batch.items() if name in self._accepted}
        if (pixels := inputs.get("pixel_values")) is not None:  # not all towers see to it
            inputs["pixel_values"] = pixels.to(self.model.dtype)
        states: Tensor = self.model(**inputs).last_hidden_state
        # Convolutions keep the image's shape, (B, H, height, width).
        return states.flatten(2).transpose(1, 2) if states.ndim == 4 else states


def encoder_of(model: PreTrainedModel) -> Encoder:
    """Wrap a model of transformers for its hidden states; of an encoder-decoder, the encoder alone.

    Raises:
        UserError: Its code is its own, and cannot be taken apart.
    """
    part = model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model
    require_whole(model, part)
    return Encoder(part)


@configurable
def fresh(
    config: Callable[..., Any],
    attention: str | None = None,
    gradient_checkpointing: bool = False,
    *,
    vocab_size: int | None = None,
    pad_token_id: int | None = None,
    special: Mapping[str, int] | None = None,
    auto_class: str = "AutoModel",
    wrap: Wrap = encoder_of,
) -> Backbone:
    """A model with random weights.

    Args:
        config: Callable that returns a transformers config.
        attention: `eager`, `sdpa`, `flash_attention_2` or `flex_attention`; the default is `sdpa`
            if the architecture supports it.
        gradient_checkpointing: Recompute activations in the backward pass: less memory, a third
            more compute.
        vocab_size: Vocabulary size of the tokenizer; None if there is none; set by the run.
        pad_token_id: Padding token of the tokenizer; set by the run.
        special: Ids of other special tokens by their names in configs, such as `eos_token_id`. Ids
            in the config itself take precedence.
        auto_class: Name of the Auto class that selects the model class; set by the task.
        wrap: Callable that wraps the model as a backbone.
    """
    given = getattr(config, "keywords", {})
    ids = {} if vocab_size is None else {"vocab_size": vocab_size, "pad_token_id": pad_token_id}
    more = {name: value for name, value in (special or {}).items() if name not in given}
    try:
        made = config(**ids, **(_unset(config) | more))
        return _checkpointed(_make(made, auto_class, wrap, attention), gradient_checkpointing)
    except (ValueError, TypeError, ZeroDivisionError, AttributeError) as error:
        raise UserError(f"invalid sizes of a model: {error}", key="model.config") from error


def load(folder: str | Path, auto_class: str = "AutoModel", wrap: Wrap = encoder_of) -> Backbone:
    """Make a model with random weights by the `config.json` of a folder; its weights come later."""
    place = hub.local(Path(folder), key="RUN")
    with intact(Path(folder) / "config.json"), hub.explained(place, key="RUN", what="model"):
        return _make(config_of(place), auto_class, wrap)


@configurable
def pretrained(
    path: str,
    dropout: Annotated[float, Within(least=0, below=1)] | None = None,
    attention: str | None = None,
    gradient_checkpointing: bool = False,
    scripts: list[str] | None = None,
    layers: int | None = None,
    *,
    vocab_size: int | None = None,
    pad_token_id: int | None = None,
    auto_class: str = "AutoModel",
    wrap: Wrap = encoder_of,
) -> Backbone:
    """A model with the weights of a checkpoint, in float32.

    Args:
        path: A folder, a .gguf file, `pkg://package/inside`, a Hub id, or the folder of an earlier
            run.
        dropout: Dropout of hidden features and attention in training, instead of the checkpoint's
            values.
        attention: See `fresh`.
        gradient_checkpointing: See `fresh`.
        scripts: For an E5 file: keep only the tokens whose letters are in these scripts
            (`[latin,cjk]`), and their embeddings.
        layers: Keep only the first N layers. In a model for whole-text embeddings, the last layers
            have nearly the same state for each token.
        vocab_size: See `fresh`.
        pad_token_id: See `fresh`.
        auto_class: See `fresh`.
        wrap: See `fresh`.

    Raises:
        UserError: It cannot be read, does not hold all weights, or has fewer tokens than the
            tokenizer.
    """
    model, new = pretrained_weights.read(
        path,
        auto_class,
        vocab_size=vocab_size,
        pad_token_id=pad_token_id,
        dropout=dropout,
        attention=attention,
        scripts=scripts,
        layers=layers,
    )
    made = _checkpointed(wrap(model), gradient_checkpointing)
    made.new_weights = new
    return made


def warm_up(config: PreTrainedConfig, auto_class: str = "AutoModel") -> None:
    """Import what `fresh` will need: a process that is forked later has it."""
    with contextlib.suppress(UserError):  # reported when it is made
        class_of(config, auto_class)


def _make(
    config: PreTrainedConfig, auto_class: str, wrap: Wrap, attention: str | None = None
) -> Backbone:
    options = options_of(config, auto_class, attention)
    return wrap(
        auto(auto_class).from_config(
            config, dtype=torch.float32, **options, **remote_code.options()
        )
    )


def _checkpointed(model: Backbone, gradient_checkpointing: bool) -> Backbone:
    if gradient_checkpointing:
        inner = model.model
        if not inner.supports_gradient_checkpointing:
            raise UserError(
                f"a {inner.config.model_type} does not support gradient checkpointing",
                key="model.gradient_checkpointing",
                value=True,
            )
        with warnings.catch_warnings():  # newer versions call it otherwise, too
            warnings.filterwarnings("ignore", message=".*gradient_checkpointing_enable")
            inner.gradient_checkpointing_enable(
                {"use_reentrant": False, "context_fn": dropout.recomputed}
            )
    return model


def _unset(config: Callable[..., Any]) -> dict[str, None]:
    """Token ids that a config's class presets for its own vocabulary: ours has others."""
    kind, given = getattr(config, "func", config), getattr(config, "keywords", {})
    names = [name for name in inspect.signature(kind).parameters if name.endswith("_token_id")]
    return {name: None for name in names if name != "pad_token_id" and name not in given}
