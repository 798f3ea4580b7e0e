"""Tokenizers: the one that came with a checkpoint, or one trained on the training text.

Whatever their kind, they put `[CLS]` before a text and `[SEP]` behind each of its parts (a
checkpoint's: what it was trained with), take words that are already split, and are "fast".
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from lushan.common.parsing import parse_json
from lushan.configurable import Within, configurable
from lushan.errors import UserError
from lushan.run.caches import provide, replacing
from lushan.text import vocabulary
from lushan.text.vocabulary import BYTES, CLS, MASK, PAD, SEP, SPECIAL, UNK, Kind, Options, Texts

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

FILES = ("tokenizer_config.json", "tokenizer.json")
"""Files of every tokenizer that is stored with a run."""

MOST_TOKENS = 10_000_000
"""Tokens of a vocabulary: its trainer takes the memory for all of them at the beginning."""


def adapt(tokenizer: PreTrainedTokenizerFast, path: str, *, prefix_space: bool) -> None:
    """Make sure of a checkpoint's tokenizer, and give it what it lacks.

    Args:
        tokenizer: Of transformers.
        path: Where it comes from.
        prefix_space: Whether a byte-level one reads each first word as behind a space.

    Raises:
        UserError: It has no fast version, or holds no tokens.
    """
    if not tokenizer.is_fast:
        raise UserError(
            "this tokenizer has no fast version, but word positions need one",
            key="processor.path",
            value=path,
            hint="Tokenizers of bytes or characters (ByT5, CANINE) have no fast version; choose "
            "another model.",
        )
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        # What transformers makes of a folder that has a config.json and no tokenizer.
        raise UserError(
            "it contains no tokenizer",
            key="processor.path",
            value=path,
            hint="The folder needs tokenizer.json. processor.path can be another folder.",
        )
    _set_prefix_space(tokenizer, prefix_space)
    _complete(tokenizer, path)


@configurable
def train(
    kind: Kind,
    vocab_size: Annotated[int, Within(most=MOST_TOKENS)] = 30000,
    lowercase: bool = False,
    min_frequency: Annotated[int, Within(least=1)] = 2,
    sentinels: Annotated[int, Within(least=0, most=MOST_TOKENS)] = 0,
    special_tokens: list[str] | None = None,
    byte_fallback: bool = False,
    *,
    texts: Texts,
    cache_dir: Path,
) -> PreTrainedTokenizerFast:
    """A tokenizer trained on the training text, from the cache where it was trained before.

    Args:
        kind: `wordpiece`, `bpe` (byte-level), `unigram` or `chars`.
        vocab_size: Maximum vocabulary size, including special tokens.
        lowercase: Whether to lower-case the text; `wordpiece` then also strips accents, as in BERT.
        min_frequency: Minimum frequency of a character, below which it is unknown, and of a new
            token. `bpe` covers every byte, and `byte_fallback` every character.
        sentinels: Number of tokens `<extra_id_0>`, `<extra_id_1>`, ... at the end of the
            vocabulary, for task=seq2seq task.objective=spans; T5 has 100.
        special_tokens: More special tokens, such as those of a chat template:
            `['<|im_start|>','<|im_end|>']`.
        byte_fallback: For `chars`: encode unknown characters as bytes, and keep white space.
            Encoding is lossless, so that bits per byte can be compared.
        texts: Callable that yields the training text; can be called repeatedly.
        cache_dir: Cache folder of trained tokenizers.

    Raises:
        UserError: There is no text, or the vocabulary is too small for the kind.
    """
    more = tuple(special_tokens or ())
    options = Options(
        kind, vocab_size, lowercase, min_frequency, sentinels, more, byte_fallback=byte_fallback
    )
    _check(options)
    path = cache_dir / f"{kind}-{_fingerprint_of(options, texts)}.json"
    provide(path, lambda: _write(path, vocabulary.train(options, texts)))
    return _wrap(path, options.added)


def fingerprint(tokenizer: PreTrainedTokenizerFast) -> str:
    """Return a hash of everything that decides how a tokenizer splits."""
    state = parse_json(tokenizer.backend_tokenizer.to_str(), bounded=False)
    # Truncation and padding are of the last call, not of the tokenizer.
    state.pop("truncation", None)
    state.pop("padding", None)
    rest = [tokenizer.special_tokens_map, tokenizer.model_input_names]
    text = json.dumps([state, rest], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


# A checkpoint's


def _set_prefix_space(tokenizer: PreTrainedTokenizerFast, wanted: bool) -> None:
    from tokenizers import Tokenizer

    backend = tokenizer.backend_tokenizer
    state = parse_json(backend.to_str(), bounded=False)
    parts = [*_parts(state["pre_tokenizer"]), *_parts(state["post_processor"])]
    changed = [p for p in parts if p.get("add_prefix_space", wanted) != wanted]
    # SentencePiece's mark of a space: a checkpoint's own way stands where one is wanted.
    marked = [p for p in parts if not wanted and p.get("prepend_scheme", "never") != "never"]
    if not changed and not marked:
        return
    for part in changed:
        part["add_prefix_space"] = wanted
    for part in marked:
        part["prepend_scheme"] = "never"
    rebuilt = Tokenizer.from_str(json.dumps(state))
    backend.pre_tokenizer = rebuilt.pre_tokenizer
    backend.post_processor = rebuilt.post_processor
    # Saved with it: some classes build their parts again from these when they are read.
    tokenizer.add_prefix_space = tokenizer.init_kwargs["add_prefix_space"] = wanted


def _parts(node: dict[str, Any] | None) -> list[dict[str, Any]]:
    """A step of a tokenizer, or the steps in it."""
    if node is None:
        return []
    inner = node.get("pretokenizers") or node.get("processors")
    return [node] if inner is None else [part for n in inner for part in _parts(n)]


def _complete(tokenizer: PreTrainedTokenizerFast, path: str) -> None:
    """Give a decoder's tokenizer what it lacks; padding is masked, whatever token it is."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise UserError(
            "this tokenizer has neither a padding nor an end-of-text token",
            key="processor.path",
            value=path,
        )
    if tokenizer.unk_token is None:
        # For words that its normalisation leaves nothing of; all others it knows byte by byte.
        tokenizer.unk_token = tokenizer.eos_token or tokenizer.pad_token


