"""BLEU and chrF, equal to sacrebleu's, from counts that are kept for each text.

sacrebleu splits and counts. The corpus's score is then computed here from the summed counts, for
many weightings of the texts at once, which is what a bootstrap asks for. Both are on sacrebleu's
scale, 0 to 100.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lushan.compat.sacrebleu import corpus_statistics
from lushan.metrics.prf import ratio

Tokenizer = Literal["13a", "zh", "intl", "char", "none"]
Smoothing = Literal["exp", "floor", "add-k", "none"]
Array = NDArray[np.float64]

_TINY = -9999999999.0
"""sacrebleu's logarithm of 0."""


@dataclasses.dataclass(frozen=True)
class Bleu:
    """BLEU with the settings of sacrebleu.

    Attributes:
        tokenize: sacrebleu's tokenizer.
        smooth: What stands for a precision of 0.
        smooth_value: Of `floor` and `add-k`; None is sacrebleu's own.
        effective_order: Leave out the orders for which a text is too short, as is usual for single
            sentences; without it they make the score 0.
        lowercase: Whether case does not count.
        order: Longest n-grams.
    """

    tokenize: Tokenizer = "13a"
    smooth: Smoothing = "exp"
    smooth_value: float | None = None
    effective_order: bool = False
    lowercase: bool = False
    order: int = 4

    def counts(
        self, predictions: Sequence[str], references: Sequence[Sequence[str]]
    ) -> tuple[NDArray[np.int64], str]:
        """Counts of each text (N, 2 + 2 · order), and sacrebleu's signature of how they were made.

        The columns are the prediction's length, that of the reference nearest in length, the
        matched n-grams by n, and all of the prediction's.
        """
        from sacrebleu.metrics.bleu import BLEU

        metric = BLEU(
            lowercase=self.lowercase,
            force=True,
            tokenize=self.tokenize,
            smooth_method=self.smooth,
            smooth_value=self.smooth_value,
            max_ngram_order=self.order,
            effective_order=self.effective_order,
        )
        return _counts(metric, predictions, references, 2 + 2 * self.order)

    def score(self, counts: object) -> Array:
        """The BLEU (...,) of summed counts (..., 2 + 2 · order)."""
        counts = np.asarray(counts, float)
        length, wanted = counts[..., 0], counts[..., 1]
        correct, total = np.split(counts[..., 2:].copy(), 2, axis=-1)
        any_right = correct.any(-1)
        if self.smooth == "add-k":
            k = 1.0 if self.smooth_value is None else self.smooth_value
            correct[..., 1:] += k
            total[..., 1:] += k
        # Behind the first order without n-grams nothing counts.
        counted = np.logical_and.accumulate(total > 0, axis=-1)
        precision = np.where(counted, ratio(correct, total) + self._floor(correct, total), 0.0)
        logs = np.full(precision.shape, _TINY)
        np.log(100 * precision, out=logs, where=precision > 0)
        orders = np.maximum(counted.sum(-1), 1) if self.effective_order else self.order
        used = np.where(counted, logs, 0.0 if self.effective_order else _TINY).sum(-1)
        penalty = np.where(length < wanted, np.exp(np.minimum(0, 1 - ratio(wanted, length))), 1.0)
        penalty = np.where((length == 0) & (wanted > 0), 0.0, penalty)
        return np.where(any_right, penalty * np.exp(used / orders), 0.0)

    def _floor(self, correct: Array, total: Array) -> Array:
        """Return the value that replaces a precision of 0."""
        zero = correct == 0
        if self.smooth == "exp":
            # The first order without a match counts half a match, the next a quarter, ...
            return np.where(zero, ratio(0.5 ** zero.cumsum(-1), total), 0.0)
        if self.smooth == "floor":
            value = 0.1 if self.smooth_value is None else self.smooth_value
            return np.where(zero, ratio(value, total), 0.0)
        return np.zeros_like(correct)


@dataclasses.dataclass(frozen=True)
class Chrf:
    """chrF with the settings of sacrebleu.

    Attributes:
        char_order: Longest n-grams of characters.
        word_order: Longest n-grams of words; 2 is chrF++.
        beta: How much more recall counts than precision.
        lowercase: Whether case does not count.
        whitespace: Whether blanks count.
        eps_smoothing: Count orders for which a text is too short as nearly 0 instead of leaving
            them out.
    """

    char_order: int = 6
    word_order: int = 0
    beta: int = 2
    lowercase: bool = False
    whitespace: bool = False
    eps_smoothing: bool = False

    def counts(
        self, predictions: Sequence[str], references: Sequence[Sequence[str]]
    ) -> tuple[NDArray[np.int64], str]:
        """Counts of each text (N, 3 · orders), and sacrebleu's signature of how they were made.

        For each order three columns: n-grams of the prediction, of the reference that suits it
        best, and those that match.
        """
        from sacrebleu.metrics.chrf import CHRF

        metric = CHRF(**dataclasses.asdict(self))
        return _counts(metric, predictions, references, 3 * (self.char_order + self.word_order))

    def score(self, counts: object) -> Array:
        """The chrF (...,) of summed counts (..., 3 · orders)."""
        counts = np.asarray(counts, float)
        predicted, gold, matched = (counts[..., i::3] for i in range(3))
        factor = self.beta**2
        if self.eps_smoothing:
            eps = 1e-16
            precision = np.where(predicted > 0, ratio(matched, predicted), eps)
            recall = np.where(gold > 0, ratio(matched, gold), eps)
            below = factor * precision + recall
            f = np.where(below > 0, ratio((1 + factor) * precision * recall, below), eps)
            return 100 * f.sum(-1) / f.shape[-1]
        both = (predicted > 0) & (gold > 0)
        orders = both.sum(-1)
        mean_precision = ratio((ratio(matched, predicted) * both).sum(-1), orders)
        mean_recall = ratio((ratio(matched, gold) * both).sum(-1), orders)
        return 100 * ratio(
            (1 + factor) * mean_precision * mean_recall, factor * mean_precision + mean_recall
        )


def _counts(
    metric: Any, predictions: Sequence[str], references: Sequence[Sequence[str]], width: int
) -> tuple[NDArray[np.int64], str]:
    if not predictions:
        return np.zeros((0, width), np.int64), ""
    most = max(map(len, references))
    # sacrebleu takes one list for all first references, one for all second ones; None is none.
    by_place = [[r[i] if i < len(r) else None for r in references] for i in range(most)]
    rows = corpus_statistics(metric, predictions, by_place)
    return np.array(rows, dtype=np.int64).reshape(-1, width), str(metric.get_signature())
