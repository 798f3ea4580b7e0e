"""Metrics of short answers. Predictions are texts; targets are lists of gold answers.

A prediction counts as much as it does against the best of its gold answers; where there is no
answer, the gold answer is the empty text. English is compared as SQuAD does it (Rajpurkar et al.,
2016, arXiv:1606.05250), Chinese by character as CMRC does it (Cui et al., 2019, arXiv:1810.07366),
but that an English passage in it is not divided into sentences before it is into words.
"""

from __future__ import annotations

import collections
import functools
import re
import string
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from lushan.common.units import PERCENT
from lushan.metrics.metric import Array, Metric
from lushan.metrics.scores.ratios import ratio

Language = Literal["auto", "en", "zh"]
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_HAN = re.compile(r"([\u3400-\u9fff])")
_MARKS = str.maketrans("", "", "-:_*^/\\~`+=，。：？！“”；’《》·、「」（）－～『』")
"""Removes the marks that CMRC's evaluation removes; what is not here, such as %, counts."""


def normal_words(text: str) -> list[str]:
    """Return the words of an answer as SQuAD compares them: no case, punctuation or articles."""
    kept = "".join(c for c in text.lower() if c not in string.punctuation)
    return _ARTICLES.sub(" ", kept).split()


def normal_text(text: str) -> str:
    """Return an answer as CMRC compares it: no case, and none of the marks that it removes."""
    return text.lower().strip().translate(_MARKS)


def units(text: str) -> list[str]:
    """Return the units of a Chinese answer: each character, and words and numbers in between."""
    return list(_units(normal_text(text)))


def _units(text: str) -> Iterator[str]:
    for number, part in enumerate(_HAN.split(text)):
        if number % 2:
            yield part
        elif part:
            yield from _tokenizer().tokenize(part)


@functools.cache
def _tokenizer() -> Any:
    from nltk.tokenize.destructive import NLTKWordTokenizer  # takes a second

    return NLTKWordTokenizer()


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
        note = normal_text if chinese else normal_words
        golds = [gold for gold in target if note(gold)] or [""]
        return np.array([max(self.compare(prediction, g, chinese=chinese) for g in golds), 1.0])

    def compare(self, prediction: str, gold: str, *, chinese: bool) -> float:
        """Return the score of an answer against one gold answer."""
        raise NotImplementedError


class ExactMatch(_OfAnswers):
    """Share of answers that equal a gold answer once both are normalised."""

    basis = "exact"

    def compare(self, prediction: str, gold: str, *, chinese: bool) -> float:
        """Return 1 where both are the same."""
        if chinese:
            return float(normal_text(prediction) == normal_text(gold))
        return float(normal_words(prediction) == normal_words(gold))


class AnswerF1(_OfAnswers):
    """F1 of the words, in Chinese of the longest run of characters, that answers share."""

    basis = "answers"

    def compare(self, prediction: str, gold: str, *, chinese: bool) -> float:
        """Return the F1 of two answers."""
        split = units if chinese else normal_words
        return overlap(split(prediction), split(gold), run=chinese)


def metrics(language: Language = "auto") -> dict[str, Metric]:
    """Return the metrics of answers."""
    return {"exact_match": ExactMatch(language), "f1": AnswerF1(language)}
