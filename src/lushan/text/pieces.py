"""Text as tokens that end where they must, with stretches that are text whatever they contain.

A tokenizer takes a text as one: a token may reach over the place where an answer begins, which a
model could then never generate, and what a user wrote may look like a token that ends a turn. Both
are rare, and what they concern is encoded piece by piece; everything else in one call.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedTokenizerFast

Offsets = list[tuple[int, int]]

_ANCHORS = ("\n", ":", "a", "一")
"""Written before a piece, so that a tokenizer does not take it for the beginning of a text."""


class Forged(ValueError):
    """A text that a tokenizer cannot but read as one of its control tokens."""


@dataclasses.dataclass(frozen=True)
class Marked:
    """A text with places.

    Attributes:
        text: What is encoded.
        borders: Places at which no token may reach over.
        plain: Stretches [start, end) in which there are no control tokens, only text.
    """

    text: str
    borders: Sequence[int] = ()
    plain: Sequence[tuple[int, int]] = ()


@dataclasses.dataclass(frozen=True)
class Pieces:
    """Encodes marked texts.

    Attributes:
        tokenizer: A fast one.
        control: The texts of the tokens that must not come out of a plain stretch.
    """

    tokenizer: PreTrainedTokenizerFast
    control: Collection[str]

    def encode(self, marked: Sequence[Marked]) -> list[tuple[list[int], Offsets]]:
        """Token ids, and the characters [start, end) of each; no special token is added.

        Raises:
            Forged: A plain stretch is a control token however it is encoded.
        """
        if not marked:
            return []
        found = self._call([m.text for m in marked])
        whole = zip(marked, found["input_ids"], found["offset_mapping"], strict=True)
        encoded = []
        for m, ids, offsets in whole:
            is_crossed = m.plain or self._crossed(m.text, ids, offsets, m.borders) is not None
            encoded.append(self._by_piece(m) if is_crossed else (ids, offsets))
        return encoded

    def _call(self, texts: list[str], *, plain: bool = False) -> BatchEncoding:
        return self.tokenizer(
            texts,
            add_special_tokens=False,
            return_offsets_mapping=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            split_special_tokens=plain,
        )

    def _crossed(
        self, text: str, ids: Sequence[int], offsets: Offsets, borders: Sequence[int]
    ) -> int | None:
        """The first border that a token reaches over, or may."""
        starts = [start for start, _ in offsets]
        for border in borders:
            if text[border - 1 : border].isspace() and text[border : border + 1].isspace():
                return border  # some tokenizers make one of several blanks
            at = bisect.bisect_left(starts, border)  # the first token that begins there or later
            if at and offsets[at - 1][0] < border < offsets[at - 1][1]:
                return border
            # Some tokenizers leave the blank before a word out of the word's place.
            bare = at < len(starts) and starts[at] == border > 0 and text[border - 1] == " "
            if bare and (not at or offsets[at - 1][1] < border):
                token = str(self.tokenizer.convert_ids_to_tokens(ids[at]))
                if token.startswith(("Ġ", "▁")):
                    return border
        return None

    def _by_piece(self, marked: Marked) -> tuple[list[int], Offsets]:
        ids: list[int] = []
        offsets: Offsets = []
        for start, end, plain in _stretches(marked):
            if plain:
                more, places = self._as_text(marked, start, end)
            else:
                more, places = self._within(marked, start, end)
            ids += more
            offsets += places
        return ids, offsets

    def _within(self, marked: Marked, start: int, end: int) -> tuple[list[int], Offsets]:
        """A stretch, cut at each border that a token of it reaches over."""
        ids, offsets = self._continued(marked, start, end)
        inside = [border for border in marked.borders if start < border < end]
        border = self._crossed(marked.text, ids, offsets, inside)
        if border is None:
            return ids, offsets
        left, right = self._within(marked, start, border), self._within(marked, border, end)
        return left[0] + right[0], left[1] + right[1]

    def _continued(
        self, marked: Marked, start: int, end: int, *, plain: bool = False
    ) -> tuple[list[int], Offsets]:
        """A stretch as what it is: the continuation of the text before it."""
        piece = marked.text[start:end]
        begins = self._begins(marked, start)
        for anchor in ("",) if begins else (marked.text[start - 1], *_ANCHORS):
            found = self._call([anchor + piece], plain=plain)
            ids, offsets = found["input_ids"][0], found["offset_mapping"][0]
            width = len(anchor)
            first = next((i for i, (_, stop) in enumerate(offsets) if stop > width), len(ids))
            if first == len(ids) or offsets[first][0] >= width:
                moved = [(a - width + start, b - width + start) for a, b in offsets[first:]]
                return list(ids[first:]), moved
        found = self._call([piece], plain=plain)
        moved = [(a + start, b + start) for a, b in found["offset_mapping"][0]]
        return list(found["input_ids"][0]), moved

    def _begins(self, marked: Marked, start: int) -> bool:
        """Return whether the tokenizer starts over at a place: first, or after a control token."""
        if any(a < start <= b for a, b in marked.plain):
            return False
        return start == 0 or any(marked.text.endswith(token, 0, start) for token in self.control)

    def _as_text(self, marked: Marked, start: int, end: int) -> tuple[list[int], Offsets]:
        """A stretch without control tokens: whole, or else in two, or letter by letter."""
        control = self.tokenizer.convert_tokens_to_ids(list(self.control))
        assert isinstance(control, list)
        forbidden = set(control)
        forbidden.discard(self.tokenizer.unk_token_id)  # of a character that is not known
        for cuts in ([start, end], [start, start + 1, end], range(start, end + 1)):
            ids: list[int] = []
            offsets: Offsets = []
            for a, b in itertools.pairwise(cuts):
                more, places = self._continued(marked, a, b, plain=True)
                ids += more
                offsets += places
            if forbidden.isdisjoint(ids):
                return ids, offsets
        raise Forged(marked.text[start:end])


def _stretches(marked: Marked) -> list[tuple[int, int, bool]]:
    """(start, end, whether it is plain), in order and without a gap."""
    found = []
    at = 0
    for start, end in sorted(marked.plain):
        found += [(at, start, False), (start, end, True)]
        at = end
    found.append((at, len(marked.text), False))
    return [stretch for stretch in found if stretch[0] < stretch[1]]
