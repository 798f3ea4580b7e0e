"""Questions and their contexts as tokens: a context that is too long is read in several windows."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

NOWHERE = (-1, -1)
"""The place of a token that is not of the context."""


@dataclasses.dataclass(frozen=True)
class Window:
    """A question, and as much of its context as fits.

    Attributes:
        ids: Tokens of both, with the tokenizer's special ones.
        segments: Of each token, as `token_type_ids`.
        places: Of each token the characters [start, end) of the context, without the blanks around
            them; `NOWHERE` of blanks and of the question.
    """

    ids: list[int]
    segments: list[int]
    places: list[tuple[int, int]]

    def tokens_of(self, start: int, end: int) -> tuple[int, int] | None:
        """Return the first and the last token of a stretch of the context; None if not all here."""
        covered = [i for i, (a, b) in enumerate(self.places) if a >= 0 and a < end and b > start]
        if not covered or self.places[covered[0]][0] > start or self.places[covered[-1]][1] < end:
            return None
        return covered[0], covered[-1]


def windows(
    tokenizer: PreTrainedTokenizerFast,
    questions: Sequence[str],
    contexts: Sequence[str],
    max_length: int,
    stride: int | None,
) -> list[list[Window]]:
    """Return the windows of each question, in the order of the context.

    Args:
        tokenizer: A fast one.
        questions: Short enough that some of a context fits beside each.
        contexts: One a question.
        max_length: Tokens of a window.
        stride: Tokens of the context that neighbouring windows share; None is none.
    """
    read = tokenizer(
        list(questions),
        list(contexts),
        truncation="only_second",
        max_length=max_length,
        stride=stride or 0,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_token_type_ids=True,
    )
    found: list[list[Window]] = [[] for _ in questions]
    for number, question in enumerate(read["overflow_to_sample_mapping"]):
        offsets, parts = read["offset_mapping"][number], read.sequence_ids(number)
        places = [
            trimmed(contexts[question], start, end) if part == 1 else NOWHERE
            for (start, end), part in zip(offsets, parts, strict=True)
        ]
        ids, segments = read["input_ids"][number], read["token_type_ids"][number]
        found[question].append(Window(ids, segments, places))
    return found


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """Return a span without the blanks around it, which some tokens have; `NOWHERE` of blanks."""
    whole = text[start:end]
    kept = whole.strip()
    if not kept:
        return NOWHERE
    start += len(whole) - len(whole.lstrip())
    return start, start + len(kept)


def truncated(
    tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], most: int
) -> tuple[list[str], list[bool]]:
    """Return texts of so many tokens at most, and whether each was truncated."""
    read = tokenizer(list(texts), add_special_tokens=False, return_offsets_mapping=True)
    found, cut = [], []
    for text, places in zip(texts, read["offset_mapping"], strict=True):
        cut.append(len(places) > most)
        found.append(text[: places[most - 1][1] if most else 0] if cut[-1] else text)
    return found, cut
