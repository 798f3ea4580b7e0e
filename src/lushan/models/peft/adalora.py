"""AdaLoRA (Zhang et al., 2023): LoRA whose ranks are moved to where they matter during training.

peft has the method; what it needs of the training loop is here: the number of steps, its call after
each of them, its regularisation in a loss that is not the model's own, and its memory in the state
of a run.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import peft
import torch
from torch import Tensor

from lushan.configurable import configurable
from lushan.errors import UserError
from lushan.models.peft.tuned import Tuned

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_MEMORY = ("ipt", "exp_avg_ipt", "exp_avg_unc")
"""Attributes of peft's allocator that are kept: importance of weights, and its averages."""


@configurable
@dataclasses.dataclass
class AdaLora(peft.AdaLoraConfig):
    """`peft.AdaLoraConfig`, whose steps follow from the training.

    Attributes:
        tinit: Number of steps before ranks are removed; a number with a decimal point is a share of
            all steps.
        tfinal: Number of steps after the last rank is removed; a number with a decimal point is a
            share of all steps.
        total_step: Number of training steps; set by the run.
    """

    tinit: int | float = 0.1  # type: ignore[assignment]
    tfinal: int | float = 0.3  # type: ignore[assignment]
    total_step: int | None = 2**62  # until the run is planned

    def __post_init__(self) -> None:
        for name in ("tinit", "tfinal"):
            value = getattr(self, name)
            if value < 0 or (isinstance(value, float) and value >= 1):
                raise UserError(
                    "must be 0 or more; a number with a decimal point is a share of all steps, "
                    "below 1",
                    key=f"peft.config.{name}",
                    value=value,
                )
        if not 0 < self.target_r < self.init_r:
            raise UserError(
                "must be above 0 and below init_r, because ranks are only removed",
                key="peft.config.target_r",
                value=self.target_r,
            )
        super().__post_init__()  # type: ignore[no-untyped-call]


class Allocated(Tuned):
    """A model with AdaLoRA."""

    def __init__(self, model: PreTrainedModel, config: AdaLora) -> None:
        super().__init__(model, config)
        self.config: Any = config
        self.wanted = (config.tinit, config.tfinal)
        self._at_hand = False

    @property
    def _allocator(self) -> Any:
        return self.peft.base_model.rankallocator

    def follow(self, total_steps: int) -> None:
        """Lay the phases out over the training.

        Raises:
            UserError: There are too few steps for them.
        """
        first, last = (_steps(value, total_steps) for value in self.wanted)
        # A step at least in which importance is learned comes before ranks are removed.
        if max(first, 1) >= total_steps - last:
            raise UserError(
                f"of {total_steps} steps, {first} before and {last} after leave no step to remove "
                f"ranks",
                key="peft.config.tinit",
                value=self.wanted[0],
                hint="Use shares for any length: peft.config.tinit=0.1 peft.config.tfinal=0.3.",
            )
        self.config.total_step = total_steps
        self.config.tinit, self.config.tfinal = first, last

    def penalty(self) -> Tensor:
        """Return how far the singular vectors are from orthogonal, as peft adds it to a loss."""
        with torch.autocast(self.model.device.type, enabled=False):
            gaps = [_gap(name, weight) for name, weight in self._vectors()]
        return self.config.orth_reg_weight * torch.stack(gaps).mean()

    def _vectors(self) -> list[tuple[str, Tensor]]:
        return [
            (name, weight)
            for name, weight in self.model.named_parameters()
            if ".lora_A." in name or ".lora_B." in name
        ]

    def after_step(self, step: int) -> None:
        """Learn what matters from this step's gradients, and remove ranks if it is time.

        Raises:
            UserError: Some of the adapter's weights get no gradient.
        """
        weights = {n: p for n, p in self.model.named_parameters() if ".lora_" in n}
        without = [name for name, weight in weights.items() if weight.grad is None]
        ranks_shrink = step < self.config.total_step - self.config.tfinal
        if len(without) == len(weights) and ranks_shrink:
            return  # a step that was left out teaches nothing
        if without and ranks_shrink:
            raise UserError(
                f"AdaLoRA needs the gradient of all its weights, but {without[0]} has none",
                key="optimizer.freeze",
            )
        if not self._at_hand:
            self._bring(weights)
        self.peft.base_model.update_and_allocate(step)

    def _bring(self, weights: Mapping[str, Tensor]) -> None:
        """A memory that was read from a file goes where the weights are."""
        for part in _MEMORY:
            memory = getattr(self._allocator, part)
            for name in memory:
                memory[name] = memory[name].to(weights[name].device)
        self._at_hand = True

    def state(self) -> dict[str, Any]:
        """The importance of each weight, with its averages, and which ranks are left."""
        memory = {part: dict(getattr(self._allocator, part)) for part in _MEMORY}
        return {**memory, "ranks": self.config.rank_pattern}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over what `state` gave."""
        for part in _MEMORY:
            setattr(self._allocator, part, dict(state[part]))
        self.config.rank_pattern = state["ranks"]
        self._at_hand = False


def _steps(value: int | float, total: int) -> int:
    return math.floor(value * total) if isinstance(value, float) else value


def _gap(name: str, weight: Tensor) -> Tensor:
    covariance = weight @ weight.T if ".lora_A." in name else weight.T @ weight
    one = torch.eye(len(covariance), device=weight.device, dtype=weight.dtype)
    return torch.linalg.matrix_norm(covariance - one)