# Ours


def _check(options: Options) -> None:
    if options.byte_fallback and options.kind != "chars":
        raise UserError(
            f"requires kind chars, not {options.kind}",
            key="processor.byte_fallback",
            value=True,
            hint="bpe already covers every byte." if options.kind == "bpe" else None,
        )
    in_bytes = options.kind == "bpe" or options.byte_fallback
    least = len(SPECIAL) + (BYTES if in_bytes else 3) + len(options.added)
    if options.vocab_size < least:
        with_them = f" with {options.sentinels} sentinels" if options.sentinels else ""
        if options.special_tokens:
            with_them += f" with {len(options.special_tokens)} special ones"
        raise UserError(
            f"{options.kind} needs at least {least} tokens{with_them}",
            key="processor.vocab_size",
            value=options.vocab_size,
        )
    for number, token in enumerate(options.special_tokens):
        others = [*SPECIAL, *options.added[:number], *options.added[number + 1 :]]
        if not token.strip() or token in others:
            raise UserError(
                "special tokens must be different, and not among the standard ones",
                key="processor.special_tokens",
                value=token,
            )


def _fingerprint_of(options: Options, texts: Texts) -> str:
    import tokenizers

    code = Path(vocabulary.__file__).read_bytes()
    parts = [dataclasses.asdict(options), tokenizers.__version__, hashlib.sha256(code).hexdigest()]
    digest = hashlib.sha256(json.dumps(parts).encode())
    empty = True
    for text in texts():
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
        empty = empty and not text.strip()
    if empty:
        raise UserError(
            "the training split has no text to train a tokenizer on",
            key="data.train",
            hint="Is it the right column? model=pretrained has its own tokenizer.",
        )
    return digest.hexdigest()[:24]


def _write(path: Path, tokenizer: Tokenizer) -> None:
    with replacing(path) as file:
        file.write(tokenizer.to_str().encode("utf-8"))


def _wrap(path: Path, extra: list[str]) -> PreTrainedTokenizerFast:
    import transformers

    fast: Any = transformers.PreTrainedTokenizerFast
    return fast(
        tokenizer_file=str(path),
        pad_token=PAD,
        unk_token=UNK,
        cls_token=CLS,
        sep_token=SEP,
        # What language models begin and end a text with.
        bos_token=CLS,
        eos_token=SEP,
        mask_token=MASK,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        **({"extra_special_tokens": extra} if extra else {}),
    )


def affixes(tokenizer: PreTrainedTokenizerFast) -> tuple[list[int], list[int]]:
    """Return the special tokens that a tokenizer puts before and after a single text."""
    probe = tokenizer("a", return_special_tokens_mask=True)
    mask, ids = probe["special_tokens_mask"], probe["input_ids"]
    real = [i for i, special in enumerate(mask) if not special]
    if not real:  # "a" itself is unknown, and unknown counts as special: [CLS] [UNK] [SEP]
        plain = tokenizer("a", add_special_tokens=False)["input_ids"]
        start = next(i for i in range(len(ids)) if ids[i : i + len(plain)] == plain)
        real = list(range(start, start + len(plain)))
    return list(ids[: real[0]]), list(ids[real[-1] + 1 :])
