"""Which weights learn how fast, and by which algorithm.

Vectors (norms and biases) do not decay; lower layers may learn more slowly (Sun et al., 2019).
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import re
from collections.abc import Callable, Mapping, Sequence, Set
from fnmatch import fnmatchcase
from typing import Annotated, Any

import torch
from torch import nn

from lushan.configurable import Within, configurable
from lushan.errors import UserError, did_you_mean
from lushan.optim.paired import Paired

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
    lr: Annotated[float, Within(least=0)],
    weight_decay: Annotated[float, Within(least=0)] = 0.0,
    layer_decay: Annotated[float, Within(above=0, most=1)] = 1.0,
    head_lr: Annotated[float, Within(least=0)] | None = None,
    freeze: Sequence[str] = (),
    module_lr: Mapping[str, Annotated[float, Within(least=0)]] | None = None,
    matrices: Callable[..., torch.optim.Optimizer] | None = None,
    matrix_lr: Annotated[float, Within(least=0)] | None = None,
    lora_ratio: Annotated[float, Within(least=0)] | None = None,
    *,
    model: nn.Module,
) -> torch.optim.Optimizer:
    """An optimizer over a model's weights, in groups.

    Args:
        algorithm: Partial of an optimizer class. It is fused if possible, unless set otherwise.
        lr: Learning rate of the encoder's top layer and of the head. In an encoder-decoder, the top
            layers of both encoder and decoder have this rate, because all decoder layers use the
            encoder's output.
        weight_decay: Weight decay of matrices, including embeddings. Norms and biases do not decay.
        layer_decay: Factor of the learning rate from each layer to the one below; embeddings count
            as the layer below the lowest.
        head_lr: Learning rate of all weights outside the encoder, instead of `lr`.
        freeze: Patterns of names of weights to freeze, such as `*embeddings*` or
            `encoder.*.layer.[0-3].*`.
        module_lr: Learning rates instead of `lr`, by the name of a module, such as `vision_tower`,
            `multi_modal_projector` or `language_model`.
        matrices: Partial of another optimizer class for the matrices inside layers, such as
            `torch.optim.Muon` (Jordan et al., 2024). Embeddings, weights tied to them, output
            projections, heads, vectors, filters and stacks of matrices use `algorithm`.
        matrix_lr: Learning rate of these matrices, instead of `lr`.
        lora_ratio: Ratio of the learning rates of LoRA's B and A matrices (LoRA+, Hayou et al.,
            2024); as in peft, the encoder's vectors have the rate of B.
        model: With the parts `encoder` and `head`.

    Raises:
        UserError: A pattern matches nothing, nothing is left to learn, or there is nothing that
            `matrices` or `lora_ratio` is for.
    """
    freeze_weights(model, freeze)
    _check_algorithm(algorithm, weight_decay, "algorithm")
    _check(matrices, matrix_lr, weight_decay, lora_ratio, model)
    encoder: Any = model.encoder
    hidden = _hidden(encoder) if matrices is not None else set()
    modules = _rates(model, module_lr or {})
    rates = _Rates(
        lr, head_lr, matrix_lr, layer_decay, lora_ratio, modules, _depths(encoder), hidden
    )
    groups: dict[tuple[bool, float, float], list[nn.Parameter]] = {}
    for name, weight in model.named_parameters():
        if not weight.requires_grad:
            continue
        # Norms and biases are vectors, and no matrix is one.
        decay = weight_decay if weight.ndim > 1 and not _FACTOR.search(name) else 0.0
        key = (id(weight) in hidden, rates.of(name, weight), decay)
        groups.setdefault(key, []).append(weight)
    if not groups:
        raise UserError("no weights are left to train", key="optimizer.freeze", value=list(freeze))
    if matrices is not None and not any(inside for inside, _, _ in groups):
        raise UserError("no matrix inside a layer is trained", key="optimizer.matrices")
    parts = [
        _optimizer(kind, {key[1:]: w for key, w in groups.items() if key[0] == inside}, lr)
        for kind, inside in ((algorithm, False), (matrices, True))
        if kind is not None and any(key[0] == inside for key in groups)
    ]
    optimizer = parts[0] if len(parts) == 1 else Paired(*parts)
    optimizer.register_load_state_dict_pre_hook(_with_own_steps)
    return optimizer


@dataclasses.dataclass(frozen=True)
class _Rates:
    """Learning rates of weights, from the arguments of `grouped`."""

    lr: float
    head_lr: float | None
    matrix_lr: float | None
    layer_decay: float
    lora_ratio: float | None
    modules: Mapping[str, float]
    depths: Mapping[int, int]
    hidden: Set[int]

    def of(self, name: str, weight: nn.Parameter) -> float:
        """Return the rate of a weight, by its name in the whole model."""
        below = self.depths.get(id(weight))
        usual = self.head_lr if below is None else None
        usual = self.matrix_lr if id(weight) in self.hidden else usual
        usual = self.lr if usual is None else usual
        rate = next((self.modules[p] for p in name.split(".") if p in self.modules), usual)
        if below is None:
            return rate
        rate *= self.layer_decay**below
        faster = self.lora_ratio is not None and (".lora_B." in name or weight.ndim == 1)
        return rate * self.lora_ratio if faster else rate  # type: ignore[operator]


def _optimizer(
    algorithm: Callable[..., torch.optim.Optimizer],
    groups: Mapping[tuple[float, float], list[nn.Parameter]],
    lr: float,
) -> torch.optim.Optimizer:
    """Make an optimizer over groups of weights by their rate and decay."""
    decays = _takes(algorithm, "weight_decay")
    return algorithm(
        [
            {"params": weights, "lr": rate} | ({"weight_decay": decay} if decays else {})
            for (rate, decay), weights in groups.items()
        ],
        lr=lr,
        **_fused(algorithm, [w for weights in groups.values() for w in weights]),
    )


def _hidden(encoder: nn.Module) -> set[int]:
    """Return the `id` of each matrix inside of layers."""
    tables = _tables(encoder)
    output = getattr(getattr(encoder, "model", None), "get_output_embeddings", lambda: None)()
    outside = tables | {id(w) for w in (output.parameters() if output is not None else ())}
    for name, weight in encoder.named_parameters(remove_duplicate=False):
        if weight.ndim != 2 or _EMBEDDING.search(f".{name}") or name.startswith(_PREFIX):
            outside.add(id(weight))
    return {id(weight) for weight in encoder.parameters()} - outside


def _tables(encoder: nn.Module) -> set[int]:
    lookups = (module for module in encoder.modules() if isinstance(module, nn.Embedding))
    return {id(weight) for module in lookups for weight in module.parameters()}


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
                "no weight has this name",
                key="optimizer.freeze",
                value=pattern,
                hint=f"Names look like {', '.join(near)}; * matches any part of one.",
            )
        for weight in chosen:
            weight.requires_grad_(False)


def _rates(model: nn.Module, module_lr: Mapping[str, float]) -> Mapping[str, float]:
    """Return the rates of modules, which must be there.

    Raises:
        UserError: One is not.
    """
    known = dict.fromkeys(part for name, _ in model.named_parameters() for part in name.split("."))
    for name, rate in module_lr.items():
        if name not in known:
            raise UserError(
                "the model has no module with this name",
                key=f"optimizer.module_lr.{name}",
                value=rate,
                hint=did_you_mean(name, known),
            )
    return module_lr


def _check(
    matrices: object,
    matrix_lr: float | None,
    weight_decay: float,
    lora_ratio: float | None,
    model: nn.Module,
) -> None:
    if matrices is not None:
        _check_algorithm(matrices, weight_decay, "matrices")
    elif matrix_lr is not None:
        hint = "Write optimizer=muon, or optimizer.lr."
        raise UserError(
            "no optimizer for matrices is set",
            key="optimizer.matrix_lr",
            value=matrix_lr,
            hint=hint,
        )
    if lora_ratio is not None and not any(".lora_B." in n for n, _ in model.named_parameters()):
        raise UserError(
            "the model has no LoRA matrices",
            key="optimizer.lora_ratio",
            value=lora_ratio,
            hint="Write peft=lora, peft=rslora or peft=dora.",
        )


def _check_algorithm(algorithm: object, weight_decay: float, key: str) -> None:
    inside = getattr(algorithm, "keywords", {})
    for name in ("lr", "weight_decay"):
        if name in inside:
            hint = "matrix_lr" if (key, name) == ("matrices", "lr") else name
            raise UserError(
                f"parameter groups set this; write optimizer.{hint}",
                key=f"optimizer.{key}.{name}",
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
    tables = _tables(encoder)
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
