"""Dialogues written by Jinja templates of transformers, in its sandbox.

A template sees messages as transformers passes them, with `tools` beside them. What people wrote
cannot be taken for a control token: its place is kept by characters that have no meaning.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from lushan.errors import first_line
from lushan.text import parts
from lushan.text.weights import WEIGHT

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Messages = Sequence[Mapping[str, Any]]
"""Each with `role` and `content`, and perhaps other fields."""
Tools = Sequence[Mapping[str, Any]] | None
"""JSON schemas of what may be called."""
Span = tuple[int, int]

GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_PRIVATE = (0xF0000, 0x100000)
"""Planes of characters that have no meaning: they stand for control tokens in what people wrote."""
_UNSEEN = frozenset(("role", "content", WEIGHT, "tool_call_id"))
"""Fields that have no content of their own for a reader."""
_TRIES = 3
"""Values of a field that are tried before it counts as one that a template does not show."""

TOOL = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Look a word up.",
        "parameters": {
            "type": "object",
            "properties": {"word": {"type": "string", "description": "The word."}},
            "required": ["word"],
        },
    },
}
CALL = {"type": "function", "function": {"name": "lookup", "arguments": {"word": "epsilon"}}}
"""A tool, and a call of it, that templates are tried on."""


_OF_TEMPLATES = (ArithmeticError, LookupError, AttributeError, RecursionError, MemoryError)
"""Errors that a template's own arithmetic, names and macros end in."""


class Unfit(ValueError):
    """A dialogue that a template cannot write, or whose assistant's turns it cannot mark."""


@dataclasses.dataclass(frozen=True)
class Form:
    """Form of messages that a template expects, where templates differ.

    Attributes:
        null: Whether a content that is null is passed as null; else as an empty text.
        parsed: Whether a call's arguments are passed as a mapping; else as JSON text.
        ids: Whether each call needs an id.
        content: Whether a content is passed as a text with `image` for its images (`text`), as a
            list of parts where it has images (`both`), or always so (`parts`).
        image: The token that stands for an image; '' where the model sees none.
    """

    null: bool = True
    parsed: bool = True
    ids: bool = False
    content: Literal["text", "both", "parts"] = "text"
    image: str = ""

    def of(self, messages: Messages) -> list[dict[str, Any]]:
        """Messages in this form, without what is not a template's business."""
        numbers, open_calls = itertools.count(1), Counter[str]()
        found = []
        for message in messages:
            given = {k: v for k, v in message.items() if k != WEIGHT}
            if given.get("content") is None and not self.null:
                given["content"] = ""
            given |= self._content(given.get("content"))
            if given.get("tool_calls"):
                given["tool_calls"] = [self._call(c, numbers) for c in given["tool_calls"]]
                open_calls = Counter(str(c.get("id")) for c in given["tool_calls"])
            elif self.ids and given["role"] == "tool" and open_calls:
                given.setdefault("tool_call_id", next(iter(open_calls)))
                open_calls.pop(given["tool_call_id"], None)
            found.append(given)
        return found

    def _content(self, content: object) -> dict[str, Any]:
        """Return a content that is changed, by its name."""
        if isinstance(content, str) and self.content == "parts":
            return {"content": [parts.text(content)]}
        if not isinstance(content, list | tuple) or self.content != "text":
            return {}
        texts = (self.image if parts.is_image(part) else part["text"] for part in content)
        return {"content": "".join(texts)}

    def _call(self, call: Mapping[str, Any], numbers: Iterator[int]) -> dict[str, Any]:
        given, function = dict(call), call.get("function")
        if isinstance(function, Mapping) and not self.parsed:
            arguments = function.get("arguments")
            text = arguments if isinstance(arguments, str) else json.dumps(arguments)
            given["function"] = {**function, "arguments": text}
        if self.ids:
            given.setdefault("id", f"call{next(numbers):05d}")  # as long as Mistral wants it
        return given


_CONTENTS: Sequence[Literal["text", "both", "parts"]] = ("both", "parts", "text")
FORMS = tuple(
    Form(null, parsed, ids)
    for ids in (False, True)
    for parsed in (True, False)
    for null in (True, False)
)


