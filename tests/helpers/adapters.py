"""Tiny models of every kind, and every way to adapt one."""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import peft
import pytest
import torch
import transformers
from torch import Tensor

from lushan.models import encoders
from lushan.models.peft.adalora import AdaLora
from lushan.models.peft.bottleneck import Bottleneck
from lushan.models.peft.methods import adapt
from tests.helpers import backbones

VOCABULARY = 60
SMALL = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 48,
}

MODELS: dict[str, tuple[str, Callable[..., Any]]] = {
    "bert": ("encoder", functools.partial(transformers.BertConfig, **SMALL)),
    "masked": ("masked_lm", functools.partial(transformers.BertConfig, **SMALL)),
    "gpt2": (
        "causal_lm",
        functools.partial(transformers.GPT2Config, n_embd=32, n_layer=2, n_head=2, n_positions=64),
    ),
    "llama": (
        "causal_lm",
        functools.partial(transformers.LlamaConfig, num_key_value_heads=1, **SMALL),
    ),
    "t5": (
        "seq2seq_lm",
        functools.partial(
            transformers.T5Config, d_model=32, num_layers=1, num_heads=2, d_kv=16, d_ff=48
        ),
    ),
}
"""Name to what it is for, and its config."""

METHODS: dict[str, Callable[[], Any]] = {
    "lora": peft.LoraConfig,
    "dora": functools.partial(peft.LoraConfig, use_dora=True, target_modules="all-linear"),
    "rslora": functools.partial(peft.LoraConfig, use_rslora=True, r=16),
    "adalora": functools.partial(AdaLora, init_r=4, target_r=2),
    "ia3": peft.IA3Config,
    "bottleneck": functools.partial(Bottleneck, size=8),
    "prefix": functools.partial(peft.PrefixTuningConfig, num_virtual_tokens=4),
    "projected": functools.partial(
        peft.PrefixTuningConfig, num_virtual_tokens=4, prefix_projection=True
    ),
    "prompt": functools.partial(peft.PromptTuningConfig, num_virtual_tokens=4),
}
MERGED = ("lora", "dora", "rslora", "adalora", "ia3")
BEFORE = ("prefix", "projected", "prompt")
"""Methods that put something before the text: they do not begin as the base."""

_QUICK = {
    "bert": ("adalora", "bottleneck"),
    "gpt2": ("ia3",),
    "llama": ("lora",),
    "masked": (),
    "t5": ("prompt",),
}
_VARIANTS = ("dora", "rslora", "projected")
"""Methods of peft's that are another one in all but a formula."""


def _pairs() -> Iterator[Any]:
    for method, model in itertools.product(METHODS, MODELS):
        if method in ("prefix", "projected") and model == "masked":
            continue  # BERT's masked language model takes no keys and values
        slow = [] if method in _QUICK[model] else [pytest.mark.slow]
        long = [pytest.mark.long] if method in _VARIANTS and model not in ("bert", "t5") else []
        yield pytest.param(method, model, id=f"{method}-{model}", marks=[*slow, *long])


PAIRS = list(_pairs())
"""Methods with models, those that differ most among the quick tests."""


def fresh(model: str, seed: int = 0, **options: Any) -> Any:
    """A model with random weights, that dropout leaves alone."""
    torch.manual_seed(seed)
    purpose, config = MODELS[model]
    made: Any = encoders.fresh(
        config,
        vocab_size=VOCABULARY,
        pad_token_id=0,
        special=backbones.SPECIAL[purpose],
        **backbones.USES[purpose],
        **options,
    )
    return made.eval()


def adapted(method: str, model: str, seed: int = 0, **options: Any) -> Any:
    """The same with an adapter."""
    encoder = fresh(model, seed, **options)
    torch.manual_seed(1)
    return adapt(METHODS[method](), encoder=encoder, auto_class=auto_class(model))


def auto_class(model: str) -> str:
    """Return the Auto class of one of these models."""
    return backbones.auto_class(MODELS[model][0])


def shaken(encoder: Any) -> Any:
    """With weights of the adapter that are far from where they began."""
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for weight in encoder.parameters():
            if weight.requires_grad:
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.2)
    return encoder


def inputs(model: str) -> dict[str, Tensor]:
    """Three texts, two of them shorter, padded on the right."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(3, VOCABULARY, (3, 9), generator=generator)
    mask = torch.arange(9) < torch.tensor([[9], [5], [2]])
    given = {"input_ids": ids * mask, "attention_mask": mask.long()}
    if MODELS[model][0] == "seq2seq_lm":
        given["decoder_input_ids"] = (ids * mask).roll(1, 1)
    return given


def outputs(encoder: Any, given: dict[str, Tensor]) -> Tensor:
    """Hidden states of an encoder, logits of a language model; zero where there is padding."""
    found = encoder(**given)
    found = found if isinstance(found, Tensor) else found.logits
    return found * given["attention_mask"][:, :, None]


def loss(encoder: Any, model: str) -> Tensor:
    """Something to learn."""
    given = inputs(model)
    if MODELS[model][0] == "encoder":
        found = outputs(encoder, given)
        target = torch.linspace(-1, 1, found.shape[-1]) * given["attention_mask"][:, :, None]
        return (found - target).pow(2).sum() / 100
    return encoder.summed_loss(given, given["input_ids"]) / 10


def base_of(encoder: Any) -> dict[str, Tensor]:
    """The frozen weights, by name."""
    named = encoder.named_parameters(remove_duplicate=False)
    return {n: p.detach().clone() for n, p in named if n in encoder.adaptation.frozen}


def copied(encoder: Any) -> Any:
    """A copy that shares nothing."""
    return copy.deepcopy(encoder)
