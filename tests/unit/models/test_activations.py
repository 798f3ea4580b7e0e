"""Activations in one operation."""

import torch
from transformers import GPT2Config, GPT2Model
from transformers.activations import NewGELUActivation

from lushan.models import activations


def test_gelu_is_the_same_in_one_operation():
    model = GPT2Model(GPT2Config(n_embd=16, n_layer=2, n_head=2, vocab_size=20)).eval()
    names = list(model.state_dict())
    ids = torch.arange(10)[None]
    before = model(ids).last_hidden_state
    activations.fuse(model)
    assert not [m for m in model.modules() if isinstance(m, NewGELUActivation)]
    torch.testing.assert_close(model(ids).last_hidden_state, before)
    assert list(model.state_dict()) == names
    assert model.config.activation_function == "gelu_new"
