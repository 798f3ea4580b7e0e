"""What transformers has of an architecture: its classes, its options, and how much it reads."""

from __future__ import annotations

import inspect
from typing import Any, Literal

from torch import nn

from lushan.compat.transformers import supports_sdpa
from lushan.errors import UserError
from lushan.models.own_code import own_class

Purpose = Literal["encoder", "causal_lm", "masked_lm", "seq2seq_lm"]
"""What is made of an architecture: its hidden states alone, or one of its language models."""

_NAMES: dict[str, tuple[str, str, str]] = {
    "encoder": ("AutoModel", "MODEL_MAPPING", "plain encoder"),
    "causal_lm": ("AutoModelForCausalLM", "MODEL_FOR_CAUSAL_LM_MAPPING", "causal language model"),
    "masked_lm": ("AutoModelForMaskedLM", "MODEL_FOR_MASKED_LM_MAPPING", "masked language model"),
    "seq2seq_lm": (
        "AutoModelForSeq2SeqLM",
        "MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING",
        "encoder-decoder",
    ),
}


def auto(purpose: Purpose) -> Any:
    """The class of transformers that chooses a model's class by its config."""
    import transformers

    return getattr(transformers, _NAMES[purpose][0])


def class_of(config: Any, purpose: Purpose, revision: str | None = None) -> Any:
    """The class of a model.

    Args:
        config: An instance or class of a config, or a partial of one.
        purpose: What is made of it.
        revision: The hub's commit, for code that comes with the config.

    Raises:
        UserError: There is none.
    """
    import transformers

    if (own := own_class(config, _NAMES[purpose][0], revision)) is not None:
        return own
    kind = getattr(config, "func", config)
    kind = kind if isinstance(kind, type) else type(kind)
    found: Any = getattr(transformers, _NAMES[purpose][1]).get(kind, None)
    if isinstance(found, tuple | list):
        found = found[0]
    if found is None:
        raise UserError(
            f"transformers has no {_NAMES[purpose][2]} for {kind.__name__}",
            key="model",
            hint="GPT-2, Llama and Qwen are causal; BERT and its kin masked; T5 encodes and "
            "decodes.",
        )
    return found


def options_of(
    config: Any, purpose: Purpose, attention: str | None = None, revision: str | None = None
) -> dict[str, Any]:
    """How its class is called: no pooling layer, which would get no gradient; fused attention.

    Args:
        config: An instance.
        purpose: What is made of it.
        attention: A kind of attention, instead of the best there is.
        revision: See `class_of`.
    """
    if attention is not None and not attention.isidentifier():
        # transformers takes `owner/name` for a kernel of the hub: code, which it fetches and runs.
        raise UserError(
            "this is no kind of attention",
            key="model.attention",
            value=attention,
            hint="Write eager, sdpa, flash_attention_2 or flex_attention.",
        )
    kind = class_of(config, purpose, revision)
    usual = "sdpa" if supports_sdpa(kind) else "eager"
    options: dict[str, Any] = {"attn_implementation": attention or usual}
    if "add_pooling_layer" in inspect.signature(kind).parameters:
        options["add_pooling_layer"] = False
    return options


def longest(model: nn.Module) -> int | None:
    """Tokens it can read; None where positions set no bound."""
    config: Any = model.config
    table = position_table(model)
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


def position_table(model: nn.Module) -> nn.Embedding | None:
    """Its learned positions; None where it has none."""
    for name, module in model.named_modules():
        last = name.rpartition(".")[2]
        if last in ("position_embeddings", "wpe") and isinstance(module, nn.Embedding):
            return module
    return None
