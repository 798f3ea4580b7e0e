"""Masks of dropout: whose they are, how often they drop, and what they cost."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.helpers import costs
from torch import nn

from lushan.data.batch.packing import Pieces
from lushan.models import dropout

CPU = torch.device("cpu")


def alone(*numbers, length=6):
    """Features in rows of their own."""
    count = len(numbers)
    return Pieces(np.array(numbers), np.full(count, length), np.ones(count, dtype=np.int64))


def kept(pieces, *shape, seed=5, p=0.5, layers=1):
    """What of ones is left, of the last of several layers."""
    masks = dropout.Masks(seed, pieces, CPU)
    return [masks.drop(torch.ones(shape), p) for _ in range(layers)][-1]


def test_a_row_is_dropped_alike_in_every_batch():
    together = kept(alone(3, 8, 5), 3, 6, 32)
    for row, number in enumerate((3, 8, 5)):
        assert torch.equal(kept(alone(number), 1, 6, 32)[0], together[row])
        assert torch.equal(kept(alone(9, number), 2, 6, 32)[1], together[row])
    assert not torch.equal(together[0], together[1])


def test_padding_changes_nothing():
    short, long = kept(alone(3, 8), 2, 6, 31), kept(alone(3, 8), 2, 9, 31)
    assert torch.equal(short, long[:, :6])
    short, long = kept(alone(3, 8), 2, 4, 6, 6), kept(alone(3, 8), 2, 4, 9, 9)  # attention
    assert torch.equal(short, long[:, :, :6, :6])


def test_a_feature_in_a_row_of_several_is_dropped_as_alone():
    packed = Pieces(np.array([3, 8]), np.array([4, 5]), np.array([2]))
    row = kept(packed, 1, 9, 16)[0]
    assert torch.equal(row[:4], kept(alone(3), 1, 4, 16)[0])
    assert torch.equal(row[4:], kept(alone(8), 1, 5, 16)[0])
    row = kept(packed, 1, 2, 9, 9)[0]
    assert torch.equal(row[:, :4, :4], kept(alone(3), 1, 2, 4, 4)[0])
    assert torch.equal(row[:, 4:, 4:], kept(alone(8), 1, 2, 5, 5)[0])


def test_seed_and_layer_decide():
    first = kept(alone(3), 1, 6, 64)
    for other in ({"seed": 6}, {"layers": 2}, {"layers": 17}, {"layers": 33}):
        assert not torch.equal(kept(alone(3), 1, 6, 64, **other), first)
    assert torch.equal(kept(alone(3), 1, 6, 64), first)


@pytest.mark.parametrize("p", [0.0001, 0.1, 0.5, 0.9])
def test_the_share_is_what_was_asked_for(p):
    found = kept(alone(*range(20)), 20, 64, 512, p=p)
    sure = 5 * (p * (1 - p) / found.numel()) ** 0.5
    assert float((found == 0).double().mean()) == pytest.approx(p, abs=sure + 2**-17)
    assert float(found.max()) == pytest.approx(1 / (1 - p), rel=2**-16 / (1 - p))
    for lane in range(4):  # of a word of 64 bits
        share = float((found[..., lane::4] == 0).double().mean())
        assert share == pytest.approx(p, abs=2 * sure + 2**-17)


def test_all_are_dropped():
    states = torch.ones(1, 6, 4, requires_grad=True)
    found = dropout.Masks(1, alone(3), CPU).drop(states, 1.0)
    found.sum().backward()
    assert not found.any()
    assert not states.grad.any()


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_masks_are_independent(p):
    """Of features, of places and of layers: correlations are what chance makes of them."""
    masks = dropout.Masks(7, alone(*range(40), length=256), CPU)
    one, other = ((masks.drop(torch.ones(40, 256, 64), p) == 0).double() for _ in range(2))

    def deviations(a, b):
        a, b = ((x - x.mean(0)) / x.std(0) for x in (a, b))
        return a.T @ b / len(a) ** 0.5

    by_feature, again = one.flatten(0, 1), other.flatten(0, 1)  # (N, 64)
    upper = torch.triu_indices(64, 64, 1)
    found = deviations(by_feature, by_feature)[upper[0], upper[1]]
    assert float(found.std()) == pytest.approx(1, abs=0.1)
    assert float(found.abs().max()) < 6
    assert float(deviations(by_feature, again).abs().max()) < 6
    by_place = one.transpose(1, 2).flatten(0, 1)  # (N, 256)
    upper = torch.triu_indices(256, 256, 1)
    assert float(deviations(by_place, by_place)[upper[0], upper[1]].abs().max()) < 7


def test_the_gradient_is_dropped_as_the_state():
    states = torch.randn(1, 6, 8, dtype=torch.float64, requires_grad=True)
    dropout.Masks(5, alone(3), CPU).drop(states, 0.5).backward(torch.ones(1, 6, 8).double())
    assert torch.equal(states.grad.float(), kept(alone(3), 1, 6, 8))


def test_a_table_that_is_no_examples_is_dropped_alike_in_every_batch():
    assert torch.equal(kept(alone(1, 2, 3), 16, 8), kept(alone(4), 16, 8))


@pytest.mark.parametrize("masked", ["none", "true", "added"])
@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_torchs(masked, causal):
    torch.manual_seed(1)
    query = torch.randn(2, 4, 5, 8, dtype=torch.float64)
    key, value = torch.randn(2, 2, 2, 5, 8, dtype=torch.float64)
    mask = {"none": None, "true": torch.rand(2, 1, 5, 5) < 0.7, "added": torch.randn(2, 1, 5, 5)}
    given = mask[masked]
    if masked == "true":
        given |= torch.eye(5, dtype=torch.bool)
    elif given is not None:
        given = given.double()
    if causal and given is not None:
        return  # torch takes one of both
    expected = F.scaled_dot_product_attention(
        query, key, value, given, is_causal=causal, scale=0.3, enable_gqa=True
    )
    found = dropout.attend(query, key, value, given, lambda x: x, scale=0.3, causal=causal)
    torch.testing.assert_close(found, expected)


def test_functions_of_torch_go_by_the_masks_and_come_back():
    before = F.dropout, F.scaled_dot_product_attention
    layer, states = nn.Dropout(0.5), torch.ones(2, 6, 8)
    masks = dropout.Masks(5, alone(3, 8), CPU)
    with dropout.masked(masks):
        assert torch.equal(layer(states), kept(alone(3, 8), 2, 6, 8))
        assert torch.equal(layer.eval()(states), states)
        query = torch.randn(2, 2, 6, 4)
        found = F.scaled_dot_product_attention(query, query, query, dropout_p=0.5)
        masks.layer = 1
        assert torch.equal(
            F.scaled_dot_product_attention(query, query, query, dropout_p=0.5), found
        )
    assert (F.dropout, F.scaled_dot_product_attention) == before
    assert dropout.active() is None


def test_layers_that_are_computed_again_have_the_same_masks():
    def gradients(*, again):
        weight = torch.ones(8, 8, requires_grad=True)

        def layer(states):
            return F.dropout(torch.tanh(states @ weight), 0.5)

        states = torch.arange(48.0).reshape(1, 6, 8) / 48
        with dropout.masked(dropout.Masks(5, alone(3), CPU)):
            for _ in range(3):
                states = (
                    torch.utils.checkpoint.checkpoint(
                        layer, states, use_reentrant=False, context_fn=dropout.recomputed
                    )
                    if again
                    else layer(states)
                )
            states.sum().backward()
        return states.detach(), weight.grad

    for one, other in zip(gradients(again=True), gradients(again=False), strict=True):
        assert torch.equal(one, other)


def test_it_is_quicker_than_torch():
    states = torch.randn(8, 256, 512, requires_grad=True)
    slopes = torch.randn(8, 256, 512)
    masks = dropout.Masks(5, alone(*range(8), length=256), CPU)
    ours = costs.cost(lambda: masks.drop(states, 0.1).backward(slopes))
    assert ours < costs.cost(lambda: F.dropout(states, 0.1).backward(slopes))
