"""Plans of batches: every example once, a pure function of seed and epoch, little padding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lushan.data.batch.batching import (
    cut_descending,
    mix,
    plan_epoch,
    plan_evaluation,
    rank_is_idle,
    split_batch,
)

lengths_strategy = st.lists(st.integers(1, 60), min_size=1, max_size=200).map(np.array)


@given(lengths_strategy, st.integers(0, 5), st.integers(0, 5), st.sampled_from([0, 1, 50]))
def test_an_epoch_has_every_example_once_within_the_budget(lengths, seed, epoch, bucket):
    plan = plan_epoch(lengths, seed=seed, epoch=epoch, batch_tokens=128, bucket=bucket)
    assert sorted(np.concatenate(plan)) == list(range(len(lengths)))
    for batch in plan:
        assert len(batch) == 1 or lengths[batch].max() * len(batch) <= 128


@given(lengths_strategy, st.integers(1, 9))
def test_batches_by_examples_have_that_size_but_the_last_of_a_pool(lengths, size):
    plan = plan_epoch(lengths, seed=1, epoch=0, batch_examples=size, bucket=50)
    assert sorted(np.concatenate(plan)) == list(range(len(lengths)))
    assert max(map(len, plan)) <= size
    assert len(plan) == -(-len(lengths) // size) or len(lengths) > size * 50


def test_a_plan_is_a_function_of_seed_and_epoch():
    lengths = np.arange(1, 101)

    def plan(seed, epoch):
        batches = plan_epoch(lengths, seed=seed, epoch=epoch, batch_tokens=256)
        return [b.tolist() for b in batches]

    assert plan(1, 0) == plan(1, 0)
    assert plan(1, 0) != plan(1, 1)
    assert plan(1, 0) != plan(2, 0)


def padding_share(lengths, batches):
    """Padded tokens over real tokens, minus one."""
    padded = sum(int(lengths[b].max()) * len(b) for b in batches)
    return padded / sum(int(lengths[b].sum()) for b in batches) - 1


def test_buckets_pad_far_less_than_random_batches():
    lengths = np.random.default_rng(0).geometric(0.05, 2000)
    plain = plan_epoch(lengths, seed=1, epoch=0, batch_examples=32, bucket=0)
    sorted_ = plan_epoch(lengths, seed=1, epoch=0, batch_examples=32, bucket=50)
    assert padding_share(lengths, sorted_) < 0.1 * padding_share(lengths, plain)


@pytest.mark.parametrize("both", [{}, {"batch_examples": 2, "batch_tokens": 9}])
def test_exactly_one_size_is_given(both):
    with pytest.raises(ValueError, match="exactly one"):
        plan_epoch(np.array([1]), seed=1, epoch=0, **both)


@given(lengths_strategy, st.integers(1, 5), st.sampled_from([None, 40]))
def test_ranks_and_micro_batches_share_a_batch_out(lengths, world, micro):
    batch = np.arange(len(lengths))
    seen = []
    for rank in range(world):
        parts = split_batch(batch, lengths, rank=rank, world_size=world, micro_tokens=micro)
        assert all(len(p) for p in parts)
        if not rank_is_idle(batch, rank):
            seen += np.concatenate(parts).tolist()
    assert sorted(seen) == batch.tolist()


@given(lengths_strategy)
def test_evaluation_has_every_example_once(lengths):
    seen = [i for batch in plan_evaluation(lengths, bound=64) for i in batch.tolist()]
    assert sorted(seen) == list(range(len(lengths)))


def cut_by_tokens(members, lengths, bound):
    """The rule, example by example: runs whose padded size stays within the bound."""
    runs, longest = [], 0
    for member in members.tolist():
        longest = max(longest, lengths[member])
        if not runs or longest * (len(runs[-1]) + 1) > bound:
            runs.append([])
            longest = lengths[member]
        runs[-1].append(member)
    return runs


def planned(lengths, seed, bound, bucket):
    """The plan of an epoch, pool by pool and example by example."""
    rng = np.random.default_rng([seed, 0])
    order = rng.permutation(len(lengths))
    pool = max(1, int(bound / max(1.0, float(lengths.mean())))) * (bucket or 1)
    batches = []
    for start in range(0, len(order), pool):
        members = order[start : start + pool]
        if bucket:
            members = members[np.argsort(lengths[members], kind="stable")]
        batches += cut_by_tokens(members, lengths, bound)
    rng.shuffle(batches)
    return batches


@given(lengths_strategy, st.integers(0, 5), st.sampled_from([0, 1, 3, 50]), st.integers(1, 200))
def test_a_plan_is_that_of_the_rule_example_by_example(lengths, seed, bucket, bound):
    for scale in (1, 2000):  # beyond 16 bits they are sorted otherwise
        wide, most = lengths * scale, bound * scale
        plan = plan_epoch(wide, seed=seed, epoch=0, batch_tokens=most, bucket=bucket)
        assert [b.tolist() for b in plan] == planned(wide, seed, most, bucket)


@given(lengths_strategy, st.integers(-9, 9), st.integers(-9, 9))
def test_a_plan_is_cut_and_counted_like_a_list(lengths, start, stop):
    plan = plan_epoch(lengths, seed=1, epoch=0, batch_tokens=128)
    rule = planned(lengths, 1, 128, 50)
    part = plan[start:stop]
    assert [b.tolist() for b in part] == rule[start:stop]
    assert len(part) == len(rule[start:stop])
    assert plan[-1].tolist() == rule[-1]
    with pytest.raises(IndexError):
        plan[len(rule)]


@given(lengths_strategy, st.integers(1, 200))
def test_what_is_sorted_is_cut_by_the_same_rule(lengths, bound):
    order = np.argsort(-lengths, kind="stable")
    runs = cut_descending(order, lengths, bound)
    assert [run.tolist() for run in runs] == cut_by_tokens(order, lengths, bound)


def test_mix_tells_its_arguments_apart():
    values = {mix(a, b, c) for a in range(4) for b in range(4) for c in range(4)}
    assert len(values) == 64
    assert all(0 <= v < 2**63 for v in values)
