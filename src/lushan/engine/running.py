"""Running counts of a training: examples, tokens, loss; and of steps that no one has read yet."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class Step(NamedTuple):
    """An optimizer step, as one process knows it.

    Attributes:
        number: Counted from 0.
        loss: Of its share, summed over targets.
        norm: Of the gradient, or None.
        targets: Of all shares.
        examples: What it learned.
    """

    number: int
    loss: Any
    norm: Any
    targets: float
    examples: list[int]

    @property
    def trouble(self) -> str | None:
        """Return what is not finite, in words."""
        for what, value in (("loss", self.loss), ("gradient", self.norm)):
            if value is not None and not math.isfinite(value):
                return f"the {what} is {value}"
        return None


class UnreadSteps:
    """Steps whose numbers lie on the device; to read them one by one, each step would wait."""

    def __init__(self) -> None:
        self._steps: list[Step] = []

    def add(self, step: Step) -> None:
        """Keep a step, with its numbers as tensors."""
        self._steps.append(step)

    def read(self) -> list[Step]:
        """Return the steps since the last call, with their numbers, and forget them."""
        steps, self._steps = self._steps, []
        losses, norms = _read([s.loss for s in steps]), _read([s.norm for s in steps])
        return [
            step._replace(loss=loss, norm=norm)
            for step, loss, norm in zip(steps, losses, norms, strict=True)
        ]


def _read(tensors: Sequence[Tensor | None]) -> Sequence[float | None]:
    """Numbers on the host, by waiting for the device once."""
    there = [tensor for tensor in tensors if tensor is not None]
    values = iter(torch.stack(there).tolist() if there else ())
    return [None if tensor is None else next(values) for tensor in tensors]


@dataclasses.dataclass
class RunningTotals:
    """Sums over the steps of a run, as one process knows them.

    Attributes:
        loss: Of its shares, since it was last taken.
        targets: Of all shares, likewise.
        epoch_loss: As `loss`, taken once an epoch.
        epoch_targets: As `targets`, likewise.
        examples: All that were trained on, each counted every time it came.
        tokens: Likewise.
    """

    loss: float = 0.0
    targets: float = 0
    epoch_loss: float = 0.0
    epoch_targets: float = 0
    examples: int = 0
    tokens: int = 0

    def learned(self, loss: float, targets: float) -> None:
        """Add a step's loss, summed over its targets."""
        self.loss += loss
        self.targets += targets
        self.epoch_loss += loss
        self.epoch_targets += targets

    def take(self, scope: str = "") -> tuple[float, float]:
        """Return loss and targets since the last call, and reset both.

        Args:
            scope: Empty, or `epoch_`.
        """
        names = (f"{scope}loss", f"{scope}targets")
        loss, targets = (getattr(self, name) for name in names)
        setattr(self, names[0], 0.0)
        setattr(self, names[1], 0)
        return loss, targets

    @classmethod
    def restored(cls, saved: Sequence[Mapping[str, Any]], share: int, shares: int) -> RunningTotals:
        """Return the totals of a process of a resumed run.

        Args:
            saved: Of each share when the checkpoint was written.
            share: Which one this process has now.
            shares: How many there are now.
        """
        found = cls(**saved[share % len(saved)])
        if len(saved) != shares:  # the first share takes over what all had
            for name in ("loss", "epoch_loss"):
                setattr(found, name, sum(part[name] for part in saved) if share == 0 else 0.0)
        return found
