"""Tokens as text while they are still coming: characters over several tokens, words, stop strings.

A token is not a text. Three bytes of a Chinese character may be three tokens, and a token's text
may depend on the one before it (the blank before a word, `##` inside one). So a few tokens are
decoded together with the new one, and what is new in the text is given out once it is whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

BROKEN = "\ufffd"
"""Character that decoders write for bytes that are no character, or not yet one."""
_CONTEXT = 6
"""Tokens before the first new one that are decoded with it: more than any character has."""


class Detokenizer:
    """The text of a sequence that grows.

    Args:
        tokenizer: Of transformers.
        before: The tokens that it continues, whose text is not given out again.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, before: Sequence[int] = ()) -> None:
        self.tokenizer = tokenizer
        self._ids = list(before[-_CONTEXT:])
        self._given = len(self._ids)  # tokens whose text has been given out
        self._start = 0  # tokens before it have no part in what comes

    def push(self, token: int) -> str:
        """The text that one more token completes; often none."""
        self._ids.append(token)
        new = self._new()
        return "" if new.endswith(BROKEN) else self._advance(new)

    def finish(self) -> str:
        """The rest, with what has remained broken."""
        return self._advance(self._new())

    def _new(self) -> str:
        known = decode(self.tokenizer, self._ids[self._start : self._given])
        return _beyond(known, decode(self.tokenizer, self._ids[self._start :]))

    def _advance(self, new: str) -> str:
        if new:
            self._start, self._given = self._given, len(self._ids)
        return new


class Reader:
    """One text as it is written: what may be shown of it, and whether a stop string ended it.

    Args:
        tokenizer: Of transformers.
        before: The tokens that it continues.
        stops: Strings that end the text, and are no part of it.
        endings: Tokens that end the text, and are no part of it.

    Attributes:
        count: Tokens read, one that ended the text included.
        text: Their text, up to a stop string.
        ended: Whether a token ended it.
        stopped: Whether a stop string did.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerFast,
        before: Sequence[int] = (),
        *,
        stops: Sequence[str] = (),
        endings: Sequence[int] = (),
    ) -> None:
        self.stops, self.endings = [stop for stop in stops if stop], frozenset(endings)
        self.count = 0
        self.text = ""
        self.ended = self.stopped = False
        self._shown = 0
        self._incoming = Detokenizer(tokenizer, before)

    def push(self, token: int) -> str:
        """Read one more token; what may be shown after it."""
        if self.stopped or self.ended:  # padding, while other rows continue
            return ""
        self.count += 1
        if token in self.endings:
            self.ended = True
            return ""
        return self._take(self._incoming.push(token))

    def finish(self) -> str:
        """Return the text that is still to be shown when no more tokens follow."""
        last = "" if self.stopped else self._take(self._incoming.finish())
        return last + self._show(len(self.text))

    def _take(self, new: str) -> str:
        examined = len(self.text) - max((len(stop) for stop in self.stops), default=0)
        self.text += new
        found = [at for stop in self.stops if (at := self.text.find(stop, max(0, examined))) >= 0]
        if found:
            self.text, self.stopped = self.text[: min(found)], True
            return self._show(len(self.text))
        return self._show(len(self.text) - self._held_back())

    def _held_back(self) -> int:
        """Characters at the end that may become a stop string."""
        return max(map(self._begun, self.stops), default=0)

    def _begun(self, stop: str) -> int:
        """Characters at the end that are the beginning of a stop string."""
        # Only where its first character is: a string of a million costs no more than the text.
        place = self.text.find(stop[0], max(0, len(self.text) - len(stop) + 1))
        while place >= 0 and not stop.startswith(self.text[place:]):
            place = self.text.find(stop[0], place + 1)
        return len(self.text) - place if place >= 0 else 0

    def _show(self, end: int) -> str:
        start, self._shown = self._shown, max(self._shown, end)
        return self.text[start : self._shown]


def decode(tokenizer: PreTrainedTokenizerFast, ids: Sequence[int]) -> str:
    """The text of some tokens, without special ones, with each blank as it is."""
    return str(
        tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
    )


def continuation(
    tokenizer: PreTrainedTokenizerFast, before: Sequence[int], new: Sequence[int]
) -> str:
    """The text of some tokens as what follows others."""
    return _beyond(decode(tokenizer, before), decode(tokenizer, [*before, *new]))


def _beyond(known: str, whole: str) -> str:
    """Return what follows the beginning of a text, whose last character may be incomplete."""
    if not whole.startswith(known):
        known = known.rstrip(BROKEN)
    return whole[len(known) :]
