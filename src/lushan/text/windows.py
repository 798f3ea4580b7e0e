"""Dialogues as windows of bounded length, each of the assistant's turns learned in one of them."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Iterator, Sequence

from lushan.text.chat import ChatTemplate, Encoded, Rendered
from lushan.text.parts import Part
from lushan.text.rendering import Messages, Span, Tools, Unfit
from lushan.text.weights import is_learned


@dataclasses.dataclass(frozen=True)
class Window:
    """A part of a dialogue as tokens.

    Attributes:
        ids: All of them.
        turns: The tokens [start, end) of each turn that is learned here.
        cut: Whether the turn, or what it answers, did not fit and was cut.
        images: The images, in the order of their tokens.
        places: The tokens [start, end) of each image.
    """

    ids: list[int]
    turns: list[Span]
    cut: bool = False
    images: Sequence[Part] = ()
    places: Sequence[Span] = ()


class TooLong(Unfit):
    """A dialogue with images that is longer than a window: nothing of it can be left out."""


def windows(
    template: ChatTemplate,
    dialogues: Sequence[Messages],
    *,
    limit: int,
    stride: int | None = None,
    tools: Sequence[Tools] | None = None,
) -> list[list[Window]]:
    """Split each dialogue into windows: one, where it fits.

    A long one is split where messages end. A window begins with the system message, if there is
    one, and then so early that as much history as fits stands before the first turn that is learned
    in it; it ends as late as it can. A turn that is too long with only what it answers is cut.
    Where the template writes a turn otherwise when another follows, each turn has its own window.

    Args:
        template: With its tokenizer.
        dialogues: Lists of messages; what follows the last turn that is learned is left out. The
            assistant's turns of the weight 0 are read and not learned.
        limit: Tokens of a window.
        stride: Tokens at most before the first turn that is learned in a window, but for the
            first window: less is read twice. None is as many as fit.
        tools: What may be called, of each dialogue.

    Raises:
        Unfit: The template refuses one.
        TooLong: One has images, and does not fit.
    """
    given = tools or [None] * len(dialogues)
    answered = [_to_last_turn(messages) for messages in dialogues]
    parts = [template.parts(*pair) for pair in zip(answered, given, strict=True)]
    encoded = iter(template.tokens_of([part for several in parts for part in several]))
    found = []
    for messages, schemas, several in zip(answered, given, parts, strict=True):
        wholes = [next(encoded) for _ in several]
        long = _Long(template, messages, schemas, limit, stride, alone=len(wholes) > 1)
        found.append(list(long.windows(wholes)))
    return found


def _to_last_turn(messages: Messages) -> Messages:
    last = max((i for i, m in enumerate(messages) if is_learned(m)), default=None)
    return messages if last is None else messages[: last + 1]


class _Long:
    """A dialogue that may be longer than a window.

    Args:
        template: With its tokenizer.
        messages: Up to the last turn that is learned.
        tools: What may be called.
        limit: Tokens of a window.
        stride: See `windows`.
        alone: Whether each turn is learned in a window of its own.
    """

    def __init__(
        self,
        template: ChatTemplate,
        messages: Messages,
        tools: Tools,
        limit: int,
        stride: int | None,
        *,
        alone: bool,
    ) -> None:
        self.template, self.messages, self.tools = template, messages, tools
        self.limit, self.stride, self.alone = limit, stride, alone
        self.head = messages[:1] if messages and messages[0]["role"] == "system" else []
        self.answers = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
        self.turns = [i for i in self.answers if is_learned(messages[i])]

    def windows(self, wholes: Sequence[Encoded]) -> Iterator[Window]:
        """All of them, in order.

        Args:
            wholes: The dialogue as tokens: once, or once for each of the assistant's turns.
        """
        if any(whole.images for whole in wholes):
            self._require_room(wholes)
        if self.alone:
            for turn, place in enumerate(self.turns):
                whole = wholes[self.answers.index(place)]
                yield self._whole(whole, whole.turns) or self._one(turn)
            return
        spans = dict(zip(self.answers, wholes[0].turns, strict=True))
        if window := self._whole(wholes[0], [spans[place] for place in self.turns]):
            yield window
        elif self.turns:
            yield from self._several()
        else:
            yield Window(wholes[0].ids[-self.limit :], [], cut=True)

    def _require_room(self, wholes: Sequence[Encoded]) -> None:
        """Refuse a dialogue that could only be read without an image, or with a part of one."""
        longest = max(wholes, key=lambda whole: len(whole.ids))
        if len(longest.ids) > self.limit:
            seen = sum(end - start for start, end in longest.places)
            raise TooLong(
                f"it has {len(longest.ids)} tokens, {seen} of them of images, but the limit is "
                f"{self.limit}; images are never truncated or dropped"
            )

    def _whole(self, encoded: Encoded, turns: list[Span]) -> Window | None:
        if len(encoded.ids) > self.limit:
            return None
        return Window(encoded.ids, turns, images=encoded.images, places=encoded.places)

    def _one(self, turn: int) -> Window:
        """The window of a turn alone."""
        found = self._encode(self._start(turn), turn)
        return self._whole(found, found.turns[-1:]) or self._cut(found)

    def _several(self) -> Iterator[Window]:
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
            yield Window(found.ids, self._spans(found, start, self.turns[first : last + 1]))
            first = last + 1

    def _spans(self, found: Encoded, start: int, places: Sequence[int]) -> list[Span]:
        """The tokens of turns, in a part of the dialogue from a message on."""
        answers = [place for place in self.answers if place >= start]
        return [found.turns[answers.index(place)] for place in places]

    def _start(self, turn: int) -> int:
        """Return where the window begins whose first learned turn is given."""
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
        return self.template.tokens_of([self._rendered(part)])[0]

    def _rendered(self, part: Messages) -> Rendered:
        if self.alone:
            return self.template.last(part, self.tools)
        return self.template.render(part, self.tools)

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
        """The tokens of the system message, and of the tools, at the beginning of some."""
        if not self.head and not self.tools:
            return []
        try:
            ids = self.template.encode([self.head], [self.tools])[0].ids
        except Unfit:
            return []
        return ids if before[: len(ids)] == ids else []
