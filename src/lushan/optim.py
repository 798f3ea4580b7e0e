"""Optimizers and learning-rate schedules: which weights learn how fast, and when.

Vectors (norms and biases) do not decay; lower layers may learn more slowly (Sun et al., 2019).
"""

from __future__ import annotations

import difflib
import inspect
import math
import re
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Any

import torch
from torch import nn

from lushan.configurable import Within, configurable
from lushan.errors import UserError, did_you_mean

_EMBEDDING = re.compile(r"embed|\.encoder\.LayerNorm\.")
"""Beside lookup tables themselves what belongs to them, such as their norm or projection; also
DeBERTa's norm of its relative embeddings, which every layer uses."""
_PREFIX = "prefix."
"""Learned keys and values of all layers in one matrix: it learns at the highest one's rate."""
_FACTOR = re.compile(r"\.ia3_l\.")
"""Factors that begin as 1: a decay towards 0 would take the model away."""


@configurable
def grouped(
    algorithm: Callable[..., torch.optim.Optimizer],
    lr: float,
    weight_decay: float = 0.0,
    layer_decay: float = 1.0,
    head_lr: float | None = None,
    freeze: Sequence[str] = (),
    module_lr: Mapping[str, float] | None = None,
    *,
    model: nn.Module,
) -> torch.optim.Optimizer:
    """An optimizer over a model's weights, in groups.

    Args:
        algorithm: Partial of an optimizer's class. It is fused where that exists, unless it says
            otherwise.
        lr: Learning rate of the encoder's highest layer, and of the head. An encoder-decoder has
            two highest layers: what the encoder's gives is read by all of the decoder's.
        weight_decay: Of matrices, embeddings included; norms and biases do not decay.
        layer_decay: Each layer learns at this many times the rate of the one above it, the
            embeddings at that of a layer below the lowest.
        head_lr: Learning rate of everything that is not the encoder, instead of `lr`.
        freeze: Patterns such as `*embeddings*` or `encoder.*.layer.[0-3].*`, of the names of
            weights that do not learn.
        module_lr: Learning rates instead of `lr`, by the name of a module inside the model, such as
            `vision_tower`, `multi_modal_projector` or `language_model`.
        model: With the parts `encoder` and `head`.

    Raises:
        UserError: A pattern matches nothing, or nothing is left to learn.
    """
    freeze_weights(model, freeze)
    _check(algorithm, lr, weight_decay, layer_decay, head_lr)
    rates = _rates(model, module_lr or {})
    encoder: Any = model.encoder
    depths = _depths(encoder)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        below = depths.get(id(weight))
        usual = lr if below is not None or head_lr is None else head_lr
        own = next((rates[part] for part in name.split(".") if part in rates), usual)
        rate = own if below is None else own * layer_decay**below
        # Norms and biases are vectors, and no matrix is one.
        decay = weight_decay if weight.ndim > 1 and not _FACTOR.search(name) else 0.0
        groups.setdefault((rate, decay), []).append(weight)
    if not groups:
        raise UserError("nothing is left to learn", key="optimizer.freeze", value=list(freeze))
    optimizer = algorithm(
        [
            {"params": weights, "lr": rate} | ({"weight_decay": decay} if weight_decay else {})
            for (rate, decay), weights in groups.items()
        ],
        lr=lr,
        **({"weight_decay": weight_decay} if _takes(algorithm, "weight_decay") else {}),
        **_fused(algorithm, [w for weights in groups.values() for w in weights]),
    )
    optimizer.register_load_state_dict_pre_hook(_with_own_steps)
    return optimizer


def freeze_weights(model: nn.Module, patterns: Sequence[str]) -> None:
    """Take weights out of training, by patterns of their names; twice is the same as once.

    Raises:
        UserError: A pattern matches nothing.
    """
    named = dict(model.named_parameters())
    for pattern in patterns:
        chosen = [weight for name, weight in named.items() if fnmatchcase(name, pattern)]
        if not chosen:
            near = difflib.get_close_matches(pattern.replace("*", ""), named, n=3, cutoff=0.0)
            raise UserError(
                "no weight has such a name",
                key="optimizer.freeze",
                value=pattern,
                hint=f"Names are like {', '.join(near)}; * matches any part of one.",
            )
        for weight in chosen:
            weight.requires_grad_(False)


def _rates(model: nn.Module, module_lr: Mapping[str, float]) -> Mapping[str, float]:
    """Return the rates of modules, which must be there.

    Raises:
        UserError: One is not, or its rate is below 0.
    """
    known = dict.fromkeys(part for name, _ in model.named_parameters() for part in name.split("."))
    for name, rate in module_lr.items():
        key = f"optimizer.module_lr.{name}"
        if name not in known:
            near = did_you_mean(name, known)
            raise UserError("the model has no module of this name", key=key, value=rate, hint=near)
        if not (rate >= 0 and math.isfinite(rate)):
            raise UserError("must be 0 or more", key=key, value=rate)
    return module_lr


