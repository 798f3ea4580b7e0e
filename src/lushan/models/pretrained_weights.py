"""Weights that are there already: a checkpoint of transformers, or an earlier run's."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lushan.checkpoint.weights import Damaged, load_weights
from lushan.compat.transformers import silenced
from lushan.errors import UserError
from lushan.models.architectures import auto, class_of, config_of, options_of
from lushan.run import checksums
from lushan.run.artifacts import ENCODER, best_weights, is_run
from lushan.text import hub

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

log = logging.getLogger(__name__)

HEADLESS = "AutoModel"
"""The Auto class of models without a head of their own, which could be new."""
_MOST_NEW = 0.5
"""Share of a model's weights that a checkpoint may lack: an output projection may be new."""
_DROPOUT = re.compile(r"^(?!classifier|summary).*(dropout|pdrop)")
"""Names of what configs of transformers call dropout, less that of heads which are not ours."""


def read(
    path: str,
    auto_class: str,
    *,
    vocab_size: int | None = None,
    pad_token_id: int | None = None,
    dropout: float | None = None,
    attention: str | None = None,
    scripts: Sequence[str] | None = None,
    layers: int | None = None,
) -> tuple[Any, list[str]]:
    """A model of transformers with the weights of a place, in float32, and which of them are new.

    Weights that are new and weights that were not used are listed.

    Args:
        path: A folder, a .gguf file, `pkg://package/inside`, a hub id, or an earlier run's folder.
        auto_class: Name of the Auto class that chooses the model's class.
        vocab_size: Of the tokenizer; None where there is none.
        pad_token_id: Likewise.
        dropout: Share that training drops, instead of the checkpoint's own.
        attention: See `architectures.options_of`.
        scripts: See `encoders.pretrained`.
        layers: See `encoders.pretrained`.

    Raises:
        UserError: It cannot be read, lacks too much, or has fewer tokens than the tokenizer.
    """
    folder = Path(path).expanduser()
    run = is_run(folder)
    key = "model.path"
    own = hub.local(checksums.verified(folder, ENCODER), key=key) if run else None
    place = own or hub.find(path, key=key, scripts=scripts)
    with hub.explained(place, key="model.path", what="model"), silenced():
        config = config_of(place)
        if vocab_size is not None:
            _refuse_fewer_tokens(config, vocab_size, path)
        # Where the checkpoint names none, embeddings must still know which token is padding.
        if getattr(config, "pad_token_id", None) is None:
            config.pad_token_id = pad_token_id
        _set_dropout(config, dropout)
        _keep_layers(config, layers)
        more: dict[str, Any]
        if run:
            kind, source, more = class_of(config, auto_class), None, {"state_dict": of_run(folder)}
        else:
            kind, source, more = auto(auto_class), place.path, place.options | hub.NO_PICKLE
        model, found = kind.from_pretrained(
            source,
            config=config,
            # Left to itself, a checkpoint in half precision would be trained in half precision.
            dtype=torch.float32,
            output_loading_info=True,
            **options_of(config, auto_class, attention, place.commit),
            **more,
        )
    missing = sorted(found["missing_keys"])
    if auto_class == HEADLESS and not run:
        _refuse_missing(missing, path)
        return model, []
    return model, _report_weights(model, missing, sorted(found["unexpected_keys"]), path)


def of_run(folder: Path) -> dict[str, Tensor]:
    """The best weights of an earlier run, by the names that transformers gives them.

    Raises:
        UserError: There are none, or they are an adapter's alone.
    """
    try:
        found = load_weights(best_weights(folder))
    except Damaged as error:
        raise UserError(str(error), key="init_from", value=str(folder)) from error
    if any(name.endswith("base_sha256") for name in found):
        raise UserError(
            "that run contains only an adapter",
            key="init_from",
            value=str(folder),
            hint="Export the merged model with `lushan export RUN FOLDER`, and start from that "
            "FOLDER.",
        )
    prefix = "encoder.model."
    return {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}


def _report_weights(
    model: PreTrainedModel, missing: list[str], unused: list[str], path: str
) -> list[str]:
    """List weights that are new and weights that were not used; too many are a mistake.

    Returns:
        The names of those that are new.
    """
    sizes = {name: weight.numel() for name, weight in model.named_parameters()}
    new = [name for name in missing if name in sizes]
    share = sum(sizes[name] for name in new) / max(1, sum(sizes.values()))
    if share > _MOST_NEW:
        raise UserError(
            f"{share:.0%} of the weights are not in it: {_some(new)}",
            key="model.path",
            value=path,
            hint="Does it have another architecture or size?",
        )
    for names, what in ((new, "new weights, not in"), (unused, "weights not used of")):
        if names:
            log.info("%d %s %s: %s", len(names), what, path, _some(names))
    return new


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _refuse_fewer_tokens(config: PreTrainedConfig, vocab_size: int, path: str) -> None:
    known = getattr(config.get_text_config(), "vocab_size", None)
    if known is not None and vocab_size > known:
        raise UserError(
            f"the tokenizer has {vocab_size} tokens and this model only {known}",
            key="model.path",
            value=path,
            hint="Write processor=pretrained, to use the encoder's own.",
        )


def _set_dropout(config: PreTrainedConfig, dropout: float | None) -> None:
    if dropout is None:
        return
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


def _keep_layers(config: PreTrainedConfig, layers: int | None) -> None:
    """Let a model have the first so many of its layers."""
    if layers is None:
        return
    text = config.get_text_config()
    known = getattr(text, "num_hidden_layers", None)
    if known is None:
        raise UserError(f"a {config.model_type} has no layers to choose", key="model.layers")
    if not 1 <= layers <= known:
        raise UserError(f"must be from 1 to {known}", key="model.layers", value=layers)
    text.num_hidden_layers = layers


def _refuse_missing(missing: list[str], path: str) -> None:
    missing = [name for name in missing if "pooler" not in name]
    if missing:
        raise UserError(
            f"the checkpoint lacks {len(missing)} of the model's weights: {_some(missing)}",
            key="model.path",
            value=path,
            hint="Does the architecture match its config.json?",
        )
