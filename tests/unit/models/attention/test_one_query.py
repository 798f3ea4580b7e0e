"""Attention of single queries: in float32 on a processor, and the model's own elsewhere."""

import pytest
import torch
import torch.nn.functional as F
from transformers import AutoModelForCausalLM, LlamaConfig

from lushan.compat.transformers import attention_of
from lushan.models.attention.one_query import NAME, attention, one_query
from lushan.models.stepwise import stepwise


@pytest.fixture
def model():
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        intermediate_size=64,
    )
    return AutoModelForCausalLM.from_config(config).eval()


class Layer(torch.nn.Module):
    """What transformers gives to an attention: a layer that shares keys among queries."""

    num_key_value_groups = 2
    is_causal = True


@pytest.mark.parametrize("queries", [1, 5])
@pytest.mark.parametrize("masked", ["no mask", "marks", "numbers"])
def test_one_query_has_the_digits_of_float32(queries, masked):
    torch.manual_seed(1)
    query = torch.randn(2, 4, queries, 16, dtype=torch.bfloat16)
    key, value = (torch.randn(2, 2, 7, 16, dtype=torch.bfloat16) for _ in range(2))
    marks = torch.ones(2, 1, queries, 7, dtype=torch.bool)
    marks[0, ..., :3] = False
    mask = {"no mask": None, "marks": marks, "numbers": marks.to(query.dtype).log()}[masked]
    with torch.inference_mode():  # as texts are written
        found, _ = attention(Layer(), query, key, value, mask, is_causal=False)
    exact = F.scaled_dot_product_attention(
        *(part.float() for part in (query, key, value)),
        attn_mask=mask if mask is None or mask.dtype == torch.bool else mask.float(),
        enable_gqa=True,
    ).transpose(1, 2)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), exact, atol=1e-2, rtol=1e-2)
    assert torch.equal(found, exact.bfloat16()) == (queries == 1)


def test_it_computes_in_float32_under_autocast(monkeypatch):
    seen = []
    whole = F.scaled_dot_product_attention

    def noted(query, *args, **kwargs):
        seen.append((query.dtype, torch.is_autocast_enabled("cpu")))
        return whole(query, *args, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", noted)
    states = torch.randn(1, 4, 1, 16)
    with torch.autocast("cpu", torch.bfloat16):
        attention(Layer(), states, states[:, :2], states[:, :2], None)
    assert seen == [(torch.float32, False)]


def test_a_model_writes_the_same(model):
    ids = torch.tensor([[3, 1, 4, 1, 5]])
    plain = model.generate(ids, max_new_tokens=9, do_sample=False)
    with stepwise(model):
        assert attention_of(model.config) == NAME
        assert torch.equal(model.generate(ids, max_new_tokens=9, do_sample=False), plain)
    assert attention_of(model.config) == "sdpa"


def test_other_kinds_of_attention_and_other_devices_are_left_alone(model):
    with one_query(model.config, torch.device("cuda")):
        assert attention_of(model.config) == "sdpa"
    model.set_attn_implementation("eager")
    with one_query(model.config, torch.device("cpu")):
        assert attention_of(model.config) == "eager"
