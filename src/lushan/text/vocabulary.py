"""Training of each kind of tokenizer; the same text gives the same tokenizer, id for id.

The trainers of the package tokenizers go through words in the order of a hash map, which is another
one in every process. Byte pairs and characters do not depend on it. For WordPiece the pieces of one
character, whose numbers decide between equally frequent pairs, are numbered here beforehand;
Unigram's probabilities differ in their last digits, and are rounded; the characters that it prunes
come back in any order, each a little more probable than the one before, and are made equal.
"""

from __future__ import annotations

import collections
import dataclasses
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from lushan.common.parsing import parse_json

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Kind = Literal["wordpiece", "bpe", "unigram", "chars"]
Texts = Callable[[], Iterable[str]]

PAD, UNK, CLS, SEP, MASK = SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
BYTES = 256
_PREFIX = "##"
_DIGITS = 3
"""Digits of a Unigram piece's log-probability: above the noise, below what decides a split."""
_RETURNED = 1e-4
"""Between the log-probabilities of two characters that Unigram's trainer has put back."""


@dataclasses.dataclass(frozen=True)
class Options:
    """Options that decide a tokenizer besides its text.

    Attributes:
        kind: `wordpiece`, `bpe`, `unigram` or `chars`.
        vocab_size: Tokens at most, special ones included.
        lowercase: Whether to lower all letters.
        min_frequency: Pieces that the text has less often are left out.
        sentinels: Tokens `<extra_id_0>`, `<extra_id_1>`, ... that stand for stretches of text.
        special_tokens: Further tokens that no text is split into.
        byte_fallback: Whether bytes stand for characters that are not in the vocabulary.
    """

    kind: Kind
    vocab_size: int
    lowercase: bool
    min_frequency: int
    sentinels: int = 0
    special_tokens: tuple[str, ...] = ()
    byte_fallback: bool = False

    @property
    def added(self) -> list[str]:
        """The tokens at the end of the vocabulary; the sentinels are the last ones, as in T5's."""
        return [*self.special_tokens, *map(sentinel, range(self.sentinels))]


def train(options: Options, texts: Texts) -> Tokenizer:
    """A trained `tokenizers.Tokenizer`, with `[CLS]` and `[SEP]` around every text."""
    from tokenizers import processors

    recipe = {"wordpiece": _wordpiece, "bpe": _bpe, "unigram": _unigram, "chars": _chars}
    rest = dataclasses.replace(options, vocab_size=options.vocab_size - len(options.added))
    tokenizer = recipe[options.kind](rest, texts)
    tokenizer.add_special_tokens(options.added)  # without any, nothing is another than it was
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{CLS} $A {SEP}",
        pair=f"{CLS} $A {SEP} $B:1 {SEP}:1",
        special_tokens=[(name, tokenizer.token_to_id(name)) for name in (CLS, SEP)],
    )
    return tokenizer


def forgets(node: Mapping[str, Any]) -> str | None:
    """Return what a tokenizer loses of nearly every text, by config; None where the text decides.

    Args:
        node: Of a config, in plain values.
    """
    if node.get("lowercase"):
        return "its tokenizer lower-cases every text"
    if node.get("kind") == "wordpiece":
        return "its tokenizer drops white space"
    return None


def sentinel(number: int) -> str:
    """A token that stands for a stretch of text, by T5's name."""
    return f"<extra_id_{number}>"


def _wordpiece(options: Options, texts: Texts) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.WordPiece(unk_token=UNK))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=options.lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=_PREFIX)
    # Each may begin a word and continue one.
    readable = _readable(options, texts, tokenizer, (options.vocab_size - len(SPECIAL)) // 2)
    trainer = trainers.WordPieceTrainer(
        vocab_size=options.vocab_size,
        min_frequency=options.min_frequency,
        # Special only so that they are numbered first, in this order.
        special_tokens=[*SPECIAL, *_continuing(readable, tokenizer.pre_tokenizer)],
        continuing_subword_prefix=_PREFIX,
        show_progress=False,
    )
    tokenizer.train_from_iterator(readable(), trainer)
    state = parse_json(tokenizer.to_str(), bounded=False)
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] in SPECIAL]
    return Tokenizer.from_str(json.dumps(state))


def _continuing(texts: Texts, pre_tokenizer: Any) -> list[str]:
    """The characters that stand inside words, as pieces."""
    pairs: set[tuple[str, str]] = set()
    for text in texts():
        pairs.update(itertools.pairwise(text))
    inside = {
        b
        for a, b in pairs
        if not (a.isspace() or b.isspace()) and len(pre_tokenizer.pre_tokenize_str(a + b)) == 1
    }
    return [_PREFIX + char for char in sorted(inside)]


