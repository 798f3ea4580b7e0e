"""Entities that a dialogue has named."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from lushan.text.bm25 import terms

_NEAR = 1e-9


class Entities:
    """Names of entities, found by the terms that they share with a turn.

    Args:
        names: Of the entities.
        share: Of a name's terms, weighted by how few names have each, that a turn must hold.
    """

    def __init__(self, names: Iterable[str], share: float) -> None:
        self.share = share
        self.terms = {name: set(terms(name)) for name in dict.fromkeys(names)}
        counts = Counter(term for own in self.terms.values() for term in own)
        self.weights = {t: math.log(1 + len(self.terms) / n) for t, n in counts.items()}

    def last(self, turns: Sequence[str], several: int = 1) -> list[str]:
        """Return the entities named last: the latest turn's first, of a turn those with most named.

        Args:
            turns: Of a dialogue, in their order.
            several: How many of the turns that name any count.
        """
        found: dict[str, None] = {}
        for turn in reversed(turns):
            if named := self._named(set(terms(turn))):
                found |= dict.fromkeys(sorted(named, key=named.__getitem__, reverse=True))
                several -= 1
            if not several:
                break
        return list(found)

    def _named(self, said: set[str]) -> dict[str, float]:
        """Return the entities that a turn's terms name, with the weight of what is named."""
        found = {name: self._sum(own & said) for name, own in self.terms.items() if own & said}
        return {
            name: weight
            for name, weight in found.items()
            if weight >= self.share * self._sum(self.terms[name]) - _NEAR
        }

    def _sum(self, several: Iterable[str]) -> float:
        return math.fsum(self.weights[term] for term in several)
