"""Handling of optimizer steps whose loss or gradient is not finite or spikes."""

from __future__ import annotations

import logging
import math
from typing import Annotated, Any, Literal

import pytorch_lightning as pl

from lushan.configurable import Within, configurable
from lushan.errors import RunFailed

log = logging.getLogger(__name__)

WARM = 20
"""Steps by which the usual loss is known; before, nothing is a spike."""
MOST_IN_A_ROW = 10


@configurable
class Guard(pl.Callback):
    """Leave out steps that are not finite or that spike, count them, and name their examples.

    Without it a loss or gradient that is not finite ends the run, and a spike is let through.

    Args:
        on_nonfinite: `stop` the run, or `skip` the step: the weights do not change, and the
            schedule advances.
        on_spike: The same for a loss spike: a loss more than `spike` standard deviations above the
            mean.
        spike: Threshold of a spike in standard deviations; null turns detection off.
        memory: Number of steps over which the mean loss and its deviation are averaged.
    """

    def __init__(
        self,
        *,
        on_nonfinite: Literal["stop", "skip"] = "skip",
        on_spike: Literal["stop", "skip"] = "skip",
        spike: Annotated[float, Within(above=0)] | None = None,
        memory: Annotated[int, Within(least=1)] = 100,
    ) -> None:
        self.on_nonfinite, self.on_spike = on_nonfinite, on_spike
        self.spike, self.memory = spike, memory
        self.known = {"steps": 0, "mean": 0.0, "variance": 0.0, "skipped": 0, "in_a_row": 0}

    @property
    def state_key(self) -> str:
        """Lightning's name for the saved state."""
        return "Guard"

    @property
    def skipped(self) -> int:
        """Steps that were left out so far."""
        return int(self.known["skipped"])

    def refuses(self, loss: float, norm: float, *, where: str) -> bool:
        """Return whether to skip a step; all ranks must call it alike.

        Args:
            loss: Of the global batch, a target's mean.
            norm: Of the whole gradient.
            where: The step and its examples, in words.

        Raises:
            RunFailed: It is to end the run, or too many were left out in a row.
        """
        what, wanted = self._trouble(loss, norm)
        if what is None:
            self._learn(loss)
            self.known["in_a_row"] = 0
            return False
        if wanted == "stop":
            raise RunFailed(f"{what} {where}\n  {REPAIR}")
        self.known["skipped"] += 1
        self.known["in_a_row"] += 1
        log.warning("skipped: %s %s", what, where)
        if self.known["in_a_row"] >= MOST_IN_A_ROW:
            raise RunFailed(
                f"{MOST_IN_A_ROW} steps in a row were skipped; {what} {where}\n  {REPAIR}"
            )
        return True

    def _trouble(self, loss: float, norm: float) -> tuple[str | None, str]:
        for name, value in (("loss", loss), ("gradient", norm)):
            if not math.isfinite(value):
                return f"the {name} is {value}", self.on_nonfinite
        if self.spike is None or self.known["steps"] < WARM:
            return None, ""
        deviation = math.sqrt(self.known["variance"])
        if loss > self.known["mean"] + self.spike * deviation:
            usual = f"{self.known['mean']:.3f} ± {deviation:.3f}"
            return f"the loss is {loss:.3f}, usually {usual},", self.on_spike
        return None, ""

    def _learn(self, loss: float) -> None:
        """Mean and variance, of all steps first and then fading ones (Welford; West, 1979)."""
        self.known["steps"] += 1
        share = 1 / min(self.known["steps"], self.memory)
        off = loss - self.known["mean"]
        self.known["mean"] += share * off
        self.known["variance"] = (1 - share) * (self.known["variance"] + share * off * off)

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs."""
        return dict(self.known)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it over."""
        self.known = dict(state)


REPAIR = (
    "The last checkpoint is finite. Try a lower optimizer.lr, trainer.gradient_clip_val=1.0 or "
    "trainer.precision=32."
)
