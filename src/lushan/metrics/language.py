"""Numbers of language models: perplexity, and bits per byte, which is comparable over tokenizers.

All are ratios of sums over the whole split: the cross-entropy of every predicted token, over the
number of tokens or over the bytes of the text. Bits per byte count what it takes to write a
document down and to end it, so a tokenizer gains nothing by longer tokens.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lushan.metrics.bootstrap import Interval, interval

Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What a model makes of a split, by example.

    Attributes:
        losses: Cross-entropy in nats, summed over each example's tokens, (N,).
        tokens: Tokens that were predicted, (N,).
        hits: Of these, those that were the likeliest, (N,).
        bytes: UTF-8 bytes of each example; None where the text is not all that is predicted.
    """

    losses: Array
    tokens: Array
    hits: Array
    bytes: Array | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """`loss` (nats a token), `perplexity`, `token_accuracy`, perhaps `bits_per_byte`."""
        once = np.ones((1, len(self.losses)))
        return {name: float(find(once)[0]) for name, find in self._statistics().items()}

    def intervals(self) -> dict[str, Interval]:
        """95 % bootstrap intervals over examples; none where there is one alone to draw from."""
        if len(self.losses) < 2:
            return {}
        wanted = {k: v for k, v in self._statistics().items() if k != "loss"}
        return {name: interval(find, len(self.losses)) for name, find in wanted.items()}

    def _statistics(self) -> dict[str, Callable[[Array], Array]]:
        def ratio(above: Array, below: Array) -> Callable[[Array], Array]:
            def of(weights: Array) -> Array:
                with np.errstate(divide="ignore", invalid="ignore"):
                    return (weights @ above) / (weights @ below)

            return of

        loss = ratio(self.losses, self.tokens)
        found: dict[str, Callable[[Array], Array]] = {
            "loss": loss,
            "perplexity": lambda weights: _exp(loss(weights)),
            "token_accuracy": ratio(self.hits, self.tokens),
        }
        if self.bytes is not None:
            found["bits_per_byte"] = ratio(self.losses / math.log(2), self.bytes)
        return found


def _exp(values: Array) -> Array:
    with np.errstate(over="ignore"):
        return np.exp(values)
