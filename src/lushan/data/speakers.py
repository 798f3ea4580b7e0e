"""Messages as data sets write them: who speaks, what, and which other fields there are."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from lushan.common.override_text import can_be_key, typed
from lushan.data import files
from lushan.data.dialogue_media import of_parts
from lushan.data.messages import (
    CALLS,
    Malformed,
    Message,
    calls_from,
    weight_from,
)
from lushan.data.raw_columns import Columns
from lushan.errors import UserError, did_you_mean, nearest
from lushan.text import parts
from lushan.text.weights import WEIGHT

ROLE = ("role", "from", "speaker")
CONTENT = ("content", "value", "utterance", "text")
CALL = "function_call"
"""A role whose content is a tool call as JSON, which becomes one of the assistant's."""

ROLES: Mapping[str, str] = {
    **dict.fromkeys(("user", "usr", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "chatbot", "model", "ai"), "assistant"),
    # In sets of task-oriented dialogues, and in no other, the system's turn is called so.
    "sys": "assistant",
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "function", "observation", "ipython"), "tool"),
    **dict.fromkeys(("tool_response", "tool_result", "function_response"), "tool"),
    **dict.fromkeys((CALL, "tool_call"), CALL),
}
"""Names of speakers, in small letters, to their role."""

SHORTEST = 4
"""Letters of a name that others may be misspellings of."""
KNOWN = ("system", "user", "assistant", "tool", CALL)
_OTHER = {"user": "assistant", "assistant": "user"}


