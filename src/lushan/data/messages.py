"""Messages of dialogues: their fields, the forms of tool calls, and how an Arrow table keeps them.

A message has a role, a content that is text or typed parts (`lushan.text.parts`), and any other
fields, which chat templates may show: `tool_calls`, `reasoning_content`, and whatever else a data
set has. Arguments of tools differ in
their keys from call to call; an Arrow struct would give each call the keys of all others, with
nulls. A table therefore keeps other fields, and tools, as JSON text. Of parts it keeps the form
there, as the field `content`, and their images beside it, in their order.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from lushan.common.arrays import pa
from lushan.common.parsing import parse_json
from lushan.data import references
from lushan.data.encode import arrow
from lushan.text import parts
from lushan.text.parts import Part
from lushan.text.weights import WEIGHT

FIELDS = "fields"
"""A message's key for its other fields as JSON text, in a table; '' where it has none."""
IMAGES = "images"
"""A message's key for its images, where any message of a table has some."""
TOOLS = "tools"
"""A table's column of tools as JSON text; '' where a dialogue has none."""
REASONING = ("reasoning_content", "reasoning", "thinking")
CALLS = "tool_calls"
_KEPT = {"role", "content", FIELDS}
"""The keys of a table's message that has fields."""


class Malformed(ValueError):
    """A field of a message, or tools, of an unknown form, which is named."""


@dataclasses.dataclass(frozen=True)
class Message:
    """A message.

    Attributes:
        role: `system`, `user`, `assistant` or `tool`.
        content: Its text; '' where it is null, which `fields` then says; of parts their texts.
        fields: The others as a chat template takes them, and `weight` where it is not 1.
        parts: Those of its content, where some are images.
    """

    role: str
    content: str
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    parts: Sequence[Part] = ()

    @property
    def weight(self) -> float:
        """Weight of its tokens in the loss; only the assistant's are learned."""
        return float(self.fields.get(WEIGHT, 1))

    @property
    def is_empty(self) -> bool:
        """Return whether it is empty: neither content nor reasoning nor a tool call."""
        others = (self.fields.get(name) for name in (CALLS, *REASONING))
        return not self.content.strip() and not self.parts and not any(others)

    @property
    def plain(self) -> dict[str, Any]:
        """All of it in one mapping, as chat templates take it."""
        content = list(self.parts) or self.content
        return {"role": self.role, "content": content, **self.fields}

    @property
    def calls(self) -> list[Any]:
        """Its tool calls."""
        return list(self.fields.get(CALLS, ()))


# Tables


def message_lists(dialogues: Sequence[Sequence[Message]]) -> pa.Array:
    """Dialogues as an Arrow column of lists of role and content, and what else any of them has.

    Raises:
        UnicodeEncodeError: One holds half of a surrogate pair.
    """
    if any(message.parts for messages in dialogues for message in messages):
        return _with_images(dialogues)
    if not any(message.fields for messages in dialogues for message in messages):
        plain = [[(m.role, m.content) for m in messages] for messages in dialogues]
        return arrow.record_lists(plain, ("role", "content"))
    rows = [[(m.role, m.content, as_json(m.fields)) for m in messages] for messages in dialogues]
    return arrow.record_lists(rows, ("role", "content", FIELDS))


def _with_images(dialogues: Sequence[Sequence[Message]]) -> pa.Array:
    rows = [
        [(m.role, m.content, as_json({**m.fields, **_form_of(m.parts)})) for m in messages]
        for messages in dialogues
    ]
    images = [parts.images_of(m.parts) for messages in dialogues for m in messages]
    return _beside(arrow.record_lists(rows, ("role", "content", FIELDS)), images)


def _form_of(content: Sequence[Part]) -> dict[str, Any]:
    """Return parts without their images, as the field that holds them; none of no parts."""
    return {"content": parts.form_of(content)} if content else {}


def _beside(column: pa.Array, images: Sequence[Sequence[Part]]) -> pa.Array:
    """Return lists of messages with the images of each."""
    records = column.values
    flat = references.structs([image for several in images for image in several])
    inside = [*records.flatten(), arrow.lists(images, flat)]
    names = [*(field.name for field in records.type), IMAGES]
    return pa.ListArray.from_arrays(column.offsets, pa.StructArray.from_arrays(inside, names))


def tools_column(tools: Sequence[Any]) -> pa.Array:
    """The tools of each dialogue as an Arrow column of JSON text."""
    return arrow.texts([as_json(value) for value in tools])


