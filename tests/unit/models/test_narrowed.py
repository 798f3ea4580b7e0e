"""The last feed-forward layer at the learned places alone: the same loss, gradients and masks."""

import numpy as np
import pytest
import torch
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlavaConfig,
    LlavaForConditionalGeneration,
    MixtralConfig,
    MixtralForCausalLM,
    ViTConfig,
)

from lushan.data.batch.packing import Pieces
from lushan.models import dropout, narrowed
from lushan.models.language import IGNORED, LanguageModel

SMALL = {"vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
INNER = {"intermediate_size": 24}


def bert():
    return LanguageModel(BertForMaskedLM(BertConfig(**SMALL, **INNER)), bidirectional=True)


def gpt2():
    config = GPT2Config(vocab_size=30, n_embd=16, n_layer=2, n_head=2, n_positions=20)
    return LanguageModel(GPT2LMHeadModel(config))


def llama():
    config = LlamaConfig(**SMALL, **INNER, tie_word_embeddings=True)
    return LanguageModel(LlamaForCausalLM(config))


def llava():
    """Its tower has dropout, and as many states of an image as there are learned places."""
    vision = ViTConfig(
        **INNER,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=8,
        patch_size=4,
        hidden_dropout_prob=0.5,
    )
    text = LlamaConfig(**SMALL, **INNER)
    config = LlavaConfig(vision_config=vision, text_config=text, image_token_index=29)
    config.vision_feature_layer = -1
    return LanguageModel(LlavaForConditionalGeneration(config))


IMAGE = torch.linspace(-1, 1, 3 * 64).view(1, 3, 8, 8)


def found(model, monkeypatch, *, narrow):
    """Loss and gradients of a step with dropout, and how many rows the last layer has seen."""
    monkeypatch.setattr(narrowed, "_MOST", 0.9 if narrow else 0.0)
    ids = torch.arange(20).view(2, 10) % 29
    inputs = {"input_ids": ids}
    if hasattr(model.config, "vision_config"):
        ids[1, 2:6] = 29
        inputs["pixel_values"] = IMAGE.double()
    labels = torch.full((2, 10), IGNORED)
    labels[[0, 0, 1, 1, 1], [3, 8, 0, 7, 9]] = torch.tensor([4, 7, 5, 6, 8])
    pieces = Pieces(np.array([7, 3]), np.array([10, 10]), np.array([1, 1]))
    seen = []
    inner = [m for m in model.modules() if "Norm" in type(m).__name__]
    hook = inner[-1].register_forward_hook(lambda *given: seen.append(given[2].shape[:-1].numel()))
    model.train()
    with dropout.masked(dropout.Masks(1, pieces, torch.device("cpu"))):
        loss = model.summed_loss(inputs, labels)
        slopes = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    hook.remove()
    return loss, slopes, seen


@pytest.mark.parametrize("make", [bert, gpt2, llama, llava])
def test_loss_gradients_and_masks_are_the_same(make, monkeypatch):
    torch.manual_seed(0)
    model = make().double()
    one, slopes, rows = found(model, monkeypatch, narrow=False)
    other, again, fewer = found(model, monkeypatch, narrow=True)
    assert model._can_narrow
    torch.testing.assert_close(other, one)
    for a, b in zip(again, slopes, strict=True):
        torch.testing.assert_close(a, b)
    # BERT's head is behind what adds and norms, others' last norm behind what is added.
    assert (rows[-1], fewer[-1]) == ((20, 5) if make is bert else (20, 20))


def test_a_model_of_experts_computes_all_places():
    config = MixtralConfig(**SMALL, **INNER, num_local_experts=2, num_key_value_heads=2)
    model = LanguageModel(MixtralForCausalLM(config))
    labels = torch.full((1, 10), IGNORED)
    labels[0, 2] = 1
    loss = model.summed_loss({"input_ids": torch.arange(10)[None]}, labels)
    assert torch.isfinite(loss)
