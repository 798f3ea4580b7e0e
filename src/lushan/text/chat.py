"""Chat templates: a dialogue as the text that a model reads, and which of it is learned.

Learned are the assistant's turns: what follows a prompt, up to the token that ends the turn. A
template may mark them by `{% generation %}`; what its marks hold besides, such as the header that
a prompt ends with, or white space behind the end, is not learned. For a template without marks,
the text of the dialogue is compared with the texts of its beginnings. Some templates write a turn
otherwise when another follows (Qwen leaves out its reasoning): then each turn has a text of its
own, the one that the model would have written it in.
"""

from __future__ import annotations

import bisect
import dataclasses
import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lushan.common.override_text import typed
from lushan.common.parsing import read_bounded
from lushan.errors import UserError, did_you_mean
from lushan.text import parts
from lushan.text.parts import TOKENS, Part
from lushan.text.pieces import Forged, Marked, Offsets, Pieces
from lushan.text.rendering import Disguise, Messages, Span, Tools, Unfit, Writer
from lushan.text.turns import Rewritten, Turns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FOLDER = Path(__file__).parent / "templates"
BUILT_IN = tuple(sorted(path.stem for path in FOLDER.glob("*.jinja")))
DEFAULT = "plain"
LONGEST = 1 << 20
"""Bytes of a template."""
NEEDS = {
    "chatml": ("<|im_start|>", "<|im_end|>"),
    "llama3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
}
"""The tokens that built-in templates write."""


