"""A cache with room ahead holds what transformers' own holds, whatever is done to it between."""

import torch
from transformers.cache_utils import DynamicLayer

from lushan.models.growing_cache import GrowingLayer


def both(length, rows=3):
    states = torch.randn(2, rows, 2, length, 4)
    return states[0], states[1]


def test_it_holds_what_one_that_is_joined_holds():
    ours, theirs = GrowingLayer(), DynamicLayer()
    for length in (5, 1, 1, 70, 1, 200, 1):
        keys, values = both(length)
        for one, other in zip(ours.update(keys, values), theirs.update(keys, values), strict=True):
            assert torch.equal(one, other)
    assert ours.get_seq_length() == theirs.get_seq_length() == 279


def test_a_step_writes_into_the_room_that_is_there():
    layer = GrowingLayer()
    layer.update(*both(5))
    before = layer.keys.data_ptr()
    for _ in range(64):
        layer.update(*both(1))
        assert layer.keys.data_ptr() == before
    layer.update(*both(1))
    assert layer.keys.data_ptr() != before


def test_what_is_changed_from_outside_is_what_it_continues():
    changes = {
        "last cropped": lambda layer: layer.crop(-2),
        "rows chosen": lambda layer: layer.reorder_cache(torch.tensor([2, 0, 0])),
        "rows dropped": lambda layer: layer.batch_select_indices(slice(0, 3)),
        "rows repeated": lambda layer: layer.batch_repeat_interleave(1),
        "first dropped": lambda layer: dropped(layer, 2),
        "forgotten": lambda layer: layer.reset(),
    }
    for name, change in changes.items():
        ours, theirs = GrowingLayer(), DynamicLayer()
        for length in (5, 1, 1):
            states = both(length)
            ours.update(*states), theirs.update(*states)
        change(ours), change(theirs)
        for length in (1, 3):
            states = both(length)
            found = zip(ours.update(*states), theirs.update(*states), strict=True)
            assert all(torch.equal(one, other) for one, other in found), name


def dropped(layer, count):
    layer.keys, layer.values = layer.keys[:, :, count:], layer.values[:, :, count:]


def test_fewer_rows_of_a_room_are_a_room_of_their_own():
    layer = GrowingLayer()
    layer.update(*both(5))
    whole = layer.keys
    layer.batch_select_indices(slice(0, 1))
    layer.update(*both(1, rows=1))
    assert layer.keys.shape == (1, 2, 6, 4)
    assert layer.keys.data_ptr() != whole.data_ptr()
