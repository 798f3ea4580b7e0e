"""Quantizers: codes and vectors are one and the same, and gradients pass."""

from __future__ import annotations

import math

import pytest
import torch

from lushan.vision.quantizers import FSQ, VQ


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (2,), (3, 4), (7, 5)])
def test_every_code_of_a_grid_is_a_vector_of_its_own(levels):
    quantizer = FSQ(levels)
    codes = torch.arange(quantizer.size)
    vectors = quantizer.vectors(codes)
    assert quantizer.size == math.prod(levels)
    assert vectors.unique(dim=0).shape == (quantizer.size, len(levels))
    assert vectors.min() == -1
    assert vectors.max() <= 1


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (3, 4)])
def test_a_grid_rounds_what_tanh_bounds(levels):
    quantizer = FSQ(levels)
    states = torch.randn(500, len(levels)) * 3
    found, codes, loss = quantizer(states)
    torch.testing.assert_close(found, quantizer.vectors(codes))
    assert not loss.any()
    # The most extreme states have the outermost levels, and none beyond.
    ends = quantizer(torch.tensor([[-100.0], [100.0]]).expand(2, len(levels)))[1]
    assert ends.tolist() == [0, quantizer.size - 1]
    # In one dimension more is never less.
    line = torch.linspace(-4, 4, 200)[:, None].expand(-1, len(levels))
    assert (quantizer(line)[0].diff(dim=0) >= 0).all()
    assert quantizer(line)[0].unique(dim=0).shape[0] >= max(levels)


@pytest.mark.parametrize("quantizer", [FSQ((5, 4)), VQ(11, 2)])
def test_gradients_pass_straight_through(quantizer):
    torch.manual_seed(0)
    states = torch.randn(9, 2, requires_grad=True)
    found, codes, loss = quantizer(states)
    torch.testing.assert_close(found, quantizer.vectors(codes))
    (found.sum() + loss.sum()).backward()
    assert states.grad.abs().sum() > 0


def test_a_codebook_gives_the_nearest_by_cosine():
    torch.manual_seed(0)
    quantizer = VQ(11, 3)
    states = torch.randn(50, 3)
    book = torch.nn.functional.normalize(quantizer.codebook.weight, dim=-1)
    apart = torch.cdist(torch.nn.functional.normalize(states, dim=-1), book)
    assert quantizer(states)[1].tolist() == apart.argmin(-1).tolist()


def test_a_codebook_moves_towards_what_it_stands_for():
    torch.manual_seed(0)
    quantizer = VQ(4, 2)
    states = torch.randn(64, 2)
    before = quantizer(states)[2].mean()
    optimizer = torch.optim.SGD(quantizer.parameters(), lr=0.5)
    for _ in range(50):
        optimizer.zero_grad()
        quantizer(states)[2].mean().backward()
        optimizer.step()
    assert quantizer(states)[2].mean() < before