@dataclasses.dataclass(frozen=True)
class Rendered:
    """A dialogue as text.

    Attributes:
        text: What the template wrote.
        turns: The characters [start, end) of each of the assistant's turns that is learned here.
        plain: Stretches that only look like control tokens: a message holds them.
        earlier: Turns before these, whose tokens end where the turn does, too.
        images: The images, in the order of their tokens.
    """

    text: str
    turns: list[Span]
    plain: list[Span]
    earlier: Sequence[Span] = ()
    images: Sequence[Part] = ()


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A dialogue as tokens.

    Attributes:
        ids: All of them.
        turns: The tokens [start, end) of each of the assistant's turns.
        images: The images, in the order of their tokens.
        places: The tokens [start, end) of each image.
    """

    ids: list[int]
    turns: list[Span]
    images: Sequence[Part] = ()
    places: Sequence[Span] = ()


class ChatTemplate:
    """A template, with the tokenizer that it is written for.

    Attributes:
        source: The Jinja text.
        marks: Whether it marks which of its text is learned.
        stops: The ids that end a turn.

    Args:
        source: The Jinja text.
        tokenizer: A fast one.
        name: What the user called it, for errors.
        image: The token that stands for an image; '' where the model sees none.

    Raises:
        UserError: It is no template, or cannot mark the assistant's turns.
    """

    def __init__(
        self,
        source: str,
        tokenizer: PreTrainedTokenizerFast,
        name: str | None = None,
        image: str = "",
    ) -> None:
        self.source, self.tokenizer = source, tokenizer
        self.name, self.image = name, image
        self.image_id = tokenizer.backend_tokenizer.token_to_id(image) if image else None
        known = control_tokens(tokenizer, source)
        self.control = known if not image or image in known else (*known, image)
        self.pieces = Pieces(tokenizer, self.control)
        self._writer = Writer(source, tokenizer, image)
        self.marks = self._writer.tracks
        try:
            self._turns = Turns(self._writer, self.control)
        except Unfit as error:
            raise self._unusable(str(error)) from error
        special = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
        structural = [t for t in self.control if t in special or t in self._turns.structure]
        self._disguise = Disguise(self.control, structural)
        self.stops = self._stops()

    def _stops(self) -> list[int]:
        ends = self.tokenizer.convert_tokens_to_ids(list(self._turns.ends))
        assert isinstance(ends, list)
        eos = self.tokenizer.eos_token_id
        return list(dict.fromkeys([*ends, *([] if eos is None else [eos])]))

    def _unusable(self, why: str) -> UserError:
        other = next(
            (n for n in ("chatml", DEFAULT) if n != self.name and not lacking(n, self.tokenizer)),
            DEFAULT,
        )
        return UserError(
            f"this chat template cannot be used for training: {why}",
            key="task.template",
            value=self.name or "the tokenizer's own",
            hint=f"Write task.template={other}; or put {{% generation %}} before the "
            "assistant's text and {% endgeneration %} after its end token.",
        )

    # Text

    def render(self, messages: Messages, tools: Tools = None, *, prompt: bool = False) -> Rendered:
        """A dialogue as text.

        Args:
            messages: The dialogue; fields that the template does not show are left out.
            tools: What may be called.
            prompt: Whether the assistant's next turn is begun at the end.

        Raises:
            Unfit: The template refuses it.
            Rewritten: It writes a turn otherwise when another follows; see `parts`.
        """
        images, messages = _apart(messages)
        messages, tools, _ = self._writer.visible(messages, tools)
        base, hidden, hidden_tools = self._disguise.attach(messages, tools)
        if prompt:
            text, _ = self._writer.write(hidden, hidden_tools, prompt=True)
            turns = self._turns.before_prompt(hidden, hidden_tools, text)
        else:
            text, spans = self._writer.write(hidden, hidden_tools)
            turns = self._turns.of(hidden, hidden_tools, text, spans)
        return self._shown(text, base, turns, images=images)

    def parts(self, messages: Messages, tools: Tools = None) -> list[Rendered]:
        """A dialogue as texts in which each of its turns is learned once: one, or one a turn.

        Raises:
            Unfit: The template refuses it.
        """
        try:
            return [self.render(messages, tools)]
        except Rewritten:
            answers = [i for i, m in enumerate(messages) if m["role"] == "assistant"]
            return [self.last(messages[: i + 1], tools) for i in answers]

    def last(self, messages: Messages, tools: Tools = None) -> Rendered:
        """A dialogue that ends with the assistant's turn, which alone is learned.

        Raises:
            Unfit: The template refuses it.
        """
        images, messages = _apart(messages)
        messages, tools, _ = self._writer.visible(messages, tools)
        base, hidden, hidden_tools = self._disguise.attach(messages, tools)
        turn = self._turns.last(hidden, hidden_tools)
        earlier = self._turns.before_prompt(hidden[:-1], hidden_tools, turn.before)
        return self._shown(turn.text, base, [turn.span], earlier, images)

    def _shown(
        self,
        text: str,
        base: int,
        turns: list[Span],
        earlier: Sequence[Span] = (),
        images: Sequence[Part] = (),
    ) -> Rendered:
        found = text.count(self.image) if self.image else 0
        if found != len(images):
            raise Unfit(f"it shows {found} of {len(images)} images")
        shown, plain = self._disguise.take_off(text, base)
        return Rendered(shown, turns, plain, earlier, images)

    def disguised(self, messages: Messages, tools: Tools = None) -> bool:
        """Return whether a message holds the text of a control token, which is kept as text."""
        return self._disguise.needed(_apart(messages)[1], tools)

    def unseen(self, messages: Messages, tools: Tools = None) -> Counter[str]:
        """Count the fields of a dialogue that the template does not show."""
        return self._writer.visible(messages, tools)[2]

    # Tokens

    def encode(
        self, dialogues: Sequence[Messages], tools: Sequence[Tools] | None = None
    ) -> list[Encoded]:
        """Dialogues as tokens.

        Raises:
            Unfit: The template refuses one.
        """
        given = tools or [None] * len(dialogues)
        return self.tokens_of([self.render(*d) for d in zip(dialogues, given, strict=True)])

    def prompt(self, messages: Messages, tools: Tools = None) -> list[int]:
        """A dialogue as the tokens after which the assistant speaks.

        Raises:
            Unfit: The template refuses it.
        """
        return self.tokens_of([self.render(messages, tools, prompt=True)])[0].ids

    def tokens_of(self, rendered: Sequence[Rendered]) -> list[Encoded]:
        """Texts as tokens.

        Raises:
            Unfit: A message can only be read as a control token.
        """
        marked = [
            Marked(r.text, [b for span in (*r.earlier, *r.turns) for b in span], r.plain)
            for r in rendered
        ]
        try:
            found = self.pieces.encode(marked)
        except Forged as error:
            raise Unfit(f"a message contains {error}, which is a token, not text") from error
        return [
            self._expanded(ids, _tokens(offsets, r.turns), r.images)
            for (ids, offsets), r in zip(found, rendered, strict=True)
        ]

    def _expanded(self, ids: list[int], turns: list[Span], images: Sequence[Part]) -> Encoded:
        """Tokens with those of each image (`TOKENS` of its part) for the one that stands for it."""
        if not images:
            return Encoded(ids, turns)
        marks = [place for place, token in enumerate(ids) if token == self.image_id]
        if len(marks) != len(images):
            raise Unfit(
                f"a message can only be encoded as {self.image}, which is a token, not text"
            )
        whole: list[int] = []
        places: list[Span] = []
        before = 0
        for mark, image in zip(marks, images, strict=True):
            whole += ids[before:mark]
            places.append((len(whole), len(whole) + len(image[TOKENS])))
            whole += image[TOKENS]
            before = mark + 1
        more = [0, *itertools.accumulate(len(image[TOKENS]) - 1 for image in images)]

        def moved(border: int) -> int:
            return border + more[bisect.bisect_left(marks, border)]

        moved_turns = [(moved(start), moved(end)) for start, end in turns]
        return Encoded([*whole, *ids[before:]], moved_turns, images, places)


def _apart(messages: Messages) -> tuple[list[Part], Messages]:
    """Return the images of some messages, and the messages with parts that say no more of them."""
    images = [part for message in messages for part in parts.images_of(message.get("content"))]
    if not images:
        return [], messages
    return images, [
        {**m, "content": parts.form_of(m["content"])} if parts.images_of(m.get("content")) else m
        for m in messages
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


def choose(name: str | None, tokenizer: PreTrainedTokenizerFast, image: str = "") -> ChatTemplate:
    """The template that a config names.

    Args:
        name: That of a built-in one, or a file; None is the tokenizer's own, and `plain` where it
            has none.
        tokenizer: A fast one.
        image: See `ChatTemplate`.

    Raises:
        UserError: There is none of that name, it cannot mark the assistant's turns, or the
            tokenizer lacks its tokens.
    """
    if name is None and tokenizer.chat_template:
        return ChatTemplate(own(tokenizer), tokenizer, image=image)
    name = name or DEFAULT
    source = read(name)
    if image and name in BUILT_IN:
        source = parts.seeing(source, image)
    if missing := lacking(name, tokenizer):
        raise UserError(
            f"the tokenizer has no token {missing[0]}",
            key="task.template",
            value=name,
            hint=f"Train a tokenizer with these tokens: "
            f"{typed('processor.special_tokens', NEEDS[name])}; or "
            f"write task.template={DEFAULT}, which does not need them.",
        )
    if name == DEFAULT and not (tokenizer.eos_token or tokenizer.sep_token):
        raise UserError(
            "the tokenizer has no end-of-text token, and the template has no end-of-turn token",
            key="task.template",
            value=name,
        )
    return ChatTemplate(source, tokenizer, name, image)


def own(tokenizer: PreTrainedTokenizerFast) -> str:
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
        return read_bounded(path, LONGEST).decode("utf-8").removesuffix("\n")
    except ValueError as error:
        raise UserError(f"no chat template: {error}", key="task.template", file=path) from error
    except FileNotFoundError:
        near = did_you_mean(name, BUILT_IN)
        ways = f"Write {', '.join(BUILT_IN)}, or the path of a Jinja file."
        raise UserError(
            "unknown chat template",
            key="task.template",
            value=name,
            hint=f"{near} {ways}" if near else ways,
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"the chat template cannot be read: {error}", key="task.template", value=name
        ) from error


def lacking(name: str, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The tokens of a built-in template that a tokenizer lacks."""
    there = tokenizer.get_added_vocab()
    return [token for token in NEEDS.get(name, ()) if token not in there]


def control_tokens(tokenizer: PreTrainedTokenizerFast, source: str) -> tuple[str, ...]:
    """The tokens that mean something to a model: special ones, and those the template writes."""
    return tuple(
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special or (token.content.strip() and token.content in source)
    )
