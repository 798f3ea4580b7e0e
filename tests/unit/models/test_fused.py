"""Fewer passes over memory: the same values and gradients."""

import pytest
import torch
from torch import nn
from transformers import (
    BertConfig,
    BertModel,
    GemmaConfig,
    GemmaForCausalLM,
    GPT2Config,
    GPT2Model,
)
from transformers.activations import GELUActivation, NewGELUActivation
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from lushan.models import fused
from lushan.models.fused import OverwritingGELU, RMSNorm


def test_gelu_is_the_same_in_one_operation():
    model = GPT2Model(GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=20)).eval()
    names = list(model.state_dict())
    ids = torch.arange(10)[None]
    before = model(ids).last_hidden_state
    fused.fuse(model)
    assert not [m for m in model.modules() if isinstance(m, NewGELUActivation)]
    torch.testing.assert_close(model(ids).last_hidden_state, before)
    assert list(model.state_dict()) == names
    assert model.config.activation_function == "gelu_new"


BERT = BertConfig(
    hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, vocab_size=20
)


def test_gelu_overwrites_states_where_nothing_is_learned():
    model = BertModel(BERT).train()
    names = list(model.state_dict())
    ids = torch.arange(10)[None]
    model.eval()
    learned = model(ids).last_hidden_state
    gradient = torch.autograd.grad(learned.sum(), model.encoder.layer[0].intermediate.dense.bias)
    model.train()
    random = torch.random.get_rng_state()
    fused.fuse(model)
    assert torch.equal(torch.random.get_rng_state(), random)
    assert all(module.training for module in model.modules() if type(module) is not OverwritingGELU)
    assert len([m for m in model.modules() if isinstance(m, OverwritingGELU)]) == 2
    assert list(model.state_dict()) == names
    model.eval()
    again = model(ids).last_hidden_state
    assert torch.equal(again, learned)
    found = torch.autograd.grad(again.sum(), model.encoder.layer[0].intermediate.dense.bias)
    assert torch.equal(found[0], gradient[0])
    with torch.no_grad():
        assert torch.equal(model(ids).last_hidden_state, learned)
    with torch.no_grad():
        states = torch.randn(3, 16)
        dense = model.encoder.layer[0].intermediate.dense(states)
        assert model.encoder.layer[0].intermediate.intermediate_act_fn(dense) is dense


class Residual(nn.Module):
    """A layer that reads what it gives to its GELU once more."""

    def __init__(self):
        super().__init__()
        self.dense, self.act = nn.Linear(8, 8), GELUActivation()

    def forward(self, states):
        wide = self.dense(states)
        return self.act(wide) + wide


class OfItsArgument(Residual):
    """A layer whose GELU is of what it was given."""

    def forward(self, states):
        return self.dense(self.act(states))


class OfTwo(Residual):
    """A layer that takes more than states."""

    def forward(self, states, others):
        return self.act(self.dense(states)) + others


@pytest.mark.parametrize("layer", [Residual, OfItsArgument, OfTwo])
def test_gelu_of_states_that_something_else_reads_is_left_alone(layer):
    model = nn.Sequential(layer(), layer())
    fused.fuse(model)
    assert not [m for m in model.modules() if isinstance(m, OverwritingGELU)]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_norm_has_the_values_and_gradients_that_it_had(dtype):
    torch.manual_seed(0)
    norm = LlamaRMSNorm(32)
    norm.weight.data.normal_()
    ours = RMSNorm(norm)
    states = torch.randn(3, 5, 32).to(dtype).requires_grad_()
    slope = torch.randn(3, 5, 32)
    found = []
    for module in (norm, ours):
        out = module(states)
        found.append((out, *torch.autograd.grad(out, (states, norm.weight), slope.to(out.dtype))))
    assert torch.equal(found[0][0], found[1][0])
    assert [t.dtype for t in found[0]] == [t.dtype for t in found[1]]
    torch.testing.assert_close(
        found[1],
        found[0],
        rtol=2e-2 if dtype == torch.bfloat16 else 1e-5,
        atol=5e-2 if dtype == torch.bfloat16 else 1e-5,
    )


def test_a_norm_of_another_formula_is_left_as_it_is():
    config = GemmaConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        intermediate_size=16,
        vocab_size=20,
        head_dim=8,
    )
    model = GemmaForCausalLM(config)
    fused.fuse(model)
    assert not [m for m in model.modules() if isinstance(m, RMSNorm)]
