"""Private names of transformers."""

import transformers
from transformers.distributed.fsdp import is_fsdp_managed_module

from lushan.compat.transformers import (
    attention_of,
    compiles_whole,
    is_auto_class,
    leave_generation_alone,
    models_of,
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
