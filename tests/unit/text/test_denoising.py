"""Span corruption: what is taken out can be put back, and how much it is is known beforehand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lushan.text.denoising import Spans, sentinels_of

SENTINELS = list(range(10_000, 10_400))


def put_back(source, target):
    """The text that input and target were made of."""
    spans: dict[int, list[int]] = {}
    for token in target:
        if token >= SENTINELS[0]:
            spans[token] = []
        else:
            spans[list(spans)[-1]].append(token)
    text: list[int] = []
    for token in source:
        text += spans[token] if token >= SENTINELS[0] else [token]
    return text, spans


@settings(max_examples=200, deadline=None)
@given(
    st.integers(1, 300),
    st.floats(0.05, 0.9),
    st.floats(1, 12),
    st.integers(0, 2**62),
)
def test_what_is_taken_out_can_be_put_back(length, density, mean, seed) -> None:
    spans = Spans(density, mean)
    ids = np.arange(length)
    source, target = spans.corrupt(ids, SENTINELS, np.random.default_rng(seed))
    text, found = put_back(source.tolist(), target.tolist())
    assert text == ids.tolist()
    taken, count = spans.counts(length)
    assert spans.sizes(length) == (len(source), len(target))
    # Sentinels in their order, each once; the last one ends the target and stands in no input.
    assert list(found) == SENTINELS[: count + 1]
    assert [token for token in source.tolist() if token in found] == SENTINELS[:count]
    assert found[SENTINELS[count]] == []
    assert sum(map(len, found.values())) == taken
    assert all(len(span) > 0 for span in list(found.values())[:-1])
    # Two stretches never touch: they would be one.
    assert not any(a >= 10_000 and b >= 10_000 for a, b in itertools.pairwise(source))


def test_t5s_own_numbers() -> None:
    """568 tokens become 512 with the token that ends them, and a target of 114 and its end.

    T5's own target has one sentinel less, which here ends it.
    """
    assert Spans().longest(511) == 568
    assert Spans().counts(568) == (85, 28)
    assert Spans().sizes(568) == (511, 114)


@pytest.mark.parametrize("density", [0.05, 0.15, 0.5, 0.8])
@pytest.mark.parametrize("mean", [1.0, 3.0, 10.0])
def test_the_longest_text(density: float, mean: float) -> None:
    spans = Spans(density, mean)
    fits = [max(spans.sizes(n)) for n in range(1, 700)]
    for bound in range(1, 120):
        want = max([0, *(n for n, size in enumerate(fits, start=1) if size <= bound)])
        assert spans.longest(bound) == want


def test_every_place_may_be_taken() -> None:
    spans, rng = Spans(0.25, 2.0), np.random.default_rng(0)
    counts = np.zeros(24)
    for _ in range(4000):
        source, _ = spans.corrupt(np.arange(24), SENTINELS, rng)
        counts[np.setdiff1d(np.arange(24), source)] += 1
    assert counts.sum() / 4000 == 6
    assert counts[2:-2] / 4000 == pytest.approx(0.26, abs=0.03)
    assert counts[[0, -1]].min() / 4000 > 0.12  # a stretch over the edge is none


def test_stretches_have_their_mean_and_vary() -> None:
    spans, rng = Spans(0.3, 3.0), np.random.default_rng(0)
    lengths = []
    for _ in range(200):
        _, target = spans.corrupt(np.arange(100), SENTINELS, rng)
        marks = np.flatnonzero(target >= SENTINELS[0])
        lengths += (np.diff(marks) - 1).tolist()
    assert np.mean(lengths) == pytest.approx(3)
    assert min(lengths) == 1
    assert max(lengths) > 6


class Vocabulary:
    def __init__(self, *names: str) -> None:
        self.names = {name: 100 - i for i, name in enumerate(names)}

    def get_vocab(self) -> dict[str, int]:
        return self.names


def test_sentinels_by_their_names() -> None:
    assert sentinels_of(Vocabulary("<extra_id_0>", "<extra_id_1>", "<extra_id_3>")) == [100, 99]
    assert sentinels_of(Vocabulary("a")) == []
