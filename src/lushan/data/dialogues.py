"""Rows of any format as dialogues: who says what, in one list of messages a row."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import pyarrow as pa

from lushan.data import arrow, files
from lushan.data.history import HISTORY, earlier_turns
from lushan.data.labelled import (
    Columns,
    Labelled,
    halves,
    most,
    remember,
    remembered,
    require_column,
    with_places,
)
from lushan.errors import UserError, did_you_mean

Message = tuple[str, str]
"""(role, content)."""

MESSAGES = ("messages", "conversations", "conversation", "turns", "dialogue", "dialog", "log")
ROLE = ("role", "from", "speaker")
CONTENT = ("content", "value", "utterance", "text")
INSTRUCTION = ("instruction", "prompt", "question")
INPUT = ("input", "context")
OUTPUT = ("output", "response", "completion", "answer")

ROLES: Mapping[str, str] = {
    **dict.fromkeys(("user", "usr", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "chatbot", "model", "ai"), "assistant"),
    # In sets of task-oriented dialogues, and in no other, the system's turn is called so.
    "sys": "assistant",
    "system": "system",
    **dict.fromkeys(("tool", "function", "observation"), "tool"),
}
"""What speakers are called, in small letters, to their role."""

KNOWN = ("system", "user", "assistant", "tool")
_OTHER = {"user": "assistant", "assistant": "user"}


@dataclasses.dataclass(kw_only=True)
class Dialogues:
    """Options of a source whose rows are dialogues.

    A row holds a list of messages, each with a role and a content, or of plain turns; or else an
    instruction with an output. Messages of one role that follow one another become one.

    Args:
        messages: The field with the list of messages or turns; null finds it by its name.
        role: A message's key that says who speaks; null finds it.
        content: A message's key that says what; null finds it.
        roles: Names of speakers to `system`, `user`, `assistant` or `tool`, before the usual ones:
            `{SYSTEM: assistant}`.
        first_role: Who begins, where turns are plain texts.
        instruction: The field with what the user wants, of a row without messages.
        input: The field with what it is about; it may be empty.
        output: The field with the answer.
        history: The field with earlier pairs of both, of a row with an instruction; null finds
            `history`.
        system: The field with a system message, put before the others; null finds `system`.
        id: The field with the dialogues' names; null numbers them by their lines.
        longest_line: Bytes of the longest line, or of the longest message, that is read.
    """

    messages: str | None = None
    role: str | None = None
    content: str | None = None
    roles: dict[str, str] | None = None
    first_role: Literal["user", "assistant"] = "user"
    instruction: str | None = None
    input: str | None = None
    output: str | None = None
    history: str | None = None
    system: str | None = None
    id: str | None = "id"
    longest_line: int = files.LONGEST_LINE

    def table_of(self, columns: Columns, split: str, notes: list[str]) -> pa.Table:
        """A corpus's table of any rows; dialogues without an assistant's turn are left out.

        Raises:
            UserError: A field is not there, or a row does not hold what it should.
        """
        counts: Counter[str] = Counter()
        table, dialogues = self.dialogues_of(columns, counts)
        answered = [any(role == "assistant" for role, _ in d) for d in dialogues]
        notes += self._notes(split, counts, len(dialogues) - sum(answered), len(dialogues))
        if not any(answered):
            raise UserError(
                "no dialogue has a turn of the assistant's: there is nothing to learn",
                file=columns.file,
                hint="Say who the assistant is: data.roles={NAME: assistant}, or, where turns are "
                "plain texts, data.first_role=assistant.",
            )
        kept = [row for row, answers in enumerate(answered) if answers]
        return table if all(answered) else table.take(arrow.numbers(kept, pa.int64()))

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
        self._require_roles()
        read = self._read(columns, counts, answered=answered)
        dialogues = [_joined(messages, counts) for messages in read]
        table = with_places(
            {
                "id": Labelled(id=self.id).ids(columns),
                "messages": message_lists(columns, dialogues),
            },
            columns,
        )
        return table, dialogues

    @staticmethod
    def _notes(split: str, counts: Counter[str], unanswered: int, total: int) -> Iterator[str]:
        if counts["empty"]:
            yield f"{split}: {counts['empty']} messages are empty"
        if counts["joined"]:
            yield (
                f"{split}: {counts['joined']} messages were joined to the one before, which is of "
                "the same role"
            )
        if unanswered:
            yield (
                f"{split}: {unanswered} of {total} dialogues have no turn of the assistant's and "
                "were left out"
            )

    def _require_roles(self) -> None:
        for name, role in (self.roles or {}).items():
            if role not in KNOWN:
                raise UserError(
                    "there is no such role",
                    key=f"data.roles.{name}",
                    value=role,
                    hint=did_you_mean(str(role), KNOWN) or f"Roles are: {', '.join(KNOWN)}.",
                )

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
            rows = self._turns(columns, field)
        for row, messages in enumerate(rows):
            counts["empty"] += sum(not content.strip() for _, content in messages)
            head = "" if system is None else columns.values[system][row] or ""
            if not isinstance(head, str):
                raise columns.fail(f"{system} must be a text", row, value=head)
            yield [("system", head), *messages] if head.strip() else messages

    def _messages_field(self, columns: Columns, *, answered: bool = True) -> str | None:
        """The field with lists of messages; None where rows have an instruction instead."""
        if self.messages is not None:
            require_column(self.messages, list(columns.values), "data.messages", columns.file)
            return self.messages
        if self.instruction is not None or self.output is not None:
            return None
        before = remembered(self).get("messages")
        for name in (before, *MESSAGES) if before else MESSAGES:
            if most(columns.values.get(name, ()), lambda value: isinstance(value, list | dict)):
                return name
        has_output = not answered or _first_of(OUTPUT, columns.values)
        if _first_of(INSTRUCTION, columns.values) and has_output:
            return None
        raise UserError(
            "which field holds the messages?",
            key="data.messages",
            file=columns.file,
            hint="Write data.messages=NAME, or data.instruction=NAME data.output=NAME; the fields "
            f"are: {', '.join(columns.values)}.",
        )

    def _system_field(self, columns: Columns) -> str | None:
        if self.system is not None:
            require_column(self.system, list(columns.values), "data.system", columns.file)
            return self.system
        values = [value for value in columns.values.get("system", ()) if value is not None]
        return "system" if most(values, lambda value: isinstance(value, str)) else None

    # An instruction with an output

    def _instructions(self, columns: Columns, *, answered: bool = True) -> Iterator[list[Message]]:
        fields = [self._field(columns, "instruction", INSTRUCTION)]
        if answered:
            fields.append(self._field(columns, "output", OUTPUT))
        extra = self.input or _first_of(INPUT, columns.values)
        if self.input is not None:
            require_column(self.input, list(columns.values), "data.input", columns.file)
        history = self.history or _first_of((HISTORY,), columns.values)
        if self.history is not None:
            require_column(self.history, list(columns.values), "data.history", columns.file)
        for row in range(len(columns.lines)):
            wanted, *answer = (self._text(columns, row, f, columns.values[f][row]) for f in fields)
            about = None if extra is None else columns.values[extra][row]
            if about is not None and (text := self._text(columns, row, str(extra), about)).strip():
                wanted = f"{wanted}\n\n{text}"
            turns = [] if history is None else earlier_turns(columns, history, row)
            yield [*turns, ("user", wanted), *(("assistant", text) for text in answer)]

    def _field(self, columns: Columns, option: str, names: Sequence[str]) -> str:
        chosen = getattr(self, option) or _first_of(names, columns.values)
        if chosen is None:
            raise UserError(
                f"which field holds the {option}?",
                key=f"data.{option}",
                file=columns.file,
                hint=f"Write data.{option}=NAME; the fields are: {', '.join(columns.values)}.",
            )
        require_column(chosen, list(columns.values), f"data.{option}", columns.file)
        return str(chosen)

    # Messages, or plain turns

    def _turns(self, columns: Columns, field: str) -> Iterator[list[Message]]:
        for row, value in enumerate(columns.values[field]):
            turns = _rows_of(value)
            if not isinstance(turns, list | tuple):
                raise columns.fail(f"{field} must be a list of messages", row, value=value)
            if all(isinstance(turn, str) for turn in turns):
                yield self._alternating(columns, row, field, turns)
            else:
                yield self._said(columns, row, turns)

    def _alternating(
        self, columns: Columns, row: int, field: str, turns: Sequence[str]
    ) -> list[Message]:
        roles = (self.first_role, _OTHER[self.first_role])
        return [
            (roles[place % 2], self._text(columns, row, field, turn))
            for place, turn in enumerate(turns)
        ]

    def _said(self, columns: Columns, row: int, turns: Sequence[Any]) -> list[Message]:
        speakers: list[str] = []
        messages: list[Message] = []
        for number, turn in enumerate(turns, start=1):
            if not isinstance(turn, Mapping):
                raise columns.fail(
                    f"message {number} is no mapping with role and content", row, value=turn
                )
            speaker = self._value(columns, row, number, turn, "role", ROLE)
            content = self._value(columns, row, number, turn, "content", CONTENT)
            speakers.append(str(speaker))
            text = self._text(columns, row, f"content of message {number}", _parts(content))
            messages.append((self._role(columns, row, number, speaker), text))
        self._require_one_meaning(columns, row, speakers, messages)
        return messages

    def _value(
        self,
        columns: Columns,
        row: int,
        number: int,
        message: Mapping[str, Any],
        option: str,
        names: Sequence[str],
    ) -> Any:
        key = getattr(self, option) or _first_of(names, message)
        if key is None or key not in message:
            raise columns.fail(
                f"message {number} has no {key or option}",
                row,
                hint=f"Write data.{option}=NAME; its keys are: {', '.join(map(str, message))}.",
            )
        return message[key]

    def _text(self, columns: Columns, row: int, what: str, value: Any) -> str:
        if type(value) is not str:
            problem = f"the {what} is missing" if value is None else f"the {what} is no text"
            raise columns.fail(problem, row, value=value)
        if len(value) > self.longest_line:
            raise files.too_long(columns.file, columns.lines[row], len(value), self.longest_line)
        return value

    # Roles

    def _role(self, columns: Columns, row: int, number: int, speaker: Any) -> str:
        given = self.roles or {}
        role = given.get(speaker) if isinstance(speaker, str) else None
        role = role or (ROLES.get(speaker.lower()) if isinstance(speaker, str) else None)
        if role is None:
            near = did_you_mean(speaker, ROLES) if isinstance(speaker, str) else None
            ways = f"Say who that is: data.roles={{{speaker}: assistant}} or {{{speaker}: user}}."
            raise columns.fail(
                f"message {number} is by a role that is not known",
                row,
                value="null" if speaker is None else speaker,
                hint=f"{near} {ways}" if near else ways,
            )
        return role

    def _require_one_meaning(
        self, columns: Columns, row: int, speakers: Sequence[str], messages: Sequence[Message]
    ) -> None:
        """Refuse names that mean one thing here and another there, where they were not explained.

        `system` gives orders in one set, and answers in another, and so does `sys`.
        """
        given = self.roles or {}
        answering = {s for s, (role, _) in zip(speakers, messages, strict=True) if _answers(role)}
        for place, (speaker, (role, _)) in enumerate(zip(speakers, messages, strict=True)):
            if speaker in given or speaker.lower() not in ("system", "sys"):
                continue
            if role == "system" and place and not answering:
                raise columns.fail(
                    f"{speaker!r} speaks amid the dialogue, and nobody else answers the user",
                    row,
                    hint=f"If that is the assistant, write data.roles={{{speaker}: assistant}}.",
                )
            if role == "assistant" and len(answering) > 1:
                others = ", ".join(sorted(answering - {speaker}))
                raise columns.fail(
                    f"both {speaker!r} and {others!r} would be the assistant",
                    row,
                    hint=f"Write data.roles={{{speaker}: system}}, or assistant.",
                )


def message_lists(columns: Columns, dialogues: Sequence[Sequence[Message]]) -> pa.Array:
    """Dialogues as an Arrow column of lists of role and content."""
    try:
        return arrow.record_lists(dialogues, ("role", "content"))
    except UnicodeEncodeError as error:
        texts = [[content for _, content in messages] for messages in dialogues]
        raise halves(columns, texts) from error


def _joined(messages: Sequence[Message], counts: Counter[str]) -> list[Message]:
    """Messages of one role that follow one another as one; tools may well answer in a row."""
    found: list[Message] = []
    for role, content in messages:
        if found and found[-1][0] == role and role != "tool":
            both = [text for text in (found[-1][1], content) if text]
            found[-1] = (role, "\n".join(both))
            counts["joined"] += 1
        else:
            found.append((role, content))
    return found


def _answers(role: str) -> bool:
    return role == "assistant"


def _first_of(names: Sequence[str], there: Mapping[str, Any]) -> str | None:
    return next((name for name in names if name in there), None)


def _rows_of(value: Any) -> Any:
    """Messages kept by column, as some sets of the hub are, as rows."""
    if not isinstance(value, Mapping) or not all(isinstance(v, list) for v in value.values()):
        return value
    return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=False)]


def _parts(content: Any) -> Any:
    """The text of a content that is written as a list of parts, where all are texts."""
    is_list = isinstance(content, list) and all(isinstance(part, Mapping) for part in content)
    if is_list and all(part.get("type") == "text" for part in content):
        return "".join(str(part.get("text", "")) for part in content)
    return content