@dataclasses.dataclass(frozen=True)
class Speakers:
    """Reads the messages of one row at a time.

    Args:
        role: A message's key that says who speaks; None finds it.
        content: A message's key that says what; None finds it.
        roles: Names of speakers to roles, before the usual ones.
        first_role: Who begins, where turns are plain texts.
        longest: Characters of the longest content.
    """

    role: str | None = None
    content: str | None = None
    roles: Mapping[str, str] | None = None
    first_role: Literal["user", "assistant"] = "user"
    longest: int = files.LONGEST_LINE

    def require_roles(self) -> None:
        """Refuse roles in `roles` that there are not."""
        for name, role in (self.roles or {}).items():
            if role not in KNOWN:
                raise UserError(
                    "unknown role",
                    key=f"data.roles.{name}",
                    value=role,
                    hint=did_you_mean(str(role), KNOWN) or f"Roles are: {', '.join(KNOWN)}.",
                )

    def read(
        self, columns: Columns, row: int, field: str, value: object, counts: Counter[str]
    ) -> list[Message]:
        """The messages of a row.

        Args:
            columns: For errors.
            row: Likewise.
            field: Where the messages stand.
            value: A list of mappings or of texts, or a mapping of columns.
            counts: Gets what the reader of the numbers must know.

        Raises:
            UserError: They are none; names file and line.
        """
        turns = _rows_of(columns, row, field, value)
        if isinstance(turns, list) and turns and self._are_exchanges(turns):
            turns = [{"role": name, "content": turn[name]} for turn in turns for name in turn]
        if isinstance(turns, str):
            raise columns.fail(
                f"{field} is text, but must be a list of messages, perhaps written as JSON",
                row,
                value=turns,
                hint="For an instruction with its output, write data.instruction=NAME "
                "data.output=NAME; for plain text, task=causal_lm data=text.",
            )
        if not isinstance(turns, list | tuple):
            raise columns.fail(f"{field} must be a list of messages", row, value=value)
        if all(isinstance(turn, str) for turn in turns):
            roles = (self.first_role, _OTHER[self.first_role])
            return [
                Message(roles[place % 2], self.text(columns, row, field, turn))
                for place, turn in enumerate(turns)
            ]
        speakers: list[str] = []
        messages: list[Message] = []
        for number, turn in enumerate(turns, start=1):
            if not isinstance(turn, Mapping):
                raise columns.fail(
                    f"message {number} is not a mapping with role and content", row, value=turn
                )
            speaker, message = self._message(columns, row, number, turn, counts)
            speakers.append(speaker)
            messages.append(message)
        self._require_one_meaning(columns, row, speakers, messages)
        return messages

    def _are_exchanges(self, turns: Sequence[object]) -> bool:
        """Return whether each holds what several say: `{"human": ..., "assistant": ...}`."""
        known = {**ROLES, **(self.roles or {})}
        return all(
            isinstance(turn, Mapping)
            and len(turn) > 1
            and all(str(name).lower() in known and isinstance(turn[name], str) for name in turn)
            for turn in turns
        )

    def text(self, columns: Columns, row: int, what: str, value: object) -> str:
        """A value that must be a text, and not too long a one."""
        if type(value) is not str:
            problem = f"the {what} is missing" if value is None else f"the {what} is not text"
            raise columns.fail(problem, row, value=value)
        if len(value) > self.longest:
            raise files.too_long(columns.file, columns.lines[row], len(value), self.longest)
        return value

    # One message

    def _message(
        self, columns: Columns, row: int, number: int, turn: Mapping[str, Any], counts: Counter[str]
    ) -> tuple[str, Message]:
        """Return the speaker, as the data name it, and the message."""
        role_key = self._key(columns, row, number, turn, "role", ROLE)
        speaker = turn[role_key]
        role = self._role(columns, row, number, speaker)
        content_key = self.content or _first_of(CONTENT, turn)
        content = None if content_key is None else turn.get(content_key)
        if role != CALL and parts.are_parts(content, known=role == "tool"):
            content = of_parts(columns, row, number, content)
        taken = (role_key, content_key, "role", "content")
        rest = {k: v for k, v in turn.items() if k not in taken and v is not None}
        try:
            fields = self._fields(role, content, rest, counts)
        except Malformed as error:
            hint = None
            if role == CALL:
                hint = f"To read it as text, write {_roles(speaker, 'assistant')}."
            raise columns.fail(
                f"message {number}: {error}",
                row,
                value=content if role == CALL else turn,
                hint=hint,
            ) from None
        if role == CALL:
            return str(speaker), Message("assistant", "", fields)
        unsaid = Message(role, "", {"content": None, **fields})
        if content is None and role == "assistant" and not unsaid.is_empty:
            return str(speaker), unsaid
        if content is None:  # which names the keys that there are, where none holds it
            self._key(columns, row, number, turn, "content", CONTENT)
        is_seen = isinstance(content, parts.Parts)
        if role == "tool" and not (content is None or isinstance(content, str) or is_seen):
            content = json.dumps(content, ensure_ascii=False)
        said = parts.text_of(content) if is_seen else content
        text = self.text(columns, row, f"content of message {number}", said)
        if is_seen and role == "assistant":
            raise columns.fail(
                f"message {number} is by the assistant and has an image, but the assistant can "
                f"only write text",
                row,
            )
        return str(speaker), Message(
            role, text, fields, content if isinstance(content, parts.Parts) else ()
        )

    def _fields(
        self, role: str, content: object, rest: Mapping[str, Any], counts: Counter[str]
    ) -> dict[str, Any]:
        """The other fields of a message, tool calls in one form.

        Raises:
            Malformed: One is not what its name says.
        """
        weight = weight_from(rest)
        fields = {k: v for k, v in rest.items() if k not in (WEIGHT, "train")}
        if role == CALL:
            fields |= {"content": None, CALLS: calls_from(content)}
        elif role == "assistant":
            calls = fields.pop(CALLS, None) or fields.pop("function_call", None)
            fields |= {CALLS: calls_from(calls)} if calls else {}
        if role not in ("assistant", CALL):
            counts["elsewhere"] += bool(weight)
        elif weight not in (None, 1):
            fields[WEIGHT] = weight
        return fields

    def _key(
        self,
        columns: Columns,
        row: int,
        number: int,
        message: Mapping[str, Any],
        option: str,
        names: Sequence[str],
    ) -> str:
        key = getattr(self, option) or _first_of(names, message)
        if key is None or key not in message:
            raise columns.fail(
                f"message {number} has no {key or option}",
                row,
                hint=f"Write data.{option}=NAME; its keys are: {', '.join(map(str, message))}.",
            )
        return str(key)

    # Roles

    def _role(self, columns: Columns, row: int, number: int, speaker: object) -> str:
        given = self.roles or {}
        role = given.get(speaker) if isinstance(speaker, str) else None
        role = role or (ROLES.get(speaker.lower()) if isinstance(speaker, str) else None)
        if role is None:
            hint = f"Set the role: {_roles(speaker, 'ROLE')}, where ROLE is user, assistant, "
            hint += "system or tool."
            # Names of people are near to short ones: Bob to bot.
            words = [name for name in ROLES if len(name) >= SHORTEST]
            near = nearest(speaker.lower(), words) if isinstance(speaker, str) else None
            if near is not None:
                hint = f"Did you mean {near!r}? Set the role: {_roles(speaker, ROLES[near])}."
            raise columns.fail(
                f"message {number} has an unknown role",
                row,
                value="null" if speaker is None else speaker,
                hint=hint,
            )
        return role

    def _require_one_meaning(
        self, columns: Columns, row: int, speakers: Sequence[str], messages: Sequence[Message]
    ) -> None:
        """Refuse names that mean one thing here and another there, where they were not explained.

        `system` gives orders in one set, and answers in another, and so does `sys`.
        """
        given = self.roles or {}
        pairs = list(zip(speakers, messages, strict=True))
        answering = {s for s, m in pairs if m.role == "assistant" and ROLES.get(s.lower()) != CALL}
        for place, (speaker, message) in enumerate(pairs):
            if speaker in given or speaker.lower() not in ("system", "sys"):
                continue
            if message.role == "system" and place and not answering:
                raise columns.fail(
                    f"{speaker!r} speaks in the dialogue, and no other role answers the user",
                    row,
                    hint=f"If that is the assistant, write {_roles(speaker, 'assistant')}.",
                )
            if message.role == "assistant" and len(answering) > 1:
                others = ", ".join(sorted(answering - {speaker}))
                raise columns.fail(
                    f"both {speaker!r} and {others!r} would be the assistant",
                    row,
                    hint=f"Write {_roles(speaker, 'system')}, or assistant.",
                )


def _roles(speaker: object, role: str) -> str:
    """Return the override that gives a speaker a role."""
    name = str(speaker)
    if can_be_key(name):
        return typed("data.roles", {name: role})
    # Hydra's grammar has no such keys; YAML has.
    return f"{json.dumps(name, ensure_ascii=False)}: {role} below data.roles in a config file"


def _first_of(names: Sequence[str], there: Mapping[str, Any]) -> str | None:
    return next((name for name in names if name in there), None)


def _rows_of(columns: Columns, row: int, field: str, value: object) -> object:
    """Messages kept by column, as some sets of the hub are, as rows."""
    if not isinstance(value, Mapping) or not all(isinstance(v, list) for v in value.values()):
        return value
    sizes = {name: len(values) for name, values in value.items()}
    if len(set(sizes.values())) > 1:
        counted = ", ".join(f"{name} has {size}" for name, size in sizes.items())
        raise columns.fail(
            f"the columns of {field} differ in length: {counted}",
            row,
            hint="Each message needs a value in each column; write null if there is none.",
        )
    return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]
