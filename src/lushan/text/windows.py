"""Dialogues as windows of bounded length, each of the assistant's turns learned in one of them."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterator, Sequence

from lushan.text.chat import ChatTemplate, Encoded, Messages, Span, Unfit


@dataclasses.dataclass(frozen=True)
class Window:
    """A part of a dialogue as tokens.

    Attributes:
        ids: All of them.
        turns: The tokens [start, end) of each turn that is learned here.
        cut: Whether the turn, or what it answers, did not fit and was cut.
    """

    ids: list[int]
    turns: list[Span]
    cut: bool = False


def windows(
    template: ChatTemplate, dialogues: Sequence[Messages], *, limit: int, stride: int | None = None
) -> list[list[Window]]:
    """The windows of each dialogue: one, where it fits.

    A long one is split where messages end. A window begins with the system message, if there is
    one, and then so early that as much history as fits stands before the first turn that is learned
    in it; it goes on as far as it can. A turn that is too long with only what it answers is cut.

    Args:
        template: With its tokenizer.
        dialogues: Lists of messages; what follows the assistant's last turn is left out.
        limit: Tokens of a window.
        stride: Tokens at most before the first turn that is learned in a window, but for the
            first window: less is read twice. None is as many as fit.

    Raises:
        Unfit: The template refuses one.
    """
    answered = [_to_last_turn(messages) for messages in dialogues]
    found = template.encode(answered)
    return [
        [Window(encoded.ids, encoded.turns)]
        if len(encoded.ids) <= limit
        else list(_Long(template, messages, limit, stride).windows(encoded))
        for messages, encoded in zip(answered, found, strict=True)
    ]


def _to_last_turn(messages: Messages) -> Messages:
    last = max((i for i, m in enumerate(messages) if m["role"] == "assistant"), default=None)
    return messages if last is None else messages[: last + 1]


class _Long:
    """A dialogue that is longer than a window."""

    def __init__(
        self, template: ChatTemplate, messages: Messages, limit: int, stride: int | None
    ) -> None:
        self.template, self.messages, self.limit, self.stride = template, messages, limit, stride
        self.head = messages[:1] if messages[0]["role"] == "system" else []
        self.turns = [i for i, m in enumerate(messages) if m["role"] == "assistant"]

    def windows(self, whole: Encoded) -> Iterator[Window]:
        """All of them, in order."""
        if not self.turns:
            yield Window(whole.ids[-self.limit :], [], cut=True)
        first = 0
        while first < len(self.turns):
            start = self._start(first)
            found = self._encode(start, first)
            if len(found.ids) > self.limit:
                yield self._cut(found)
                first += 1
                continue
            last = first
            while last + 1 < len(self.turns):
                more = self._encode(start, last + 1)
                if len(more.ids) > self.limit:
                    break
                found, last = more, last + 1
            yield Window(found.ids, found.turns[first - last - 1 :])
            first = last + 1

    def _start(self, turn: int) -> int:
        """Where the window begins whose first learned turn this is."""
        begin = len(self.head)
        users = (i for i in range(begin, self.turns[turn]) if self.messages[i]["role"] == "user")
        # With an answer a window begins only where the whole dialogue does.
        places = sorted({begin, *users})
        fitting = bisect.bisect_left(places, True, key=lambda place: self._fits(place, turn))
        return places[min(fitting, len(places) - 1)]

    def _fits(self, start: int, turn: int) -> bool:
        found = self._encode(start, turn)
        if len(found.ids) > self.limit:
            return False
        return self.stride is None or turn == 0 or found.turns[-1][0] <= self.stride

    def _encode(self, start: int, turn: int) -> Encoded:
        part = [*self.head, *self.messages[start : self.turns[turn] + 1]]
        return self.template.encode([part])[0]

    def _cut(self, found: Encoded) -> Window:
        """The last turn alone, with the end of what it answers; each gets half at least."""
        start, end = found.turns[-1]
        kept = min(end - start, max(self.limit - start, (self.limit + 1) // 2))
        room = self.limit - kept
        before = found.ids[:start]
        if start > room:
            head = self._head_of(before)
            head = head if len(head) <= room // 2 else []
            before = head + before[start - (room - len(head)) :]
        return Window(
            before + found.ids[start : start + kept],
            [(len(before), len(before) + kept)],
            cut=True,
        )

    def _head_of(self, before: list[int]) -> list[int]:
        """The tokens of the system message at the beginning of some."""
        if not self.head:
            return []
        try:
            ids = self.template.encode([self.head])[0].ids
        except Unfit:
            return []
        return ids if before[: len(ids)] == ids else []
