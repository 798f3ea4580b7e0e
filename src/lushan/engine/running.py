"""Running counts of a training: examples, tokens, loss."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any


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
