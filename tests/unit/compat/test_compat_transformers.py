"""Private names of transformers."""

import sys
from pathlib import Path

import torch
import transformers
from torch.nn import init
from transformers.distributed.fsdp import is_fsdp_managed_module

from lushan.compat.transformers import (
    attention_of,
    caches_of,
    compiles_whole,
    is_auto_class,
    leave_generation_alone,
    loading,
    models_of,
    saving,
    set_attention,
    supports_sdpa,
)

SHAPE = {
    "vocab_size": 10,
    "hidden_size": 8,
    "intermediate_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
}


def model() -> transformers.PreTrainedModel:
    config = transformers.LlamaConfig(**SHAPE)
    return transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager")


def test_attention_of_a_model_and_its_layers() -> None:
    made = model()
    assert attention_of(made.config) == "eager"
    set_attention(made.config, "sdpa")
    assert attention_of(made.config) == "sdpa"
    assert attention_of(made.model.layers[0].self_attn.config) == "sdpa"
    assert attention_of(object()) is None


def test_what_classes_say_of_themselves() -> None:
    made = model()
    assert supports_sdpa(type(made))
    assert not supports_sdpa(transformers.DebertaV2Model)
    assert compiles_whole(made)
    assert not compiles_whole(object())
    assert hasattr(transformers.PreTrainedModel, "_can_compile_fullgraph")


def test_caches_are_made_of_a_class_of_layers_inside_alone() -> None:
    class Layer(transformers.cache_utils.DynamicLayer):
        pass

    made = model()
    ids = torch.tensor([[1, 2]])
    with caches_of(Layer):
        cache = made(input_ids=ids, use_cache=True).past_key_values
        assert type(transformers.DynamicCache(config=made.config).layers[0]) is Layer
    assert type(cache.layers[0]) is Layer
    assert Layer not in {type(one) for one in transformers.DynamicCache(config=made.config).layers}


def test_models_of_an_auto_class() -> None:
    assert is_auto_class(transformers.AutoModelForCausalLM)
    assert not is_auto_class(transformers.AutoTokenizer)
    found = models_of(transformers.AutoModelForCausalLM)
    assert found.get(transformers.LlamaConfig, None) is transformers.LlamaForCausalLM
    assert transformers.ViTConfig not in found


def test_generation_is_not_in_step() -> None:
    made = model()
    made._is_fsdp_managed_module = True  # as transformers' own FSDP2 does
    assert is_fsdp_managed_module(made)
    leave_generation_alone(made)
    assert not is_fsdp_managed_module(made)


def test_a_model_is_saved_and_loaded_as_without(tmp_path: Path) -> None:
    made, before = model(), (init.normal_, sys.modules.get("torch.distributed.tensor"))
    with saving():
        made.save_pretrained(tmp_path)
    torch.manual_seed(1)
    with loading():
        again = transformers.AutoModelForCausalLM.from_pretrained(tmp_path)
        assert init.ones_(torch.zeros(2)).sum() == 2  # what has storage is drawn
    assert (init.normal_, sys.modules.get("torch.distributed.tensor")) == before
    for name, weight in made.state_dict().items():
        assert torch.equal(weight, again.state_dict()[name])
