"""Metrics of generated text. Predictions are texts, targets lists of references.

What each number means is defined in `lushan.metrics.generation`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from lushan.common.units import PERCENT, POINTS
from lushan.configurable import configurable
from lushan.metrics import generation, rouge
from lushan.metrics.metric import Array, Metric
from lushan.metrics.overlap import Counted, Tokenizer, bleu_counts, chrf_counts
from lushan.metrics.scores import overlap
from lushan.metrics.scores.ratios import ratio
from lushan.metrics.statistics import Rows

Texts = Sequence[str]
References = Sequence[Sequence[str]]


class OfTexts(Metric):
    """The mean of a share that each text has.

    Args:
        share: From texts and their references to the share of each.
    """

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(ratio)
    has_interval = True

    def __init__(self, share: Callable[[Texts, References], Array]) -> None:
        super().__init__()
        self.share = share

    def example_statistics(self, prediction: str, target: Sequence[str]) -> Array:
        """Return (share, 1)."""
        return np.asarray(self.statistics([prediction], [target])[0], float)

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> Rows:
        """Return the same of many texts."""
        values = self.share(predictions, targets)
        return np.stack([values, np.ones(len(values))], axis=-1)


@configurable
class AccuracyAmong(Metric):
    """The share of answers that are right, among those whose reference is one of some.

    Answers are texts with lists of references, or classes.

    Args:
        answers: The answers to questions of one type, such as `[yes, no]`.
    """

    higher_is_better = True
    unit = PERCENT
    formula = staticmethod(ratio)
    has_interval = True
    width = 2

    def __init__(self, answers: Sequence[str]) -> None:
        super().__init__()
        self.answers = frozenset(answers)

    def example_statistics(self, prediction: str, target: Sequence[str]) -> Array:
        """Return (right, 1); (0, 0) of an answer whose references are others."""
        references = [target] if isinstance(target, str) else target
        if self.answers.isdisjoint(references):
            return np.zeros(2)
        return np.array([generation.exact([prediction], [references])[0], 1.0])


class Repetition(OfTexts):
    """The share of a text's n-grams that it had before."""

    higher_is_better = False

    def __init__(self) -> None:
        super().__init__(lambda texts, _: np.array([generation.repetition(t) for t in texts]))


class Rouge:
    """The F-measures of ROUGE, computed once for all of its metrics.

    Args:
        language: How texts are split; `auto` asks the references.
        stem: Whether English words lose their endings.
    """

    def __init__(self, language: generation.Asked, *, stem: bool) -> None:
        self.language, self.stem = language, stem
        self._last: tuple[Any, Any, dict[str, Array]] | None = None

    def of(self, kind: str) -> Callable[[Texts, References], Array]:
        """Return what computes one of them."""

        def share(texts: Texts, references: References) -> Array:
            if self._last is None or self._last[0] is not texts or self._last[1] is not references:
                known = generation.language_of(references, self.language)
                tokens = rouge.Tokens(known, stem=self.stem)
                self._last = texts, references, rouge.rouge(texts, references, tokens=tokens)
            return self._last[2][kind]

        return share


class OfNgrams(Metric):
    """A score of counts of n-grams of the whole corpus, equal to sacrebleu's, from 0 to 100.

    Attributes:
        signature: sacrebleu's, of how they were counted last.
    """

    higher_is_better = True
    unit = POINTS
    has_interval = True
    groups = False
    signature = ""

    def counts(self, predictions: Texts, references: References) -> Counted:
        """Return the counts of each text, and sacrebleu's signature."""
        raise NotImplementedError

    def example_statistics(self, prediction: str, target: Sequence[str]) -> Array:
        """Return lengths and counts of n-grams, (D,)."""
        return np.asarray(self.statistics([prediction], [target])[0], float)

    def statistics(self, predictions: Sequence[Any], targets: Sequence[Any]) -> Rows:
        """Return the same of many texts."""
        counts, self.signature = self.counts(predictions, targets)
        return counts.astype(float)

    def of_rows(
        self, predictions: Sequence[Any], targets: Sequence[Any], rows: Rows | None
    ) -> float:
        """Return the value of a split; nan without any text."""
        return super().of_rows(predictions, targets, rows) if len(predictions) else math.nan


class BLEU(OfNgrams):
    """BLEU of the whole corpus.

    Args:
        tokenize: sacrebleu's tokenizer.
    """

    formula = staticmethod(overlap.bleu)
    # A text alone is scored by the orders for which it is long enough.
    alone: Mapping[str, Any] = MappingProxyType({"effective_order": True})
    width = 2 + 2 * overlap.ORDER

    def __init__(self, tokenize: Tokenizer = "13a") -> None:
        self.tokenize = tokenize
        super().__init__()
        self.options = {"tokenize": tokenize}

    def counts(self, predictions: Texts, references: References) -> Counted:
        """Return those of words."""
        return bleu_counts(predictions, references, self.tokenize)


class CHRF(OfNgrams):
    """chrF of the whole corpus."""

    formula = staticmethod(overlap.chrf)
    width = 3 * overlap.CHARACTERS

    def counts(self, predictions: Texts, references: References) -> Counted:
        """Return those of characters."""
        return chrf_counts(predictions, references)


class Distinct(Metric):
    """The share of distinct n-grams of all texts together, which is no sum over texts.

    Args:
        n: Tokens of an n-gram.
    """

    higher_is_better = True
    unit = PERCENT

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n

    def of_split(self, predictions: Sequence[str], targets: Sequence[Any]) -> float:
        """Return the share."""
        return generation.distinct(predictions, self.n)


def metrics(
    *,
    language: generation.Asked = "auto",
    stem: bool = False,
    tokenize: Tokenizer = "13a",
) -> dict[str, Metric]:
    """Return the metrics of generated text, by name.

    Args:
        language: How ROUGE splits text; `auto` asks the references.
        stem: Whether ROUGE strips the endings of English words.
        tokenize: sacrebleu's tokenizer, for BLEU.
    """
    scorer = Rouge(language, stem=stem)
    found: dict[str, Metric] = {kind: OfTexts(scorer.of(kind)) for kind in rouge.KINDS}
    return found | {
        "bleu": BLEU(tokenize),
        "chrf": CHRF(),
        "exact_match": OfTexts(generation.exact),
        "exact_match_normalised": OfTexts(generation.exact_normalised),
        "repetition": Repetition(),
        "distinct1": Distinct(1),
        "distinct2": Distinct(2),
    }