class Writer:
    """Writes dialogues by a template.

    Attributes:
        source: The Jinja text.
        tracks: Whether it has generation blocks.
        form: How it is given messages.

    Args:
        source: The Jinja text.
        tokenizer: Its special tokens are variables of the template.
        image: The token that stands for an image; '' where the model sees none.
    """

    def __init__(self, source: str, tokenizer: PreTrainedTokenizerFast, image: str = "") -> None:
        self.source = source
        self.variables = dict(tokenizer.special_tokens_map)
        self.tracks = bool(GENERATION.search(source))
        self._shown: dict[tuple[str, str], bool] = {}
        self._failed: Counter[tuple[str, str]] = Counter()
        self.form = self._content_form(image) if image else Form()
        self.form = self._probe()

    def write(
        self, messages: Messages, tools: Tools = None, *, prompt: bool = False
    ) -> tuple[str, list[Span]]:
        """A dialogue's text, and the characters [start, end) of its generation blocks.

        Raises:
            Unfit: The template refuses it.
        """
        return self._write(self.form, messages, tools, prompt=prompt)

    def _write(
        self, form: Form, messages: Messages, tools: Tools = None, *, prompt: bool = False
    ) -> tuple[str, list[Span]]:
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        render: Any = render_jinja_template  # its type is `str`, and it returns lists
        try:
            texts, spans = render(
                conversations=[form.of(messages)],
                tools=None if tools is None else list(tools),
                chat_template=self.source,
                return_assistant_tokens_mask=self.tracks,
                add_generation_prompt=prompt,
                **self.variables,
            )
        except (TemplateError, TypeError, ValueError, *_OF_TEMPLATES) as error:  # null + a text
            raise Unfit(f"it says: {first_line(error)}") from error
        return texts[0], list(spans[0]) if self.tracks else []

    # What a template takes and shows

    def _content_form(self, image: str) -> Form:
        """Return the form of contents with which the template shows texts and images, each once."""
        messages: Messages = [
            {"role": "user", "content": "alpha"},
            {"role": "assistant", "content": "beta"},
            {"role": "user", "content": [{"type": "image"}, parts.text("gamma")]},
            {"role": "assistant", "content": "delta"},
        ]
        words = ("alpha", "beta", "gamma", "delta", image)
        for content in _CONTENTS:
            form = Form(content=content, image=image)
            try:
                text, _ = self._write(form, messages)
            except Unfit:
                continue
            if all(text.count(word) == 1 for word in words) and "'type'" not in text:
                return form
        return Form(image=image)

    def _probe(self) -> Form:
        """The first form in which the template shows a call and no null."""
        messages: Messages = [
            {"role": "user", "content": "alpha"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "gamma"},
        ]
        for general in FORMS:
            form = dataclasses.replace(general, content=self.form.content, image=self.form.image)
            try:
                text, _ = self._write(form, messages, [TOOL], prompt=True)
            except Unfit:
                continue
            if (
                "epsilon" in text
                and not _is_mangled(text)
                and not self._writes_none(form, messages)
            ):
                return form
        null = not self._writes_none(self.form, messages[:2])
        return dataclasses.replace(self.form, null=null)

    def _writes_none(self, form: Form, messages: Messages) -> bool:
        """Return whether a null content is rendered as `None`, or cannot be rendered."""
        counts = []
        for asked in (form, dataclasses.replace(form, null=False)):
            try:
                counts.append(self._write(asked, messages, [TOOL])[0].count("None"))
            except Unfit:
                counts.append(0 if counts else sys.maxsize)
        return counts[0] > counts[1]

    def visible(
        self, messages: Messages, tools: Tools
    ) -> tuple[list[dict[str, Any]], Tools, Counter[str]]:
        """Return what the template shows of a dialogue, and counts of fields it does not show."""
        unseen: Counter[str] = Counter()
        found = []
        for message in messages:
            hidden = [name for name in message if not self._shows(name, message)]
            unseen.update(name for name in hidden if message[name])
            found.append({k: v for k, v in message.items() if k not in hidden})
        if tools and not self._differs("tools", "", lambda: self._with_tools(tools)):
            unseen["tools"] += 1
            return found, None, unseen
        return found, tools or None, unseen

    def _shows(self, name: str, message: Mapping[str, Any]) -> bool:
        if name in _UNSEEN or not message[name]:
            return True
        return self._differs(name, message["role"], lambda: self._with(name, message))

    def _differs(self, name: str, role: str, texts: Callable[[], tuple[str, str]]) -> bool:
        """Return whether texts with and without a field differ; each case is tried once."""
        key = (name, role)
        if key not in self._shown:
            try:
                with_it, without = texts()
            except Unfit:  # it is not shown, as far as can be seen: it is needed, or not allowed
                return True
            if with_it != without:
                self._shown[key] = True
            elif (failed := self._failed[key] + 1) >= _TRIES:
                self._shown[key] = False
            else:
                self._failed[key] = failed
                return False
        return self._shown[key]

    def _with(self, name: str, message: Mapping[str, Any]) -> tuple[str, str]:
        """A message in a dialogue of its own, with and without a field."""
        user = {"role": "user", "content": "alpha"}
        call = {"role": "assistant", "content": None, "tool_calls": [CALL]}
        places: dict[str, list[dict[str, Any]]] = {"assistant": [user], "tool": [user, call]}
        before = places.get(message["role"], [])
        after = [user] if message["role"] == "system" else []
        less = {k: v for k, v in message.items() if k != name}
        less["content"] = less.get("content") or ""
        # Some templates look for calls only where the content is null: it stays so with the field.
        pair = [[*before, m, *after] for m in (message, less)]
        return self.write(pair[0])[0], self.write(pair[1])[0]

    def _with_tools(self, tools: Tools) -> tuple[str, str]:
        messages = [{"role": "user", "content": "alpha"}]
        with_them, _ = self.write(messages, tools, prompt=True)
        return with_them, self.write(messages, prompt=True)[0]


