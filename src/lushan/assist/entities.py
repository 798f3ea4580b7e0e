"""Entities that a dialogue has named."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import accumulate

from lushan.text.bm25 import units

_NEAR = 1e-9
_ADDITION = re.compile(r"\s[-–—]\s|,\s")


class Entities:
    """Names of entities, found where a turn has them, however they are divided into words.

    "ferry building market place" names Ferry Building Marketplace, and "s. f. citadel" SF Citadel;
    "sounds good, and the price of that hotel" does not name Good Hotel. What a name has behind a
    comma or a dash need not be said: Souvla - Marina and Souvla - Mission are both Souvla.

    Args:
        names: Of the entities.
        share: Of a name's words, weighted by how few names have each, that a turn must hold, one
            after the other.
    """

    def __init__(self, names: Iterable[str], share: float) -> None:
        words = {name: _words(name) for name in dict.fromkeys(names)}
        counts = Counter(word for own in words.values() for word in set(own))
        weights = {word: math.log(1 + len(words) / n) for word, n in counts.items()}
        self.forms: dict[str, dict[str, float]] = defaultdict(dict)
        for name, own in words.items():
            short = len(_words(_ADDITION.split(name)[0]))
            sums = [0.0, *accumulate(weights[word] for word in own)]
            for first in range(len(own)):
                if sums[-1] - sums[first] < share * sums[short] - _NEAR:
                    break
                for last in range(first + 1, len(own) + 1):
                    weight = sums[last] - sums[first]
                    whole = sums[short if last <= short else -1]
                    if weight >= share * whole - _NEAR:
                        self.forms["".join(own[first:last])][name] = weight
        self.lengths = sorted({len(form) for form in self.forms}, reverse=True)

    def last(self, turns: Sequence[str], several: int = 1) -> list[str]:
        """Return the entities named last: the latest turn's first, of a turn those with most named.

        Args:
            turns: Of a dialogue, in their order.
            several: How many of the turns that name any count.
        """
        found: dict[str, None] = {}
        for turn in reversed(turns):
            if named := self._named(_words(turn)):
                found |= dict.fromkeys(sorted(named, key=named.__getitem__, reverse=True))
                several -= 1
            if not several:
                break
        return list(found)

    def _named(self, words: Sequence[str]) -> dict[str, float]:
        """Return the entities that a turn names, with the weight of what is named.

        What is part of a longer name that stands there names nothing.
        """
        text, ends = "".join(words), [0, *accumulate(map(len, words))]
        borders, reach = set(ends), 0
        found: dict[str, float] = {}
        for start in ends[:-1]:
            stops = (start + length for length in self.lengths)
            stop = next((n for n in stops if n in borders and text[start:n] in self.forms), 0)
            if stop <= reach:
                continue
            reach = stop
            for name, weight in self.forms[text[start:stop]].items():
                found[name] = max(weight, found.get(name, 0.0))
        return found


def _words(text: str) -> list[str]:
    return units(text.replace("&", " and "))