def _check(
    algorithm: object, lr: float, weight_decay: float, layer_decay: float, head_lr: float | None
) -> None:
    for name, value in (("lr", lr), ("head_lr", head_lr), ("weight_decay", weight_decay)):
        if value is not None and not (value >= 0 and math.isfinite(value)):
            raise UserError("must be 0 or more", key=f"optimizer.{name}", value=value)
    if not 0 < layer_decay <= 1:
        raise UserError(
            "must be above 0, and 1 at most", key="optimizer.layer_decay", value=layer_decay
        )
    inside = getattr(algorithm, "keywords", {})
    for name in ("lr", "weight_decay"):
        if name in inside:
            raise UserError(
                f"the groups set it: write optimizer.{name}",
                key=f"optimizer.algorithm.{name}",
                value=inside[name],
            )
    if weight_decay and not _takes(algorithm, "weight_decay"):
        raise UserError(
            f"{_class(algorithm).__name__} has no weight decay",
            key="optimizer.weight_decay",
            value=weight_decay,
        )


def _depths(encoder: nn.Module) -> dict[int, int]:
    """Layers between a weight and the top of its stack: 0 in the highest, most in embeddings.

    Args:
        encoder: With one stack of layers, or, as an encoder-decoder, with two.

    Returns:
        By the `id` of each weight. One that several modules share has the place of the lowest.
    """
    stacks = _stacks(encoder)
    tables = {
        id(w) for m in encoder.modules() if isinstance(m, nn.Embedding) for w in m.parameters()
    }
    depths: dict[int, int] = {}
    for name, weight in encoder.named_parameters(remove_duplicate=False):
        is_table = id(weight) in tables or bool(_EMBEDDING.search(f".{name}"))
        depth = _depth(name, stacks, is_table=is_table)
        depths[id(weight)] = max(depth, depths.get(id(weight), 0))
    return depths


def _depth(name: str, stacks: Mapping[str, Sequence[str]], *, is_table: bool) -> int:
    for stack, layers in stacks.items():
        if name.startswith(f"{stack}."):
            layer = name.removeprefix(f"{stack}.").partition(".")[0]
            return len(layers) - 1 - layers.index(layer)
    if not is_table or name.startswith(_PREFIX):
        return 0  # what follows the layers, such as a last norm
    # BART's encoder and decoder have positions of their own; what they share is below both.
    beside = [v for k, v in stacks.items() if name.startswith(f"{k.rpartition('.')[0]}.")]
    return max(map(len, beside or stacks.values()), default=0)


def _stacks(encoder: nn.Module) -> dict[str, list[str]]:
    """The outermost lists of layers by name, each with the names of its layers, lowest first."""
    found: dict[str, list[str]] = {}
    for name, module in encoder.named_modules():
        inside = any(name.startswith(f"{stack}.") for stack in found)
        if name and not inside and not name.startswith(_PREFIX) and _is_stack(module):
            found[name] = [layer for layer, _ in module.named_children()]
    return found


def _is_stack(module: nn.Module) -> bool:
    layers = list(module.children())
    if isinstance(module, nn.ModuleList):
        return bool(layers) and not any(isinstance(layer, nn.Embedding) for layer in layers)
    # In a row of modules of one kind, each made of others; `Sequential(Linear, GELU)` is none.
    is_row = isinstance(module, nn.Sequential) and len({type(layer) for layer in layers}) == 1
    return is_row and all(list(layer.children()) for layer in layers)


def _class(algorithm: object) -> Any:
    return getattr(algorithm, "func", algorithm)


def _takes(algorithm: object, name: str) -> bool:
    return name in inspect.signature(_class(algorithm)).parameters


def _fused(algorithm: object, weights: Sequence[nn.Parameter]) -> dict[str, bool]:
    chosen = getattr(algorithm, "keywords", {})
    if not _takes(algorithm, "fused") or {"fused", "foreach", "differentiable"} & set(chosen):
        return {}
    if len({getattr(w, "device_mesh", None) for w in weights}) > 1:
        # Weights that lie on several processes and weights that do not: one at a time.
        return {"foreach": False}
    able = all(w.device.type in ("cpu", "cuda", "mps", "xpu") for w in weights)
    return {"fused": True} if able and all(w.is_floating_point() for w in weights) else {}


