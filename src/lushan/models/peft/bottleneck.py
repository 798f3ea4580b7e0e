"""Bottleneck adapters (Houlsby et al., 2019): small networks behind the layers' projections.

Each sub-layer of a transformer ends in a projection back to the model's width. Behind it, and
before the residual is added, stands

    output + scale * up(act(down(output)))

with `up` zero at the start, so that the model begins as its base.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lushan.common.parsing import read_json
from lushan.configurable import configurable
from lushan.errors import UserError
from lushan.models.peft.adaptation import Adaptation

if TYPE_CHECKING:
    from transformers import PreTrainedModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
NAME = "bottleneck"
"""Name of the module inside each projection, and so a part of its weights' names."""

_ENDS = {
    ("bert", "roberta", "xlm-roberta", "camembert", "electra", "deberta", "deberta-v2"): [
        "output.dense"
    ],
    ("modernbert",): ["Wo"],
    ("distilbert",): ["out_lin", "lin2"],
    ("gpt2", "gpt_bigcode"): ["c_proj"],
    ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "olmo2"): [
        "o_proj",
        "down_proj",
    ],
    ("gpt_neox",): ["attention.dense", "dense_4h_to_h"],
    ("t5", "mt5"): ["o", "wo"],
    ("bart", "mbart", "opt"): ["out_proj", "fc2"],
}
_TARGETS = {family: ends for families, ends in _ENDS.items() for family in families}
"""Model family to the projections that end its sub-layers."""

_ACTIVATIONS = {"gelu": nn.GELU, "relu": nn.ReLU, "silu": nn.SiLU, "tanh": nn.Tanh}


@configurable
@dataclasses.dataclass
class Bottleneck:
    """Settings of bottleneck adapters.

    Attributes:
        size: Width of the bottleneck.
        activation: Activation between the two projections.
        dropout: Dropout of the input in training.
        scale: Factor of the adapter's output.
        norms: Whether to train the norms of the base model, too, as in the paper.
        target_modules: Ends of the names of modules that get an adapter, or a regular expression
            for whole names; null uses the default of the model family.
    """

    size: int = 64
    activation: Literal["gelu", "relu", "silu", "tanh"] = "gelu"
    dropout: float = 0.0
    scale: float = 1.0
    norms: bool = False
    target_modules: list[str] | str | None = None

    def __post_init__(self) -> None:
        if self.size < 1:
            raise UserError("must be 1 or more", key="peft.config.size", value=self.size)
        if not 0 <= self.dropout < 1:
            raise UserError(
                "must be at least 0 and below 1", key="peft.config.dropout", value=self.dropout
            )


class Adapter(nn.Module):
    """One of them."""

    def __init__(self, width: int, config: Bottleneck) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.down = nn.Linear(width, config.size)
        self.act = _ACTIVATIONS[config.activation]()
        self.up = nn.Linear(config.size, width)
        self.scale = config.scale
        nn.init.normal_(self.down.weight, std=0.02)
        for weight in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(weight)

    def forward(self, output: Tensor) -> Tensor:
        """Output of the projection (..., H) to what takes its place."""
        inner = self.up(self.act(self.down(self.dropout(output))))
        return output + self.scale * inner.to(output.dtype)


class Bottlenecked(Adaptation):
    """A model with bottleneck adapters."""

    def __init__(self, model: PreTrainedModel, config: Bottleneck) -> None:
        super().__init__(model, NAME, changed=insert(model, config))
        self.config = config

    def save(self, folder: str | Path) -> None:
        """Write the adapter alone, in the files' usual names; `load` reads it."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        settings = {"peft_type": NAME.upper(), **dataclasses.asdict(self.config)}
        (folder / CONFIG).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        learned = {n: p for n, p in self.model.named_parameters() if _is_learned(n, p)}
        save_file({n: p.detach().cpu().contiguous() for n, p in learned.items()}, folder / WEIGHTS)


def insert(model: PreTrainedModel, config: Bottleneck) -> int:
    """Freeze a model and put adapters into it; how many there are.

    Raises:
        UserError: Its family is unknown, or no module has such a name.
    """
    chosen = list(targets(model, config.target_modules))
    model.requires_grad_(False)
    for _, module in chosen:
        # A child of the projection: the names of the base's weights stay what they are.
        module.add_module(NAME, Adapter(width_of(module), config).to(model.device))
        module.register_forward_hook(_behind)
    if config.norms:
        for module in model.modules():
            if type(module).__name__.lower().endswith("norm"):
                module.requires_grad_(True)
    return len(chosen)


def load(model: PreTrainedModel, folder: str | Path) -> PreTrainedModel:
    """Put the adapters that `Bottlenecked.save` wrote into their base; the same model."""
    folder = Path(folder)
    settings = read_json(folder / CONFIG)
    for name in ("peft_type", "base_model_name_or_path"):  # as in peft's own files
        settings.pop(name, None)
    insert(model, Bottleneck(**settings))
    model.load_state_dict(load_file(folder / WEIGHTS), strict=False)
    return model


def targets(
    model: PreTrainedModel, wanted: list[str] | str | None
) -> Iterator[tuple[str, nn.Module]]:
    """The modules that get an adapter.

    Raises:
        UserError: See `insert`.
    """
    family = model.config.model_type
    wanted = _TARGETS.get(family) if wanted is None else wanted
    if wanted is None:
        raise UserError(
            f"the output projections of a {family} model are unknown",
            key="peft.config.target_modules",
            hint="Set the ends of their names, such as peft.config.target_modules=[o_proj,fc2].",
        )
    found = [(n, m) for n, m in model.named_modules() if _matches(n, wanted)]
    fit = [(name, module) for name, module in found if width_of(module)]
    if not fit:
        names = {n.rpartition(".")[2] for n, m in model.named_modules() if width_of(m)}
        raise UserError(
            "no linear module has this name",
            key="peft.config.target_modules",
            value=wanted,
            hint=f"There are: {', '.join(sorted(names))}.",
        )
    yield from fit


def _matches(name: str, wanted: list[str] | str) -> bool:
    if isinstance(wanted, str):
        return re.fullmatch(wanted, name) is not None
    return any(name == end or name.endswith(f".{end}") for end in wanted)


def width_of(module: nn.Module) -> int:
    """Return the output width of a linear module; 0 if it is none."""
    # GPT-2's Conv1D calls it `nf`.
    width = getattr(module, "out_features", getattr(module, "nf", 0))
    return width if isinstance(width, int) else 0


def _behind(module: Any, _: object, output: Tensor) -> Tensor:
    return module.get_submodule(NAME)(output)


def _is_learned(name: str, weight: nn.Parameter) -> bool:
    return f".{NAME}." in name or weight.requires_grad
