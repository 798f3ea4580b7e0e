"""Rows of several examples: nothing lost, nothing too long, little wasted."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lushan.data.batch.packing import best_fit, joined, positions, single

LENGTHS = st.lists(st.integers(0, 80), max_size=200)


@settings(max_examples=60, deadline=None)
@given(LENGTHS)
def test_each_example_is_in_one_row_and_no_row_is_too_long(lengths):
    lengths = np.array(lengths, dtype=np.int64)
    rows = best_fit(lengths, 64)
    assert sorted(rows.members.tolist()) == list(range(len(lengths)))
    assert all(len(rows[i]) == 1 or lengths[rows[i]].sum() <= 64 for i in range(len(rows)))
    assert rows.sums(lengths).tolist() == [int(lengths[rows[i]].sum()) for i in range(len(rows))]


@settings(max_examples=60, deadline=None)
@given(LENGTHS)
def test_it_fills_as_best_fit_decreasing_does(lengths):
    """Against the plain rule, feature by feature; of rows alike the last that became so."""
    spaces: list[int] = []
    since: list[int] = []
    members: list[list[int]] = []
    for turn, feature in enumerate(np.argsort(-np.array(lengths, dtype=int), kind="stable")):
        length = lengths[feature]
        fitting = [row for row, space in enumerate(spaces) if space >= length > 0]
        row = min(fitting, key=lambda r: (spaces[r], -since[r]), default=len(spaces))
        if row == len(spaces):
            spaces.append(64), since.append(0), members.append([])
        spaces[row] -= length
        since[row] = turn
        members[row].append(int(feature))
    rows = best_fit(np.array(lengths, dtype=np.int64), 64)
    assert [rows[row].tolist() for row in range(len(rows))] == members


def test_a_longer_example_has_a_row_to_itself():
    rows = best_fit(np.array([10, 100, 50]), 64)
    assert [rows[i].tolist() for i in range(len(rows))] == [[1], [2, 0]]


def test_waste_is_what_stays_empty():
    lengths = np.array([40, 40, 24, 20])
    assert best_fit(lengths, 64).waste(lengths) == pytest.approx(4 / 128)
    assert single(4).waste(lengths) == 0


def test_joined_examples_count_together():
    one = {"input_ids": np.array([1, 2, 3]), "length": 3, "targets": 2, "example": 7}
    other = {"input_ids": np.array([4, 5]), "length": 2, "targets": 1, "example": 9}
    row = joined([one, other])
    assert row["input_ids"].tolist() == [1, 2, 3, 4, 5]
    assert (row["length"], row["targets"], row["example"]) == (5, 3, 7)
    assert positions(row["pieces"]).tolist() == [0, 1, 2, 0, 1]
