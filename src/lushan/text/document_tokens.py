"""Documents as tokens: what begins and ends one, and the pieces of a long one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lushan.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


@dataclasses.dataclass(frozen=True)
class Piece:
    """A part of a document.

    Attributes:
        start: Of its first token that is read.
        end: Behind the last token that is read; the one there is still predicted.
        skip: Predicted tokens at its beginning that the piece before has predicted, too.
    """

    start: int
    end: int
    skip: int


def cut(tokens: int, max_length: int, stride: int | None) -> Iterator[Piece]:
    """Yield pieces of a document of so many tokens in which each but the first is predicted once.

    Args:
        tokens: At least two.
        max_length: Of a piece.
        stride: Tokens at a piece's beginning that are context alone.
    """
    shared = min(stride or 0, max_length - 1)
    start, seen = 0, 0  # what has been predicted: tokens 1 to `seen`
    while seen < tokens - 1:
        end = min(start + max_length, tokens - 1)
        yield Piece(start, end, seen - start)
        seen, start = end, end - shared


def tokens_of(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[NDArray[np.int32]]:
    """Return token ids of texts, without any that the tokenizer would put around them."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()
    backend.no_padding()
    found = backend.encode_batch_fast(texts, add_special_tokens=False)
    return [np.asarray(encoding.ids, dtype=np.int32) for encoding in found]


def borders(tokenizer: PreTrainedTokenizerFast) -> tuple[int, int]:
    """Return the tokens that begin and end a document; one token may be both, as GPT-2's is.

    Raises:
        UserError: The tokenizer has nothing to end a text with.
    """
    end = tokenizer.eos_token_id
    if end is None:
        end = tokenizer.sep_token_id
    begin = tokenizer.bos_token_id
    if begin is None:
        begin = tokenizer.cls_token_id if tokenizer.eos_token_id is None else end
    if end is None or begin is None:
        raise UserError(
            "this tokenizer has no end-of-text token",
            key="processor",
            hint="Language models need an eos_token.",
        )
    return int(begin), int(end)
