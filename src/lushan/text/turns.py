"""Turns of the assistant in the text that a chat template wrote.

A turn begins where the prompt for it ends, and ends with the token by which the model stops. Both
are found by trying the template on a dialogue whose answers are known.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

from lushan.common.override_text import typed
from lushan.text.rendering import CALL, TOOL, Messages, Span, Tools, Unfit, Writer, any_of
from lushan.text.weights import WEIGHT

_PROBE: Messages = [
    {"role": "user", "content": "alpha"},
    {"role": "assistant", "content": "beta"},
    {"role": "user", "content": "gamma"},
    {"role": "assistant", "content": "delta"},
]
_SYSTEM = {"role": "system", "content": "zeta"}
_THOUGHT = {"role": "assistant", "content": "<think>\neta\n</think>\n\nbeta"}
_CALLING: Messages = [
    {"role": "user", "content": "alpha"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
]


_PLAIN = {"role", "content", WEIGHT}


_MARK = re.compile(r"<[^<>\s]+>|\[/?[A-Z_]+\]")
"""Control tokens that templates write, whether or not a tokenizer has them."""


class Rewritten(Unfit):
    """A dialogue of which the template writes a turn otherwise when another follows."""


@dataclasses.dataclass(frozen=True)
class Turn:
    """The last turn of a dialogue that ends with it.

    Attributes:
        text: The dialogue.
        before: The prompt for the turn, with which the text begins.
        span: What is learned of the text.
    """

    text: str
    before: str
    span: Span


class Turns:
    """Finds turns in what a template writes.

    Raises:
        Unfit: It cannot be learned from.
    """

    def __init__(self, writer: Writer, control: Sequence[str]) -> None:
        self.writer = writer
        self._control = any_of(control)
        self._lead, self._gap = "", ""
        text, spans = writer.write(_PROBE)
        self.stop = self._find_stop(text)
        self.ends = tuple(dict.fromkeys([self.stop, *self._end_of_call()]))
        turns = self._probed(text, spans)
        outside = [text[a:b] for a, b in _between(turns, len(text))]
        self.structure = {m[0] for part in outside for m in self._control.finditer(part)}
        self.structure |= set(self.ends)
        # The marks suffice only where they agree with the comparison, and no turn is rewritten.
        self.quick = writer.tracks and self._marks_suffice()

    # Trying the template

    def _find_stop(self, text: str) -> str:
        """The token that ends an answer."""
        upto, tracked = self.writer.write(_PROBE[:2])
        place = upto.rfind("beta")
        if place < 0:
            raise Unfit("it omits the assistant's text")
        # What stands behind the answer whether or not a message follows, else only at the end.
        common = _shared(text, upto)
        for known in (common, upto):
            behind = known[place + len("beta") :]
            if self.writer.tracks and tracked:  # a block ends behind the end, or right before it
                behind = self._behind_block(known, place, tracked[-1])
            if found := list(self._control.finditer(behind)):
                return found[-1][0]
        if mark := _MARK.match(upto[place + len("beta") :].lstrip()):
            wanted = list(dict.fromkeys(_MARK.findall(upto)))
            raise Unfit(
                f"it ends assistant turns with {mark[0]}, which is not a token of the tokenizer; "
                f"train one with {typed('processor.special_tokens', wanted)}"
            )
        raise Unfit("it has no end token for assistant turns, so a model would not learn to stop")

    def _behind_block(self, text: str, place: int, block: Span) -> str:
        """Return what may hold a turn's end: the rest of its block, else the token after that."""
        inside = text[place + len("beta") : block[1]]
        if self._control.search(inside):
            return inside
        rest = text[block[1] :]
        token = self._control.match(rest.lstrip())
        return token[0] if token else ""

    def _end_of_call(self) -> list[str]:
        """The token that ends a tool call, where the template shows calls."""
        try:
            text, _ = self.writer.write(_CALLING, [TOOL])
            if "epsilon" not in text:
                return []
            behind = text[text.rindex("epsilon") :]
        except Unfit:
            return []
        found = list(self._control.finditer(behind))
        return [self.stop] if any(m[0] == self.stop for m in found) else [m[0] for m in found[-1:]]

    def _probed(self, text: str, spans: Sequence[Span]) -> list[Span]:
        """The turns of the dialogue that a template is tried on; refuses one that is of no use."""
        if self.writer.tracks:
            self._require_marks(text, spans)
        try:
            first = self.last(_PROBE[:2], None)
            self._require_prompt(first.before, first.text[first.span[0] :])
            return self._compared(_PROBE, None, text)
        except Rewritten:
            return [self.last(_PROBE, None).span]
        except Unfit:
            # A prompt that differs from what is written before answers: marks are trusted.
            if not self.writer.tracks:
                raise
            return self._marked(text, spans)

    def _require_marks(self, text: str, spans: Sequence[Span]) -> None:
        """Marks must hold the assistant's turns, each once; learn what else they hold."""
        marked = [(a, b) for a, b in spans if a < b]
        if len(marked) != 2:
            raise Unfit(f"of 2 assistant turns it marks {len(marked)}")
        for (start, end), spoken in zip(marked, ("beta", "delta"), strict=True):
            if spoken not in text[start:end]:
                raise Unfit("it marks other text as assistant turns")
        before, _ = self.writer.write(_PROBE[:1], prompt=True)
        start = marked[0][0]
        if text.startswith(before):
            self._lead = text[start : len(before)]
            gap = text[len(before) : start]
            self._require_prompt(before, f"{gap}beta")
            self._gap = "" if gap.strip() else gap
        elif self._control.search(text[start : text.index("beta")]):
            raise Unfit(
                "its marks begin before the assistant's text, and its prompt is not a prefix of "
                "the rendered dialogue"
            )

    def _require_prompt(self, before: str, rest: str) -> None:
        """A prompt must begin the turn, where anything does."""
        header = rest[: rest.index("beta")]
        if header.strip() and before == self.writer.write(_PROBE[:1])[0]:
            raise Unfit(
                "its prompt does not begin the assistant turn: it ignores add_generation_prompt"
            )

    def _marks_suffice(self) -> bool:
        answers = [_PROBE[1], _THOUGHT]
        for head in ([], [_SYSTEM]):
            for answer in answers:
                messages = [*head, _PROBE[0], answer, *_PROBE[2:]]
                try:
                    text, spans = self.writer.write(messages)
                except Unfit:  # of a system message, most often
                    continue
                if not self._agree(messages, text, spans):
                    return False
        return True

    def _agree(self, messages: Messages, text: str, spans: Sequence[Span]) -> bool:
        try:
            marked = self._marked(text, spans)
        except Unfit:
            return False
        try:
            return marked == self._compared(messages, None, text)
        except Rewritten:
            return False
        except Unfit:  # its prompts differ from what it writes before answers
            return True

    # Dialogues

    def of(self, messages: Messages, tools: Tools, text: str, spans: Sequence[Span]) -> list[Span]:
        """Return the turns of a dialogue.

        Raises:
            Unfit: They cannot be determined.
            Rewritten: A turn would be another if the dialogue ended with it.
        """
        if self.quick and not tools and all(m.keys() <= _PLAIN for m in messages):
            return self._checked(messages, text, self._marked(text, spans))
        try:
            return self._compared(messages, tools, text)
        except Rewritten:
            raise
        except Unfit:
            if not self.writer.tracks:
                raise
            return self._checked(messages, text, self._marked(text, spans))

    @staticmethod
    def _checked(messages: Messages, text: str, turns: list[Span]) -> list[Span]:
        """Marked turns, which must be those of the messages."""
        spoken = [m for m in messages if m["role"] == "assistant"]
        if len(turns) != len(spoken):
            raise Unfit(f"of {len(spoken)} assistant turns it marks {len(turns)}")
        for message, (start, end) in zip(spoken, turns, strict=True):
            _require_content(message, text[start:end])
        return turns

    def before_prompt(self, messages: Messages, tools: Tools, text: str) -> list[Span]:
        """The turns before a prompt; none where the template would write them otherwise."""
        try:
            alone, spans = self.writer.write(messages, tools)
            turns = self.of(messages, tools, alone, spans)
        except Unfit:
            return []
        end = turns[-1][1] if turns else 0
        return turns if text[:end] == alone[:end] else []

    def _marked(self, text: str, spans: Sequence[Span]) -> list[Span]:
        """Turns by the generation blocks."""
        return [(self._start(text, a, b), self._end(text, a, b)) for a, b in spans if a < b]

    def _start(self, text: str, start: int, end: int) -> int:
        """Return where a block's turn begins: after the prompt's header, if it is there."""
        if self._lead and text.startswith(self._lead, start, end):
            return start + len(self._lead)
        if self._gap and text.endswith(self._gap, 0, start):
            return start - len(self._gap)
        return start

    def _end(self, text: str, start: int, end: int) -> int:
        """Behind the token that ends a turn: the last in a block, or right behind it."""
        for stop in self.ends:
            place = text.rfind(stop, start, end)
            if place >= 0 and not text[place + len(stop) : end].strip():
                return place + len(stop)
        blank = len(text) - len(text[end:].lstrip()) if text[end:] else end
        for stop in self.ends:
            if text.startswith(stop, blank):
                return blank + len(stop)
        place = text.rfind(self.stop, start, end)
        if place >= 0:
            return place + len(self.stop)
        raise Unfit("it ends an assistant turn without an end token")

    def _compared(self, messages: Messages, tools: Tools, text: str) -> list[Span]:
        """Turns by where the dialogue's beginnings end."""
        turns = []
        for i, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            turn = self.last(messages[: i + 1], tools)
            start, end = turn.span
            if text[:end] != turn.text[:end]:
                raise Rewritten("it renders a turn differently when another follows")
            turns.append((start, end))
        return turns

    def last(self, messages: Messages, tools: Tools) -> Turn:
        """Return the last turn of a dialogue that ends with it.

        Raises:
            Unfit: It cannot be determined.
        """
        before, _ = self.writer.write(messages[:-1], tools, prompt=True)
        text, spans = self.writer.write(messages, tools)
        if not text.startswith(before):
            lost = before[len(_shared(before, text)) :]
            raise Unfit(
                f"its prompt is not a prefix of the rendered dialogue: it has {lost[:40]!r}"
            )
        start = len(before)
        if spans and spans[-1][0] > start and text[start : spans[-1][0]].strip():
            start = spans[-1][0]  # what a template leaves out of its marks on purpose
        _require_content(messages[-1], text[start:])
        return Turn(text, before, (start, self._end(text, start, len(text))))


def _shared(one: str, other: str) -> str:
    """Return the common beginning of two texts."""
    pairs = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return "".join(character for character, _ in pairs)


def _between(spans: Sequence[Span], length: int) -> list[Span]:
    """The stretches before, between and behind spans."""
    starts, ends = [a for a, _ in spans], [b for _, b in spans]
    return list(zip([0, *ends], [*starts, length], strict=True))


def _require_content(message: Mapping[str, Any], text: str) -> None:
    """Refuse a turn's text without its content, whatever the white space.

    Beside tool calls many templates leave the content out, which is counted and not refused.
    """
    spoken = message.get("content")
    if not spoken or message.get("tool_calls") or spoken.strip() in text:
        return
    if "".join(spoken.split()) not in "".join(text.split()):
        raise Unfit("it omits the assistant's text")
