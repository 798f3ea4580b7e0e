"""Spans with labels on both sides of an example: what is right, missed, spurious, and why.

A span is right where the other side has the same words with the same label. In a confusion matrix
it stands in the cell of both labels where both sides have the same words; else it is missed, or
spurious.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from lushan.data.drawing import Mark, Marks
from lushan.data.stored import NONE, Tally
from lushan.text import tags
from lushan.text.tags import Span

Spans = Sequence[Span]


def of_tags(tagged: Sequence[str]) -> tuple[Span, ...]:
    """Return the spans of tags in IOB2, as the metrics read them."""
    return _of_tags(tuple(tagged))


@functools.lru_cache(maxsize=1 << 15)  # runs have their gold tags in common, and many others
def _of_tags(tagged: tuple[str, ...]) -> tuple[Span, ...]:
    return tuple(tags.spans(tagged, "iob2", strict=False))


def tally(gold: Spans, predicted: Spans) -> Tally:
    """Return the labels of an example's spans."""
    found = {(s.start, s.end): s.label for s in predicted}
    there = {(s.start, s.end): s.label for s in gold}
    pairs = [(label, found.get(words, NONE)) for words, label in there.items()]
    pairs += [(NONE, label) for words, label in found.items() if words not in there]
    right = [s.label for s in {*gold} & {*predicted}]
    return Tally([s.label for s in gold], [s.label for s in predicted], right, pairs)


def marks(gold: Spans, predicted: Spans) -> Marks:
    """Return whether each span is right, and why it is not."""
    return Marks(
        [_mark(span, predicted, "missed") for span in gold],
        [_mark(span, gold, "spurious") for span in predicted],
    )


def _mark(span: Span, others: Spans, alone: str) -> Mark:
    if span in others:
        return True, ""
    over = [other for other in others if other.start < span.end and span.start < other.end]
    if not over:
        return False, alone
    if any((other.start, other.end) == (span.start, span.end) for other in over):
        return False, "type"
    same = any(other.label == span.label for other in over)
    return False, "boundary" if same else "boundary and type"
