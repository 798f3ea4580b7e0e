"""A Llama-like model in the format of llama.cpp, read back by transformers and compared.

GGUF: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. What it cannot hold is found by
reading it back, and refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from lushan.common.parsing import parse_json
from lushan.data.processing import require_tokenizer
from lushan.errors import RunFailed, UserError
from lushan.export.tracing import quietly
from lushan.export.written import Written
from lushan.models.exported import TEXTS, ExportSpec, are_same, distance_of
from lushan.run import remote_code

if TYPE_CHECKING:
    import gguf
    from transformers import PreTrainedTokenizerFast

FILE = "model.gguf"
_USAGE = f"""\
tokenizer = AutoTokenizer.from_pretrained("DIR", gguf_file="{FILE}")
model = AutoModelForCausalLM.from_pretrained("DIR", gguf_file="{FILE}")
# llama.cpp: llama-cli -m DIR/{FILE} -p "Once\""""
_SPACED = "Begin each text with a space: the original tokenizer added one, but GGUF readers do not."
_NORMAL, _CONTROL = 1, 3
"""Kinds of tokens."""


def _refused(problem: str) -> UserError:
    hint = "Remove --format to export for transformers."
    return UserError(problem, key="--format", value="gguf", hint=hint)


def write(spec: ExportSpec, folder: Path) -> Written:
    """Write a causal model and its tokenizer, in float32.

    Raises:
        UserError: It is no model of this form, or its tokenizer cannot be kept so.
        RunFailed: What is read back computes something else.
    """
    import gguf

    model: Any = spec.model
    config = model.config
    if spec.auto_class != "AutoModelForCausalLM" or config.model_type != "llama":
        raise _refused(f"a {config.model_type} ({spec.auto_class}) cannot be exported as GGUF")
    if (config.rope_parameters or {}).get("rope_type", "default") != "default":
        raise _refused("scaled positions cannot be exported")
    writer = gguf.GGUFWriter(folder / FILE, "llama")
    _write_config(writer, config)
    tokenizer = require_tokenizer(spec.processor)
    _write_tokenizer(writer, tokenizer)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        known = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if known is None:
            raise _refused(f"GGUF has no name for {name}")
        values = tensor.float().numpy()
        if (part := name.split(".")[-2]) in ("q_proj", "k_proj"):
            heads = config.num_attention_heads if part == "q_proj" else config.num_key_value_heads
            values = _interleaved(values, heads)
        writer.add_tensor(known, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    spaced = [_SPACED] if _adds_space(tokenizer) else []
    return Written(
        usage=_USAGE,
        notes=[f"{FILE} contains the model in float32 and its tokenizer.", *spaced, *spec.notes],
        proof=[_prove(spec, folder), *spaced],
        library="gguf",
        pipeline=spec.pipeline,
    )


def _write_config(writer: gguf.GGUFWriter, config: Any) -> None:
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_rope_dimension_count(width)
    writer.add_rope_freq_base(float((config.rope_parameters or {}).get("rope_theta", 1e4)))
    writer.add_vocab_size(config.vocab_size)


def _write_tokenizer(writer: gguf.GGUFWriter, tokenizer: PreTrainedTokenizerFast) -> None:
    """Write a byte-level BPE.

    Raises:
        UserError: It is another kind of tokenizer.
    """
    content = parse_json(tokenizer.backend_tokenizer.to_str(), bounded=False)
    model, before = content["model"], str(content["pre_tokenizer"])
    if model["type"] != "BPE" or "ByteLevel" not in before:
        raise _refused(f"its tokenizer is not a byte-level BPE but a {model['type']}")
    special = set(tokenizer.all_special_ids)
    tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([_CONTROL if n in special else _NORMAL for n in range(len(tokens))])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in model["merges"]])
    for name in ("bos", "eos", "pad", "unk"):
        if (number := getattr(tokenizer, f"{name}_token_id")) is not None:
            getattr(writer, f"add_{name}_token_id")(number)
    begins = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
    writer.add_add_bos_token(begins)
    writer.add_add_space_prefix(_adds_space(tokenizer))
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _adds_space(tokenizer: PreTrainedTokenizerFast) -> bool:
    """Return whether a tokenizer puts a space before a text without one; readers of GGUF do not."""
    plain, spaced = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in ("a", " a"))
    return bool(plain == spaced)


def _interleaved(weights: NDArray[Any], heads: int) -> NDArray[Any]:
    """Return queries or keys with the two halves of a head's width taken in turn, as ggml has them.

    llama.cpp, convert_hf_to_gguf.py, `LlamaModel.permute`.

    Args:
        weights: (heads * width, ...).
        heads: Of the queries, or of the keys.
    """
    halves = weights.reshape(heads, 2, weights.shape[0] // heads // 2, *weights.shape[1:])
    return halves.swapaxes(1, 2).reshape(weights.shape)


@torch.no_grad()
def _prove(spec: ExportSpec, folder: Path) -> str:
    import transformers

    library: Any = transformers
    with quietly():
        again = library.AutoModelForCausalLM.from_pretrained(
            folder, gguf_file=FILE, dtype=torch.float32, **remote_code.options()
        ).eval()
        tokenizer = library.AutoTokenizer.from_pretrained(
            folder, gguf_file=FILE, **remote_code.options()
        )
    found = spec.outputs(again, spec.processor)
    distance = distance_of(found, spec.expected)
    if not are_same(found, spec.expected):
        raise RunFailed(
            f"the exported file does not match the run's model: outputs differ by {distance:.2g} "
            f"of "
            "the largest one; nothing was written"
        )
    _require_same_ids(require_tokenizer(spec.processor), tokenizer)
    return f"transformers loads the same model and tokenizer; largest difference {distance:.1e}"


def _require_same_ids(own: PreTrainedTokenizerFast, read: PreTrainedTokenizerFast) -> None:
    """Make sure that a tokenizer that was read back gives the same tokens."""
    before = " " if _adds_space(own) else ""
    for text in TEXTS:
        if read(before + text)["input_ids"] != own(text)["input_ids"]:
            raise _refused(f"its tokenizer is not the same after loading: {text!r}")
