"""Learning-rate schedules: the factor on every learning rate at a step from 0.

No step is lost: the first one of a warm-up of w steps has 1 / (w + 1), the last one before zero is
not zero.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated

from lushan.configurable import Within, configurable
from lushan.errors import UserError


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
        warmup: Warm-up steps; a number with a decimal point is a share of all steps.
        final: Share of the learning rate after the last step.
        power: Exponent of the decay: 1 is linear; above 1 is faster at first.
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
        warmup: Warm-up steps; a number with a decimal point is a share of all steps.
        final: Share of the learning rate at the end of each cycle.
        cycles: Number of cycles of equal length, each from the full rate (SGDR, arXiv:1608.03983).
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
        warmup: Warm-up steps; a number with a decimal point is a share of all steps.
        decay: Steps of the decay; a number with a decimal point is a share of all steps.
        final: Share of the learning rate after the last step.
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
        warmup: Steps of the rise; a number with a decimal point is a share of all steps.
        start: Share of the learning rate at the first step.
        final: Share of the learning rate at the last step.
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
        warmup: Warm-up steps; a number with a decimal point is a share of all steps.
    """
    steps = _count(warmup, total_steps, "warmup")
    return _rise(step, steps) if step < steps else (1 + (step - steps) / max(1, steps)) ** -0.5


@configurable
def plateau(
    step: int,
    *,
    total_steps: int,
    scores: Sequence[float],
    warmup: int | float = 0,
    factor: Annotated[float, Within(above=0, below=1)] = 0.5,
    patience: Annotated[int, Within(least=0)] = 2,
    min_delta: Annotated[float, Within(least=0)] = 0.0,
    final: Annotated[float, Within(least=0, most=1)] = 0.0,
) -> float:
    """Rise over the warm-up, then lower the rate whenever validation has stopped improving.

    Args:
        step: From 0.
        total_steps: Of the training.
        scores: What the task's metric was at each validation so far, the better the higher. One
            that is undefined (NaN) says nothing.
        warmup: Warm-up steps; a number with a decimal point is a share of all steps.
        factor: Factor that lowers the learning rate.
        patience: Number of validations without improvement that are tolerated. One more lowers the
            rate and restarts the count.
        min_delta: Minimum improvement over the best score.
        final: Lower bound, as a share of the learning rate.
    """
    steps = _count(warmup, total_steps, "warmup")
    left, best, waiting = 1.0, -math.inf, 0
    for score in scores:
        waiting = 0 if score > best + min_delta else waiting + (not math.isnan(score))
        best = score if not waiting and not math.isnan(score) else best
        if waiting > patience:
            left, waiting = left * factor, 0
    return (_rise(step, steps) if step < steps else 1.0) * max(left, final)


@configurable
def constant(step: int, *, total_steps: int, warmup: int | float = 0) -> float:
    """Rise over the warm-up, then stay level.

    Args:
        step: From 0.
        total_steps: Of the training.
        warmup: Warm-up steps, or a share of all steps as in `linear`.
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
                "a share must be between 0 and 1; a whole number is in steps", key=key, value=value
            )
        return round(value * total)
    if value < 0:
        raise UserError("must be 0 or more", key=key, value=value)
    if value > total:
        raise UserError(
            f"longer than the training, which has {total} steps",
            key=key,
            value=value,
            hint="Use a share such as 0.1 for any length.",
        )
    return value