def _with_own_steps(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """A state that other processes have left says nothing about how the steps here are computed."""
    groups = [
        saved | {name: own[name] for name in ("fused", "foreach") if name in own}
        for saved, own in zip(state["param_groups"], optimizer.param_groups, strict=False)
    ]
    return state | {"param_groups": groups}


# Schedules: the factor on every learning rate at a step from 0. No step is lost: the first one of a
# warm-up of w steps has 1 / (w + 1), the last one before zero is not zero.


@configurable
def linear(
    step: int,
    *,
    total_steps: int,
    warmup: int | float = 0,
    final: Annotated[float, Within(least=0, most=1)] = 0.0,
    power: Annotated[float, Within(above=0)] = 1.0,
) -> float:
    """Rise over the warm-up, then fall to `final`: linearly, or as a power of what is left.

    Args:
        step: From 0.
        total_steps: Of the training.
        warmup: Steps, or as a number with a point, the share of all steps.
        final: What is left of the rate after the last step.
        power: Above 1 falls fast at first; 1 is a line.
    """
    steps = _count(warmup, total_steps, "warmup")
    if step < steps:
        return _rise(step, steps)
    return final + (1 - final) * _left(step, steps, total_steps) ** power


@configurable
def cosine(
    step: int,
    *,
    total_steps: int,
    warmup: int | float = 0,
    final: Annotated[float, Within(least=0, most=1)] = 0.0,
    cycles: Annotated[int, Within(least=1)] = 1,
) -> float:
    """Rise over the warm-up, then fall along half a cosine to `final`, once or several times.

    Args:
        step: From 0.
        total_steps: Of the training.
        warmup: Steps, or as a number with a point, the share of all steps.
        final: What is left of the rate at the end of each fall.
        cycles: Falls of the same length, each from the whole rate (SGDR, arXiv:1608.03983).
    """
    steps = _count(warmup, total_steps, "warmup")
    if step < steps:
        return _rise(step, steps)
    done = 1 - _left(step, steps, total_steps)
    done = 1.0 if done == 1 else done * cycles % 1
    return final + (1 - final) * 0.5 * (1 + math.cos(math.pi * done))


@configurable
def wsd(
    step: int,
    *,
    total_steps: int,
    warmup: int | float = 0,
    decay: int | float = 0.2,
    final: Annotated[float, Within(least=0, most=1)] = 0.0,
) -> float:
    """Rise over the warm-up, stay level, and fall linearly to `final` at the end (WSD).

    Args:
        step: From 0.
        total_steps: Of the training.
        warmup: Steps, or as a number with a point, the share of all steps.
        decay: The same for the way down.
        final: What is left of the rate after the last step.
    """
    up, down = _count(warmup, total_steps, "warmup"), _count(decay, total_steps, "decay")
    if up + down > total_steps:
        raise UserError(
            f"warm-up ({up} steps) and decay ({down}) are longer than the training "
            f"({total_steps} steps)",
            key="scheduler.decay",
            value=decay,
        )
    if step < up:
        return _rise(step, up)
    return final + (1 - final) * min(1.0, max(0, total_steps - step) / (down + 1))


@configurable
def one_cycle(
    step: int,
    *,
    total_steps: int,
    warmup: int | float = 0.3,
    start: Annotated[float, Within(above=0, most=1)] = 0.04,
    final: Annotated[float, Within(least=0, most=1)] = 4e-6,
) -> float:
    """Rise and fall along half a cosine each (one cycle, arXiv:1708.07120).

    Args:
        step: From 0.
        total_steps: Of the training.
        warmup: Steps of the rise, or as a number with a point, the share of all steps.
        start: Share of the rate at the first step.
        final: What is left of the rate at the last step.
    """
    top = max(_count(warmup, total_steps, "warmup") - 1, 0)
    low, left = start, _left(step, 0, top)
    if step >= top:
        low, left = final, 1 - _left(step, top, total_steps - 1)
    return low + (1 - low) * 0.5 * (1 + math.cos(math.pi * left))


@configurable
def inverse_sqrt(step: int, *, total_steps: int, warmup: int | float = 0.1) -> float:
    """Rise over the warm-up, then fall as one over the root of the steps (arXiv:1706.03762).

    Args:
        step: From 0.
        total_steps: Of the training.
        warmup: Steps, or as a number with a point, the share of all steps.
    """
    steps = _count(warmup, total_steps, "warmup")
    return _rise(step, steps) if step < steps else (1 + (step - steps) / max(1, steps)) ** -0.5


@configurable
def constant(step: int, *, total_steps: int, warmup: int | float = 0) -> float:
    """Rise over the warm-up, then stay level.

    Args:
        step: From 0.
        total_steps: Of the training.
        warmup: Steps, or a share of all steps as in `linear`.
    """
    steps = _count(warmup, total_steps, "warmup")
    return _rise(step, steps) if step < steps else 1.0


def _rise(step: int, steps: int) -> float:
    return (step + 1) / (steps + 1)


def _left(step: int, start: int, end: int) -> float:
    """Return the share of the way from `start` to `end` that is still to go."""
    return max(0, end - step) / max(1, end - start)


def _count(value: int | float, total: int, name: str) -> int:
    key = f"scheduler.{name}"
    if isinstance(value, float):
        if not 0 <= value <= 1:
            raise UserError(
                "a share is between 0 and 1; a whole number counts steps", key=key, value=value
            )
        return round(value * total)
    if value < 0:
        raise UserError("must be 0 or more", key=key, value=value)
    if value > total:
        raise UserError(
            f"it is longer than the training, which has {total} steps",
            key=key,
            value=value,
            hint="A share such as 0.1 fits any length.",
        )
    return value
