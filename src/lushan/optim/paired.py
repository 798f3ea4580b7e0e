"""Two optimizers that step, are scheduled and are saved as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Paired(torch.optim.Optimizer):
    """Optimizers of different weights: one list of groups, and one state.

    Args:
        parts: The optimizers. Their groups become this one's, in their order.
    """

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share()

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Compute the loss, if there is a closure, and let each part take its step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for part in self.parts:
            part.step()
        return loss

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what was saved, and give each part its groups of it."""
        super().__setstate__(state)
        self._share()

    def _share(self) -> None:
        groups = iter(self.param_groups)
        for part in self.parts:
            own = [next(groups) for _ in part.param_groups]
            part.__setstate__({"state": self.state, "param_groups": own})
