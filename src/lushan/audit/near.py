"""Near-duplicates: pairs of texts whose shingles have a Jaccard similarity of a threshold or more.

A text's shingles are its runs of two words, or, where most text is in a script without blanks, of
three characters; case and punctuation do not count. Two texts that are similar enough share one of
their rarest shingles (see `_prefixes`): texts that do are compared, so that no pair is missed.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from lushan.run.progress import over

THRESHOLD = 0.8
MOST_CHARACTERS = 1 << 25
"""Characters of all texts; with more, near-duplicates are not searched for."""
MOST_PARTNERS = 200
"""Texts that a text is compared with because of one shingle; beyond, a pair may be missed."""
_PLACES = 1 << 22
"""Size of the table that counts how often shingles occur."""
_AT_ONCE = 1 << 20
"""Shingles or candidates that are worked on at a time: what bounds the memory."""
_ALONE = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_ALONE += r"\uf900-\ufaff\U00020000-\U0003ffff"
_CHARACTER = re.compile(f"[{_ALONE}]")
_UNIT = re.compile(rf"{_CHARACTER.pattern}|[^\W{_ALONE}]+")
_SAMPLE = 1000
"""Texts by which the script of most is determined."""

Words = NDArray[np.uint64]
Pairs = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Near:
    """Pairs of texts that are nearly the same.

    Attributes:
        pairs: Numbers of two texts, the smaller one first, shape (N, 2), sorted.
        jaccard: Their similarity, shape (N,).
        unit: What a shingle is: `2 words` or `3 characters`.
        capped: Texts that share a rare shingle with more than `MOST_PARTNERS`; where there are
            any, there may be more pairs than were found.
    """

    pairs: Pairs
    jaccard: NDArray[np.float64]
    unit: str
    capped: int


@dataclasses.dataclass(frozen=True)
class Shingles:
    """Hashes of the shingles of texts, those of text i at `values[ends[i]:ends[i + 1]]`."""

    values: Words
    ends: NDArray[np.int64]
    unit: str


def near_duplicates(texts: Sequence[str], threshold: float = THRESHOLD) -> Near:
    """The pairs of texts with a Jaccard similarity of `threshold` or more.

    Args:
        texts: All different; copies would be pairs.
        threshold: Between 0 and 1.
    """
    shingles = shingles_of(texts)
    owners, partners = _buckets(shingles, threshold)
    pairs, similar = [np.empty((0, 2), np.int64)], [np.empty(0)]
    for found in _candidates(owners, np.minimum(partners, MOST_PARTNERS), len(texts)):
        jaccard = jaccard_of(shingles, found, threshold)
        kept = jaccard >= threshold
        pairs.append(found[kept])
        similar.append(jaccard[kept])
    together = np.concatenate(pairs)
    order = np.lexsort((together[:, 1], together[:, 0]))
    capped = np.unique(owners[partners > MOST_PARTNERS])
    return Near(together[order], np.concatenate(similar)[order], shingles.unit, len(capped))


# Shingles


def shingles_of(texts: Sequence[str]) -> Shingles:
    """The shingles of texts, each once a text and sorted."""
    size = 3 if _mostly_alone(texts[:: max(1, len(texts) // _SAMPLE)]) else 2
    numbers: dict[str, int] = {}
    values, sizes = [np.empty(0, np.uint64)], [np.zeros(1, np.int64)]
    for some in _some(texts):
        units = [
            np.asarray([numbers.setdefault(u, len(numbers)) for u in found], np.int64)
            for found in some
        ]
        lengths = np.asarray([len(found) for found in units], np.int64)
        hashes, counts = _hashed(np.concatenate(units), lengths, size)
        hashes, counts = _distinct(hashes, counts)
        values.append(hashes)
        sizes.append(counts)
    unit = "3 characters" if size == 3 else "2 words"
    return Shingles(np.concatenate(values), np.cumsum(np.concatenate(sizes)), unit)


def _mostly_alone(texts: Sequence[str]) -> bool:
    """Return whether most words and characters are of a script without blanks between words."""
    units = [unit for text in texts for unit in _UNIT.findall(text)]
    return 2 * sum(bool(_CHARACTER.match(unit)) for unit in units) > len(units)


def _some(texts: Sequence[str]) -> Iterator[list[list[str]]]:
    """The words and characters of texts, a bounded number of texts at a time."""
    held: list[list[str]] = []
    size = 0
    for text in over(texts, "texts"):
        held.append(_UNIT.findall(text.casefold()))
        size += len(held[-1])
        if size > _AT_ONCE:
            yield held
            held, size = [], 0
    if held:
        yield held


def _hashed(
    flat: NDArray[np.int64], lengths: NDArray[np.int64], size: int
) -> tuple[Words, NDArray[np.int64]]:
    """Each run of `size` units as 64 bits, and the runs of each text; of fewer units it is one."""
    begins = np.cumsum(lengths) - lengths
    counts = np.maximum(lengths - size + 1, lengths > 0)
    owners = np.repeat(np.arange(len(lengths)), counts)
    within = np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = begins[owners] + within
    hashes = np.zeros(len(owners), np.uint64)
    for place in range(size):
        there = within + place < lengths[owners]
        units = np.where(there, flat[np.minimum(starts + place, len(flat) - 1)] + 1, 0)
        hashes = mixed(hashes * np.uint64(0x9E3779B97F4A7C15) + units.astype(np.uint64))
    return hashes, counts


def _distinct(values: Words, counts: NDArray[np.int64]) -> tuple[Words, NDArray[np.int64]]:
    """Each text's hashes once, sorted, and how many they are."""
    owners = np.repeat(np.arange(len(counts)), counts)
    order = np.lexsort((values, owners))
    values, owners = values[order], owners[order]
    first = np.ones(len(values), bool)
    first[1:] = (values[1:] != values[:-1]) | (owners[1:] != owners[:-1])
    return values[first], np.bincount(owners[first], minlength=len(counts))


