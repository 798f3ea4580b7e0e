"""Numbers of generated text: against references, and of the text by itself.

* `rouge1`, `rouge2`, `rougeL`, `rougeLsum`: mean over texts of the best F-measure against any
  reference (`lushan.metrics.rouge`); between 0 and 1.
* `bleu`, `chrf`: of the whole corpus, equal to sacrebleu's (`lushan.metrics.overlap`). They are
  known on its scale, 0 to 100, and stay on it.
* `exact_match`: share of the texts that equal a reference, blanks at the ends aside;
  `exact_match_normalised`: the same without case, punctuation, runs of blanks, and the difference
  between wide and narrow characters (NFKC).
* `distinct1`, `distinct2` (Li et al., 2016): distinct n-grams of all texts over all n-grams, so
  that a longer split has a lower number. They have no interval: a resample holds texts twice,
  which makes n-grams less distinct than they are in any split.
* `repetition` (Welleck et al., 2020): share of a text's 4-grams that it had before, averaged over
  texts. A text without 4-grams repeats nothing.

For the last three a text is split as `lushan.data.words` does: words, marks, Chinese characters.

An empty prediction counts, and scores 0 (1 on exact match where a reference is empty, too). Without
any text every number is nan.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lushan.data.words import split_words
from lushan.metrics import rouge
from lushan.metrics.bootstrap import Interval, interval, mean_interval
from lushan.metrics.overlap import Bleu, Chrf, Tokenizer

REPEATED = 4
"""Tokens of the n-grams that `repetition` looks for."""
SHARES = (*rouge.KINDS, "exact_match", "exact_match_normalised", "repetition")
"""Means over texts, between 0 and 1."""
NAMES = (*rouge.KINDS, "bleu", "chrf", *SHARES[len(rouge.KINDS) :], "distinct1", "distinct2")
"""All metrics, in the order they are shown in."""
Array = NDArray[np.float64]


@dataclasses.dataclass(frozen=True)
class Report:
    """What generated texts are worth.

    Attributes:
        metrics: Name to value.
        examples: Name to the values of each text (N,), for tests of significance; `bleu` and `chrf`
            are those of single sentences, whose mean is not the corpus's.
        counts: `bleu` and `chrf` to the counts of each text, from which the corpus's follow.
        bounds: Name to a function that finds its interval; it takes a moment, so only when asked.
        notes: How the numbers were made, and what is odd about the texts.
    """

    metrics: dict[str, float]
    examples: dict[str, Array]
    counts: dict[str, NDArray[np.int64]]
    bounds: dict[str, Callable[[], Interval]]
    notes: list[str]

    def intervals(self) -> dict[str, Interval]:
        """95 % bootstrap intervals over texts."""
        return {name: find() for name, find in self.bounds.items()}


def score(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    language: Literal["auto", "en", "zh"] = "auto",
    stem: bool = False,
    tokenize: Tokenizer | None = None,
) -> Report:
    """Judge generated texts.

    Args:
        predictions: One a text.
        references: One or several for each, which need not be as many.
        language: How ROUGE and BLEU split text; `auto` is `zh` where a tenth of the references are
            Chinese, else `en`.
        stem: Whether ROUGE strips the endings of English words.
        tokenize: Of sacrebleu, for BLEU; by default `13a`, and `zh` for Chinese.

    Raises:
        ValueError: There are not as many references as predictions, or none for one of them.
    """
    _require_references(predictions, references)
    known = language_of(references, language)
    tokens = rouge.Tokens(known, stem=stem)
    bleu, chrf = Bleu(tokenize or bleu_tokenizer(known)), Chrf()
    bleu_counts, bleu_signature = bleu.counts(predictions, references)
    chrf_counts, chrf_signature = chrf.counts(predictions, references)
    shares = {
        **rouge.rouge(predictions, references, tokens=tokens),
        "exact_match": _matches(predictions, references, str.strip),
        "exact_match_normalised": _matches(predictions, references, normalised),
        "repetition": np.array([repetition(text) for text in predictions], dtype=float),
    }
    single = dataclasses.replace(bleu, effective_order=True)
    found = {name: _mean(values) for name, values in shares.items()}
    found |= {"bleu": _whole(bleu, bleu_counts), "chrf": _whole(chrf, chrf_counts)}
    found |= {f"distinct{n}": distinct(predictions, n) for n in (1, 2)}
    notes = [
        f"BLEU {bleu_signature}; chrF {chrf_signature}",
        f"ROUGE {known}, {'with' if stem else 'without'} stemmer",
    ]
    return Report(
        metrics={name: found[name] for name in NAMES},
        examples=shares | {"bleu": single.score(bleu_counts), "chrf": chrf.score(chrf_counts)},
        counts={"bleu": bleu_counts, "chrf": chrf_counts},
        bounds={
            **{name: _mean_bound(values) for name, values in shares.items()},
            "bleu": _bound(bleu, bleu_counts),
            "chrf": _bound(chrf, chrf_counts),
        },
        notes=(notes if predictions else []) + _oddities(predictions, references, tokens),
    )


def language_of(
    references: Sequence[Sequence[str]], language: Literal["auto", "en", "zh"] = "auto"
) -> rouge.Language:
    """The language that `score` takes texts with these references to be in."""
    if language != "auto":
        return language
    return rouge.language_of([r for several in references for r in several])


def bleu_tokenizer(language: rouge.Language) -> Tokenizer:
    """How `score` splits texts for BLEU where it is not told."""
    return "zh" if language == "zh" else "13a"


def _require_references(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions and references for {len(references)}")
    for place, several in enumerate(references):
        if isinstance(several, str) or not several:
            raise ValueError(f"prediction {place} needs a list of references: {several!r}")


def _mean(values: Array) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _whole(metric: Bleu | Chrf, counts: NDArray[np.int64]) -> float:
    return float(metric.score(counts.sum(0))) if len(counts) else float("nan")


def _mean_bound(values: Array) -> Callable[[], Interval]:
    return lambda: mean_interval(values)


def _bound(metric: Bleu | Chrf, counts: NDArray[np.int64]) -> Callable[[], Interval]:
    return lambda: interval(lambda weights: metric.score(weights @ counts), len(counts))


def _oddities(
    predictions: Sequence[str], references: Sequence[Sequence[str]], tokens: rouge.Tokens
) -> list[str]:
    notes = []
    if empty := sum(not text.strip() for text in predictions):
        notes.append(f"{empty} of {len(predictions)} generated texts are empty")
    all_references = [reference for several in references for reference in several]
    if unread := sum(not tokens.tokenize(reference) for reference in all_references):
        notes.append(
            f"{unread} of {len(all_references)} references hold nothing that ROUGE counts: letters "
            "other than a to z, digits and CJK characters do not"
        )
    return notes


# Exact match


def normalised(text: str) -> str:
    """A text without case, punctuation, runs of blanks, and wide forms of characters."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(" " if unicodedata.category(c)[0] in "PZC" else c for c in folded)
    return re.sub(r"\s+", " ", kept).strip()


def _matches(
    predictions: Sequence[str], references: Sequence[Sequence[str]], form: Callable[[str], str]
) -> Array:
    return np.array(
        [
            form(prediction) in map(form, several)
            for prediction, several in zip(predictions, references, strict=True)
        ],
        dtype=float,
    )


# Of the text by itself


def distinct(texts: Iterable[str], n: int) -> float:
    """Distinct n-grams over all n-grams of some texts; nan where they have none."""
    seen: set[tuple[str, ...]] = set()
    total = 0
    for text in texts:
        grams = _ngrams(text, n)
        seen.update(grams)
        total += len(grams)
    return len(seen) / total if total else float("nan")


def repetition(text: str, n: int = REPEATED) -> float:
    """Share of a text's n-grams that it had before; 0 where it has none."""
    grams = _ngrams(text, n)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def _ngrams(text: str, n: int) -> list[tuple[str, ...]]:
    words, _ = split_words(text)
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
