"""Dialogues as prompts: messages and tools, as in training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.common.parsing import parse_json
from lushan.data import files
from lushan.data.media import Beside, beside
from lushan.data.messages import Malformed, tools_from
from lushan.data.raw_columns import Columns
from lushan.data.speakers import Speakers
from lushan.errors import UserError
from lushan.text import parts
from lushan.vision import images, video
from lushan.vision.video import Sampling


def asked(messages: object, tools: object) -> object:
    """Return the prompt for a `TextGenerator` of dialogues: messages, with their tools if any."""
    return {"messages": messages, "tools": tools} if tools else messages


def split(prompts: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Messages and tools of each of what `asked` gave."""
    pairs = [(p["messages"], p["tools"]) if isinstance(p, Mapping) else (p, None) for p in prompts]
    return [messages for messages, _ in pairs], [tools for _, tools in pairs]


def messages_of(
    value: object, place: Mapping[str, Any], media: Beside | None = None
) -> list[dict[str, Any]]:
    """A prompt's messages with all their fields.

    Args:
        value: What stands in the prompt's field.
        place: `file` and `line`, for errors.
        media: Where images lie that they name; by default beside the file.

    Raises:
        UserError: They are no messages.
    """
    file = place.get("file", "")
    where = media or beside(file)
    columns = Columns({}, [place.get("line", 1)], file, media=where, sampling=where.sampling)
    messages = Speakers().read(columns, 0, "messages", value, Counter())
    if not messages:
        raise UserError("there is no message", **place)
    return [message.plain for message in messages]


def tools_of(value: object, place: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """A prompt's tools; None where it has none.

    Raises:
        UserError: They are no tools.
    """
    try:
        return tools_from(value)
    except Malformed as error:
        hint = 'Tools must be a list of JSON schemas: [{"name": "weather", "parameters": {...}}].'
        raise UserError(str(error), value=value, **place, hint=hint) from None


def images_of(name: str, key: str, sampling: Sampling) -> list[parts.Part]:
    """Return a file as images of a message: the one that it is, or the frames of a video.

    Raises:
        UserError: It is neither.
    """
    path = files.find(name, None, key=key)
    if path.suffix.lower() in video.ENDINGS:
        frames = video.frames_of(b"", str(path), sampling)
        return [parts.image({"path": "", "bytes": frame}) for frame in frames]
    images.decode(images.read_bytes(str(path)), str(path))
    return [parts.image({"path": str(path), "bytes": b""})]


def shown(text: str, several: Sequence[parts.Part]) -> str | parts.Parts:
    """Return a content of a text behind images; the text alone without any."""
    return parts.Parts([*several, parts.text(text)]) if several else text


def read_tools(path: str) -> list[dict[str, Any]] | None:
    """The tools that a file holds, as JSON.

    Raises:
        UserError: It cannot be read, or holds none.
    """
    text = files.read_text(files.find(path, None, key="--tools"))
    try:
        value = parse_json(text)
    except ValueError as error:
        raise UserError(f"this is not JSON: {error}", key="--tools", file=Path(path)) from None
    if not (found := tools_of(value, {"key": "--tools", "file": path})):
        raise UserError("there is no tool", key="--tools", file=path)
    return found


def unseen_notes(unseen: Iterable[tuple[str, int]]) -> Iterator[str]:
    """Yield notes on fields that the chat template does not show."""
    for name, number in unseen:
        yield f"the chat template does not show {name} ({number} times)"
