"""Chat templates: a dialogue as the text that a model reads, and which of it is learned.

Learned are the assistant's turns, each with the token that ends it. A template says where they are
by `{% generation %}`; for one that does not, the text of the dialogue is compared with the texts of
its beginnings. Templates are rendered by transformers, in its sandbox.
"""

from __future__ import annotations

import bisect
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.errors import UserError, did_you_mean
from lushan.text.pieces import Forged, Marked, Offsets, Pieces

Messages = Sequence[Mapping[str, str]]
"""Each with `role` and `content`."""
Span = tuple[int, int]

FOLDER = Path(__file__).parent / "templates"
BUILT_IN = tuple(sorted(path.stem for path in FOLDER.glob("*.jinja")))
DEFAULT = "plain"
NEEDS = {
    "chatml": ("<|im_start|>", "<|im_end|>"),
    "llama3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
}
"""The tokens that built-in templates write."""

_GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")
_PRIVATE = (0xF0000, 0x100000)
"""Planes of characters that have no meaning: they stand for control tokens in what people wrote."""
_PROBE = [
    {"role": "user", "content": "alpha"},
    {"role": "assistant", "content": "beta"},
    {"role": "user", "content": "gamma"},
    {"role": "assistant", "content": "delta"},
]


class Unfit(ValueError):
    """A dialogue that a template cannot write, or whose assistant's turns it cannot mark."""


