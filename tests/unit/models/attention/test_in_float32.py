"""Attention in float32 where it is faster: the same numbers, in the type that was asked for."""

import functools

import pytest
import torch
import torch.nn.functional as F

from lushan.models.attention import in_float32
from lushan.models.attention.in_float32 import LONGEST, attended, is_faster


def attention(*states, attn_mask=None, **options):
    attend = functools.partial(F.scaled_dot_product_attention, **options)
    return attended(attend, *states, attn_mask)


def states(tokens, dtype, heads=2):
    torch.manual_seed(1)
    return [
        torch.randn(2, h, tokens, 16).to(dtype).requires_grad_(dtype.is_floating_point)
        for h in (4, heads, heads)
    ]


@pytest.mark.parametrize("masked", ["causal", "marks", "numbers"])
def test_forward_and_backward_are_closer_to_float32(masked):
    tokens = 9
    marks = torch.ones(2, 1, tokens, tokens, dtype=torch.bool).tril()
    options = {
        "causal": {"is_causal": True},
        "marks": {"attn_mask": marks},
        "numbers": {"attn_mask": marks.to(torch.bfloat16).log()},
    }[masked]
    found, errors = {}, {}
    for name, function, dtype in (
        ("exact", F.scaled_dot_product_attention, torch.float32),
        ("ours", attention, torch.bfloat16),
        ("torch's", F.scaled_dot_product_attention, torch.bfloat16),
    ):
        given = states(tokens, torch.bfloat16)
        parts = [part.to(dtype) for part in given]
        more = dict(options)
        if dtype == torch.float32 and masked == "numbers":
            more["attn_mask"] = more["attn_mask"].float()
        out = function(*parts, **more, enable_gqa=True)
        out.float().square().sum().backward()
        assert out.dtype == dtype
        found[name] = [out.float(), *(part.grad.float() for part in given)]
    for name in ("ours", "torch's"):
        pairs = zip(found[name], found["exact"], strict=True)
        errors[name] = sum((one - other).detach().square().sum() for one, other in pairs)
    assert errors["ours"] <= errors["torch's"]
    assert all(
        torch.allclose(one, other, atol=0.05, rtol=0.05)
        for one, other in zip(found["ours"], found["exact"], strict=True)
    )


def test_autocast_has_its_own_type():
    given = states(5, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        expected = F.scaled_dot_product_attention(*given, enable_gqa=True)
        found = attention(*given, enable_gqa=True)
    assert found.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(found, expected, atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("tokens", "dtype", "learns", "expected"),
    [
        (LONGEST, torch.bfloat16, True, True),
        (LONGEST + 1, torch.bfloat16, True, False),
        (LONGEST, torch.bfloat16, False, False),
        (LONGEST, torch.float32, True, False),
        (LONGEST, torch.float64, True, False),
    ],
)
def test_it_is_chosen_by_length_and_type(tokens, dtype, learns, expected):
    query, key, _ = states(tokens, dtype)
    with torch.set_grad_enabled(learns):
        assert is_faster(query, key) == expected
    assert is_faster(query[:, :, :1], key) == (dtype == torch.bfloat16)


def test_a_training_pass_attends_so(monkeypatch):
    import numpy as np

    from lushan.data.batch.packing import Pieces
    from lushan.models import dropout

    asked = []
    monkeypatch.setattr(in_float32, "attended", lambda *args: asked.append(args) or args[1])
    masks = dropout.Masks(
        1, Pieces(np.array([0]), np.array([5]), np.array([1])), torch.device("cpu")
    )
    with dropout.masked(masks):
        F.scaled_dot_product_attention(*states(5, torch.bfloat16))
    assert len(asked) == 1
