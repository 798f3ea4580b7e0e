"""Losses against torch.nn.functional, and focal ones against values worked by hand."""

import math

import pytest
import torch
from torch.nn import functional as F

from lushan.models import losses

SCORES = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0], [0.0, 3.0, 1.0]])
LABELS = torch.tensor([0, -100, 2])
WEIGHT = torch.tensor([0.5, 1.0, 2.0])


@pytest.mark.parametrize("weight", [None, WEIGHT])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_is_the_sum(weight, smoothing) -> None:
    expected = F.cross_entropy(
        SCORES, LABELS, weight, label_smoothing=smoothing, reduction="none"
    ).sum()
    options = {"weight": weight, "label_smoothing": smoothing}
    torch.testing.assert_close(losses.cross_entropy(SCORES, LABELS, **options), expected)
    # A focal loss whose factor is (nearly) one is cross-entropy.
    focal = losses.cross_entropy(SCORES, LABELS, **options, focal_gamma=1e-9)
    torch.testing.assert_close(focal, expected)


def test_all_ignored_is_zero_and_has_a_gradient() -> None:
    for gamma in (0.0, 2.0):
        scores = SCORES.clone().requires_grad_()
        loss = losses.cross_entropy(scores, torch.full((3,), -100), focal_gamma=gamma)
        loss.backward()
        assert loss == 0
        assert scores.grad.abs().sum() == 0


def test_focal_by_hand() -> None:
    # Two classes with logit difference ln 3: p = 3/4 and 1/4.
    scores = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0]])
    loss = losses.cross_entropy(scores, torch.tensor([0, 1]), focal_gamma=2.0)
    expected = 0.25**2 * -math.log(0.75) + 0.75**2 * -math.log(0.25)
    assert float(loss) == pytest.approx(expected, abs=1e-6)
    weighted = losses.cross_entropy(
        scores, torch.tensor([0, 1]), weight=torch.tensor([2.0, 1.0]), focal_gamma=2.0
    )
    expected = 2 * 0.25**2 * -math.log(0.75) + 0.75**2 * -math.log(0.25)
    assert float(weighted) == pytest.approx(expected, abs=1e-6)
    scores = torch.tensor([[math.log(3), math.log(3)]])
    loss = losses.binary_cross_entropy(scores, torch.tensor([[1.0, 0.0]]), focal_gamma=2.0)
    expected = 0.25**2 * -math.log(0.75) + 0.75**2 * -math.log(0.25)
    assert float(loss) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_certain_and_wrong_scores_are_finite(gamma: float) -> None:
    scores = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    one = losses.cross_entropy(scores, torch.tensor([0, 0]), focal_gamma=gamma)
    two = losses.binary_cross_entropy(scores, torch.eye(2), focal_gamma=gamma)
    (one + two).backward()
    assert torch.isfinite(one + two)
    assert torch.isfinite(scores.grad).all()
    assert one.item() == pytest.approx(400.0)


def test_focal_gradient() -> None:
    scores = torch.randn(4, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 1, 2, -100])
    assert torch.autograd.gradcheck(
        lambda s: losses.cross_entropy(s, labels, focal_gamma=1.5, label_smoothing=0.1), (scores,)
    )
    truth = torch.randint(2, (4, 3)).double()
    assert torch.autograd.gradcheck(
        lambda s: losses.binary_cross_entropy(s, truth, focal_gamma=1.5), (scores,)
    )


def test_binary_and_squares_are_sums() -> None:
    truth = torch.tensor([[1.0, 0.0, 1.0]] * 3)
    for weight in (None, WEIGHT):
        expected = F.binary_cross_entropy_with_logits(SCORES, truth, weight, reduction="none").sum()
        found = losses.binary_cross_entropy(SCORES, truth, weight=weight)
        torch.testing.assert_close(found, expected)
        focal = losses.binary_cross_entropy(SCORES, truth, weight=weight, focal_gamma=1e-9)
        torch.testing.assert_close(focal, expected)
    assert float(losses.mse(torch.tensor([1.0, 2.0]), torch.tensor([3.0, 2.5]))) == 4.25


def test_half_precision_is_widened() -> None:
    half = SCORES.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = [
            losses.cross_entropy(half, LABELS),
            losses.binary_cross_entropy(half, torch.ones(3, 3)),
            losses.mse(half[:, 0], torch.ones(3)),
        ]
    assert {loss.dtype for loss in found} == {torch.float32}
    torch.testing.assert_close(found[0], losses.cross_entropy(half.float(), LABELS))


def test_a_step_moves_what_it_has_not_reached_by_momentum_and_leaves_what_is_frozen() -> None:
    reached, missed, frozen = (torch.nn.Parameter(torch.ones(2)) for _ in range(3))
    frozen.requires_grad = False
    optimizer = torch.optim.SGD([reached, missed], lr=1.0, momentum=0.5)
    (reached + missed).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    reached.sum().backward()
    losses.fill_gradients([reached, missed, frozen])
    optimizer.step()
    assert reached.tolist() == [-1.5, -1.5]
    assert missed.tolist() == [-0.5, -0.5]
    assert frozen.grad is None
