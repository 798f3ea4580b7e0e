"""Perplexity and bits per byte against sums by hand."""

import math

import numpy as np
import pytest
from tests.helpers import measuring

LOSSES, TOKENS, HITS, BYTES = (
    np.array(v, dtype=float) for v in ([6.0, 2.0, 12.0], [3, 1, 4], [1, 1, 0], [10, 4, 6])
)


def evaluated(losses, tokens, hits, sizes=None):
    rows = [
        {"loss": x, "tokens": n, "hits": h} for x, n, h in zip(losses, tokens, hits, strict=True)
    ]
    if sizes is not None:
        rows = [{**row, "bytes": size} for row, size in zip(rows, sizes, strict=True)]
    return measuring.of_language(rows)


def test_they_are_ratios_of_sums_and_no_means_of_ratios():
    found = evaluated(LOSSES, TOKENS, HITS, BYTES).metrics
    assert found["loss"] == pytest.approx(20 / 8)
    assert found["perplexity"] == pytest.approx(math.exp(20 / 8))
    assert found["token_accuracy"] == pytest.approx(2 / 8)
    assert found["bits_per_byte"] == pytest.approx(20 / math.log(2) / 20)


def test_without_bytes_there_are_no_bits_per_byte():
    assert "bits_per_byte" not in evaluated(LOSSES, TOKENS, HITS).metrics


def test_a_uniform_model_needs_its_entropy():
    """256 equally likely bytes, one token each: eight bits a byte and a perplexity of 256."""
    size = np.array([100.0])
    found = evaluated(size * math.log(256), size, size * 0, size).metrics
    assert found["bits_per_byte"] == pytest.approx(8)
    assert found["perplexity"] == pytest.approx(256)


def test_intervals_hold_the_number():
    rng = np.random.default_rng(1)
    tokens = rng.integers(5, 50, size=80).astype(float)
    found = evaluated(tokens * rng.normal(3, 0.3, size=80), tokens, tokens * 0, tokens * 3)
    for name, (low, high) in found.intervals.items():
        if name != "token_accuracy":
            assert low < found.metrics[name] < high


def test_a_single_document_has_no_interval():
    one = np.array([5.0])
    assert evaluated(one, one, one, one).intervals == {}


def test_without_examples_nothing_is_defined():
    empty = np.zeros(0)
    assert math.isnan(evaluated(empty, empty, empty, empty).metrics["perplexity"])
