"""The loss over a vocabulary in pieces, against all logits at once, and in half precision."""

import pytest
import torch
import torch.nn.functional as F
from tests.helpers import backbones, quick
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import BertConfig, GPT2Config, LlamaConfig, MambaConfig, T5Config

from lushan.models import encoders, projected_loss

PLACES, WIDTH, TOKENS = 40, 16, 300


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(projected_loss, "piece", lambda *_: 7)


def drawn(dtype=torch.float64, *, bias=True):
    torch.manual_seed(1)
    hidden = torch.randn(PLACES, WIDTH, dtype=dtype, requires_grad=True)
    weight = torch.randn(TOKENS, WIDTH, dtype=dtype, requires_grad=True)
    offset = torch.randn(TOKENS, dtype=dtype, requires_grad=True) if bias else None
    return hidden, weight, offset, torch.randint(TOKENS, (PLACES,))


@pytest.mark.usefixtures("small_pieces")
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("weighted", [True, False])
def test_pieces_are_the_whole(bias, weighted):
    *given, labels = drawn(bias=bias)
    factors = torch.rand(PLACES, dtype=torch.float64) if weighted else None
    found = 0.5 * projected_loss.cross_entropy(*given, labels, factors)
    each = F.cross_entropy(F.linear(*given), labels, reduction="none")
    expected = 0.5 * (each * (1.0 if factors is None else factors)).sum()
    learned = [tensor for tensor in given if tensor is not None]
    slopes = torch.autograd.grad(found, learned)
    for one, other in zip(slopes, torch.autograd.grad(expected, learned), strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(found, expected)


def test_what_is_not_learned_gets_no_gradient():
    hidden, weight, _, labels = drawn(bias=False)
    projected_loss.cross_entropy(hidden, weight.detach(), None, labels).backward()
    assert hidden.grad is not None
    assert weight.grad is None


def test_no_places_have_no_loss_and_a_gradient():
    hidden, weight, bias, labels = drawn()
    loss = projected_loss.cross_entropy(hidden[:0], weight, bias, labels[:0])
    loss.backward()
    assert loss == 0
    assert not weight.grad.any()
    assert hidden.grad.shape == hidden.shape


def test_a_second_backward_pass_is_refused():
    *given, labels = drawn()
    loss = projected_loss.cross_entropy(*given, labels)
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="once only"):
        loss.backward()


class Largest(TorchDispatchMode):
    """Keeps the size of the largest tensor that is made."""

    def __init__(self):
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.bytes = max(self.bytes, made.nbytes)
        return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_memory_is_that_of_a_piece(dtype, monkeypatch):
    monkeypatch.setattr(projected_loss, "_HELD", 2**16)
    monkeypatch.setattr(projected_loss, "_LEAST", 4)
    hidden = torch.randn(512, 8, dtype=dtype, requires_grad=True)
    weight = torch.randn(1024, 8, requires_grad=True)
    with Largest() as made:
        projected_loss.cross_entropy(hidden, weight, None, torch.arange(512)).backward()
    assert made.bytes <= 2**16  # all logits are 2**21


HEADS = {
    "causal": ("causal_lm", GPT2Config, {"n_embd": 64, "n_layer": 1, "n_head": 2}),
    "chat": (
        "causal_lm",
        LlamaConfig,
        {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
        | {"num_attention_heads": 2},
    ),
    "masked": (
        "masked_lm",
        BertConfig,
        {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
        | {"num_attention_heads": 2},
    ),
    "seq2seq": (
        "seq2seq_lm",
        T5Config,
        {"d_model": 64, "d_ff": 64, "d_kv": 8, "num_layers": 1, "num_heads": 2},
    ),
    "recurrent": (  # it asks its projection for the weights' type
        "causal_lm",
        MambaConfig,
        {"hidden_size": 64, "num_hidden_layers": 1, "state_size": 4},
    ),
}


def learned(model, hidden, labels, weights, *, half):
    """Loss, and gradients of the states and of the projection."""
    states = hidden.clone().requires_grad_()
    model._states = lambda _: states
    layer = model.model.get_output_embeddings()
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        loss = model.summed_loss({}, labels, weights)
    loss.backward()
    found = [loss.detach(), states.grad, layer.weight.grad.clone()]
    return found if layer.bias is None else [*found, layer.bias.grad.clone()]


@pytest.mark.parametrize("head", quick.only(["causal", "chat", "recurrent"], HEADS))
def test_half_precision_is_near(head):
    purpose, kind, sizes = HEADS[head]
    torch.manual_seed(1)
    model = encoders.fresh(
        lambda **given: kind(**sizes, **given),
        vocab_size=500,
        pad_token_id=0,
        special=backbones.SPECIAL[purpose],
        **backbones.USES[purpose],
    )
    assert model.projects
    layer = model.model.get_output_embeddings()
    with torch.no_grad():
        layer.weight.normal_(std=0.25)  # scores that deviate by 2, as learned ones do
    hidden, labels = torch.randn(4, 64, 64), torch.randint(500, (4, 64))
    labels[torch.rand(4, 64) < 0.3] = -100
    weights = torch.rand(4, 64) if head == "chat" else None
    exact = learned(model, hidden, labels, weights, half=False)
    near = learned(model, hidden, labels, weights, half=True)
    assert all(tensor.dtype == torch.float32 for tensor in near)
    assert not torch.equal(exact[1], near[1])
    torch.testing.assert_close(near[0], exact[0], rtol=1e-3, atol=0)
    for one, other in zip(exact[1:], near[1:], strict=True):
        cosine = F.cosine_similarity(one.double().flatten(), other.double().flatten(), 0)
        assert cosine > 0.9999
