"""Prompts and prefixes: in training, with padding, in generation, and where they cannot be."""

import peft
import pytest
import torch
import transformers
from tests.helpers import adapters
from tests.helpers.adapters import VOCABULARY

from lushan.errors import UserError
from lushan.models.peft.methods import adapt

OPTIONS = {"max_new_tokens": 5, "do_sample": False, "pad_token_id": 0, "eos_token_id": None}
METHODS = ("prefix", "prompt")
TEXT = torch.tensor([[7, 21, 33, 12]])


def ready(method, model):
    return adapters.shaken(adapters.adapted(method, model))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", ["bert", "gpt2", "t5"])
def test_padding_changes_nothing(method, model):
    encoder = ready(method, model)
    given = adapters.inputs(model)
    whole = adapters.outputs(encoder, given)
    alone = adapters.outputs(encoder, {name: value[1:2, :5] for name, value in given.items()})
    assert torch.allclose(whole[1:2, :5], alone, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", ["gpt2", pytest.param("llama", marks=pytest.mark.slow)])
def test_generation_continues_the_prompt(method, model):
    encoder = ready(method, model)
    found = encoder.model.generate(input_ids=TEXT, **OPTIONS)
    by_hand = TEXT
    for _ in range(5):
        scores = encoder(input_ids=by_hand).logits[:, -1]
        by_hand = torch.cat([by_hand, scores.argmax(-1, keepdim=True)], dim=1)
    assert torch.equal(found, by_hand)
    # Padded on the left beside a longer text, it says the same.
    longer = torch.arange(3, 10)[None]
    padded = torch.cat([longer, torch.nn.functional.pad(TEXT, (3, 0))])
    mask = torch.tensor([[1] * 7, [0] * 3 + [1] * 4])
    both = encoder.model.generate(input_ids=padded, attention_mask=mask, **OPTIONS)
    assert torch.equal(both[1:, 7:], by_hand[:, 4:])
    beams = encoder.model.generate(input_ids=TEXT, num_beams=3, **OPTIONS)
    assert beams.shape == by_hand.shape


@pytest.mark.parametrize("method", METHODS)
def test_an_encoder_decoder_generates_from_the_prompt(method):
    encoder = ready(method, "t5")
    found = encoder.model.generate(input_ids=TEXT, **OPTIONS)
    by_hand = found[:, :1]
    for _ in range(5):
        scores = encoder(input_ids=TEXT, decoder_input_ids=by_hand).logits[:, -1]
        by_hand = torch.cat([by_hand, scores.argmax(-1, keepdim=True)], dim=1)
    assert torch.equal(found, by_hand)
    padded = torch.cat([torch.arange(3, 10)[None], torch.nn.functional.pad(TEXT, (0, 3))])
    both = encoder.model.generate(input_ids=padded, attention_mask=(padded != 0).long(), **OPTIONS)
    assert torch.equal(both[1:], by_hand)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_of_images_is_refused(method):
    encoder = torch.nn.Module()
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    encoder.model = transformers.ViTModel(transformers.ViTConfig(**sizes, intermediate_size=8))
    with pytest.raises(UserError, match="vit model") as refused:
        adapt(adapters.METHODS[method](), encoder=encoder)
    assert refused.value.key == "peft"


@pytest.mark.parametrize("method", METHODS)
def test_a_static_cache_is_refused(method):
    encoder = ready(method, "gpt2")
    with pytest.raises(UserError, match="static"):
        encoder.model.generate(input_ids=TEXT, cache_implementation="static", **OPTIONS)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("model", ["gpt2", "masked"])
def test_packed_documents_are_refused(method, model):
    if (method, model) == ("prefix", "masked"):
        return
    encoder = ready(method, model)
    with pytest.raises(UserError, match="packed"):
        encoder.keeps_apart()
    positions = torch.tensor([[0, 1, 0, 1]])
    with pytest.raises(UserError, match=r"packing=false|do without"):
        encoder.hidden(input_ids=TEXT, position_ids=positions)


@pytest.mark.parametrize("method", METHODS)
def test_positions_are_those_behind_the_prompt(method):
    encoder = ready(method, "gpt2")
    places = torch.arange(4)[None]
    shown = encoder(input_ids=TEXT, position_ids=places).logits
    assert torch.allclose(shown, encoder(input_ids=TEXT).logits, atol=1e-6)


def test_there_is_less_room_for_the_text():
    assert adapters.fresh("gpt2").max_length == 64
    assert adapters.adapted("prompt", "gpt2").max_length == 60
    assert adapters.adapted("prefix", "bert").max_length == 508
    assert adapters.adapted("prompt", "t5").max_length is None
    for count in (0, 64, None):
        config = peft.PromptTuningConfig(num_virtual_tokens=count)
        with pytest.raises(UserError) as caught:
            adapt(config, encoder=adapters.fresh("gpt2"), auto_class="AutoModelForCausalLM")
        assert caught.value.key == "peft.config.num_virtual_tokens"


def test_segments_are_heeded():
    encoder = ready("prompt", "bert")
    given = {"input_ids": TEXT, "attention_mask": torch.ones_like(TEXT)}
    one = encoder(**given, token_type_ids=torch.zeros_like(TEXT))
    other = encoder(**given, token_type_ids=torch.ones_like(TEXT))
    assert torch.equal(one, encoder(**given))
    assert not torch.allclose(one, other)


def test_prompts_may_begin_as_words():
    encoder = adapters.fresh("gpt2")
    config = peft.PromptTuningConfig(num_virtual_tokens=4, prompt_tuning_init="SAMPLE_VOCAB")
    adapt(config, encoder=encoder, auto_class="AutoModelForCausalLM")
    words = encoder.model.get_input_embeddings().weight
    begun = encoder.get_parameter("prompt.default.embedding.weight")
    assert all((words == row).all(-1).any() for row in begun)
    assert len(words) == VOCABULARY


def refusal(model, **options):
    encoder = adapters.fresh(model, **options)
    config = peft.PrefixTuningConfig(num_virtual_tokens=4)
    with pytest.raises(UserError) as caught:
        adapt(config, encoder=encoder, auto_class=adapters.auto_class(model))
    return caught.value


def test_prefixes_need_a_model_with_a_past():
    assert "external keys" in refusal("masked").problem
    # With gradient checkpointing, transformers would leave them out without a word.
    error = refusal("gpt2", gradient_checkpointing=True)
    assert error.key == "model.gradient_checkpointing"
