"""Linear layers by packed weights: the same products, and their own weights where they have to."""

import copy
import pickle

import pytest
import torch
from transformers.pytorch_utils import Conv1D

from lushan.models import packed_weights
from lushan.models.packed_weights import pack_weights

needs_bf16 = pytest.mark.skipif(
    not torch.ops.mkldnn._is_mkldnn_bf16_supported(), reason="oneDNN has no bf16 here"
)
TYPES = [torch.float32, pytest.param(torch.bfloat16, marks=needs_bf16)]


def made(kind, bias=True):
    torch.manual_seed(1)
    layer = torch.nn.Linear(24, 40, bias=bias) if kind == "linear" else Conv1D(40, 24)
    if layer.bias is not None:
        torch.nn.init.normal_(layer.bias)
    return torch.nn.Sequential(layer)


def is_packed(model):
    return isinstance(model[0].forward, packed_weights._Packed)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("kind", ["linear", "without a bias", "GPT-2's"])
@pytest.mark.parametrize("shape", [(1,), (3, 1), (2, 70)])
def test_products_are_the_same(kind, dtype, shape):
    model = made("linear" if kind == "linear" else kind, bias=kind != "without a bias").to(dtype)
    given = torch.randn(*shape, 24, dtype=dtype)
    with torch.inference_mode():
        expected = model(given)
        pack_weights(model)
        assert is_packed(model)
        close = 1e-5 if dtype == torch.float32 else 1e-2
        torch.testing.assert_close(model(given), expected, atol=close, rtol=close)


def changed_in_place(model):
    model[0].weight.mul_(2)


def replaced(model):
    model[0].weight = torch.nn.Parameter(model[0].weight * 2)


def of_another_type(model):
    model.double()


@pytest.mark.parametrize("change", [changed_in_place, replaced, of_another_type])
def test_weights_that_have_changed_count(change):
    model, other = made("linear"), made("linear")
    pack_weights(model)
    with torch.no_grad():
        change(model), change(other)
        given = torch.randn(2, 24, dtype=model[0].weight.dtype)
        assert torch.equal(model(given), other(given))


def test_gradients_and_autocast_are_those_of_the_layer():
    model, other = made("linear"), made("linear")
    pack_weights(model)
    given = torch.randn(2, 24)
    for one in (model, other):
        one(given).sum().backward()
    assert torch.equal(model[0].weight.grad, other[0].weight.grad)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(given), other(given))


def test_a_model_keeps_its_weights_and_their_names():
    model, other = made("linear"), made("linear")
    pack_weights(model)
    for (name, one), (own, two) in zip(
        model.state_dict().items(), other.state_dict().items(), strict=True
    ):
        assert name == own
        assert torch.equal(one, two)


def test_a_large_model_gets_no_second_copy(monkeypatch):
    monkeypatch.setattr(packed_weights, "MOST", 100)
    model = made("linear")
    pack_weights(model)
    assert not is_packed(model)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copy_is_a_model_of_its_own(copied):
    model = made("linear")
    pack_weights(model)
    other = copied(model)
    given = torch.randn(2, 24)
    with torch.no_grad():
        torch.testing.assert_close(other(given), model(given))
        model[0].weight.zero_()
        assert not torch.equal(other(given), model(given))
    assert not is_packed(other)
    pack_weights(other)
    assert is_packed(other)