def _is_mangled(text: str) -> bool:
    """Return whether arguments were written as JSON text within JSON, or as a mapping of Python."""
    return '\\"word\\"' in text or "{'word'" in text


# What looks like a control token in a message and is none


class Disguise:
    """Puts characters without meaning for control tokens in what people wrote, and takes them off.

    Args:
        control: All control tokens.
        structural: Those that the assistant's own text must not hold either: others, such as
            `<think>`, are tokens there, as in its answers.
    """

    def __init__(self, control: Sequence[str], structural: Sequence[str]) -> None:
        self.control = control
        self._of_others, self._of_assistant = any_of(control), any_of(structural)

    def needed(self, messages: Messages, tools: Tools = None) -> bool:
        """Return whether a message holds the text of a control token, which is kept as text."""
        return any(
            self._pattern(message["role"]).search(text)
            for message in messages
            for text in texts_in(message)
        ) or any(self._of_others.search(text) for text in texts_in(tools))

    def attach(self, messages: Messages, tools: Tools) -> tuple[int, Messages, Tools]:
        """Characters for control tokens, as many as each has; where they begin, or 0.

        Raises:
            Unfit: There are no free characters.
        """
        if not self.needed(messages, tools):
            return 0, messages, tools
        texts = texts_in([messages, tools])
        held = {ord(c) for text in texts for c in text if ord(c) >= _PRIVATE[0]}
        free = (base for base in _PRIVATE if not any(base <= c < base + 0xFFFE for c in held))
        base = next(free, 0)
        if not base:
            raise Unfit("a message contains control tokens and characters of both private planes")
        codes = {token: chr(base + i) for i, token in enumerate(self.control)}

        def hide(match: re.Match[str]) -> str:
            return codes[match[0]] * len(match[0])

        hidden = [_changed(m, hide, self._pattern(m["role"])) for m in messages]
        return base, hidden, _changed(tools, hide, self._of_others)

    def take_off(self, text: str, base: int) -> tuple[str, list[Span]]:
        """Undo `attach`; the places of what was hidden."""
        if not base:
            return text, []
        last = chr(base + len(self.control) - 1)
        plain: list[Span] = []

        def show(match: re.Match[str]) -> str:
            token = self.control[ord(match[1]) - base]
            plain.append(match.span())
            return (token * len(match[0]))[: len(match[0])]

        return re.sub(f"([{chr(base)}-{last}])\\1*", show, text), plain

    def _pattern(self, role: str) -> re.Pattern[str]:
        return self._of_assistant if role == "assistant" else self._of_others


def any_of(tokens: Sequence[str]) -> re.Pattern[str]:
    """Return the pattern of any of some tokens, the longest first; of none where there is none."""
    longest_first = sorted(tokens, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first)) or "(?!)")


def texts_in(value: object) -> Iterator[str]:
    """All texts in a nested value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from texts_in(key)
            yield from texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item)


def _changed(value: object, change: Callable[[re.Match[str]], str], where: re.Pattern[str]) -> Any:
    """A nested value with what a pattern finds in its texts changed."""
    if isinstance(value, str):
        return where.sub(change, value)
    if isinstance(value, Mapping):
        return {where.sub(change, k): _changed(v, change, where) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_changed(v, change, where) for v in value]
    return value
