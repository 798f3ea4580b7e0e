"""Layers that compute again what they did not keep."""

import pytest
import torch
from tests.helpers import backbones, quick
from transformers import BertConfig, LlamaConfig, T5Config

from lushan.errors import UserError
from lushan.models import encoders

SIZES = {
    "llama": (LlamaConfig, {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}),
    "bert": (BertConfig, {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}),
    "t5": (T5Config, {"d_model": 32, "d_ff": 64, "d_kv": 8, "num_layers": 2}),
}
PURPOSES = {"llama": "causal_lm", "bert": "masked_lm", "t5": "seq2seq_lm"}


def made(name, *, again=False):
    kind, sizes = SIZES[name]
    heads = "num_heads" if name == "t5" else "num_attention_heads"

    def config(**given):
        return kind(**sizes, **{heads: 4}, **given)

    torch.manual_seed(1)
    model = encoders.fresh(
        config,
        gradient_checkpointing=again,
        vocab_size=99,
        pad_token_id=0,
        special=backbones.SPECIAL[PURPOSES[name]],
        **backbones.USES[PURPOSES[name]],
    )
    return model.train()


def learned(model):
    """Loss and gradients of one batch, with dropout."""
    torch.manual_seed(2)
    ids = torch.arange(60).reshape(3, 20) % 90 + 5
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if model.config.is_encoder_decoder:
        inputs["decoder_input_ids"] = ids
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks
    with hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
        loss = model.summed_loss(inputs, ids)
    loss.backward()
    return loss.detach(), {n: p.grad for n, p in model.named_parameters()}, sum(kept)


@pytest.mark.parametrize("name", quick.only(["llama"], SIZES))
def test_the_same_numbers_from_less_memory(name):
    plain, model = made(name), made(name, again=True)
    loss, gradients, kept = learned(plain)
    again, same, less = learned(model)
    assert torch.equal(loss, again)
    assert gradients.keys() == same.keys()
    assert all(torch.equal(gradients[n], same[n]) for n in same)
    assert less < kept / 2


def test_a_family_that_cannot_is_reported(monkeypatch):
    family = type(made("llama").model)
    monkeypatch.setattr(family, "supports_gradient_checkpointing", False)
    with pytest.raises(UserError, match="does not support gradient checkpointing"):
        made("llama", again=True)
