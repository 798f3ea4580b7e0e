"""Fields of what holds more than one image: texts with images in any order, and videos."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from lushan.common.arrays import pa
from lushan.common.parsing import parse_json
from lushan.data import references
from lushan.data.encode import arrow
from lushan.data.fields import Field, Fields, Image
from lushan.data.messages import as_json
from lushan.data.references import Keep
from lushan.data.stored_values import StoredContent
from lushan.text import parts

if TYPE_CHECKING:
    from lushan.data.raw_columns import Columns


@dataclasses.dataclass(frozen=True, kw_only=True)
class Content(StoredContent, Field):
    """A text with images anywhere in it, as a struct of its `parts` as JSON and its `images`.

    Files have it as a message of a dialogue has its content: a list of typed parts, or a text.
    """

    what: ClassVar[str] = "content of texts and images"
    json_type: ClassVar[object] = list[dict[str, Any]]
    sources: ClassVar[str] = "data=jsonl with a list of typed parts in each row."

    def texts(self, value: Mapping[str, Any]) -> Sequence[str]:
        return [part["text"] for part in of_struct(value) if not parts.is_image(part)]

    def media_keys(self, value: Mapping[str, Any]) -> Sequence[str]:
        return [references.content_hash(image) for image in value["images"]]

    def key(self, value: Mapping[str, Any]) -> tuple[str, ...]:
        return (value["parts"], *self.media_keys(value))

    def is_blank(self, value: Mapping[str, Any]) -> bool:
        return not value["images"] and not any(text.strip() for text in self.texts(value))

    def content(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        rows = [repr(self.key(value)) for value in column.to_pylist()]
        return pa.chunked_array([arrow.texts(rows)])

    def received(self, value: Any) -> Any:
        are_parts = isinstance(value, list)
        return parts.received(value, references.of_data_url) if are_parts else value

    def read(self, columns: Columns, name: str) -> pa.Array:
        from lushan.data.raw_columns import halves

        found = [_read(columns, row, value) for row, value in enumerate(columns.values[name])]
        try:
            return structs(found)
        except UnicodeEncodeError as error:
            texts = [[p["text"] for p in row if not parts.is_image(p)] for row in found]
            raise halves(columns, texts) from error

    def stored(self, value: Mapping[str, Any], keep: Keep | None = None) -> list[dict[str, Any]]:
        return stored_parts(of_struct(value), keep)

    def preview(self, value: Mapping[str, Any]) -> str:
        return " ".join(
            f"[{references.preview(part)}]" if parts.is_image(part) else part["text"]
            for part in of_struct(value)
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Video(Image):
    """A video, or an animated image, as a struct of `path` and encoded `bytes`, one of them empty.

    Files name it, as they name an image. Which of its frames are read, a task says.
    """

    what: ClassVar[str] = "video"
    json_pattern: ClassVar[str | None] = references.VIDEO_URL
    sources: ClassVar[str] = "data=jsonl with a column of their names and data.media=FOLDER."

    def received(self, value: str) -> bytes:
        return references.video_of_data_url(value)

    def read(self, columns: Columns, name: str) -> pa.Array:
        found = enumerate(columns.values[name])
        return references.structs([columns.image(row, v, "video") for row, v in found])


def structs(contents: Sequence[Sequence[parts.Part]]) -> pa.Array:
    """Return contents in parts as an Arrow column.

    Raises:
        UnicodeEncodeError: A text holds half of a surrogate pair.
    """
    images = [parts.images_of(content) for content in contents]
    flat = references.structs([image for several in images for image in several])
    forms = arrow.texts([as_json(parts.form_of(content)) for content in contents])
    return pa.StructArray.from_arrays([forms, arrow.lists(images, flat)], ["parts", "images"])


def of_struct(value: Mapping[str, Any]) -> list[parts.Part]:
    """Return the parts of a value of `Content`, each image with its `path` and `bytes`."""
    images = iter(value["images"])
    form = parse_json(value["parts"]) if value["parts"] else []
    return [parts.image(next(images)) if parts.is_image(part) else part for part in form]


def stored_parts(content: Sequence[parts.Part], keep: Keep | None) -> list[dict[str, Any]]:
    """Return parts as a prediction is stored with them: their images as files."""
    return [
        {"type": "image", **references.stored(part, keep)} if parts.is_image(part) else dict(part)
        for part in content
    ]


def _read(columns: Columns, row: int, value: Any) -> Sequence[parts.Part]:
    """Return the content of a row.

    Raises:
        UserError: It is neither a text nor parts; names file and line.
    """
    if isinstance(value, str):
        return [parts.text(value)] if value else []
    if not parts.are_parts(value):
        raise columns.fail(
            "the content must be a text, or a list of text and image parts",
            row,
            value=value,
            hint='A part is {"type": "text", "text": "…"} or {"type": "image", "image": "a.png"}.',
        )
    try:
        found = parts.read(value, lambda named, kind: columns.images(row, named, kind))
    except parts.BadPart as error:
        raise columns.fail(str(error), row) from None
    return [parts.text(found)] if isinstance(found, str) else found


def first_media(fields: Fields) -> tuple[str, Field] | None:
    """Return the first field whose values hold or name images; None where none does."""
    found = ((name, field) for name, field in fields.items() if isinstance(field, Image | Content))
    return next(found, None)


def file_in(value: object) -> str:
    """Return the first file that a raw value of such a field names; '' where it names none."""
    if isinstance(value, list):
        names = (part.get(kind) for part in value for kind in ("image", "path", "video", "url"))
        value = next((name for name in names if name), "")
    return value if isinstance(value, str) else ""
