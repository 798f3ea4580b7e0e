"""A linear head of ours in a transformers class that has a head of its own: the same scores.

Most classes have one linear layer on the hidden states, as we do: its weights are copied. Others
put a dense layer with an activation before it, which must then do nothing. `tanh` does nothing to
what is small: a power of two makes everything small before it, and large again behind it, without
rounding. For GELU, ReLU and SiLU `f(a) - f(-a)` is `a`: the scores themselves go through the dense
layer, once as they are and once negated. No family of models is known by name: each way that the
layers allow is tried, and the outputs are compared.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from lushan.errors import UserError
from lushan.models.heads import Linear
from lushan.run import remote_code

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

HINT = "Use the run itself with `lushan predict`."
_SMALL = 2.0**-13
"""tanh changes what is multiplied by it by less than 1e-6 of itself."""
_TINY = 2.0**-30
"""Scale so small that a layer norm divides by its epsilon alone."""


@dataclasses.dataclass(frozen=True)
class _Layers:
    """The layers of a head: `out` alone, or a dense layer before it, and a norm between them."""

    out: nn.Linear
    dense: nn.Linear | None
    norm: Any


def linear_of(head: nn.Module) -> nn.Linear:
    """Return the layer of a head that is a single linear layer.

    Raises:
        UserError: The head is another one.
    """
    if not isinstance(head, Linear):
        raise UserError(
            "transformers has no class with this head",
            key="task.head",
            value=type(head).__name__.lower(),
            hint=f"Runs with task/head=linear can be exported; {HINT}",
        )
    return head.scores


@torch.no_grad()
def with_scores(
    model: PreTrainedModel,
    auto_class: str,
    scores: nn.Linear,
    *,
    is_same: Callable[[Any], bool],
    labels: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    key: str = "task.head",
) -> PreTrainedModel:
    """Make a transformers model with a head that computes the scores of a linear layer.

    Args:
        model: The encoder, of transformers.
        auto_class: Name of the Auto class: `AutoModelForTokenClassification`.
        scores: The linear layer, (C, H).
        is_same: Whether a model computes what the run's own does.
        labels: Name of each score; none where scores have no names.
        options: Settings of the config, as far as the architecture has them.
        key: The config key that decides what the head is, for the error.

    Returns:
        The model, in evaluation mode.

    Raises:
        UserError: transformers has no such class for this architecture, or none that fits.
    """
    config = copy.deepcopy(model.config)
    config.num_labels = scores.out_features
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: number for number, label in enumerate(labels)}
    _set_options(config, options or {}, key)
    made, loaded = _around(model, auto_class, config)
    layers = _layers(made, loaded)
    if layers is not None and layers.out.weight.shape[0] == scores.out_features:
        for write in (_directly, _behind_tanh, _mirrored):
            if write(layers, scores.weight, scores.bias) and is_same(made):
                return made
    raise UserError(
        f"a {type(made).__name__} cannot compute these {scores.out_features} scores: its pooling "
        "or the layers of its head differ",
        key=key,
        hint=HINT,
    )


def _set_options(config: PreTrainedConfig, options: Mapping[str, Any], key: str) -> None:
    """Set what a config has of some options."""
    from huggingface_hub.errors import StrictDataclassError

    for name, value in options.items():
        if not hasattr(config, name):
            continue
        try:
            setattr(config, name, value)
        except StrictDataclassError as error:
            raise UserError(
                f"the {name} of a {config.model_type} in transformers does not support this value",
                key=key,
                value=value,
                hint=HINT,
            ) from error


def _around(
    model: PreTrainedModel, auto_class: str, config: PreTrainedConfig
) -> tuple[Any, set[str]]:
    """Make a model around the weights of an encoder, and name the weights that are loaded."""
    import transformers

    try:
        with torch.random.fork_rng():
            made = getattr(transformers, auto_class).from_config(
                config, dtype=torch.float32, **remote_code.options()
            )
    except ValueError as error:
        raise UserError(
            f"transformers has no {auto_class} for a {config.model_type}", key="model", hint=HINT
        ) from error
    state = model.state_dict()
    lacks, extra = made.base_model.load_state_dict(state, strict=False)
    if extra or any("pooler" not in name for name in lacks):
        raise UserError(
            f"the encoder does not fit a {type(made).__name__}: {[*lacks, *extra][0]}",
            key="model",
            hint=HINT,
        )
    prefix = "" if made.base_model is made else f"{made.base_model_prefix}."
    return made.eval(), {f"{prefix}{name}" for name in state}


def _layers(made: Any, loaded: set[str]) -> _Layers | None:
    """Find the layers of the head: those whose weights are not loaded; None if others are there."""
    new = [
        module
        for name, module in made.named_modules()
        if any(f"{name}.{n}" not in loaded for n, _ in module.named_parameters(recurse=False))
    ]
    linear = [module for module in new if isinstance(module, nn.Linear)]
    norms = [module for module in new if hasattr(module, "eps")]
    if not 1 <= len(linear) <= 2 or len(norms) > 1 or len(linear) + len(norms) < len(new):
        return None
    dense = linear[0] if len(linear) == 2 else None
    return _Layers(linear[-1], dense, norms[0] if norms else None)


def _directly(layers: _Layers, weight: Tensor, bias: Tensor) -> bool:
    """Copy the weights, where the layer of the scores is the only one that counts."""
    return layers.out.weight.shape == weight.shape and _fill(layers.out, weight, bias)


def _behind_tanh(layers: _Layers, weight: Tensor, bias: Tensor) -> bool:
    """Let a dense layer with a tanh make hidden states small, and the scores large again."""
    dense, width = layers.dense, weight.shape[1]
    if dense is None or layers.norm is not None or dense.weight.shape != (width, width):
        return False
    _fill(dense, torch.eye(width) * _SMALL, None)
    return _fill(layers.out, weight / _SMALL, bias)


def _mirrored(layers: _Layers, weight: Tensor, bias: Tensor) -> bool:
    """Let scores and their negatives pass a dense layer whose activation has f(a) - f(-a) = a."""
    dense, norm, count = layers.dense, layers.norm, weight.shape[0]
    if dense is None or 2 * count > dense.out_features or dense.in_features != weight.shape[1]:
        return False
    before, behind = 1.0, 1.0
    if norm is not None:
        norm.weight.fill_(1.0)
        if norm.bias is not None:
            norm.bias.zero_()
        before, behind = _TINY, float(norm.eps) ** 0.5 / _TINY
    inner, outer = torch.zeros_like(dense.weight), torch.zeros_like(layers.out.weight)
    inner[: 2 * count] = torch.cat([weight, -weight]) * before
    outer[:, :count] = torch.eye(count) * behind
    outer[:, count : 2 * count] = -torch.eye(count) * behind
    _fill(dense, inner, None)
    return _fill(layers.out, outer, bias)


def _fill(layer: nn.Linear, weight: Tensor, bias: Tensor | None) -> bool:
    """Set a layer; False where it lacks the bias that is needed."""
    layer.weight.copy_(weight)
    if layer.bias is None:
        return bias is None or not bool(bias.any())
    layer.bias.copy_(torch.zeros_like(layer.bias) if bias is None else bias)
    return True
