"""A causal language model as one graph, which reads a prompt and writes with a cache.

The graph takes tokens, a mask and the keys and values of what was read before, none at first, and
gives logits and all keys and values. Here it takes the place of `forward` in the model's own class,
so that whatever generates text with the one does with the other.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lushan.common.parsing import read_json
from lushan.errors import UserError
from lushan.models import graph as graphs
from lushan.models.architectures import auto
from lushan.models.backbone import accepted, cache_name
from lushan.models.graph import Run
from lushan.run import remote_code

if TYPE_CHECKING:
    from transformers import DynamicCache, PreTrainedModel

Step = Callable[[dict[str, Tensor], Any], Tensor]
"""From new tokens, by names of inputs, and a cache to logits (B, L, V); it fills the cache."""
_READ, _NEW = 5, 2
"""Tokens read before, and new ones, of the call that is traced: each a size that varies."""


def traced(model: PreTrainedModel) -> dict[str, Any]:
    """Return inputs to trace a causal model with: two rows, one padded on the left, and a cache.

    Raises:
        UserError: Its cache is another than one that grows by what is read.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    cache = DynamicCache(config=model.config)
    if not cache.layers or any(type(layer) is not DynamicLayer for layer in cache.layers):
        raise UserError(
            f"a {model.config.model_type} has another cache than keys and values, so it cannot be "
            f"exported as a graph",
            key="--format",
            hint="Remove --format to export for transformers.",
        )
    ids = torch.arange(2 * (_READ + _NEW)).view(2, -1) % int(model.config.vocab_size)
    mask = torch.ones_like(ids)
    mask[0, 0] = 0
    places = (mask.cumsum(-1) - 1).clamp(min=0)
    given = {"input_ids": ids, "position_ids": places}
    known = {name: value for name, value in given.items() if name in accepted(model)}
    with torch.no_grad():
        before = {name: value[:, :_READ] for name, value in known.items()}
        model(**before, attention_mask=mask[:, :_READ], past_key_values=cache, use_cache=True)
    now = {name: value[:, _READ:].contiguous() for name, value in known.items()}
    return {**now, "attention_mask": mask, "past_key_values": cache, "use_cache": True}


def opened(folder: Path, auto_class: str) -> PreTrainedModel:
    """Read a causal model whose `forward` is a graph; its weights are in the graph alone.

    Args:
        folder: With `config.json` and the graph.
        auto_class: Name of the Auto class that chooses the model's class.
    """
    from transformers import AutoConfig, GenerationConfig
    from transformers.modeling_outputs import CausalLMOutputWithPast

    step = _steps(graphs.opened(folder, "onnx"))
    config = AutoConfig.from_pretrained(folder, **remote_code.options())
    with torch.device("meta"):
        made: Any = auto(auto_class).from_config(config, **remote_code.options())
    _empty(made)
    stored = read_json(folder / "generation_config.json")
    made.generation_config = GenerationConfig.from_dict(stored)
    names = accepted(made)
    past = cache_name(names)

    class OnGraph(type(made)):  # type: ignore[misc]
        """The model's class, computed by the graph."""

        def forward(
            self,
            input_ids: Tensor,
            attention_mask: Tensor | None = None,
            position_ids: Tensor | None = None,
            past_key_values: DynamicCache | None = None,
            use_cache: bool | None = None,
            logits_to_keep: int = 0,
            return_dict: bool | None = None,
            cache: DynamicCache | None = None,
        ) -> CausalLMOutputWithPast:
            del return_dict, use_cache
            if attention_mask is None and position_ids is not None:
                assert not (position_ids.diff(dim=-1) < 0).any(), "each row must have one document"
            given = {"input_ids": input_ids}
            given_cache = past_key_values if cache is None else cache
            cache = _started(config, given_cache, len(input_ids))
            length = input_ids.shape[1] + cache.get_seq_length()
            mask = attention_mask
            if mask is None:
                mask = input_ids.new_ones((len(input_ids), length))
            if position_ids is None:
                position_ids = (mask.cumsum(-1) - 1).clamp(min=0)[:, -input_ids.shape[1] :]
            given |= {"attention_mask": mask}
            if "position_ids" in names:
                given["position_ids"] = position_ids.expand(len(input_ids), -1)
            logits = step({n: t.cpu() for n, t in given.items()}, cache).to(input_ids.device)
            found: dict[str, Any] = {"logits": logits[:, -logits_to_keep:], past: cache}
            return CausalLMOutputWithPast(**found)

        def get_output_embeddings(self) -> None:
            """Return none: logits are the graph's."""

    made.__class__ = OnGraph
    return made.eval()


def _empty(model: nn.Module) -> None:
    """Leave nothing of a model's weights, which its graph has."""
    for module in model.modules():
        for name, _ in list(module.named_parameters(recurse=False)):
            setattr(module, name, nn.Parameter(torch.empty(0), requires_grad=False))
        for name, _ in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.empty(0))


def _started(config: Any, cache: DynamicCache | None, rows: int) -> DynamicCache:
    """Return a cache whose layers hold tensors, though of no length."""
    from transformers import DynamicCache

    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    found = DynamicCache(config=config) if cache is None else cache
    layers: list[Any] = list(found.layers)
    for layer in layers:
        if not layer.is_initialized:
            empty = torch.zeros((rows, heads, 0, width))
            layer.lazy_initialization(empty, empty)
            layer.keys, layer.values = empty, empty
    return found


def _steps(run: Run) -> Step:
    def step(given: dict[str, Tensor], cache: DynamicCache) -> Tensor:
        layers: list[Any] = list(cache.layers)
        before = {
            f"past_key_values.layers.{number}.{part}": getattr(layer, part)
            for number, layer in enumerate(layers)
            for part in ("keys", "values")
        }
        logits, *states = run({**given, **before})
        for number, layer in enumerate(layers):
            layer.keys, layer.values = states[2 * number], states[2 * number + 1]
        return logits

    return step