def mixed(values: Words) -> Words:
    """Mix numbers so that each bit depends on all bits of the input; the end of splitmix64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


# Candidates


def _prefixes(shingles: Shingles, threshold: float) -> tuple[Words, NDArray[np.int64]]:
    """Return the rarest shingles of each text, and the text that each is of, shape (N,).

    Texts of a Jaccard similarity t share t * n of the n shingles of either. Were none of these
    among the n - t * n + 1 rarest ones of both, in one order for all texts, too few would be left
    (prefix filtering; Chaudhuri et al., 2006).
    """
    sizes = np.diff(shingles.ends)
    lengths = sizes - np.ceil(threshold * sizes - 1e-9).astype(np.int64) + 1
    # A table of fixed size: where two shingles share a place, both seem less rare than they are.
    counts = np.bincount((shingles.values % _PLACES).astype(np.int64), minlength=_PLACES)
    found, owners = [np.empty(0, np.uint64)], [np.empty(0, np.int64)]
    for start, stop in _runs(shingles.ends):
        values = shingles.values[shingles.ends[start] : shingles.ends[stop]]
        own = np.repeat(np.arange(start, stop), sizes[start:stop])
        values = values[np.lexsort((values, counts[values % _PLACES], own))]
        kept = np.arange(len(own)) - (shingles.ends[own] - shingles.ends[start]) < lengths[own]
        found.append(values[kept])
        owners.append(own[kept])
    return np.concatenate(found), np.concatenate(owners)


def _buckets(shingles: Shingles, threshold: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Order the texts of each rare shingle by size: (texts, how many after each are its partners).

    A partner has the same shingle, and is not so much larger that the similarity is out of reach.
    """
    values, owners = _prefixes(shingles, threshold)
    sizes = np.diff(shingles.ends)
    order = np.lexsort((owners, sizes[owners], values))
    values, owners = values[order], owners[order]
    bucket = np.concatenate([[0], np.cumsum(values[1:] != values[:-1])])[: len(values)]
    width = int(sizes.max(initial=0)) + 1
    most = np.minimum(sizes[owners] / max(threshold, 1e-9) + 1e-9, width - 1).astype(np.int64)
    last = np.searchsorted(bucket * width + sizes[owners], bucket * width + most, side="right")
    return owners, last - np.arange(len(owners)) - 1


def _candidates(
    owners: NDArray[np.int64], partners: NDArray[np.int64], count: int
) -> Iterator[Pairs]:
    """Pairs of each text with its partners, each once, some at a time."""
    places = np.argsort(owners, kind="stable")
    of_text = np.concatenate([[0], np.cumsum(np.bincount(owners, minlength=count))])
    ends = np.concatenate([[0], np.cumsum(partners[places])])[of_text]
    for start, stop in _runs(ends):
        some = places[of_text[start] : of_text[stop]]
        first = np.repeat(some, partners[some])
        before = np.repeat(np.cumsum(partners[some]) - partners[some], partners[some])
        second = first + 1 + np.arange(len(first)) - before
        a, b = owners[first], owners[second]
        codes = np.unique(np.minimum(a, b) * count + np.maximum(a, b))
        yield np.stack([codes // count, codes % count], axis=1)


def _runs(ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Runs of texts with `_AT_ONCE` shingles at most, or one text."""
    start, count = 0, len(ends) - 1
    while start < count:
        stop = int(np.searchsorted(ends, ends[start] + _AT_ONCE, side="right")) - 1
        stop = min(max(stop, start + 1), count)
        yield start, stop
        start = stop


# What is so


def jaccard_of(shingles: Shingles, pairs: Pairs, threshold: float = 0.0) -> NDArray[np.float64]:
    """The Jaccard similarity of pairs; 0 where their sizes alone keep it below the threshold."""
    found = np.zeros(len(pairs))
    sizes = np.diff(shingles.ends)
    small, large = np.sort(sizes[pairs], axis=1).T if len(pairs) else (found, found)
    worth = np.flatnonzero((large > 0) & (small >= threshold * large))
    totals = np.concatenate([[0], np.cumsum(sizes[pairs[worth]].sum(axis=1))]).astype(np.int64)
    for start, stop in _runs(totals):
        rows = worth[start:stop]
        both = _shared(shingles, pairs[rows])
        found[rows] = both / (sizes[pairs[rows]].sum(axis=1) - both)
    return found


def _shared(shingles: Shingles, pairs: Pairs) -> NDArray[np.int64]:
    """Count the shingles that the texts of each pair share."""
    sizes = np.diff(shingles.ends)[pairs].ravel()
    begins = shingles.ends[pairs].ravel()
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    values = shingles.values[np.repeat(begins, sizes) + within]
    owners = np.repeat(np.arange(len(pairs)), sizes.reshape(-1, 2).sum(axis=1))
    order = np.lexsort((values, owners))
    values, owners = values[order], owners[order]
    twice = (values[1:] == values[:-1]) & (owners[1:] == owners[:-1])
    return np.bincount(owners[1:][twice], minlength=len(pairs))