@dataclasses.dataclass(frozen=True)
class Rendered:
    """A dialogue as text.

    Attributes:
        text: What the template wrote.
        turns: The characters [start, end) of each of the assistant's turns.
        plain: Stretches that only look like control tokens: a message holds them.
    """

    text: str
    turns: list[Span]
    plain: list[Span]


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A dialogue as tokens.

    Attributes:
        ids: All of them.
        turns: The tokens [start, end) of each of the assistant's turns.
    """

    ids: list[int]
    turns: list[Span]


class ChatTemplate:
    """A template, with the tokenizer that it is written for.

    Attributes:
        source: The Jinja text.
        stops: The ids that end a turn.

    Args:
        source: The Jinja text.
        tokenizer: A fast one.
        name: What the user called it, for errors.

    Raises:
        UserError: It is no template, or cannot mark the assistant's turns.
    """

    def __init__(self, source: str, tokenizer: Any, name: str | None = None) -> None:
        self.source, self.tokenizer = source, tokenizer
        self.name = name
        self.marks = bool(_GENERATION.search(source))
        self.control = control_tokens(tokenizer, source)
        self.pieces = Pieces(tokenizer, self.control)
        self._hidden = re.compile(
            "|".join(map(re.escape, sorted(self.control, key=len, reverse=True))) or "(?!)"
        )
        self.stops = self._probe()

    def _probe(self) -> list[int]:
        """Try the template on a dialogue of four turns; the ids that end a turn."""
        try:
            rendered = self.render(_PROBE)
            found = self._encode([rendered])[0]
        except Unfit as error:
            raise self._unusable(str(error)) from error
        for (start, end), said in zip(rendered.turns, ("beta", "delta"), strict=True):
            if said not in rendered.text[start:end]:
                raise self._unusable("what it marks as the assistant's turns are others")
        end = found.ids[found.turns[0][1] - 1]
        if end not in self.tokenizer.convert_tokens_to_ids(list(self.control)):
            raise self._unusable(
                "it ends the assistant's turns with no token of its own, and a model would never "
                "learn to stop"
            )
        eos = self.tokenizer.eos_token_id
        return [end] if eos in (None, end) else [end, eos]

    def _unusable(self, why: str) -> UserError:
        other = next(
            (n for n in ("chatml", DEFAULT) if n != self.name and not lacking(n, self.tokenizer)),
            DEFAULT,
        )
        return UserError(
            f"this chat template cannot be learned from: {why}",
            key="task.template",
            value=self.name or "the tokenizer's own",
            hint=f"Write task.template={other}; or put {{% generation %}} before what the "
            "assistant says, and {% endgeneration %} behind the token that ends it.",
        )

    # Text

    def render(self, messages: Messages, *, prompt: bool = False) -> Rendered:
        """A dialogue as text.

        Args:
            messages: The dialogue.
            prompt: Whether the assistant's next turn is begun at the end.

        Raises:
            Unfit: The template refuses it.
        """
        base, hidden = self._hide(messages)
        text, spans = self._write(hidden, prompt=prompt)
        turns = self._marked(text, spans) if self.marks else self._compared(hidden, text)
        said = sum(message["role"] == "assistant" for message in messages)
        if len(turns) != said:
            raise Unfit(f"of {said} turns of the assistant's it marks {len(turns)}")
        shown, plain = self._show(text, base)
        return Rendered(shown, turns, plain)

    def _write(self, messages: Messages, *, prompt: bool = False) -> tuple[str, list[Span]]:
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        render: Any = render_jinja_template  # it says `str`, and gives lists
        try:
            texts, spans = render(
                conversations=[list(messages)],
                chat_template=self.source,
                return_assistant_tokens_mask=self.marks,
                add_generation_prompt=prompt,
                **self.tokenizer.special_tokens_map,
            )
        except TemplateError as error:
            raise Unfit(f"it says: {error}") from error
        return texts[0], list(spans[0]) if self.marks else []

    def _marked(self, text: str, spans: Sequence[Span]) -> list[Span]:
        """Spans as the template marks them, each with the token that ends the turn."""
        return [(start, self._with_end(text, start, end)) for start, end in spans if start < end]

    def _with_end(self, text: str, start: int, end: int) -> int:
        if any(text.endswith(token, start, end) for token in self.control):
            return end
        following = (token for token in self.control if text.startswith(token, end))
        return end + len(max(following, key=len, default=""))

    def _compared(self, messages: Messages, text: str) -> list[Span]:
        """Spans of a template without marks: where the dialogue's beginnings end."""
        turns = []
        for i, message in enumerate(messages):
            if message["role"] != "assistant":
                continue
            before, _ = self._write(messages[:i], prompt=True)
            upto, _ = self._write(messages[: i + 1])
            if not (text.startswith(upto) and upto.startswith(before)):
                raise Unfit("it has no marks, and writes a turn otherwise when another follows")
            if message["content"].strip() not in text[len(before) : len(upto)]:
                raise Unfit("it has no marks, and leaves out what the assistant says")
            bare = upto.rstrip()
            ended = any(bare.endswith(token) for token in self.control)
            turns.append((len(before), len(bare) if ended else len(upto)))
        return turns

    # What looks like a control token in a message and is none

    def _hide(self, messages: Messages) -> tuple[int, Messages]:
        """Put characters without meaning for control tokens, as many as each has."""
        if not self.disguised(messages):
            return 0, messages
        free = (
            base
            for base in _PRIVATE
            if not any(base <= ord(c) < base + 0xFFFE for m in messages for c in m["content"])
        )
        base = next(free, 0)
        if not base:
            raise Unfit("a message holds control tokens, and characters of both private planes")
        codes = {token: chr(base + i) for i, token in enumerate(self.control)}

        def hide(match: re.Match[str]) -> str:
            return codes[match[0]] * len(match[0])

        return base, [{**m, "content": self._hidden.sub(hide, m["content"])} for m in messages]

    def _show(self, text: str, base: int) -> tuple[str, list[Span]]:
        """Undo `_hide`; the places of what was hidden."""
        if not base:
            return text, []
        last = chr(base + len(self.control) - 1)
        plain: list[Span] = []

        def show(match: re.Match[str]) -> str:
            token = self.control[ord(match[1]) - base]
            plain.append(match.span())
            return (token * len(match[0]))[: len(match[0])]

        return re.sub(f"([{chr(base)}-{last}])\\1*", show, text), plain

    # Tokens

    def encode(self, dialogues: Sequence[Messages]) -> list[Encoded]:
        """Dialogues as tokens.

        Raises:
            Unfit: The template refuses one.
        """
        return self._encode([self.render(messages) for messages in dialogues])

    def disguised(self, messages: Messages) -> bool:
        """Whether a message holds the text of a control token, which is then read as text."""
        return any(self._hidden.search(message["content"]) for message in messages)

    def prompt(self, messages: Messages) -> list[int]:
        """A dialogue as the tokens after which the assistant speaks.

        Raises:
            Unfit: The template refuses it.
        """
        return self._encode([self.render(messages, prompt=True)])[0].ids

    def _encode(self, rendered: Sequence[Rendered]) -> list[Encoded]:
        marked = [Marked(r.text, [b for span in r.turns for b in span], r.plain) for r in rendered]
        try:
            found = self.pieces.encode(marked)
        except Forged as error:
            raise Unfit(f"a message holds {error}, which is a token and no text") from error
        return [
            Encoded(ids, _tokens(offsets, r.turns))
            for (ids, offsets), r in zip(found, rendered, strict=True)
        ]


