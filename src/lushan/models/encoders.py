"""Encoders: a checkpoint of any kind that transformers reads, or a fresh one by its config."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lushan.errors import UserError
from lushan.text import hub

_DROPOUT = re.compile(r"^(?!classifier|summary).*(dropout|pdrop)")
"""Names of what configs of transformers call dropout, less that of heads which are not ours."""


class Encoder(nn.Module):
    """A transformer up to its last hidden states.

    Args:
        model: Of transformers.

    Attributes:
        model: The same.
        config: Its config.
        width: Of the hidden states.
        max_length: Tokens it can read, or None where positions set no bound.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.config = model.config
        self.width = int(self.config.hidden_size)
        self.max_length = _longest(model)
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


def fresh(config: Callable[..., Any], *, vocab_size: int, pad_token_id: int) -> Encoder:
    """An encoder with random weights.

    Args:
        config: Makes a config of transformers.
        vocab_size: Of the tokenizer.
        pad_token_id: Of the tokenizer.
    """
    try:
        return _make(config(vocab_size=vocab_size, pad_token_id=pad_token_id, **_unset(config)))
    except (ValueError, TypeError, ZeroDivisionError, AttributeError) as error:
        raise UserError(
            f"these sizes do not make an encoder: {error}", key="model.config"
        ) from error


def load(folder: str | Path) -> Encoder:
    """An encoder with random weights, by the `config.json` of a folder; its weights come later."""
    from transformers import AutoConfig

    return _make(AutoConfig.from_pretrained(folder, local_files_only=True))


def pretrained(
    path: str, *, vocab_size: int, pad_token_id: int, dropout: float | None = None
) -> Encoder:
    """An encoder with the weights of a checkpoint, in float32.

    Args:
        path: A folder, `pkg://package/folder`, or a hub id.
        vocab_size: Of the tokenizer.
        pad_token_id: Of the tokenizer.
        dropout: Share of hidden features and attention that training drops, instead of the
            checkpoint's own.

    Raises:
        UserError: It cannot be read, does not hold all weights, or has fewer tokens than the
            tokenizer.
    """
    from transformers import AutoConfig, AutoModel

    place = hub.find(path, key="model.path")
    local = {"local_files_only": place.offline or not place.on_hub}
    with hub.explained(place, key="model.path", what="model"), _silence():
        config = AutoConfig.from_pretrained(place.path, **local)
        _refuse_fewer_tokens(config, vocab_size, path)
        # Where the checkpoint names none, embeddings must still know which token is padding.
        if getattr(config, "pad_token_id", None) is None:
            config.pad_token_id = pad_token_id
        _set_dropout(config, dropout)
        model, found = AutoModel.from_pretrained(
            place.path,
            config=config,
            # Left to itself, a checkpoint in half precision would be trained in half precision.
            dtype=torch.float32,
            output_loading_info=True,
            **_options(config),
            **local,
        )
    _refuse_missing(sorted(found["missing_keys"]), path)
    return Encoder(_encoding_part(model))


def warm_up(config: Any) -> None:
    """Import what `fresh` will need: a process that is forked later has it."""
    from transformers import MODEL_MAPPING

    MODEL_MAPPING.get(getattr(config, "func", config), None)


def _make(config: Any) -> Encoder:
    import transformers

    auto: Any = transformers.AutoModel
    model = auto.from_config(config, dtype=torch.float32, **_options(config))
    return Encoder(_encoding_part(model))


def _options(config: Any) -> dict[str, Any]:
    """No pooling layer, which would get no gradient; fused attention where there is one."""
    from transformers import MODEL_MAPPING

    kind: Any = MODEL_MAPPING.get(type(config), None)
    if isinstance(kind, tuple):
        kind = kind[0]
    if kind is None:
        raise UserError(
            f"transformers has no plain encoder for {type(config).__name__}", key="model"
        )
    options: dict[str, Any] = {"attn_implementation": "sdpa" if kind._supports_sdpa else "eager"}
    if "add_pooling_layer" in inspect.signature(kind).parameters:
        options["add_pooling_layer"] = False
    return options


def _encoding_part(model: Any) -> nn.Module:
    """Of an encoder-decoder only the encoder."""
    return model.get_encoder() if getattr(model.config, "is_encoder_decoder", False) else model


def _longest(model: nn.Module) -> int | None:
    config: Any = model.config
    table = _position_table(model)
    if table is not None:
        # RoBERTa and its kin count positions from behind that of padding.
        offset = 0 if table.padding_idx is None else table.padding_idx + 1
        return table.num_embeddings - offset
    if getattr(config, "position_biased_input", True) is False:
        return None  # DeBERTa-v3: only distances, in buckets that have no end
    if getattr(config, "relative_attention_num_buckets", None):
        return None  # T5
    bound = getattr(config, "max_position_embeddings", None)
    return bound if isinstance(bound, int) and bound > 0 else None


def _position_table(model: nn.Module) -> nn.Embedding | None:
    for name, module in model.named_modules():
        last = name.rpartition(".")[2]
        if last in ("position_embeddings", "wpe") and isinstance(module, nn.Embedding):
            return module
    return None


def _unset(config: Callable[..., Any]) -> dict[str, None]:
    """Token ids that a config's class presets for its own vocabulary: ours has others."""
    kind, given = getattr(config, "func", config), getattr(config, "keywords", {})
    names = [name for name in inspect.signature(kind).parameters if name.endswith("_token_id")]
    return {name: None for name in names if name != "pad_token_id" and name not in given}


def _refuse_fewer_tokens(config: Any, vocab_size: int, path: str) -> None:
    known = getattr(config, "vocab_size", None)
    if known is not None and vocab_size > known:
        raise UserError(
            f"the tokenizer has {vocab_size} tokens and this encoder only {known}",
            key="model.path",
            value=path,
            hint="Write tokenizer=pretrained, which takes the encoder's own.",
        )


def _set_dropout(config: Any, dropout: float | None) -> None:
    if dropout is None:
        return
    if not 0 <= dropout < 1:
        raise UserError("must be at least 0 and below 1", key="model.dropout", value=dropout)
    names = [
        name
        for name, value in config.to_dict().items()
        if _DROPOUT.search(name) and isinstance(value, int | float)
    ]
    if not names:
        raise UserError(
            f"a {config.model_type} has no dropout to set", key="model.dropout", value=dropout
        )
    for name in names:
        setattr(config, name, dropout)


def _refuse_missing(missing: list[str], path: str) -> None:
    missing = [name for name in missing if "pooler" not in name]
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        raise UserError(
            f"the checkpoint lacks {len(missing)} of the encoder's weights: {shown}",
            key="model.path",
            value=path,
            hint="Is it of another architecture than its config.json says?",
        )


@contextmanager
def _silence() -> Iterator[None]:
    """No progress bar and no report of weights that an encoder has no use for."""
    from transformers import utils

    logging: Any = utils.logging
    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