def _bpe(options: Options, texts: Texts) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    if options.lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    # With a space before it, a word is the same at a text's start and inside.
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=options.vocab_size,
        min_frequency=options.min_frequency,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def _unigram(options: Options, texts: Texts) -> Tokenizer:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), *_plain(options)])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace()
    readable = _readable(options, texts, tokenizer, options.vocab_size - len(SPECIAL) - 1)
    trainer = trainers.UnigramTrainer(
        vocab_size=options.vocab_size,
        special_tokens=list(SPECIAL),
        unk_token=UNK,
        show_progress=False,
    )
    tokenizer.train_from_iterator(readable(), trainer)
    state = parse_json(tokenizer.to_str(), bounded=False)
    first, rest = state["model"]["vocab"][: len(SPECIAL)], state["model"]["vocab"][len(SPECIAL) :]
    rounded = [(piece, round(score, _DIGITS)) for piece, score in _level(rest)]
    state["model"]["vocab"] = first + sorted(rounded, key=lambda entry: (-entry[1], entry[0]))
    return Tokenizer.from_str(json.dumps(state))


def _level(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    """Give the characters that the trainer had pruned and put back one log-probability.

    It gives them the lowest one there is plus 0, 1, 2, ... times 0.0001, in a hash map's order.
    """
    lowest = min(score for _, score in pieces)
    steps = {piece: round((score - lowest) / _RETURNED) for piece, score in pieces}
    exact = {
        piece
        for piece, score in pieces
        if len(piece) == 1 and abs(lowest + steps[piece] * _RETURNED - score) < 1e-9
    }
    taken = {steps[piece] for piece in exact}
    without_gap = next(n for n in itertools.count() if n not in taken)
    returned = {piece for piece in exact if steps[piece] < without_gap}
    return [(piece, lowest if piece in returned else score) for piece, score in pieces]


def _chars(options: Options, texts: Texts) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    if options.byte_fallback:
        return _chars_and_bytes(options, texts)
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNK))
    tokenizer.normalizer = normalizers.Sequence(_plain(options))
    # Also a space is a character: it marks where words end.
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("."), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    trainer = trainers.WordLevelTrainer(
        vocab_size=options.vocab_size,
        min_frequency=options.min_frequency,
        special_tokens=list(SPECIAL),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts(), trainer)
    return tokenizer


def _chars_and_bytes(options: Options, texts: Texts) -> Tokenizer:
    """Characters, the rare ones spelt in bytes; white space stays, so that every text comes back.

    A model of pairs that has no pair: the package's models of words do not fall back on bytes.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    counts: collections.Counter[str] = collections.Counter()
    for text in texts():
        counts.update(text.lower() if options.lowercase else text)
    ranked = sorted(counts, key=lambda char: (-counts[char], char))
    room = options.vocab_size - len(SPECIAL) - BYTES
    kept = [char for char in ranked[:room] if counts[char] >= options.min_frequency]
    names = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(BYTES)), *kept]
    vocab = {name: number for number, name in enumerate(names)}
    tokenizer = Tokenizer(models.BPE(vocab, [], unk_token=UNK, byte_fallback=True))
    tokenizer.add_special_tokens(list(SPECIAL))
    if options.lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


def _plain(options: Options) -> list[Any]:
    """Normalizers: one space for any white space, and lower letters if asked."""
    from tokenizers import Regex, normalizers

    spaces = normalizers.Replace(Regex(r"\s+"), " ")
    return [spaces, normalizers.Lowercase()] if options.lowercase else [spaces]


def _readable(options: Options, texts: Texts, tokenizer: Tokenizer, room: int) -> Texts:
    """The texts, normalised, with spaces for characters that are too rare to become pieces.

    They are the unknown token's, which learns its vector from them. At most `room` characters stay,
    the most frequent ones.
    """
    normalise = tokenizer.normalizer.normalize_str
    counts: collections.Counter[str] = collections.Counter()
    for text in texts():
        counts.update(normalise(text))
    ranked = sorted(counts, key=lambda char: (-counts[char], char))
    kept = {char for char in ranked[:room] if counts[char] >= options.min_frequency}
    without = {ord(char): " " for char in ranked if char not in kept}

    def read() -> Iterator[str]:
        for text in texts():
            yield normalise(text).translate(without)

    return read
