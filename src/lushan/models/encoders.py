"""Encoders and language models: a checkpoint that transformers reads, or a fresh one by its config.

One config makes either: what a model is for (`Purpose`) is the task's to say. `model=bert_small` is
an encoder under a head of ours for classification, and BERT with its own output for masked words.
"""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lushan.configurable import configurable
from lushan.errors import UserError
from lushan.models import pretrained_weights
from lushan.models.architectures import (
    Purpose,
    auto,
    class_of,
    longest,
    options_of,
    position_table,
)
from lushan.models.language import LanguageModel
from lushan.models.own_code import require_whole
from lushan.run import remote_code
from lushan.run.files import intact
from lushan.text import hub


class Encoder(nn.Module):
    """A transformer up to its last hidden states.

    Args:
        model: Of transformers.

    Attributes:
        model: The same.
        config: Its config.
        width: Of the hidden states.
        max_length: Tokens it can read, or None where positions set no bound.
        new_weights: Names of weights that the checkpoint which it was read from has not.
    """

    new_weights: Sequence[str] = ()

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.config = model.config
        self.width = int(self.config.hidden_size)
        self.max_length = longest(model)
        # A single segment is the same as none, and some encoders know no argument for it.
        self._segments = (getattr(self.config, "type_vocab_size", None) or 0) > 1
        self._takes = frozenset(inspect.signature(model.forward).parameters)

    def forward(self, **inputs: Tensor) -> Tensor:
        """Hidden states (B, L, H).

        Args:
            inputs: `input_ids`, `attention_mask`, and `token_type_ids` that are left out where the
                encoder tells no segments apart, each (B, L).
        """
        if not (self._segments and "token_type_ids" in self._takes):
            inputs.pop("token_type_ids", None)
        return self.model(**inputs).last_hidden_state


@configurable
def fresh(
    config: Callable[..., Any],
    attention: str | None = None,
    gradient_checkpointing: bool = False,
    *,
    vocab_size: int,
    pad_token_id: int,
    purpose: Purpose = "encoder",
    special: Mapping[str, int] | None = None,
) -> Encoder | LanguageModel:
    """A model with random weights.

    Args:
        config: Makes a config of transformers.
        attention: `eager`, `sdpa`, `flash_attention_2` or `flex_attention`; by default `sdpa` where
            the architecture has it.
        gradient_checkpointing: Compute the layers' states again in the backward pass instead of
            keeping them: less memory, a third more work.
        vocab_size: Of the tokenizer.
        pad_token_id: Of the tokenizer.
        purpose: What is made of it.
        special: The tokenizer's `bos_token_id` and `eos_token_id`, for language models.
    """
    try:
        known = _unset(config) | (_special(purpose, special, pad_token_id, config))
        made = config(vocab_size=vocab_size, pad_token_id=pad_token_id, **known)
        return _checkpointed(_make(made, purpose, attention), gradient_checkpointing)
    except (ValueError, TypeError, ZeroDivisionError, AttributeError) as error:
        raise UserError(f"these sizes do not make a model: {error}", key="model.config") from error


def load(folder: str | Path, purpose: Purpose = "encoder") -> Encoder | LanguageModel:
    """A model with random weights, by the `config.json` of a folder; its weights come later."""
    from transformers import AutoConfig

    place = hub.local(Path(folder), key="RUN")
    with intact(Path(folder) / "config.json"), hub.explained(place, key="RUN", what="model"):
        return _make(AutoConfig.from_pretrained(place.path, **place.options), purpose)


def around(model: Any, purpose: Purpose = "encoder") -> Encoder | LanguageModel:
    """Wrap a model of transformers that is loaded already; an encoder's without its head."""
    return _wrapped(model.base_model if purpose == "encoder" else model, purpose)


@configurable
def pretrained(
    path: str,
    dropout: float | None = None,
    attention: str | None = None,
    gradient_checkpointing: bool = False,
    *,
    vocab_size: int,
    pad_token_id: int,
    purpose: Purpose = "encoder",
) -> Encoder | LanguageModel:
    """A model with the weights of a checkpoint, in float32.

    Args:
        path: A folder, `pkg://package/folder`, a hub id, or an earlier run's folder.
        dropout: Share of hidden features and attention that training drops, instead of the
            checkpoint's own.
        attention: See `fresh`.
        gradient_checkpointing: See `fresh`.
        vocab_size: Of the tokenizer.
        pad_token_id: Of the tokenizer.
        purpose: What is made of it.

    Raises:
        UserError: It cannot be read, does not hold all weights, or has fewer tokens than the
            tokenizer.
    """
    model, new = pretrained_weights.read(
        path,
        purpose,
        vocab_size=vocab_size,
        pad_token_id=pad_token_id,
        dropout=dropout,
        attention=attention,
    )
    made = _checkpointed(_wrapped(model, purpose), gradient_checkpointing)
    made.new_weights = new
    return made


def warm_up(config: Any, purpose: Purpose = "encoder") -> None:
    """Import what `fresh` will need: a process that is forked later has it."""
    with contextlib.suppress(UserError):  # told when it is made
        class_of(config, purpose)


def _make(config: Any, purpose: Purpose, attention: str | None = None) -> Encoder | LanguageModel:
    options = options_of(config, purpose, attention)
    made = auto(purpose).from_config(
        config, dtype=torch.float32, **options, **remote_code.options()
    )
    return _wrapped(made, purpose)


def _wrapped(model: Any, purpose: Purpose) -> Encoder | LanguageModel:
    if purpose == "encoder":
        part = _encoding_part(model)
        require_whole(model, part)
        return Encoder(part)
    table = position_table(model)
    # RoBERTa and its kin count positions from behind that of padding.
    first = 0 if table is None or table.padding_idx is None else table.padding_idx + 1
    return LanguageModel(
        model,
        longest(model),
        bidirectional=purpose == "masked_lm",
        first_position=first,
    )


def _checkpointed(
    model: Encoder | LanguageModel, gradient_checkpointing: bool
) -> Encoder | LanguageModel:
    if gradient_checkpointing:
        inner: Any = model.model
        if not inner.supports_gradient_checkpointing:
            raise UserError(
                f"a {inner.config.model_type} cannot compute its layers again",
                key="model.gradient_checkpointing",
                value=True,
            )
        with warnings.catch_warnings():  # newer versions call it otherwise, too
            warnings.filterwarnings("ignore", message=".*gradient_checkpointing_enable")
            inner.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def _special(
    purpose: Purpose, special: Mapping[str, int] | None, pad_token_id: int, config: Any
) -> dict[str, int]:
    """Token ids that generation goes by; the config's own where it names them."""
    given = getattr(config, "keywords", {})
    if purpose not in ("causal_lm", "seq2seq_lm"):
        return {}
    known = dict(special or {})
    if purpose == "seq2seq_lm":
        known["decoder_start_token_id"] = pad_token_id  # T5's way
    return {name: value for name, value in known.items() if name not in given}


def _encoding_part(model: Any) -> nn.Module:
    """Of an encoder-decoder only the encoder."""
    return model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model


def _unset(config: Callable[..., Any]) -> dict[str, None]:
    """Token ids that a config's class presets for its own vocabulary: ours has others."""
    kind, given = getattr(config, "func", config), getattr(config, "keywords", {})
    names = [name for name in inspect.signature(kind).parameters if name.endswith("_token_id")]
    return {name: None for name in names if name != "pad_token_id" and name not in given}
