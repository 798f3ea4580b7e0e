"""Span corruption (Raffel et al., 2020): stretches of a text are taken out, to be written again.

Each stretch leaves a token of its own behind, a sentinel; the target is the stretches, each after
its sentinel, and one more sentinel at the end:

    Thank you <X> me to your party <Y> week.     <X> for inviting <Y> last <Z>

How many tokens and stretches are taken depends on a text's length alone, so that it is known before
anything is drawn how long input and target will be. Otherwise than T5's own code, a stretch may
also stand at the very beginning.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lushan.text.vocabulary import sentinel

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Ids = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Spans:
    """Amount of text that is masked.

    Attributes:
        density: Share of a text's tokens.
        mean: Tokens of a stretch on average.
    """

    density: float = 0.15
    mean: float = 3.0

    def counts(self, length: int) -> tuple[int, int]:
        """Tokens and stretches that are taken out of a text of so many tokens, one at least."""
        taken = min(max(round(length * self.density), 1), length)
        # Between two stretches stands at least one token.
        return taken, min(max(round(taken / self.mean), 1), taken, length - taken + 1)

    def sizes(self, length: int) -> tuple[int, int]:
        """Tokens of input and target, sentinels included, of a text of so many tokens."""
        taken, spans = self.counts(length)
        return length - taken + spans, taken + spans + 1

    def longest(self, bound: int) -> int:
        """Tokens of the longest text whose input and target fit into `bound` each; 0 if none."""
        # One of them has at least so large a share of the text.
        length = int(bound / max(self.density, 1 - self.density)) + 2
        while length and max(self.sizes(length)) > bound:
            length -= 1
        return length

    def corrupt(
        self, ids: NDArray[Any], sentinels: Sequence[int], rng: np.random.Generator
    ) -> tuple[Ids, Ids]:
        """Input and target of a text.

        Args:
            ids: Its tokens, one at least.
            sentinels: Token ids, one more than stretches at least.
            rng: Chooses the stretches.
        """
        taken, spans = self.counts(len(ids))
        lengths = _parts(rng, taken, spans)
        # What stays before, between and behind the stretches; at the ends it may be nothing.
        kept = _parts(rng, len(ids) - taken + 2, spans + 1)
        kept[0] -= 1
        kept[-1] -= 1
        source: list[Any] = []
        target: list[Any] = []
        at = 0
        for mark, before, length in zip(sentinels, kept, lengths, strict=False):
            start = at + before
            source += [ids[at:start], [mark]]
            target += [[mark], ids[start : start + length]]
            at = start + length
        source.append(ids[at:])
        target.append([sentinels[spans]])
        return _joined(source), _joined(target)


def _parts(rng: np.random.Generator, total: int, count: int) -> list[int]:
    """`count` numbers from 1 that add up to `total`, all such rows of numbers equally likely."""
    borders = np.sort(rng.permutation(total - 1)[: count - 1]) + 1
    return [int(n) for n in np.diff(np.concatenate([[0], borders, [total]]))]


def _joined(parts: Sequence[Any]) -> Ids:
    return np.concatenate([np.asarray(part, dtype=np.int64) for part in parts])


def sentinels_of(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Ids of `<extra_id_0>`, `<extra_id_1>`, ..., as many as a tokenizer has."""
    known = tokenizer.get_vocab()
    found: list[int] = []
    while (name := sentinel(len(found))) in known:
        found.append(known[name])
    return found
