"""Private names of transformers, all of which are attributes of its models and configs."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedConfig, PreTrainedModel


SHARDS = "torch.distributed.tensor"
"""The module of sharded tensors."""


def attention_of(config: PreTrainedConfig | None) -> str | None:
    """Return how a model computes attention; None for a config that is not of transformers.

    `attn_implementation` is an argument of `from_pretrained`; a config has it under a private name.
    """
    found = getattr(config, "_attn_implementation", None)
    return None if found is None else str(found)


def set_attention(config: PreTrainedConfig, kind: str) -> None:
    """Have a model compute attention otherwise from its next batch on.

    `set_attn_implementation` is a model's method, and looks for kernels on the hub; here there is
    only a config, before and after each batch of packed rows.
    """
    config._attn_implementation = kind


def is_auto_class(found: object) -> bool:
    """Return whether an object of transformers chooses models; the base of these is private."""
    return hasattr(found, "_model_mapping")


def models_of(auto_class: Any) -> Mapping[type, Any]:
    """Return the class of a model, or several, for each class of configs.

    The public `from_config` makes the model at once, whose class alone is asked for here.
    """
    mapping: Mapping[type, Any] = auto_class._model_mapping
    return mapping


def supports_sdpa(model_class: type[PreTrainedModel]) -> bool:
    """Return whether a class of models runs on torch's attention.

    The public way is to make a model and to catch its error.
    """
    return bool(model_class._supports_sdpa)


def compiles_whole(model: PreTrainedModel) -> bool:
    """Return whether a model's step of generation compiles as one graph."""
    return bool(getattr(model, "_can_compile_fullgraph", False))


@contextmanager
def caches_of(layer: type) -> Iterator[None]:
    """Have caches made of a class of layers where all keys and values of a layer are kept.

    `generate` makes the cache by itself, by model and config; one that is given to it is asked for
    in other places than its own.
    """
    from transformers import cache_utils

    kinds: Any = cache_utils.DYNAMIC_LAYER_TYPE_MAPPING
    before = kinds["full_attention"]
    kinds["full_attention"] = layer
    try:
        yield
    finally:
        kinds["full_attention"] = before


def leave_generation_alone(model: Any) -> None:
    """Have `generate` not run in step with the other processes of FSDP2.

    `synced_gpus=False` does so, too, but is an argument of each call, and these come from several
    places; the mark is the model's.
    """
    model._is_fsdp_managed_module = False


@contextmanager
def saving() -> Iterator[None]:
    """Let `save_pretrained` take a model as it is.

    It looks for wrappers of distributed training and imports accelerate for it, and sharded tensors
    to ask of each tensor whether it is one; huggingface_hub does without where there is no such
    module.
    """
    from transformers import modeling_utils

    with ExitStack() as stack:
        _set(stack, modeling_utils, "unwrap_model", lambda model, **_: model)
        _ask_of_no_shards(stack)
        if SHARDS not in sys.modules:
            sys.modules[SHARDS] = None  # type: ignore[assignment]
            stack.callback(sys.modules.pop, SHARDS)
        yield


@contextmanager
def loading() -> Iterator[None]:
    """Let `from_pretrained` import neither sharded tensors, likewise, nor the compiler.

    It makes a model without storage first. Torch draws weights for it by its reference functions,
    which import the compiler, and has nowhere to write them.
    """
    from torch.nn import init

    with ExitStack() as stack:
        _ask_of_no_shards(stack)
        for name in dir(init):
            if name.endswith("_") and not name.startswith("_"):
                _set(stack, init, name, _unless_empty(getattr(init, name)))
        yield


def _ask_of_no_shards(stack: ExitStack) -> None:
    """Take no tensor for a sharded one as long as the module of these is not imported."""
    from transformers import core_model_loading, modeling_utils, pytorch_utils

    users: list[Any] = [core_model_loading, modeling_utils, pytorch_utils]
    asked = users[0].is_dtensor
    for module in users:
        _set(stack, module, "is_dtensor", lambda it: bool(sys.modules.get(SHARDS)) and asked(it))


def _set(stack: ExitStack, module: Any, name: str, value: object) -> None:
    stack.callback(setattr, module, name, getattr(module, name))
    setattr(module, name, value)


def _unless_empty(draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
    @functools.wraps(draw)
    def drawn(tensor: Tensor, *args: Any, **options: Any) -> Tensor:
        return tensor if tensor.is_meta else draw(tensor, *args, **options)

    return drawn


@contextmanager
def silenced() -> Iterator[None]:
    """Hide the progress bar, and the report of weights that a model has no use for."""
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
