"""Tagged corpora of a realistic size, with errors of annotation, written in milliseconds."""

from __future__ import annotations

import random
from collections.abc import Sequence

from lushan.text.tags import Span, to_tags

TYPES = ("PER", "LOC", "ORG", "MISC")
FIRST_OUTSIDE = 4
"""Words at each sentence's start and end that belong to no entity."""


def sentences(count: int, scheme: str, *, seed: int = 0) -> list[list[str]]:
    """Tags of sentences with two to four entities each, some side by side and of one type."""
    draw = random.Random(seed)
    found = []
    for _ in range(count):
        spans, at = [], FIRST_OUTSIDE
        for _ in range(draw.randint(2, 4)):
            size = draw.choice([1, 1, 2, 3])
            label = draw.choice(TYPES)
            if spans and draw.random() < 0.05:
                label = spans[-1].label
            else:
                at += draw.randint(1, 3)
            spans.append(Span(at, at + size, label))
            at += size
        found.append(to_tags(spans, at + FIRST_OUTSIDE, scheme))
    return found


def with_strays(
    tags: Sequence[Sequence[str]], stray: str, places: Sequence[int]
) -> list[list[str]]:
    """The same with one odd tag among the O that start some of the sentences."""
    found = [list(row) for row in tags]
    for place in places:
        found[place][1] = stray
    return found


def conll_2003(tags: Sequence[Sequence[str]]) -> str:
    """Four columns, a `-DOCSTART-` every twenty sentences, as CoNLL-2003 is distributed."""
    lines = []
    for number, row in enumerate(tags):
        if number % 20 == 0:
            lines += ["-DOCSTART- -X- -X- O", ""]
        lines += [f"w{number}x{i} NN I-NP {tag}" for i, tag in enumerate(row)]
        lines.append("")
    return "\n".join(lines) + "\n"
