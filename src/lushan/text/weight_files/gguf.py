"""GGUF: weights, tokenizer and settings of a language model in one file.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import Any

from lushan.common import extras
from lushan.common.parsing import parse_json
from lushan.compat.transformers import models_of, silenced
from lushan.errors import UserError, first_line
from lushan.run import remote_code
from lushan.text.weight_files.parts import Parts

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Type of a value to its bytes; 8 is a string and 9 an array."""
_STRING, _ARRAY = 8, 9
_MOST_VALUES = 4_000_000
"""Values in all arrays together: a vocabulary of 300,000 has three arrays of that length."""
_MOST_NAMED = 1_000_000
"""Keys or tensors."""
_NEEDED = ("gguf", "accelerate")


def unpack(file: Path, folder: Path, *, key: str) -> None:
    """Write what a GGUF file holds to a folder, dequantised to float32, by transformers.

    Raises:
        UserError: It is malformed, of an architecture that transformers does not read from GGUF, or
            a package is missing.
    """
    extras.require("gguf", *_NEEDED, what="reading a GGUF file", key=key, file=file)
    tensors, numbers = require_sound(file, key=key)
    try:
        with silenced(), contextlib.redirect_stderr(io.StringIO()):  # a progress bar of its own
            _unpack(file, folder, tensors, numbers)
    except UserError:
        raise
    except Exception as error:  # what others made may be anything, and so is what it makes fail
        raise UserError(
            f"transformers cannot read this GGUF file: {first_line(error)}", key=key, file=file
        ) from error


def _unpack(file: Path, folder: Path, tensors: int, numbers: int) -> None:
    import torch
    import transformers

    # Of a place that holds nothing else: beside a file may lie settings that are not its own.
    options: dict[str, Any] = {"gguf_file": str(file.absolute()), "local_files_only": True}
    place = str(folder)
    config = transformers.AutoConfig.from_pretrained(place, **options, **remote_code.options())
    kind: Any = transformers.AutoModelForCausalLM
    if config.is_encoder_decoder:
        kind = transformers.AutoModelForSeq2SeqLM
    elif type(config) not in models_of(kind):
        kind = transformers.AutoModel
    if (layers := getattr(config.get_text_config(), "num_hidden_layers", 0)) > tensors:
        raise ValueError(f"{layers} layers of {tensors} tensors")
    with torch.device("meta"):
        empty = kind.from_config(config, **remote_code.options())
    size = sum(weight.numel() for weight in empty.parameters())
    if size > 2 * numbers:
        raise ValueError(f"it describes a model of {size} weights, but contains {numbers}")
    tokenizer: Any = transformers.AutoTokenizer.from_pretrained(
        place, **options, **remote_code.options()
    )
    model, found = kind.from_pretrained(
        place,
        config=config,
        dtype=torch.float32,
        quantization_config=transformers.GgufConfig(dequantize=True),
        output_loading_info=True,
        **options,
        **remote_code.options(),
    )
    if found["missing_keys"]:
        raise ValueError(f"it lacks weights: {', '.join(sorted(found['missing_keys'])[:3])}")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _remove_added(folder, config.get_text_config().vocab_size)


def _remove_added(folder: Path, vocab_size: int) -> None:
    """Remove the tokens that transformers adds to a byte-level vocabulary which lacks them.

    There are no embeddings for `<|endoftext|>` where a file has not got it.
    """
    place = folder / "tokenizer.json"
    state = parse_json(place.read_bytes(), bounded=False)
    kept = [token for token in state["added_tokens"] if token["id"] < vocab_size]
    if len(kept) == len(state["added_tokens"]):
        return
    known = {token["content"] for token in kept} | state["model"]["vocab"].keys()
    place.write_text(json.dumps(state | {"added_tokens": kept}), encoding="utf-8")
    place = folder / "tokenizer_config.json"
    settings = {
        name: value
        for name, value in parse_json(place.read_bytes()).items()
        if not name.endswith("_token") or not isinstance(value, str) or value in known
    }
    place.write_text(json.dumps(settings, indent=2), encoding="utf-8")


def require_sound(file: Path, *, key: str) -> tuple[int, int]:
    """Make sure that what a file says of itself fits into it, before anything is made by it.

    Returns:
        How many tensors it holds, and how many numbers are in all of them.
    """
    parts = Parts(file, key)
    _, version, tensors, values = parts.numbers("4sIQQ")
    if version not in (2, 3):
        raise parts.malformed(f"version {version} of GGUF is not known")
    if max(tensors, values) > _MOST_NAMED:
        raise parts.malformed(f"it lists {tensors} tensors and {values} values")
    left = _MOST_VALUES
    for _ in range(values):
        _string(parts)
        left = _skip_value(parts, parts.number("I"), left)
    found = [_tensor(parts) for _ in range(tensors)]
    if max((end for _, end in found), default=0) > parts.left:
        raise parts.malformed("tensors lie beyond its end")
    return tensors, sum(size for size, _ in found)


def _string(parts: Parts) -> None:
    parts.skip(parts.number("Q"))


def _skip_value(parts: Parts, kind: int, left: int) -> int:
    """Go past a value, and return how many values arrays may hold from there on."""
    if kind == _STRING:
        _string(parts)
    elif kind == _ARRAY:
        inner, count = parts.numbers("IQ")
        if count > left:
            raise parts.malformed("its arrays have too many values")
        left -= count
        if inner == _STRING:
            for _ in range(count):
                _string(parts)
        else:
            parts.skip(count * _size(parts, inner))
    else:
        parts.skip(_size(parts, kind))
    return left


def _size(parts: Parts, kind: int) -> int:
    if kind not in _SIZES:
        raise parts.malformed(f"{kind} is not a type of a value")
    return _SIZES[kind]


def _tensor(parts: Parts) -> tuple[int, int]:
    """Return how many numbers a tensor holds, and its end, counted from where the first begins."""
    import gguf

    _string(parts)
    dimensions = parts.number("I")
    if not 0 <= dimensions <= 4:
        raise parts.malformed(f"a tensor has {dimensions} dimensions")
    size = 1
    for length in parts.numbers(f"{dimensions}Q"):
        size *= length
    kind, start = parts.numbers("IQ")
    try:
        block, held = gguf.GGML_QUANT_SIZES[gguf.GGMLQuantizationType(kind)]
    except (ValueError, KeyError) as error:
        raise parts.malformed(f"{kind} is not a type of a tensor") from error
    return size, start + size // block * held
