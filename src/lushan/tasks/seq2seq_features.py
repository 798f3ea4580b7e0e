"""Features of encoder-decoders: pairs of source and target, and pieces that gaps are taken from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from lushan.errors import UserError
from lushan.tasks.batches import EXAMPLE, Features
from lushan.text.denoising import Spans
from lushan.text.document_tokens import tokens_of
from lushan.text.vocabulary import CLS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("labels", pa.list_(pa.int32())),
        ("reference", pa.int32()),
        *EXAMPLE,
        ("cut", pa.int32()),
        ("unknown_tokens", pa.int32()),
    ]
)


def encode_pairs(
    sources: Sequence[str],
    targets: Sequence[Sequence[str]] | None,
    first: int,
    tokenizer: PreTrainedTokenizerFast,
    *,
    max_length: int,
    max_target: int,
) -> Features:
    """Return a feature for each target of each source.

    Args:
        sources: With their prefix.
        targets: One or several of each; None where there are none.
        first: Number of the first source in its split.
        tokenizer: Of both sides.
        max_length: Tokens of a source; more are truncated, and counted.
        max_target: Tokens of a target, likewise.
    """
    features: Features = {field.name: [] for field in SCHEMA}
    unknown = tokenizer.unk_token_id
    read = tokenizer(list(sources), truncation=True, max_length=max_length)
    several = targets or [[] for _ in sources]
    written = iter(_targets(tokenizer, [t for texts in several for t in texts], max_target))
    for number, texts in enumerate(several):
        ids = read["input_ids"][number]
        cut_source = bool(read.encodings[number].overflowing)
        nothing: list[tuple[list[int], bool]] = [([], False)]
        for reference, (labels, cut) in enumerate([next(written) for _ in texts] or nothing):
            features["input_ids"].append(ids)
            features["labels"].append(labels)
            features["reference"].append(reference)
            features["length"].append(len(ids) + len(labels))
            features["targets"].append(len(labels))
            features["example"].append(first + number)
            features["cut"].append(int(cut) + int(cut_source and not reference))
            strange = labels.count(unknown) + (0 if reference else ids.count(unknown))
            features["unknown_tokens"].append(strange if unknown is not None else 0)
    return features


def encode_pieces(
    texts: list[str],
    first: int,
    tokenizer: PreTrainedTokenizerFast,
    *,
    spans: Spans,
    sentinels: int,
    max_length: int,
) -> Features:
    """Return features of raw text, in pieces that leave room for what stands in place of gaps.

    Args:
        texts: Documents.
        first: Number of the first one in its split.
        tokenizer: Its own special tokens are not used.
        spans: How much is taken out.
        sentinels: Tokens that can stand in place of a gap.
        max_length: Tokens of source and target each.

    Raises:
        UserError: Nothing fits into so few tokens, or there are too few sentinels.
    """
    features: Features = {field.name: [] for field in SCHEMA}
    unknown = tokenizer.unk_token_id
    longest = spans.longest(max_length - 1)  # both end in a token of their own
    _require_sentinels(spans, longest, sentinels, max_length)
    for number, ids in enumerate(tokens_of(tokenizer, texts)):
        for start in range(0, len(ids), longest):
            piece = ids[start : start + longest]
            source, target = spans.sizes(len(piece))
            features["input_ids"].append(piece)
            features["labels"].append([])
            features["reference"].append(0)
            features["length"].append(source + target + 2)
            features["targets"].append(target + 1)
            features["example"].append(first + number)
            features["cut"].append(0)
            features["unknown_tokens"].append(int((piece == unknown).sum()))
    return features


def _require_sentinels(spans: Spans, longest: int, sentinels: int, max_length: int) -> None:
    if not longest:
        raise UserError(
            "the limit is too small for any text", key="data.max_length", value=max_length
        )
    needed = spans.counts(longest)[1] + 1
    if needed > sentinels:
        raise UserError(
            f"texts of {longest} tokens have {needed - 1} masked spans and need {needed} sentinel "
            f"tokens, <extra_id_0> and so on, but the tokenizer has {sentinels}",
            key="processor",
            hint=f"Train a tokenizer with processor.sentinels={max(100, needed)} (T5's has 100), "
            f"or lower data.max_length.",
        )


def _targets(
    tokenizer: PreTrainedTokenizerFast, texts: list[str], longest: int
) -> list[tuple[list[int], bool]]:
    """Return token ids of targets, each with whether it was cut.

    A decoder begins with a token of its own: the `[CLS]` that tokenizers of BERT's kind put before
    a text is omitted. Others' first tokens (BART's) belong to what the model writes.
    """
    if not texts:
        return []
    drop = int(tokenizer.cls_token == CLS)
    found = tokenizer(text_target=texts, truncation=True, max_length=longest + drop)
    cut = [bool(encoding.overflowing) for encoding in found.encodings]
    return [(ids[drop:], lost) for ids, lost in zip(found["input_ids"], cut, strict=True)]
