"""Rows of any format as dialogues: who says what, in one list of messages a row."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from lushan.common.arrays import pa
from lushan.configurable import Within
from lushan.data import files
from lushan.data.dialogue_media import with_images
from lushan.data.encode import arrow
from lushan.data.fields import Fields
from lushan.data.groups import WithGroup
from lushan.data.history import HISTORY, as_messages, earlier_turns, with_lists
from lushan.data.labelled import Labelled, most, remember, remembered, require_column
from lushan.data.media import WithMedia
from lushan.data.messages import (
    CALLS,
    TOOLS,
    Malformed,
    Message,
    as_json,
    message_lists,
    tools_column,
    tools_from,
    without_nulls,
)
from lushan.data.raw_columns import Columns, halves, with_places
from lushan.data.speakers import Speakers
from lushan.data.split_column import WithSplitColumn
from lushan.data.which import listed, which
from lushan.errors import UserError
from lushan.text import parts
from lushan.text.weights import WEIGHT
from lushan.vision.video import MOST_TAKEN, Sampling

MESSAGES = ("messages", "conversations", "conversation", "turns", "dialogue", "dialog", "log")
INSTRUCTION = ("instruction", "prompt", "question")
INPUT = ("input", "context")
OUTPUT = ("output", "response", "completion", "answer")
SCHEMAS = ("tools", "functions")
MEDIA = {"image": ("images", "image"), "video": ("videos", "video")}
"""Names of the fields of images, and of videos."""


@dataclasses.dataclass(kw_only=True)
class Dialogues(WithMedia, WithGroup, WithSplitColumn):
    """Options of a source whose rows are dialogues.

    A row holds a list of messages, each with a role and a content, or of plain turns; or else an
    instruction with an output. Messages of one role that follow one another become one. Other
    fields of messages, and tools, go to the chat template; `weight` and `train: false` of the
    assistant's weigh its tokens in the loss.

    A content may be a list of parts, `{"type": "text", "text": ...}` and `{"type": "image", "path":
    ...}`; or the images are in a field of the row, and stand where texts say `<image>`, those of an
    instruction that does not say it before the instruction. Likewise `video` and `<video>`: a video
    is read as some of its frames, each an image.

    Args:
        messages: Field with the list of messages or turns; null detects it by name.
        role: Key of the role in a message; null detects it.
        content: Key of the content in a message; null detects it.
        roles: From names of speakers to `system`, `user`, `assistant`, `tool` or `function_call`
            (the assistant's tool calls as JSON), in addition to the usual names: `{SYSTEM:
            assistant}`.
        first_role: Role of the first turn, if turns are plain texts.
        instruction: Field with the instruction, for rows without messages.
        ask: Fixed message of the user in each row, instead of a field, such as `What is this?` for
            images.
        input: Field with the input of the instruction; it can be empty.
        output: Field with the reply.
        history: Field with earlier pairs of instruction and reply, for rows with an instruction;
            null detects `history`.
        system: Field with a system message, which becomes the first message; null detects `system`.
        tools: Field with the available tools: a list of schemas, or one as JSON text; null detects
            `tools` or `functions`.
        images: Field with an image or a list of images; null detects `images` or `image`.
        videos: Field with a video or a list of videos; null detects `videos` or `video`.
        frames: Number of frames of a video, taken from the middle of equal parts.
        fps: Frames per second to take from the beginning instead; null uses `frames`.
        id: Field with the ids of dialogues; null uses line numbers.
        longest_line: Maximum size in bytes of a line or of a message.
    """

    messages: str | None = None
    role: str | None = None
    content: str | None = None
    roles: dict[str, str] | None = None
    first_role: Literal["user", "assistant"] = "user"
    instruction: str | None = None
    ask: str | None = None
    input: str | None = None
    output: str | None = None
    history: str | None = None
    system: str | None = None
    tools: str | None = None
    images: str | None = None
    videos: str | None = None
    frames: Annotated[int, Within(least=1, most=MOST_TAKEN)] = 8
    fps: Annotated[float, Within(above=0)] | None = None
    id: str | None = "id"
    longest_line: int = files.LONGEST_LINE

    def table_of(
        self, columns: Columns, split: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """A corpus's table of any rows; dialogues without a turn to learn are left out.

        Raises:
            UserError: A field is not there, or a row does not hold what it should.
        """
        del fields
        counts: Counter[str] = Counter()
        columns = self.own_rows(columns, split, notes)
        columns = dataclasses.replace(columns, media=self.media_of(split), sampling=self.sampling)
        table, dialogues = self.dialogues_of(columns, counts)
        table = self.with_group(table, columns)
        kept = [row for row, messages in enumerate(dialogues) if _learned(messages)]
        silent = sum(not any(m.role == "assistant" for m in d) for d in dialogues)
        counts |= Counter(silent=silent, unlearned=len(dialogues) - silent - len(kept))
        notes += _notes(split, counts, len(dialogues))
        if not kept:
            problem = "all assistant turns have weight 0, so there is nothing to train on"
            hint = "Messages with train: false or weight: 0 are not trained on."
            if silent:
                problem = "no dialogue has an assistant turn, so there is nothing to train on"
                hint = (
                    "Set the assistant's role: 'data.roles={NAME: assistant}'; or "
                    "data.first_role=assistant if the turns are plain texts."
                )
            raise UserError(problem, file=columns.file, hint=hint)
        whole = len(kept) == len(dialogues)
        return table if whole else table.take(arrow.numbers(kept, pa.int64()))

    def dialogues_of(
        self, columns: Columns, counts: Counter[str], *, answered: bool = True
    ) -> tuple[pa.Table, list[list[Message]]]:
        """Every row as a dialogue: as a table with id, messages, line and file, and as a list.

        Args:
            columns: As they were read.
            counts: What is counted on the way.
            answered: Whether an instruction must have its output.

        Raises:
            UserError: A field is not there, or a row does not hold what it should.
        """
        self.speakers.require_roles()
        columns = with_lists(columns, (self.messages or "", *MESSAGES))
        prompt = self.instruction or _first_of(INSTRUCTION, columns.values)
        whole = self.messages is not None or MESSAGES[0] in columns.values
        if prompt is not None and prompt in columns.values and not whole:
            answer = (self.output or _first_of(OUTPUT, columns.values)) if answered else None
            columns = as_messages(columns, prompt, answer, MESSAGES[0])
        read = self._read(columns, counts, answered=answered)
        dialogues = [_joined(messages, counts) for messages in read]
        return self._table(columns, dialogues), dialogues

    @property
    def sampling(self) -> Sampling:
        """Which frames of a video are read."""
        return Sampling(frames=self.frames, fps=self.fps)

    @property
    def speakers(self) -> Speakers:
        """Reads messages by these options."""
        return Speakers(self.role, self.content, self.roles, self.first_role, self.longest_line)

    def _table(self, columns: Columns, dialogues: list[list[Message]]) -> pa.Table:
        tools = self._tools(columns)
        table = {"id": Labelled(id=self.id).ids(columns)}
        try:
            table["messages"] = message_lists(dialogues)
            if any(tools):
                table[TOOLS] = tools_column(tools)
        except UnicodeEncodeError as error:
            texts = [
                [*(m.content for m in messages), *(as_json(m.fields) for m in messages), as_json(t)]
                for messages, t in zip(dialogues, tools, strict=True)
            ]
            raise halves(columns, texts) from error
        return with_places(table, columns)

    def _tools(self, columns: Columns) -> list[Any]:
        """The tools of each row."""
        if self.tools is not None:
            require_column(self.tools, list(columns.values), "data.tools", columns.file)
        field = self.tools or _first_of(SCHEMAS, columns.values)
        if field is None:
            return [None] * len(columns.lines)
        return [self._schemas(columns, r, field, v) for r, v in enumerate(columns.values[field])]

    @staticmethod
    def _schemas(columns: Columns, row: int, field: str, value: object) -> Any:
        try:
            return tools_from(value)
        except Malformed as error:
            raise columns.fail(
                f"{field}: {error}",
                row,
                value=value,
                hint="Tools must be a list of JSON schemas. data.tools=NAME selects another field.",
            ) from None

    # Rows

    def _read(
        self, columns: Columns, counts: Counter[str], *, answered: bool = True
    ) -> Iterator[list[Message]]:
        field = self._messages_field(columns, answered=answered)
        remember(self, messages=field)
        system = self._system_field(columns)
        if field is None:
            rows = self._instructions(columns, answered=answered)
        else:
            read, values = self.speakers.read, enumerate(columns.values[field])
            rows = (read(columns, row, field, value, counts) for row, value in values)
        media = {kind: self._media_field(columns, kind) for kind in MEDIA}
        seen = {kind: name for kind, name in media.items() if name is not None}
        for row, given in enumerate(rows):
            messages = given
            if seen:
                messages = with_images(columns, row, seen, given, marked=field is not None)
            counts["empty"] += sum(m.is_empty for m in messages)
            head = "" if system is None else columns.values[system][row] or ""
            if not isinstance(head, str):
                raise columns.fail(f"{system} must be a text", row, value=head)
            yield [Message("system", head), *messages] if head.strip() else messages

    def _messages_field(self, columns: Columns, *, answered: bool = True) -> str | None:
        """The field with lists of messages; None where rows have an instruction instead."""
        if self.messages is not None:
            require_column(self.messages, list(columns.values), "data.messages", columns.file)
            return self.messages
        if self.ask is not None and self.instruction is not None:
            raise UserError(
                "the user's message comes either from a field or is the same in each row",
                key="data.ask",
                value=self.ask,
                hint="Remove data.ask or data.instruction.",
            )
        if any(option is not None for option in (self.instruction, self.ask, self.output)):
            return None
        before = remembered(self).get("messages")
        for name in (before, *MESSAGES) if before else MESSAGES:
            if most(columns.values.get(name, ()), lambda value: isinstance(value, list | dict)):
                return name
        has_output = not answered or _first_of(OUTPUT, columns.values)
        if _first_of(INSTRUCTION, columns.values) and has_output:
            return None
        raise UserError(
            "it is unclear which field contains the messages",
            key="data.messages",
            file=columns.file,
            hint="Write data.messages=NAME, or data.instruction=NAME data.output=NAME; the fields "
            f"are: {listed(columns.values)}.",
        )

    def _media_field(self, columns: Columns, kind: str) -> str | None:
        named: str | None = getattr(self, f"{kind}s")
        if named is not None:
            require_column(named, list(columns.values), f"data.{kind}s", columns.file)
        return named or _first_of(MEDIA[kind], columns.values)

    def _system_field(self, columns: Columns) -> str | None:
        if self.system is not None:
            require_column(self.system, list(columns.values), "data.system", columns.file)
            return self.system
        values = [value for value in columns.values.get("system", ()) if value is not None]
        return "system" if most(values, lambda value: isinstance(value, str)) else None

    # An instruction with an output

    def _instructions(self, columns: Columns, *, answered: bool = True) -> Iterator[list[Message]]:
        text = self.speakers.text
        fields = [] if self.ask else [self._field(columns, "instruction", INSTRUCTION)]
        if answered:
            fields.append(self._field(columns, "output", OUTPUT))
        before = [self.ask] if self.ask else []
        extra = self.input or _first_of([n for n in INPUT if n not in fields], columns.values)
        if self.input is not None:
            require_column(self.input, list(columns.values), "data.input", columns.file)
        history = self.history or _first_of((HISTORY,), columns.values)
        if self.history is not None:
            require_column(self.history, list(columns.values), "data.history", columns.file)
        for row in range(len(columns.lines)):
            said = [*before, *(text(columns, row, f, columns.values[f][row]) for f in fields)]
            wanted, *answer = said
            about = None if extra is None else columns.values[extra][row]
            if about is not None and (more := text(columns, row, str(extra), about)).strip():
                wanted = f"{wanted}\n\n{more}"
            turns = [] if history is None else earlier_turns(columns, history, row)
            dialogue = [*turns, ("user", wanted), *(("assistant", one) for one in answer)]
            yield [Message(role, content) for role, content in dialogue]

    def _field(self, columns: Columns, option: str, names: Sequence[str]) -> str:
        chosen = getattr(self, option) or _first_of(names, columns.values)
        if chosen is None:
            raise which(
                f"the {option}", f"data.{option}", columns.values, columns.file, kind="field"
            )
        require_column(chosen, list(columns.values), f"data.{option}", columns.file)
        return str(chosen)


def untyped(columns: Columns) -> Columns:
    """Columns of typed storage, such as Parquet, without the nulls that others' keys have left."""
    values = {name: [without_nulls(v) for v in rows] for name, rows in columns.values.items()}
    return dataclasses.replace(columns, values=values)


def _notes(split: str, counts: Counter[str], total: int) -> Iterator[str]:
    if counts["empty"]:
        yield f"{split}: {counts['empty']} messages are empty"
    if counts["joined"]:
        yield (
            f"{split}: {counts['joined']} messages were merged with the previous one, which has "
            f"the same role"
        )
    if counts["apart"]:
        yield (
            f"{split}: {counts['apart']} messages follow one of the same role but were not "
            f"merged: their weights or other fields differ"
        )
    if counts["elsewhere"]:
        yield (
            f"{split}: {counts['elsewhere']} messages of other roles have a weight or train: "
            f"true; only the assistant's messages are trained on"
        )
    if counts["silent"]:
        yield (
            f"{split}: {counts['silent']} of {total} dialogues have no assistant turn and were "
            f"dropped"
        )
    if counts["unlearned"]:
        yield (
            f"{split}: {counts['unlearned']} of {total} dialogues have only turns of weight 0 and "
            f"were dropped"
        )


def _learned(messages: Sequence[Message]) -> bool:
    return any(m.role == "assistant" and m.weight > 0 for m in messages)


def _joined(messages: Sequence[Message], counts: Counter[str]) -> list[Message]:
    """Messages of one role that follow one another as one; tools may well answer in a row."""
    found: list[Message] = []
    for message in messages:
        if not found or found[-1].role != message.role or message.role == "tool":
            found.append(message)
        elif (both := _as_one(found[-1], message)) is not None:
            found[-1] = both
            counts["joined"] += 1
        else:
            found.append(message)
            counts["apart"] += 1
    return found


def _as_one(first: Message, second: Message) -> Message | None:
    """Two messages as one; None where that would change what one of them says, or its weight."""
    mine, other = ({**m.fields, CALLS: None, "content": None} for m in (first, second))
    differ = any(mine[name] != other[name] for name in mine.keys() & other.keys())
    # A template writes calls behind the content, and reasoning before it.
    is_late = first.calls and second.content
    if differ or first.weight != second.weight or is_late or other.keys() - mine.keys() - {WEIGHT}:
        return None
    content = "\n".join(text for text in (first.content, second.content) if text)
    found = (*_parts(first), *([parts.text("\n")] if content else ()), *_parts(second))
    fields = {k: v for k, v in first.fields.items() if k not in (CALLS, "content")}
    if calls := [*first.calls, *second.calls]:
        fields[CALLS] = calls
    if not content and first.fields.get("content", "") is second.fields.get("content", ""):
        fields |= {"content": None} if "content" in first.fields else {}
    return Message(first.role, content, fields, found if parts.images_of(found) else ())


def _parts(message: Message) -> Sequence[parts.Part]:
    return message.parts or ([parts.text(message.content)] if message.content else [])


def _first_of(names: Sequence[str], there: Mapping[str, Any]) -> str | None:
    return next((name for name in names if name in there), None)
