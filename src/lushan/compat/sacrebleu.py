"""Private names of sacrebleu."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def corpus_statistics(
    metric: Any, hypotheses: Sequence[str], references: Sequence[Sequence[str | None]]
) -> list[list[float]]:
    """Return the counts of each example, which add up to those of a corpus.

    The public methods return scores, of which neither sums nor bootstrap samples can be made.

    Args:
        metric: BLEU or chrF.
        hypotheses: One an example.
        references: A list for all first references, one for all second ones; None where an example
            has none.
    """
    rows: list[list[float]] = metric._extract_corpus_statistics(list(hypotheses), references)
    return rows
