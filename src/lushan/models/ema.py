"""An exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from lushan.checkpoint.dtensor import is_sharded, local, part
from lushan.compat import torch as foreach
from lushan.errors import RunFailed


class EMA:
    """Averages of the weights that are trained (Polyak and Juditsky, 1992).

    Args:
        model: The average begins as its weights.
        decay: Weight of the old average in each step.
        warmup: Whether the decay grows from small values, `(1 + step) / (10 + step)` at most, so
            that the fresh weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, *, decay: float, warmup: bool) -> None:
        self.decay, self.warmup = decay, warmup
        self.step = 0
        self._averages = {name: p.detach().clone() for name, p in _trained(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Move the average towards the model's weights, once a step."""
        decay = self.decay
        if self.warmup:
            decay = min(decay, (1 + self.step) / (10 + self.step))
        self.step += 1
        weights = _trained(model)
        new = [local(weights[name]) for name in self._averages]
        foreach.interpolate([local(a) for a in self._averages.values()], new, 1 - decay)

    @contextmanager
    def applied_to(self, model: nn.Module) -> Iterator[None]:
        """Put the averages into the model, and its own weights back at the end."""
        weights = _trained(model)
        places = [local(weights[name]) for name in self._averages]
        own = [place.clone() for place in places]
        foreach.copy(places, [local(a) for a in self._averages.values()])
        try:
            yield
        finally:
            foreach.copy(places, own)

    def averages(self) -> dict[str, Tensor]:
        """The averages by the names of the model's weights; what is not trained is not there."""
        return dict(self._averages)

    def state_dict(self) -> dict[str, Any]:
        """Step and averages, as tensors and plain values."""
        return {"step": self.step, "averages": self.averages()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave.

        Raises:
            RunFailed: It is of another model.
        """
        if {n: t.shape for n, t in state["averages"].items()} != {
            n: t.shape for n, t in self._averages.items()
        }:
            raise RunFailed("the saved average of the weights does not match this model")
        self.step = int(state["step"])
        for name, value in state["averages"].items():
            average = self._averages[name]
            local(average).copy_(value[part(average)] if not is_sharded(value) else local(value))


def _trained(model: nn.Module) -> dict[str, nn.Parameter]:
    # Shared weights stand under each of their names, as they do in `state_dict`.
    named = model.named_parameters(remove_duplicate=False)
    return {name: p for name, p in named if p.requires_grad}
