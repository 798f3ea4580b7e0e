"""Learning-rate range test (Smith, 2017, arXiv:1506.01186): which rates train, on real batches."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
from scipy.ndimage import gaussian_filter1d

from lushan.common.override_text import typed
from lushan.data.source import AUTO, Source
from lushan.engine import micro_batches
from lushan.engine.components import build_components
from lushan.engine.fit import batching_of, plan_of, start_from
from lushan.engine.limits import TrainLimits
from lushan.engine.quieting import quiet_lightning
from lushan.engine.trial_steps import try_steps
from lushan.errors import RunFailed, UserError
from lushan.run import remote_code
from lushan.run.identity import flat

WIDTH = 0.04
"""Standard deviation of the Gaussian that smooths losses, as a share of the steps. It looks both
ways: a mean of the past alone lags behind, and the rate that it suggests is too high."""
SMOOTHING = 0.9
"""Weight of the past in the mean loss that shows divergence while the test runs."""
DIVERGED = 4.0
"""The test ends where that mean is so many times the smallest one."""
FEWEST = 10
"""Points from which on a rate is suggested."""
FIRST = 0.1
"""Share of the points at the beginning whose slope is noise: hardly anything is learned there."""

Progress = Callable[[int, int], None]


@dataclasses.dataclass(frozen=True)
class Point:
    """One optimizer step: its rate, its loss, and the loss smoothed; None where not finite."""

    lr: float
    loss: float | None
    smoothed: float | None


@dataclasses.dataclass(frozen=True)
class Range:
    """Result of a range test.

    Attributes:
        points: In the order of the steps.
        suggestion: Rate of the steepest descent; None where the loss does not fall.
        overrides: What to write for it: `optimizer.lr`, and rates beside it in proportion.
        ended: Why it ended, in words.
    """

    points: list[Point]
    suggestion: float | None
    overrides: list[str]
    ended: str

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON."""
        return dataclasses.asdict(self)


class Curve(pl.Callback):
    """Reads the loss of each step, and ends the test where it diverges."""

    def __init__(self, rates: list[float], progress: Progress | None) -> None:
        self.rates, self.progress = rates, progress
        self.losses: list[float | None] = []
        self.ended = "all steps were taken"
        self._mean, self._best = 0.0, math.inf

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, *_: object) -> None:
        """Take a point."""
        try:
            loss = pl_module.take_running()
        except RunFailed as error:  # a loss or gradient that is not finite
            self.losses.append(None)
            self._end(trainer, str(error).splitlines()[0].partition(" at step")[0])
            return
        self.losses.append(loss)
        self._mean = SMOOTHING * self._mean + (1 - SMOOTHING) * loss
        mean = self._mean / (1 - SMOOTHING ** len(self.losses))  # without the bias of its start
        self._best = min(self._best, mean)
        if self.progress is not None:
            self.progress(len(self.losses), len(self.rates))
        # As many times the smallest one, also of losses below 0.
        if mean > self._best + (DIVERGED - 1) * abs(self._best):
            self._end(trainer, f"the loss is {DIVERGED:g} times the smallest one")

    def _end(self, trainer: pl.Trainer, reason: str) -> None:
        self.ended = f"{reason}, at a rate of {self.rates[len(self.losses) - 1]:.3g}"
        trainer.should_stop = True


def find(
    cfg: Mapping[str, Any],
    source: Source,
    *,
    steps: int = 100,
    low: float = 1e-7,
    high: float = 10.0,
    progress: Progress | None = None,
) -> Range:
    """Train some steps with a rate that rises exponentially; nothing of it is kept.

    The batches are those that a run begins with. Every learning rate rises in proportion: that of
    the head, of layers and of modules stays as many times `optimizer.lr` as it is.

    Args:
        cfg: The checked config.
        source: Its data source.
        steps: To take, unless the loss diverges.
        low: First value of `optimizer.lr`.
        high: Last value.
        progress: Gets the steps done, and all.

    Raises:
        UserError: The config or the data cannot be used, or has no such rate.
    """
    base = _base(cfg["optimizer"])
    micro_batches.require_measurable(cfg)
    remote_code.require(cfg)
    quiet_lightning()
    parts = build_components(cfg, source)
    if cfg["ckpt_path"]:
        start_from(Path(cfg["ckpt_path"]), parts.model)
    cut = TrainLimits.of(cfg["trainer"]).train_batches
    limits = TrainLimits(max_steps=steps, train_batches=cut)
    plan = plan_of(parts, batching_of(cfg, parts, limits))
    ratio = high / low
    rates = [low * ratio ** (step / max(1, steps - 1)) for step in range(steps)]
    curve = Curve(rates, progress)

    def factor(step: int, *, total_steps: int) -> float:
        del total_steps
        return rates[min(step, steps - 1)] / base

    micro = plan.batching.micro_tokens
    if source.micro_tokens == AUTO:
        micro = micro_batches.find(cfg, parts, plan, micro_batches.device_of(cfg))
    try_steps(
        cfg,
        *(parts.task, parts.model, plan),
        factor=factor,
        callbacks=[curve],
        micro_tokens=micro,
    )
    points = smooth(rates, curve.losses)
    chosen = suggestion(points)
    lines = [] if chosen is None else overrides(cfg["optimizer"], chosen)
    return Range(points, chosen, lines, curve.ended)


def _base(optimizer: Mapping[str, Any]) -> float:
    """Return the rate of the config, to which others are in proportion.

    Raises:
        UserError: There is none, or it is 0.
    """
    base = optimizer.get("lr")
    if not isinstance(base, int | float) or base <= 0:
        hint = "Write optimizer.lr=1e-3. Other learning rates are scaled with it."
        raise UserError("the test needs a rate above 0", key="optimizer.lr", value=base, hint=hint)
    return float(base)


def smooth(rates: Sequence[float], losses: Sequence[float | None]) -> list[Point]:
    """Return the points of a test; the last loss may be missing."""
    found = np.array([loss for loss in losses if loss is not None])
    smoothed: list[float | None] = []
    if len(found):
        smoothed = gaussian_filter1d(found, WIDTH * len(rates), mode="nearest").tolist()
    smoothed += [None] * (len(losses) - len(found))
    return [Point(*one) for one in zip(rates, losses, smoothed, strict=False)]


def suggestion(points: list[Point]) -> float | None:
    """Return the rate at which the smoothed loss falls most steeply over the rate's logarithm.

    Looked at is what lies before its smallest value. Two digits are all that the test can tell.
    """
    found = [(point.lr, point.smoothed) for point in points if point.smoothed is not None]
    if len(found) < FEWEST:
        return None
    rates, losses = np.array(found).T
    slopes = np.gradient(losses, np.log(rates))
    first, last = int(FIRST * len(found)), int(losses.argmin()) + 1
    if first >= last:
        return None
    steepest = first + int(slopes[first:last].argmin())
    return float(f"{rates[steepest]:.1e}") if slopes[steepest] < 0 else None


def overrides(optimizer: Mapping[str, Any], rate: float) -> list[str]:
    """Return what to write for a rate: every rate of the optimizer in its proportion."""
    times = rate / _base(optimizer)
    found = [typed("optimizer.lr", rate)]
    for key, own in flat(optimizer).items():
        # head_lr, matrix_lr, module_lr.NAME
        if key.partition(".")[0].endswith("_lr") and isinstance(own, int | float):
            found.append(typed(f"optimizer.{key}", _short(own * times)))
    return found


def _short(rate: float) -> float:
    return float(f"{rate:.3g}")
