"""Tokenizers: the one that came with a checkpoint, or one trained on the training text.

Whatever their kind, they put `[CLS]` before a text and `[SEP]` behind each of its parts (a
checkpoint's: what it was trained with), take words that are already split, and are "fast".
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

from lushan.errors import RunFailed, UserError
from lushan.text import hub

Kind = Literal["wordpiece", "bpe", "unigram", "chars"]
Texts = Callable[[], Iterable[str]]

PAD, UNK, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_BYTES = 256


def pretrained(
    path: str,
    prefix_space: bool = True,
    *,
    texts: Texts,  # noqa: ARG001  (every tokenizer is built alike)
    cache_dir: Path,  # noqa: ARG001
) -> Any:
    """The tokenizer of a checkpoint.

    Args:
        path: A folder, `pkg://package/folder`, or a hub id.
        prefix_space: Byte-level tokenizers (RoBERTa, ModernBERT) read a text's first word, and
            every word of a sentence that is already split, as if a space stood before it. Others
            do not know the difference.
        texts: The training text; not used.
        cache_dir: Where trained tokenizers are kept; not used.

    Raises:
        UserError: There is none, or no fast one.
    """
    from transformers import AutoTokenizer

    place = hub.find(path, key="tokenizer.path")
    local = {"local_files_only": place.offline or not place.on_hub}
    with hub.explained(place, key="tokenizer.path", what="tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(place.path, **local)
    if not tokenizer.is_fast:
        raise UserError(
            "this tokenizer has no fast version, and only fast ones tell where words begin",
            key="tokenizer.path",
            value=path,
            hint="Convert it once: transformers' AutoTokenizer writes tokenizer.json where the "
            "packages sentencepiece or tiktoken are installed.",
        )
    _set_prefix_space(tokenizer, prefix_space)
    _complete(tokenizer, path)
    return tokenizer


def train(
    kind: Kind,
    vocab_size: int = 30000,
    lowercase: bool = False,
    min_frequency: int = 1,
    *,
    texts: Texts,
    cache_dir: Path,
) -> Any:
    """A tokenizer trained on the training text, from the cache where it was trained before.

    Args:
        kind: `wordpiece`, `bpe` (of bytes), `unigram` or `chars`.
        vocab_size: Tokens at most, special ones included.
        lowercase: Whether to lower all letters first.
        min_frequency: Pieces that the text has less often are left out; `unigram` weighs them
            otherwise and ignores it.
        texts: Gives the training text, as often as it is called.
        cache_dir: Where trained tokenizers are kept.

    Raises:
        UserError: There is no text, or the vocabulary is too small for the kind.
    """
    _check(kind, vocab_size, min_frequency)
    name = _fingerprint_of(texts, kind, vocab_size, lowercase, min_frequency)
    path = cache_dir / f"{kind}-{name}.json"
    if not path.exists():
        _write(path, _train(kind, vocab_size, lowercase, min_frequency, texts))
    return _wrap(path)


def fingerprint(tokenizer: Any) -> str:
    """A hash of everything that decides how a tokenizer splits."""
    state = json.loads(tokenizer.backend_tokenizer.to_str())
    # Truncation and padding are of the last call, not of the tokenizer.
    state.pop("truncation", None)
    state.pop("padding", None)
    rest = [tokenizer.special_tokens_map, tokenizer.model_input_names]
    text = json.dumps([state, rest], sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


# A checkpoint's


def _set_prefix_space(tokenizer: Any, wanted: bool) -> None:
    backend = tokenizer.backend_tokenizer
    state = json.loads(backend.to_str())
    changed = False
    for part in _parts(state.get("pre_tokenizer")):
        if part["type"] == "ByteLevel" and part["add_prefix_space"] != wanted:
            part["add_prefix_space"], changed = wanted, True
    if changed:
        from tokenizers import Tokenizer

        backend.pre_tokenizer = Tokenizer.from_str(json.dumps(state)).pre_tokenizer
    if hasattr(tokenizer, "add_prefix_space"):
        tokenizer.add_prefix_space = wanted


def _parts(node: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    if node is None:
        return
    if node["type"] == "Sequence":
        for part in node["pretokenizers"]:
            yield from _parts(part)
    else:
        yield node


def _complete(tokenizer: Any, path: str) -> None:
    """Give a decoder's tokenizer what it lacks; padding is masked, whatever token it is."""
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    if tokenizer.pad_token is None:
        raise UserError(
            "this tokenizer has neither a padding nor an end-of-text token",
            key="tokenizer.path",
            value=path,
        )
    if tokenizer.unk_token is None:
        # For words that its normalisation leaves nothing of; all others it knows byte by byte.
        tokenizer.unk_token = tokenizer.eos_token or tokenizer.pad_token


# Ours


