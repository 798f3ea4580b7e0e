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

For the last three a text is split as `lushan.text.words` does: words, marks, Chinese characters.

An empty prediction counts, and scores 0 (1 on exact match where a reference is empty, too). Without
any text every number is nan.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lushan.metrics import rouge
from lushan.metrics.overlap import Tokenizer
from lushan.text.words import split_words

REPEATED = 4
"""Tokens of the n-grams that `repetition` looks for."""
Array = NDArray[np.float64]
Asked = Literal["auto", "en", "zh"]


def language_of(references: Sequence[Sequence[str]], language: Asked = "auto") -> rouge.Language:
    """Return the language that texts with these references are taken to be in."""
    if language != "auto":
        return language
    return rouge.language_of([r for several in references for r in several])


def bleu_tokenizer(language: rouge.Language) -> Tokenizer:
    """Return how texts are split for BLEU where nothing else is asked for."""
    return "zh" if language == "zh" else "13a"


def require_references(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> None:
    """Refuse references that are not those of the predictions.

    Raises:
        ValueError: There are not as many as predictions, or none for one of them.
    """
    if len(predictions) != len(references):
        raise ValueError(f"{len(predictions)} predictions and references for {len(references)}")
    for place, several in enumerate(references):
        if isinstance(several, str) or not several:
            raise ValueError(f"prediction {place} needs a list of references: {several!r}")


def notes(
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    language: rouge.Language,
    *,
    stem: bool,
    signatures: str,
) -> list[str]:
    """Return how the numbers were made, and what is odd about the texts.

    Args:
        predictions: One a text.
        references: One or several for each.
        language: How they were split.
        stem: Whether ROUGE stripped the endings of English words.
        signatures: sacrebleu's, of BLEU and chrF.
    """
    made = [signatures, f"ROUGE {language}, {'with' if stem else 'without'} stemmer"]
    tokens = rouge.Tokens(language, stem=stem)
    return (made if predictions else []) + _oddities(predictions, references, tokens)


def _oddities(
    predictions: Sequence[str], references: Sequence[Sequence[str]], tokens: rouge.Tokens
) -> list[str]:
    found = []
    if empty := sum(not text.strip() for text in predictions):
        found.append(f"{empty} of {len(predictions)} generated texts are empty")
    all_references = [reference for several in references for reference in several]
    if unread := sum(not tokens.tokenize(reference) for reference in all_references):
        found.append(
            f"{unread} of {len(all_references)} references have nothing that ROUGE counts: it "
            f"only counts a to z, digits and CJK characters"
        )
    return found


# Exact match


def normalised(text: str) -> str:
    """A text without case, punctuation, runs of blanks, and wide forms of characters."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(" " if unicodedata.category(c)[0] in "PZC" else c for c in folded)
    return re.sub(r"\s+", " ", kept).strip()


def exact(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Array:
    """Return 1 for each text (N,) that equals a reference, blanks at the ends aside."""
    return _matches(predictions, references, str.strip)


def exact_normalised(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Array:
    """Return the same without case, punctuation, runs of blanks, and wide forms."""
    return _matches(predictions, references, normalised)


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
