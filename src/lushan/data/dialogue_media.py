"""Images and videos of messages: in parts of their contents, or in fields beside the messages."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from lushan.data.messages import Message
from lushan.data.raw_columns import Columns
from lushan.data.references import Reference
from lushan.text import parts


def of_parts(columns: Columns, row: int, number: int, content: Any) -> str | parts.Parts:
    """Return a content that is written as a list of parts; a text where all are texts.

    Raises:
        UserError: A part is none, or an image or video is not there; names file and line.
    """

    def resolve(value: object, kind: str) -> Sequence[Reference]:
        return columns.images(row, value, kind)

    try:
        return parts.read(content, resolve)
    except parts.BadPart as error:
        raise columns.fail(f"message {number}: {error}", row) from None


def with_images(
    columns: Columns,
    row: int,
    fields: Mapping[str, str],
    messages: list[Message],
    *,
    marked: bool,
) -> list[Message]:
    """Return messages with the images of their row, where their texts have marks for them.

    Args:
        columns: The file's, with the fields.
        row: Which of its rows.
        fields: With the images, with the videos.
        messages: Of the row.
        marked: Whether each image must have its mark; else they may stand before the first text.

    Raises:
        UserError: Marks and images differ in number, or one is not there; names file and line.
    """
    media = {kind: _media(columns, row, field, kind) for kind, field in fields.items()}
    seen = [image for several in media.values() for images in several for image in images]
    marks = [parts.MARKS[kind] for kind in fields]
    if seen and not marked and not any(mark in m.content for m in messages for mark in marks):
        first = next(place for place, m in enumerate(messages) if m.role == "user")
        content = parts.Parts([*seen, parts.text(messages[first].content)])
        before, (said, *after) = messages[:first], messages[first:]
        return [*before, dataclasses.replace(said, parts=content), *after]
    try:
        spoken = [m.content for m in messages if m.role == "assistant" and seen]
        for mark in marks:
            if any(mark in content for content in spoken):
                raise parts.BadPart(
                    f"the assistant says {mark}, but the assistant can only write text"
                )
        contents = parts.placed([m.content for m in messages if not m.parts], media)
    except parts.BadPart as error:
        each = [
            f"{parts.MARKS[kind]} must stand for each {kind} of {fields[kind]}" for kind in fields
        ]
        raise columns.fail(str(error), row, hint=f"In the texts {', '.join(each)}.") from None
    given = iter(contents)
    return [m if m.parts else _said(m, next(given)) for m in messages]


def _media(columns: Columns, row: int, field: str, kind: str) -> list[list[parts.Part]]:
    """Return the images of each image or video of a field."""
    value = columns.values[field][row]
    if value is None:
        value = []
    several = value if isinstance(value, list | tuple) else [value]
    return [[parts.image(found) for found in columns.images(row, one, kind)] for one in several]


def _said(message: Message, content: str | parts.Parts) -> Message:
    if isinstance(content, str):
        return message
    return dataclasses.replace(message, content=parts.text_of(content), parts=content)