def _check(kind: Kind, vocab_size: int, min_frequency: int) -> None:
    least = len(SPECIAL) + (_BYTES if kind == "bpe" else 1)
    if vocab_size < least:
        raise UserError(
            f"{kind} needs at least {least} tokens", key="tokenizer.vocab_size", value=vocab_size
        )
    if min_frequency < 1:
        raise UserError("must be at least 1", key="tokenizer.min_frequency", value=min_frequency)


def _fingerprint_of(texts: Texts, *options: object) -> str:
    import tokenizers

    code = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    digest = hashlib.sha256(json.dumps([*options, code, tokenizers.__version__]).encode())
    empty = True
    for text in texts():
        data = text.encode()
        digest.update(len(data).to_bytes(8, "little") + data)
        empty = empty and not text.strip()
    if empty:
        raise UserError(
            "the training split holds no text to train a tokenizer on",
            key="data.train",
            hint="Write tokenizer=pretrained with model=pretrained, or check the column's name.",
        )
    return digest.hexdigest()[:24]


def _train(kind: Kind, vocab_size: int, lowercase: bool, min_frequency: int, texts: Texts) -> Any:
    from tokenizers import Tokenizer, processors

    model, trainer, parts = _RECIPES[kind](vocab_size, min_frequency)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer, tokenizer.pre_tokenizer, tokenizer.decoder = parts(lowercase)
    tokenizer.train_from_iterator(texts(), trainer)
    cls, sep = tokenizer.token_to_id(CLS), tokenizer.token_to_id(SEP)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}",
        pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
        special_tokens=[(CLS, cls), (SEP, sep)],
    )
    return tokenizer


def _wordpiece(vocab_size: int, min_frequency: int) -> tuple[Any, Any, Any]:
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(SPECIAL),
        limit_alphabet=vocab_size,
        show_progress=False,
    )
    return (
        models.WordPiece(unk_token=UNK),
        trainer,
        lambda lowercase: (
            normalizers.BertNormalizer(lowercase=lowercase),
            pre_tokenizers.BertPreTokenizer(),
            decoders.WordPiece(),
        ),
    )


def _bpe(vocab_size: int, min_frequency: int) -> tuple[Any, Any, Any]:
    from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    return (
        models.BPE(unk_token=UNK),
        trainer,
        lambda lowercase: (
            normalizers.Lowercase() if lowercase else None,
            # With a space before it, a word is the same at a sentence's start and inside.
            pre_tokenizers.ByteLevel(add_prefix_space=True),
            decoders.ByteLevel(),
        ),
    )


def _unigram(vocab_size: int, min_frequency: int) -> tuple[Any, Any, Any]:  # noqa: ARG001
    from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

    trainer = trainers.UnigramTrainer(
        vocab_size=vocab_size,
        special_tokens=list(SPECIAL),
        unk_token=UNK,
        show_progress=False,
    )
    return (
        models.Unigram(),
        trainer,
        lambda lowercase: (
            normalizers.Sequence(
                [
                    normalizers.NFKC(),
                    normalizers.Replace(Regex(r"\s+"), " "),
                    *([normalizers.Lowercase()] if lowercase else []),
                ]
            ),
            pre_tokenizers.Metaspace(prepend_scheme="always"),
            decoders.Metaspace(),
        ),
    )


def _chars(vocab_size: int, min_frequency: int) -> tuple[Any, Any, Any]:
    from tokenizers import Regex, decoders, models, normalizers, pre_tokenizers, trainers

    trainer = trainers.WordLevelTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(SPECIAL),
        show_progress=False,
    )
    return (
        models.WordLevel(unk_token=UNK),
        trainer,
        lambda lowercase: (
            normalizers.Sequence(
                [
                    normalizers.Replace(Regex(r"\s+"), " "),
                    *([normalizers.Lowercase()] if lowercase else []),
                ]
            ),
            # Also a space is a character: it tells where words end.
            pre_tokenizers.Split(Regex(r"."), behavior="isolated"),
            decoders.Fuse(),
        ),
    )


_RECIPES: dict[str, Callable[[int, int], tuple[Any, Any, Any]]] = {
    "wordpiece": _wordpiece,
    "bpe": _bpe,
    "unigram": _unigram,
    "chars": _chars,
}


def _write(path: Path, tokenizer: Any) -> None:
    """Beside its final name, and renamed: two processes that train it at once get a whole one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix=".tmp-", suffix=".json", dir=path.parent)
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(tokenizer.to_str())
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise RunFailed(f"cannot write the tokenizer {path}: {error.strerror}") from error


def _wrap(path: Path) -> Any:
    import transformers

    fast: Any = transformers.PreTrainedTokenizerFast
    return fast(
        tokenizer_file=str(path),
        pad_token=PAD,
        unk_token=UNK,
        cls_token=CLS,
        sep_token=SEP,
        mask_token=MASK,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )
