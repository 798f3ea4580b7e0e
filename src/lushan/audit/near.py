"""Near-duplicates: pairs of texts whose shingles have a Jaccard similarity of a threshold or more.

A text's shingles are its runs of two words, or, where most text is in a script without blanks, of
three characters; case and punctuation do not count. MinHash in bands finds candidates, and the true
Jaccard similarity decides: what is reported is so, and little is missed (see `bands_for`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

THRESHOLD = 0.8
PERMUTATIONS = 128
FOUND = 0.995
"""Of the pairs that are as similar as the threshold, the share that the bands are made to find."""
MOST_CHARACTERS = 1 << 25
"""Of all texts; beyond, near-duplicates are not looked for."""
LARGEST_BUCKET = 200
"""Texts of a bucket that are compared each with each; of more, each with so many after it."""
_AT_ONCE = 1 << 20
"""Shingles or candidates that are worked on at a time: what bounds the memory."""
_ALONE = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_ALONE += r"\uf900-\ufaff\U00020000-\U0003ffff"
_CHARACTER = re.compile(f"[{_ALONE}]")
_UNIT = re.compile(rf"{_CHARACTER.pattern}|[^\W{_ALONE}]+")
_SAMPLE = 1000
"""Texts that tell what script most are in."""

Words = NDArray[np.uint64]
Pairs = NDArray[np.int64]


@dataclasses.dataclass(frozen=True)
class Near:
    """Pairs of texts that are nearly the same.

    Attributes:
        pairs: Numbers of two texts, the smaller one first, shape (N, 2), sorted.
        jaccard: Their similarity, shape (N,).
        unit: What a shingle is: `2 words` or `3 characters`.
        capped: Texts in buckets that were too large to compare each with each; where there are
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
    bands, rows = bands_for(threshold)
    keys = _band_keys(shingles, bands, rows)
    sizes = np.diff(shingles.ends)
    known = np.empty(0, np.int64)
    pairs, similar = np.empty((0, 2), np.int64), np.empty(0)
    capped: set[int] = set()
    for band in keys:
        for found in _candidates(band, sizes, capped):
            codes = np.setdiff1d(_coded(found, len(texts)), known, assume_unique=False)
            known = np.union1d(known, codes)
            fresh = np.stack([codes // len(texts), codes % len(texts)], axis=1)
            jaccard = jaccard_of(shingles, fresh, threshold)
            kept = jaccard >= threshold
            pairs, similar = np.concatenate([pairs, fresh[kept]]), np.append(similar, jaccard[kept])
    order = np.lexsort((pairs[:, 1], pairs[:, 0]))
    return Near(pairs[order], similar[order], shingles.unit, len(capped))


def bands_for(threshold: float, permutations: int = PERMUTATIONS) -> tuple[int, int]:
    """(bands, rows of a band): the longest bands that find a pair at the threshold by `FOUND`.

    A pair of similarity s agrees in one of b bands of r rows with probability 1 - (1 - s^r)^b.
    """
    for rows in range(permutations, 1, -1):
        bands = permutations // rows
        if 1 - (1 - threshold**rows) ** bands >= FOUND:
            return bands, rows
    return permutations, 1


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
    for text in texts:
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
    """Numbers whose bits all hang on all bits of those given; the end of splitmix64."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


# MinHash and its bands


def _band_keys(shingles: Shingles, bands: int, rows: int) -> NDArray[np.uint64]:
    """One number a band and text, shape (bands, N): equal where all of the band's minima are."""
    rng = np.random.default_rng(0)
    factors = rng.integers(1, 2**63, bands * rows, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    shifts = rng.integers(0, 2**63, bands * rows, dtype=np.uint64)
    count = len(shingles.ends) - 1
    keys = np.zeros((bands, count), np.uint64)
    for start, stop in _runs(shingles.ends):
        values = shingles.values[shingles.ends[start] : shingles.ends[stop]]
        sizes = np.diff(shingles.ends[start : stop + 1])
        full = np.flatnonzero(sizes)
        if not len(full):
            continue
        begins = shingles.ends[start + full] - shingles.ends[start]
        for number, (factor, shift) in enumerate(zip(factors, shifts, strict=True)):
            least = np.minimum.reduceat(values * factor + shift, begins)
            band = keys[number // rows]
            band[start + full] = mixed(band[start + full] ^ least)
    return keys


def _runs(ends: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Runs of texts with `_AT_ONCE` shingles at most, or one text."""
    start, count = 0, len(ends) - 1
    while start < count:
        stop = int(np.searchsorted(ends, ends[start] + _AT_ONCE, side="right")) - 1
        stop = min(max(stop, start + 1), count)
        yield start, stop
        start = stop


def _candidates(keys: Words, sizes: NDArray[np.int64], capped: set[int]) -> Iterator[Pairs]:
    """Pairs of texts with the same key, some at a time; texts without shingles have none."""
    full = np.flatnonzero(sizes)
    order = full[np.argsort(keys[full], kind="stable")]
    ordered = keys[order]
    edges = np.flatnonzero(ordered[1:] != ordered[:-1]) + 1
    begins = np.concatenate([[0], edges])
    lengths = np.diff(np.append(begins, len(order)))
    several = lengths > 1
    held: list[Pairs] = []
    size = 0
    for begin, length in zip(begins[several].tolist(), lengths[several].tolist(), strict=True):
        members = order[begin : begin + length]
        if length > LARGEST_BUCKET:
            capped.update(members.tolist())
        for step in range(1, min(length, LARGEST_BUCKET)):
            held.append(np.stack([members[:-step], members[step:]], axis=1))
            size += length - step
            if size > _AT_ONCE:
                yield np.concatenate(held)
                held, size = [], 0
    if held:
        yield np.concatenate(held)


def _coded(pairs: Pairs, count: int) -> NDArray[np.int64]:
    """Each pair as one number, once."""
    return np.unique(pairs.min(axis=1) * count + pairs.max(axis=1))


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
