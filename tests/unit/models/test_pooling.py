"""Pooling: padding has no part in it."""

import pytest
import torch

from lushan.models.pooling import pooler

KINDS = ["cls", "mean", "max", "attention"]
HIDDEN = torch.tensor(
    [[[1.0, -5.0], [3.0, -1.0], [8.0, 8.0]], [[2.0, 2.0], [0.0, 4.0], [1.0, 0.0]]]
)
MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])


@pytest.mark.parametrize(
    ("kind", "first"), [("cls", [1.0, -5.0]), ("mean", [2.0, -3.0]), ("max", [3.0, -1.0])]
)
def test_by_hand(kind: str, first: list[float]) -> None:
    assert pooler(kind, 2)(HIDDEN, MASK)[0].tolist() == first


def test_attention_by_hand() -> None:
    module = pooler("attention", 2)
    with torch.no_grad():
        module.score.weight.copy_(torch.tensor([[1.0, 0.0]]))
    share = torch.tensor([1.0, 3.0]).softmax(0)
    torch.testing.assert_close(module(HIDDEN, MASK)[0], share @ HIDDEN[0, :2])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_padding_changes_nothing(kind: str, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    module = pooler(kind, 8).to(dtype)
    hidden = torch.randn(2, 6, 8, dtype=dtype)
    mask = torch.tensor([[1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]])
    other = torch.where(mask[..., None] == 0, torch.full_like(hidden, 100), hidden)
    found = module(hidden, mask)
    assert found.dtype == dtype
    assert torch.equal(found, module(other, mask))
    torch.testing.assert_close(found[1], module(hidden[1:, :2], mask[1:, :2])[0])


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_without_tokens_is_finite(kind: str) -> None:
    hidden = torch.randn(1, 3, 4, requires_grad=True)
    found = pooler(kind, 4)(hidden, torch.zeros(1, 3, dtype=torch.long))
    found.sum().backward()
    assert torch.isfinite(found).all()
    assert torch.isfinite(hidden.grad).all()
