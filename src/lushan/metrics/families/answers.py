"""Metrics of short answers. Predictions are texts; targets are lists of gold answers.

A prediction counts as much as it does against the best of its gold answers; where there is no
answer, the gold answer is the empty text. English is compared as SQuAD does it (Rajpurkar et al.,
2016, arXiv:1606.05250), Chinese by character as CMRC does it (Cui et al., 2019, arXiv:1810.07366).
"""

from __future__ import annotations

import collections
import re
import string
import unicodedata
from collections.abc import Sequence
from typing import Literal

import numpy as np

from lushan.common.units import PERCENT
from lushan.metrics.metric import Array, Metric
from lushan.metrics.scores.ratios import ratio

Language = Literal["auto", "en", "zh"]
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_HAN = re.compile(r"[\u3400-\u9fff]")


def normal_words(text: str) -> list[str]:
    """Return the words of an answer as SQuAD compares them: no case, punctuation or articles."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return _ARTICLES.sub(" ", kept).split()


def units(text: str) -> list[str]:
    """Return the units of a Chinese answer: characters, other words whole, no punctuation."""
    found: list[str] = []
    for part in re.split(r"([\u3400-\u9fff])|\s+", text.lower()):
        kept = "".join(c for c in part or "" if unicodedata.category(c)[0] not in "PS")
        found += [kept] if kept else []
    return found


def overlap(predicted: Sequence[str], gold: Sequence[str], *, run: bool) -> float:
    """Return the F1 of units that two answers share.

    Args:
        predicted: Units of the one.
        gold: Units of the other.
        run: Whether units count in one unbroken run, as CMRC has it; else in any order.
    """
    if not predicted or not gold:
        return float(predicted == gold)
    if run:
        shared = _longest_run(predicted, gold)
    else:
        shared = (collections.Counter(predicted) & collections.Counter(gold)).total()
    return 2 * shared / (len(predicted) + len(gold))


def _longest_run(one: Sequence[str], other: Sequence[str]) -> int:
    best, before = 0, [0] * (len(other) + 1)
    for unit in one:
        row = [0]
        row += [before[j] + 1 if unit == there else 0 for j, there in enumerate(other)]
        best, before = max(best, *row), row
    return best


class _OfAnswers(Metric):
    """A score of each answer against the best of its gold answers, and its mean."""

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(ratio)
    has_interval = True

    def __init__(self, language: Language = "auto") -> None:
        super().__init__()
        self.language = language

    def example_statistics(self, prediction: str, target: Sequence[str]) -> Array:
        """Return the score and 1."""
        chinese = self.language == "zh" or (
            self.language == "auto" and any(map(_HAN.search, target))
        )
        split = units if chinese else normal_words
        predicted = split(prediction)
        golds = [split(gold) for gold in target or [""]]
        return np.array([max(self.compare(predicted, gold, run=chinese) for gold in golds), 1.0])

    def compare(self, predicted: list[str], gold: list[str], *, run: bool) -> float:
        """Return the score of an answer against one gold answer."""
        raise NotImplementedError


class ExactMatch(_OfAnswers):
    """Share of answers that equal a gold answer once both are normalised."""

    basis = "exact"

    def compare(self, predicted: list[str], gold: list[str], *, run: bool) -> float:
        """Return 1 where both are the same."""
        del run
        return float(predicted == gold)


class AnswerF1(_OfAnswers):
    """F1 of the words, in Chinese of the longest run of characters, that answers share."""

    basis = "answers"

    def compare(self, predicted: list[str], gold: list[str], *, run: bool) -> float:
        """Return the F1 of two answers."""
        return overlap(predicted, gold, run=run)


def metrics(language: Language = "auto") -> dict[str, Metric]:
    """Return the metrics of answers."""
    return {"exact_match": ExactMatch(language), "f1": AnswerF1(language)}
