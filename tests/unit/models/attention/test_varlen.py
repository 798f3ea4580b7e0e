"""Documents of a row attended to one by one: a mask's numbers, and only where positions say so."""

import functools

import pytest
import torch
import transformers
from tests.helpers import backbones

from lushan.models import encoders
from lushan.models.attention import varlen

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"num_key_value_heads": 2, "intermediate_size": 48, "max_position_embeddings": 64}
PLACES = torch.tensor([[0, 1, 2, 3, 4, 0, 1, 2, 0, 1], [0, 0, 1, 2, 3, 4, 5, 6, 7, 8]])
IDS = torch.arange(20).reshape(2, 10) * 3 % 47 + 5


def made(kind="LlamaConfig", checkpointing=False, **fields):
    config = functools.partial(getattr(transformers, kind), **(fields or SIZES))
    torch.manual_seed(2)
    return encoders.fresh(
        config, None, checkpointing, vocab_size=61, pad_token_id=0, **backbones.CAUSAL
    )


def gradients(model, divides):
    model._divides = divides
    model.zero_grad()
    labels = IDS.roll(-1, 1)
    loss = model.summed_loss({"input_ids": IDS, "position_ids": PLACES}, labels)
    loss.backward()
    return loss.detach(), [p.grad.clone() for p in model.parameters() if p.grad is not None]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_loss_and_gradients_are_those_of_a_mask(checkpointing):
    model = made(checkpointing=checkpointing).train()
    masked, apart = gradients(model, False), gradients(model, True)
    assert model.config._attn_implementation == varlen.NAME
    torch.testing.assert_close(apart, masked, rtol=1e-5, atol=1e-5)


def test_no_mask_is_made_and_each_document_is_attended_to_alone(monkeypatch):
    sizes = []
    attend = torch.nn.functional.scaled_dot_product_attention

    def counting(query, *args, **options):
        assert options.get("attn_mask") is None
        sizes.append(tuple(query.shape[:3]))
        return attend(query, *args, **options)

    model = made().eval()
    model(input_ids=IDS, position_ids=PLACES)  # asks the model first
    monkeypatch.setattr(varlen.F, "scaled_dot_product_attention", counting)
    model(input_ids=IDS, position_ids=PLACES)
    assert sizes == [(1, 4, length) for length in (5, 3, 2, 1, 9)] * 2


@pytest.mark.parametrize("given", ["compiled layers", "images", "eager"])
def test_where_a_mask_is_needed_the_attention_stays_what_it_is(given):
    model = made()
    if given == "compiled layers":
        model.compiled = True
    elif given == "images":
        model.config.vision_config = {}
    else:
        model.config._attn_implementation = "eager"
    before = model.config._attn_implementation
    model(input_ids=IDS, position_ids=PLACES)
    assert model.config._attn_implementation == before != varlen.NAME


def test_a_window_that_is_shorter_than_the_row_has_its_mask():
    options = {"batch_size": 1, "q_offset": 0, "kv_offset": 0, "local_size": 3}
    assert varlen.mask(q_length=4, kv_length=4, **options).shape == (1, 1, 4, 4)
    assert varlen.mask(q_length=3, kv_length=3, **options) is None
    model = made("MistralConfig", **SIZES, sliding_window=3).train()
    torch.testing.assert_close(
        gradients(model, True), gradients(model, False), rtol=1e-5, atol=1e-5
    )


def test_a_model_whose_attention_gets_no_positions_keeps_its_mask(monkeypatch):
    monkeypatch.setattr(varlen, "_lengths", lambda position_ids: [1] * len(position_ids))
    model = made()
    model(input_ids=IDS, position_ids=PLACES)
    assert model.config._attn_implementation == varlen.WHOLE


def test_what_it_writes_afterwards_is_what_it_wrote_before():
    model = made().eval()
    prompts = torch.tensor([[0, 0, 7, 8, 9], [4, 5, 6, 7, 8]])
    options = {"attention_mask": (prompts > 0).long(), "max_new_tokens": 6, "do_sample": False}
    before = model.model.generate(prompts, **options)
    model(input_ids=IDS, position_ids=PLACES)
    assert model.config._attn_implementation == varlen.NAME
    assert torch.equal(model.model.generate(prompts, **options), before)


def test_it_is_not_saved_with_a_model(tmp_path):
    model = made()
    model(input_ids=IDS, position_ids=PLACES)
    model.model.save_pretrained(tmp_path)
    assert varlen.NAME not in (tmp_path / "config.json").read_text(encoding="utf-8")
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
    assert loaded.config._attn_implementation == varlen.WHOLE
