"""BM25 (Robertson and Zaragoza, 2009) in the form that Lucene has, over words and characters.

Chinese is counted by its characters and pairs of neighbouring ones, which find more than segmented
words do; other text by its words, without case, and by its emoji.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from lushan.run.progress import over

_HAN = "\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_EMOJI = (
    "\u2600-\u27bf\u2b50\u2b55\U0001f000-\U0001f3fa\U0001f400-\U0001faff"  # without colours of skin
)
_UNITS = re.compile(rf"[{_HAN}]+|[^\W_{_HAN}]+|[{_EMOJI}]")
_IS_HAN = re.compile(rf"[{_HAN}]")


def units(text: str) -> list[str]:
    """Return words, emoji and characters of Chinese, in their order."""
    return [part for unit in _units(text) for part in (unit if _IS_HAN.match(unit) else [unit])]


def terms(text: str) -> list[str]:
    """Return the terms of a text: words, emoji, and of Chinese characters and pairs of them."""
    found: list[str] = []
    for unit in _units(text):
        if _IS_HAN.match(unit):
            found += unit
            found += (unit[i : i + 2] for i in range(len(unit) - 1))
        else:
            found.append(unit)
    return found


def _units(text: str) -> list[str]:
    """Return words, emoji and runs of Chinese."""
    return _UNITS.findall(unicodedata.normalize("NFKC", text).lower())


@dataclass(frozen=True)
class BM25:
    """Weights of the terms of some documents."""

    weights: sparse.csr_matrix
    numbers: Mapping[str, int]

    def scores(self, queries: Sequence[str]) -> NDArray[np.float32]:
        """Return the scores of all documents, (queries, documents); terms count as often as asked.

        Args:
            queries: Texts; terms that no document has count nothing.
        """
        rows, columns = [], []
        for row, query in enumerate(queries):
            known = [self.numbers[term] for term in terms(query) if term in self.numbers]
            rows += [row] * len(known)
            columns += known
        shape = (len(queries), self.weights.shape[1])
        asked = sparse.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=shape)
        return (asked @ self.weights.T).toarray()


def fit(documents: Sequence[str], *, k1: float = 1.5, b: float = 0.75) -> BM25:
    """Weigh the terms of documents.

    Args:
        documents: Texts.
        k1: How much a term's further occurrences count.
        b: How much long documents are held to be wordy.
    """
    numbers: dict[str, int] = {}
    rows, columns = [], []
    for row, document in enumerate(over(documents, "documents")):
        found = [numbers.setdefault(term, len(numbers)) for term in terms(document)]
        rows += [row] * len(found)
        columns += found
    shape = (len(documents), len(numbers))
    counts = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)  # summed
    lengths = np.asarray(counts.sum(1)).ravel()
    frequency = np.bincount(counts.indices, minlength=shape[1])
    idf = np.log1p((shape[0] - frequency + 0.5) / (frequency + 0.5))
    norms = k1 * (1 - b + b * lengths / max(lengths.mean() if len(lengths) else 0, 1e-9))
    norm_of_each = np.repeat(norms, np.diff(counts.indptr))
    counts.data = idf[counts.indices] * counts.data / (counts.data + norm_of_each)
    return BM25(counts.astype(np.float32), numbers)
