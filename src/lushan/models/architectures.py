"""Architectures of transformers: their classes, their options, and their longest input."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from lushan.compat.transformers import is_auto_class, models_of, supports_sdpa
from lushan.errors import UserError
from lushan.models.own_code import own_class

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from lushan.text.hub import Place


def auto(name: str) -> Any:
    """Return an Auto class of transformers, which chooses a model's class by its config.

    Raises:
        UserError: It is no Auto class of models.
    """
    import transformers

    found = getattr(transformers, name, None)
    if not is_auto_class(found):
        raise UserError(
            "transformers has no Auto class with this name",
            key="task",
            value=name,
            hint="auto_class must be a name such as AutoModel or AutoModelForMaskedLM.",
        )
    return found


def config_of(place: Place) -> PreTrainedConfig:
    """Read the config of a checkpoint, also of an architecture that transformers has from us."""
    from transformers import AutoConfig

    import lushan.models.image_tower  # noqa: F401 - transformers learns of the class by this

    return AutoConfig.from_pretrained(place.path, **place.options)


def class_of(config: PreTrainedConfig, auto_class: str, revision: str | None = None) -> Any:
    """Return the class of a model.

    Args:
        config: An instance or class of a config, or a partial of one.
        auto_class: Name of the Auto class that chooses it.
        revision: The hub's commit, for code that comes with the config.

    Raises:
        UserError: The architecture has no such class.
    """
    if (own := own_class(config, auto_class, revision)) is not None:
        return own
    kind = getattr(config, "func", config)
    kind = kind if isinstance(kind, type) else type(kind)
    found = models_of(auto(auto_class)).get(kind, None)
    if isinstance(found, tuple | list):
        found = found[0]
    if found is None:
        has = ", ".join(_auto_classes(kind)) or "none"
        raise UserError(
            f"transformers has no {auto_class} for {kind.__name__}",
            key="model",
            hint=f"Choose an architecture that has one. Auto classes of this one: {has}.",
        )
    return found


def _auto_classes(config: type) -> list[str]:
    """Return the names of the Auto classes that have a model for a class of configs."""
    from transformers.models.auto import modeling_auto

    names = [name for name in modeling_auto.__all__ if name.startswith("AutoModel")]
    return [name for name in names if config in models_of(auto(name))]


def options_of(
    config: PreTrainedConfig,
    auto_class: str,
    attention: str | None = None,
    revision: str | None = None,
) -> dict[str, Any]:
    """Return how its class is called: no pooling layer, as it gets no gradient; fused attention.

    Args:
        config: An instance.
        auto_class: See `class_of`.
        attention: A kind of attention, instead of the best there is.
        revision: See `class_of`.
    """
    if attention is not None and not attention.isidentifier():
        # transformers takes `owner/name` for a kernel of the hub: code, which it fetches and runs.
        raise UserError(
            "unknown attention",
            key="model.attention",
            value=attention,
            hint="Write eager, sdpa, flash_attention_2 or flex_attention.",
        )
    kind = class_of(config, auto_class, revision)
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
        rows = table.num_embeddings - first_position(model)
        return min([rows, *_numbered(model, table)])
    if getattr(config, "position_biased_input", True) is False:
        return None  # DeBERTa-v3: only distances, in buckets that have no end
    if getattr(config, "relative_attention_num_buckets", None):
        return None  # T5
    text = config.get_text_config() if hasattr(config, "get_text_config") else config
    bound = getattr(text, "max_position_embeddings", None)
    return bound if isinstance(bound, int) and bound > 0 else None


def _numbered(model: nn.Module, table: nn.Embedding) -> list[int]:
    """Return how many places the part with the table has numbers for, where it keeps them.

    Nystromformer's table has two rows more than that.
    """
    parts = [part for part in model.modules() if table in part.children()]
    known = [getattr(part, "position_ids", None) for part in parts]
    return [numbers.shape[-1] for numbers in known if isinstance(numbers, Tensor)]


def first_position(model: nn.Module) -> int:
    """Return the number of a text's first place: RoBERTa's come behind that of padding."""
    table = position_table(model)
    return 0 if table is None or table.padding_idx is None else table.padding_idx + 1


def position_table(model: nn.Module) -> nn.Embedding | None:
    """Its learned positions; None where it has none."""
    for name, module in model.named_modules():
        last = name.rpartition(".")[2]
        if last in ("position_embeddings", "wpe") and isinstance(module, nn.Embedding):
            return module
    return None
