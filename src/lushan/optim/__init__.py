"""Optimizers and learning-rate schedules: which weights learn how fast, and when."""

from lushan.optim.groups import freeze_weights, grouped
from lushan.optim.schedules import (
    constant,
    cosine,
    inverse_sqrt,
    linear,
    one_cycle,
    plateau,
    wsd,
)

__all__ = [
    "constant",
    "cosine",
    "freeze_weights",
    "grouped",
    "inverse_sqrt",
    "linear",
    "one_cycle",
    "plateau",
    "wsd",
]