def unpacked(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages of a table as plain mappings, with all their fields; plain ones stay as they are."""
    return [_unpacked(message) for message in messages]


def _unpacked(message: Mapping[str, Any]) -> dict[str, Any]:
    if message.keys() - {IMAGES} != _KEPT:
        return dict(message)
    fields = parse_json(message[FIELDS]) if message[FIELDS] else {}
    content, images = fields.get("content"), iter(message_images(message))
    if isinstance(content, list):
        filled = [parts.image(next(images)) if parts.is_image(part) else part for part in content]
        fields["content"] = filled
    return {"role": message["role"], "content": message["content"], **fields}


def dialogues_of(rows: Mapping[str, Sequence[Any]]) -> tuple[list[Any], list[Any]]:
    """The messages of each row as plain mappings, and its tools or None."""
    dialogues = [unpacked(messages) for messages in rows["messages"]]
    kept = rows.get(TOOLS) or [None] * len(dialogues)
    return dialogues, [parse_json(t) if isinstance(t, str) and t else t or None for t in kept]


def message_images(message: Mapping[str, Any]) -> Sequence[references.Reference]:
    """Return the images of a table's message, in their order."""
    return message.get(IMAGES) or ()


def stored_message(
    message: Mapping[str, Any], keep: references.Keep | None = None
) -> dict[str, Any]:
    """Return a plain message as a prediction is stored with it: its images as files.

    Args:
        message: From `unpacked`.
        keep: Keeps a file beside the predictions; None where none can be kept.
    """
    content = message.get("content")
    if not parts.images_of(content):
        return dict(message)
    kept = [
        {"type": "image", **references.stored(part, keep)} if parts.is_image(part) else part
        for part in content or ()
    ]
    return {**message, "content": kept}


def message_texts(message: Mapping[str, Any]) -> list[str]:
    """Return the texts of a table's message: its content, its reasoning, its tool calls as JSON."""
    texts = [message["content"]]
    if fields := message.get(FIELDS):
        known = parse_json(fields)
        texts += [known[name] for name in REASONING if isinstance(known.get(name), str)]
        texts += [as_json(call) for call in known.get(CALLS, ())]
    return texts


def alike(tables: Sequence[pa.Table]) -> list[pa.Table]:
    """Tables of dialogues with the same columns, where only some have fields or tools."""
    columns = [table.column("messages").type.value_type for table in tables]
    has_fields = any(kind.get_field_index(FIELDS) >= 0 for kind in columns)
    has_images = any(kind.get_field_index(IMAGES) >= 0 for kind in columns)
    has_tools = any(TOOLS in table.column_names for table in tables)
    return [
        _widened(table, fields=has_fields, images=has_images, tools=has_tools) for table in tables
    ]


def _widened(table: pa.Table, *, fields: bool, images: bool, tools: bool) -> pa.Table:
    """A table with empty fields, images and tools where it has none."""
    place = table.column_names.index("messages")
    if fields and table.column("messages").type.value_type.get_field_index(FIELDS) < 0:
        rows = table.column("messages").to_pylist()
        records = [[(m["role"], m["content"], "") for m in messages] for messages in rows]
        messages = arrow.record_lists(records, ("role", "content", FIELDS))
        table = table.set_column(place, "messages", messages)
    if images and table.column("messages").type.value_type.get_field_index(IMAGES) < 0:
        messages = table.column("messages").combine_chunks()
        table = table.set_column(place, "messages", _beside(messages, [[]] * len(messages.values)))
    if tools and TOOLS not in table.column_names:
        table = table.add_column(place + 1, TOOLS, arrow.texts([""] * table.num_rows))
    return table


def as_json(value: object) -> str:
    """A value as JSON text; '' where it is empty."""
    return json.dumps(value, ensure_ascii=False) if value else ""


# Fields


def weight_from(message: Mapping[str, Any]) -> float | None:
    """The product of a message's `weight` and `train`; None where it has neither.

    Raises:
        Malformed: One is of another type.
    """
    weight, train = message.get(WEIGHT), message.get("train")
    if weight is None and train is None:
        return None
    if train is not None and (not isinstance(train, bool | int) or train not in (0, 1)):
        raise Malformed("train must be true or false")
    if weight is not None:
        is_number = isinstance(weight, int | float)
        if not is_number or not math.isfinite(weight) or weight < 0:
            raise Malformed("weight must be a number of 0 or more")
    return float(1 if weight is None else weight) * (1 if train is None else int(train))


def calls_from(value: object) -> list[dict[str, Any]]:
    """Tool calls in the form that chat templates of transformers take.

    Args:
        value: A list of calls, one alone, or either as JSON text. A call is `{"name": …,
            "arguments": …}`, or holds that as `function`; arguments may be JSON text.

    Raises:
        Malformed: It is none of these.
    """
    value = _parsed(value)
    calls = value if isinstance(value, list | tuple) else [value]
    return [_call(_parsed(call)) for call in calls]


def _call(call: Any) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise Malformed("a tool call must have a name and arguments")
    arguments = function.get("arguments", function.get("parameters"))
    arguments = _parsed(arguments) if arguments not in (None, "") else {}
    inner = {"name": function["name"], "arguments": arguments}
    outer = {} if function is call else {k: v for k, v in call.items() if v is not None}
    inner |= {k: v for k, v in function.items() if k not in (*inner, "parameters", "id", "type")}
    ids = {"id": call["id"]} if call.get("id") is not None else {}
    return {"type": "function", **outer, **ids, "function": inner}


def tools_from(value: object) -> list[dict[str, Any]] | None:
    """Tools in the form that chat templates of transformers take; None where there are none.

    Args:
        value: A list of schemas, one alone, or either as JSON text; a schema is `{"name": …}`, or
            holds that as `function`.

    Raises:
        Malformed: It is none of these.
    """
    value = _parsed(value) if value else None
    if not value:
        return None
    tools = value if isinstance(value, list | tuple) else [value]
    found = []
    for tool in map(_parsed, tools):
        function = tool.get("function", tool) if isinstance(tool, Mapping) else None
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            raise Malformed("a tool must be a mapping with a name")
        found.append({"type": "function", "function": tool} if function is tool else dict(tool))
    return found


def without_nulls(value: object) -> Any:
    """A value of typed storage without the nulls that other rows' keys have left in it."""
    if isinstance(value, Mapping):
        return {k: without_nulls(v) for k, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list | tuple) else value


def _parsed(value: object) -> Any:
    """A value that may be JSON text; a text that is none stays what it is."""
    if not isinstance(value, str):
        return value
    try:
        return parse_json(value)
    except ValueError:
        return value
