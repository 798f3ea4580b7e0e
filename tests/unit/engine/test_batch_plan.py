"""Which examples an epoch's batches hold, where corpora are mixed by weight."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from lushan.data.batch.mixing import Mix
from lushan.data.encode.encoding import encode
from lushan.engine.batch_plan import Batching, BatchPlan
from lushan.engine.limits import TrainLimits
from lushan.errors import UserError

SCHEMA = pa.schema([("length", pa.int32()), ("targets", pa.int32()), ("example", pa.int64())])
LENGTHS = [3, 4, 5, 6, 7, 8]


@pytest.fixture
def encoded(tmp_path):
    def features(rows, first):
        return {"length": rows["n"], "targets": rows["n"], "example": list(range(first, first + 6))}

    table = pa.table({"n": LENGTHS})
    return encode(table, features, SCHEMA, fingerprint="f", cache_dir=tmp_path)


def seen(plan, epoch):
    rows = plan.rows_of(epoch)
    return sorted(f for batch in plan.epoch(epoch) for f in rows.of(batch).tolist())


@pytest.mark.parametrize("row_tokens", [None, 16])
def test_an_epoch_has_what_the_mixture_says(row_tokens, encoded):
    mix = Mix({"a": 4, "b": 2}, {"a": 1, "b": 1}, measure="examples", epoch_examples=8)
    batching = Batching(
        seed=3,
        batch_examples=2,
        batch_tokens=None,
        limits=TrainLimits(4),
        row_tokens=row_tokens,
        mix=mix,
    )
    plan = BatchPlan(encoded, None, batching)
    lengths = np.asarray(LENGTHS)
    for epoch in (2, 0, 3, 1, 1):
        wanted = sorted(mix.examples(lengths, seed=3, epoch=epoch).tolist())
        assert seen(plan, epoch) == wanted
        assert len(wanted) == 8
        assert sum(f >= 4 for f in wanted) == 4


def test_without_a_mixture_an_epoch_has_everything_once(encoded):
    batching = Batching(seed=3, batch_examples=2, batch_tokens=None, limits=TrainLimits(2))
    plan = BatchPlan(encoded, None, batching)
    assert [seen(plan, epoch) for epoch in (0, 1)] == [list(range(6))] * 2


def test_a_batch_that_holds_no_example_is_refused(encoded):
    """16 where examples were meant: most of them do not fit."""
    batching = Batching(seed=3, batch_examples=None, batch_tokens=4, limits=TrainLimits(1))
    with pytest.raises(UserError) as caught:
        BatchPlan(encoded, None, batching)
    assert caught.value.key == "data.batch_tokens"
    assert caught.value.hint.startswith("Write data.batch_examples=4 data.batch_tokens=null")


@pytest.mark.parametrize(
    ("batch_tokens", "notes"),
    [
        (8, []),
        (7, ["1 example is longer than data.batch_tokens=7: each is a batch of its own"]),
        (6, ["2 examples are longer than data.batch_tokens=6: each is a batch of its own"]),
    ],
)
def test_examples_that_are_longer_than_a_batch_are_counted(encoded, batch_tokens, notes):
    batching = Batching(
        seed=3, batch_examples=None, batch_tokens=batch_tokens, limits=TrainLimits(1)
    )
    assert BatchPlan(encoded, None, batching).notes == notes


def test_packed_rows_that_are_longer_than_a_batch_are_counted(encoded):
    batching = Batching(
        seed=3, batch_examples=None, batch_tokens=4, limits=TrainLimits(1), row_tokens=9
    )
    (note,) = BatchPlan(encoded, None, batching).notes
    assert "packed rows are longer than data.batch_tokens=4" in note
