"""Which examples an epoch of a mixture has: shares, order, repetition."""

from __future__ import annotations

import numpy as np
import pytest

from lushan.data.batch.mixing import Mix

SIZES = {"zh": 100, "en": 40, "de": 10}
LENGTHS = np.concatenate([np.full(100, 10), np.full(40, 20), np.full(10, 5)])


def counts(mix, epochs=1, seed=1):
    """How often each example comes."""
    found = [mix.examples(LENGTHS, seed=seed, epoch=epoch) for epoch in range(epochs)]
    return np.bincount(np.concatenate(found), minlength=150)


def test_without_weights_an_epoch_is_everything_once():
    assert (counts(Mix(SIZES)) == 1).all()
    assert (counts(Mix(SIZES, stopping="first_exhausted"), epochs=3) == 3).all()


def test_weights_are_shares_of_the_tokens():
    weights = {"zh": 1, "en": 2, "de": 1}
    seen = counts(Mix(SIZES, weights, epoch_examples=400), epochs=5) * LENGTHS
    shares = np.asarray([seen[:100].sum(), seen[100:140].sum(), seen[140:].sum()]) / seen.sum()
    assert shares == pytest.approx([0.25, 0.5, 0.25], abs=0.01)


def test_or_of_the_examples():
    weights = {"zh": 0.5, "en": 0.25, "de": 0.25}
    mix = Mix(SIZES, weights, measure="examples", epoch_examples=200)
    seen = counts(mix)
    assert [seen[:100].sum(), seen[100:140].sum(), seen[140:].sum()] == [100, 50, 50]


@pytest.mark.parametrize(
    ("stopping", "least", "most"), [("first_exhausted", 0, 1), ("all_exhausted", 1, 10)]
)
def test_where_an_epoch_ends(stopping, least, most):
    weights = {"zh": 1, "en": 1, "de": 1}
    seen = counts(Mix(SIZES, weights, measure="examples", stopping=stopping))
    assert (seen.min(), seen.max()) == (least, most)


def test_nothing_comes_again_before_all_has_come():
    mix = Mix(SIZES, {"zh": 1, "en": 2, "de": 4}, epoch_examples=37)
    for epochs in (1, 2, 7, 31):
        seen = counts(mix, epochs)
        for part in (slice(0, 100), slice(100, 140), slice(140, 150)):
            assert seen[part].max() - seen[part].min() <= 1


def test_an_epoch_is_a_function_of_seed_and_number():
    mix = Mix(SIZES, {"zh": 1, "en": 2, "de": 4}, epoch_examples=50)
    one, again = (mix.examples(LENGTHS, seed=3, epoch=5).tolist() for _ in range(2))
    assert one == again
    assert one != mix.examples(LENGTHS, seed=3, epoch=6).tolist()
    assert one != mix.examples(LENGTHS, seed=4, epoch=5).tolist()


def test_a_weight_of_nothing_leaves_a_corpus_out():
    seen = counts(Mix(SIZES, {"zh": 1, "en": 0, "de": 1}), epochs=2)
    assert seen[100:140].sum() == 0
    assert seen[:100].min() > 0


def test_the_features_of_the_examples():
    examples = np.asarray([0, 0, 0, 1, 3, 3])  # the third example has none
    mix = Mix({"a": 2, "b": 2}, {"a": 1, "b": 1}, measure="examples", epoch_examples=8)
    found = mix.features(examples, np.full(6, 7), seed=1, epoch=0)
    assert sorted(found.tolist()) == sorted([0, 1, 2, 3, 4, 5] * 2)
    assert examples[found].tolist().count(0) == 6
    # All features of an example come side by side.
    starts = [i for i, feature in enumerate(found.tolist()) if feature == 0]
    assert all(found[i : i + 3].tolist() == [0, 1, 2] for i in starts)