def _tokens(offsets: Offsets, spans: Sequence[Span]) -> list[Span]:
    """The tokens of stretches of characters; one without characters goes with what follows it."""
    starts, ends = [a for a, _ in offsets], [b for _, b in offsets]
    found = []
    for start, end in spans:
        first = bisect.bisect_right(ends, start)
        while first and offsets[first - 1] == (start, start):
            first -= 1
        found.append((first, bisect.bisect_left(starts, end)))
    return found


# Which template


def choose(name: str | None, tokenizer: Any) -> ChatTemplate:
    """The template that a config names.

    Args:
        name: That of a built-in one, or a file; None is the tokenizer's own, and `plain` where it
            has none.
        tokenizer: A fast one.

    Raises:
        UserError: There is none of that name, it cannot mark the assistant's turns, or the
            tokenizer lacks its tokens.
    """
    if name is None and tokenizer.chat_template:
        return ChatTemplate(own(tokenizer), tokenizer)
    name = name or DEFAULT
    source = read(name)
    if missing := lacking(name, tokenizer):
        raise UserError(
            f"the tokenizer has no token {missing[0]}",
            key="task.template",
            value=name,
            hint="Train one that has them: tokenizer.special_tokens="
            f"[{','.join(map(repr, NEEDS[name]))}]; or write task.template={DEFAULT}, which needs "
            "none.",
        )
    if name == DEFAULT and not (tokenizer.eos_token or tokenizer.sep_token):
        raise UserError(
            "the tokenizer has no token that ends a text, and none ends a turn",
            key="task.template",
            value=name,
        )
    return ChatTemplate(source, tokenizer, name)


def own(tokenizer: Any) -> str:
    """A tokenizer's own template; the default one of several."""
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default") or next(iter(template.values()))
    return str(template)


def read(name: str) -> str:
    """The text of a built-in template, or of a file.

    Raises:
        UserError: There is none of that name.
    """
    path = FOLDER / f"{name}.jinja" if name in BUILT_IN else Path(name).expanduser()
    try:
        return path.read_text(encoding="utf-8").removesuffix("\n")
    except FileNotFoundError:
        near = did_you_mean(name, BUILT_IN)
        ways = f"There are {', '.join(BUILT_IN)}, or write the path of a Jinja file."
        raise UserError(
            "there is no such chat template",
            key="task.template",
            value=name,
            hint=f"{near} {ways}" if near else ways,
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"the chat template cannot be read: {error}", key="task.template", value=name
        ) from error


def lacking(name: str, tokenizer: Any) -> list[str]:
    """The tokens of a built-in template that a tokenizer lacks."""
    there = tokenizer.get_added_vocab()
    return [token for token in NEEDS.get(name, ()) if token not in there]


def control_tokens(tokenizer: Any, source: str) -> tuple[str, ...]:
    """The tokens that mean something to a model: special ones, and those the template writes."""
    return tuple(
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special or (token.content.strip() and token.content in source)
    )
