"""How metrics are written: in percent or not, which way is better, differences and p."""

from __future__ import annotations

import math
import re

_SHARE = re.compile(
    r"(?:^|[_/])(?:f1|precision|recall|accuracy|rouge[12L]|rougeLsum|exact_match|distinct[12]"
    r"|repetition)(?:_|$)"
)
_POINTS = re.compile(r"(?:^|[_/])(?:bleu|chrf)(?:_|$)")
_LOWER = re.compile(
    r"(?:^|[_/])(?:loss|mse|rmse|mae|error|perplexity|bits_per_byte|repetition)(?:_|$)"
)


def is_lower_better(metric: str) -> bool:
    """Whether less of a metric is better: losses and errors."""
    return bool(_LOWER.search(metric))


def is_share(metric: str) -> bool:
    """Whether a metric is printed in percent, as articles do."""
    return bool(_SHARE.search(metric))


def number(value: float, metric: str) -> str:
    """A value as it is printed."""
    if _POINTS.search(metric):  # of a hundred already
        return f"{value:.2f}"
    return f"{100 * value:.2f}" if is_share(metric) else f"{value:.4f}"


def unit(metric: str) -> str:
    """The head of a metric's column."""
    return f"{metric}, %" if is_share(metric) else metric


def signed(value: float, metric: str) -> str:
    """A difference as it is printed: always with its sign."""
    text = number(abs(value), metric)
    return f"{'+' if value > 0 else '-' if value < 0 else ''}{text}"


def p_text(p: float) -> str:
    """A p as it is printed: `p = 0.041`, `p < 0.001`."""
    if math.isnan(p):
        return "no p"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
