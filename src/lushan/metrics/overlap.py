"""Counts of n-grams from which BLEU and chrF are computed, as sacrebleu makes them, text by text.

sacrebleu splits and counts. The corpus's score is computed from the summed counts
(`lushan.metrics.scores.overlap`), for many weightings of the texts at once, which is what a
bootstrap asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lushan.compat.sacrebleu import corpus_statistics
from lushan.metrics.scores.overlap import CHARACTERS, ORDER

Tokenizer = Literal["13a", "zh", "intl", "char", "none"]
Counted = tuple[NDArray[np.int64], str]
"""Counts of each text, and sacrebleu's signature of how they were made."""
References = Sequence[Sequence[str]]


def bleu_counts(predictions: Sequence[str], references: References, tokenize: Tokenizer) -> Counted:
    """Return what `scores.overlap.bleu` takes of each text, (N, 2 + 2 · ORDER).

    The columns are the prediction's length, that of the reference nearest in length, the matched
    n-grams by n, and all of the prediction's.
    """
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(force=True, tokenize=tokenize)
    return _counts(metric, predictions, references, 2 + 2 * ORDER)


def chrf_counts(predictions: Sequence[str], references: References) -> Counted:
    """Return what `scores.overlap.chrf` takes of each text, (N, 3 · CHARACTERS).

    For each order three columns: n-grams of the prediction, of the reference that suits it best,
    and those that match.
    """
    from sacrebleu.metrics.chrf import CHRF

    return _counts(CHRF(), predictions, references, 3 * CHARACTERS)


def _counts(metric: Any, predictions: Sequence[str], references: References, width: int) -> Counted:
    if not predictions:
        return np.zeros((0, width), np.int64), ""
    most = max(map(len, references))
    # sacrebleu takes one list for all first references, one for all second ones; None is none.
    by_place = [[r[i] if i < len(r) else None for r in references] for i in range(most)]
    rows = corpus_statistics(metric, predictions, by_place)
    return np.array(rows, dtype=np.int64).reshape(-1, width), str(metric.get_signature())
