"""Documents that share a row do not see one another: their loss and gradient are those alone."""

import functools

import numpy as np
import pytest
import torch

from lushan.data.batch.packing import joined
from lushan.errors import UserError
from lushan.models import encoders
from lushan.tasks.causal_lm import CausalLM
from lushan.tasks.language import LanguageTask
from lushan.tasks.masked_lm import MaskedLM
from tests.helpers import backbones

VOCABULARY, LENGTHS = 61, (7, 12, 3, 9)
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
WIDE = SMALL | {"intermediate_size": 48, "max_position_embeddings": 64}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
DECODER = WIDE | {"num_key_value_heads": 1}

CAUSAL = {
    "GPT2Config": {
        **{"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 64},
        **{"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0},
    },
    "LlamaConfig": DECODER,
    "Qwen3Config": DECODER | {"head_dim": 16},
    "MistralConfig": DECODER | {"sliding_window": 4},
    "Gemma2Config": DECODER | {"head_dim": 16, "sliding_window": 4},
}
MASKED = {
    "BertConfig": WIDE | NO_DROPOUT,
    "RobertaConfig": WIDE | NO_DROPOUT,
    "ElectraConfig": WIDE | NO_DROPOUT | {"embedding_size": 32},
    "DebertaV2Config": WIDE | NO_DROPOUT | {"relative_attention": True, "pos_att_type": ["c2p"]},
    "ModernBertConfig": WIDE | {"local_attention": 4, "global_attn_every_n_layers": 2},
}
CASES = [("causal_lm", name) for name in CAUSAL] + [("masked_lm", name) for name in MASKED]
KINDS = ("eager", "sdpa")
"""Flash and flex attention run on GPUs alone (flex has no backward pass on a processor)."""


@functools.cache
def model(purpose, name, attention):
    import transformers

    fields = (CAUSAL if purpose == "causal_lm" else MASKED)[name]
    config = functools.partial(getattr(transformers, name), **fields)
    torch.manual_seed(3)
    made = encoders.fresh(
        config, attention, vocab_size=VOCABULARY, pad_token_id=0, **backbones.USES[purpose]
    )
    return made.eval()


def features():
    rng = np.random.default_rng(1)
    found = []
    for number, length in enumerate(LENGTHS):
        ids = rng.integers(5, VOCABULARY, size=length)
        labels = np.where(rng.random(length) < 0.6, rng.integers(5, VOCABULARY, size=length), -100)
        labels[0] = 7
        found.append({"input_ids": ids, "labels": labels, "length": length, "example": number})
    return found


def evaluated(encoder, task: LanguageTask, rows):
    """Loss and gradients of a batch."""
    whole = task.build(encoder)
    whole.zero_grad()
    loss = task.loss(whole, task.collate(rows))
    loss.backward()
    found = {n: p.grad.clone() for n, p in whole.named_parameters() if p.grad is not None}
    return loss.detach(), found


@pytest.mark.parametrize("attention", KINDS)
@pytest.mark.parametrize(("purpose", "name"), CASES)
def test_packed_documents_have_the_loss_and_gradient_of_the_same_alone(purpose, name, attention):
    try:
        encoder = model(purpose, name, attention)
    except UserError as error:
        pytest.skip(f"{name} has no {attention}: {error}")
    if name.startswith("Deberta"):
        pytest.skip("refused; see below")
    task = CausalLM() if purpose == "causal_lm" else MaskedLM()
    loss, gradients = evaluated(encoder, task, features())
    first, *rest = features()
    packed_loss, packed = evaluated(encoder, task, [joined([first, rest[0]]), joined(rest[1:])])
    torch.testing.assert_close(packed_loss, loss, rtol=1e-5, atol=1e-5)
    assert packed.keys() == gradients.keys()
    for key, gradient in gradients.items():
        torch.testing.assert_close(packed[key], gradient, rtol=1e-4, atol=1e-5, msg=key)


@pytest.mark.parametrize("attention", KINDS)
@pytest.mark.parametrize(("purpose", "name"), CASES)
def test_the_probe_agrees(purpose, name, attention):
    try:
        encoder = model(purpose, name, attention)
    except UserError as error:
        pytest.skip(f"{name} has no {attention}: {error}")
    assert encoder.keeps_apart() is not name.startswith("Deberta")


def test_the_trap_is_seen():
    """A mask of ones switches the detection off, and then documents do see one another."""
    encoder = model("causal_lm", "LlamaConfig", "eager")
    batch = CausalLM().collate([joined(features())])
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    right = batch | {"attention_mask": None}
    apart = encoder.summed_loss(CausalLM().inputs(right), batch["labels"])
    mixed = encoder.summed_loss(CausalLM().inputs(batch), batch["labels"])
    assert abs(float(apart.detach()) - float(mixed.detach())) > 1e-3
