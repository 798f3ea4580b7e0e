"""Fields: what a column of a corpus, or an entry of a stored prediction, holds.

A task states the fields that it reads by the names of their columns. Everything else asks a field:
which texts and classes it holds, when two values are copies, when one is blank, how it is shown.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from lushan.common.arrays import pa
from lushan.data import references
from lushan.data.encode import arrow
from lushan.data.messages import IMAGES, message_images, message_texts, stored_message, unpacked
from lushan.data.references import Keep
from lushan.data.stored import Stored
from lushan.data.stored_values import (
    StoredImage,
    StoredLabel,
    StoredLabels,
    StoredMessages,
    StoredNumber,
    StoredTags,
    StoredText,
    StoredTexts,
    StoredWords,
)
from lushan.text import tags
from lushan.text.parts import received as received_parts
from lushan.text.words import join_words

if TYPE_CHECKING:
    from lushan.data.raw_columns import Columns


@dataclasses.dataclass(frozen=True, kw_only=True)
class Field(Stored[Any], abc.ABC):
    """Field of a column or of a stored prediction.

    Args:
        target: Whether a model is to predict it; an input otherwise.
        optional: Whether a corpus may lack it.
        names: Names that its column usually has in files, beside the field's own.
    """

    target: bool = False
    optional: bool = False
    names: Sequence[str] = ()

    what: ClassVar[str]
    """A few words for messages: `text`, `list of words`."""

    sources: ClassVar[str] = (
        "data=jsonl, data=table or data=hub with a column of this name or +data.fields.NAME=COLUMN."
    )
    """Which sources give it, for hints."""

    json_type: ClassVar[object] = object
    """Type of a value in a request, in JSON's types: `str`, `list[str]`."""

    json_pattern: ClassVar[str | None] = None
    """Regular expression that a value matches from its beginning, of a text."""

    class_name: ClassVar[str] = "class"
    """What one of its classes is called."""

    empty: ClassVar[str] = "the training split has no label"
    """What is wrong where no class stands in any value."""

    setting: ClassVar[str] = "data.label"
    """The key that names the column of a target."""

    is_name: ClassVar[bool] = False
    """Whether its texts are names of things, such as users and items, which nobody reads."""

    def texts(self, value: Any) -> Sequence[str]:
        """Return the texts that a value holds: what a tokenizer learns and an audit reads."""
        return ()

    def content(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        """Return a column as what its values hold, wherever that lies; see `prints.rows_hash`."""
        return column

    def training_texts(self, value: Any) -> Iterable[str]:
        """Return the texts from which a tokenizer is trained."""
        return self.texts(value)

    def key(self, value: Any) -> tuple[str, ...]:
        """Return what copies of a value have in common."""
        return (*self.texts(value), *self.media_keys(value))

    def media_keys(self, value: Any) -> Sequence[str]:
        """Return the hashes of the images that a value holds, beside its texts."""
        return ()

    def is_blank(self, value: Any) -> bool:
        """Return whether a value says nothing."""
        return not any(text.strip() for text in self.key(value))

    has_classes: ClassVar[bool] = False
    """Whether its values are made of classes, which are the same in all splits."""

    def classes(self, value: Any) -> Sequence[str]:
        """Return the classes that stand in a value."""
        return ()

    def stored(self, value: Any, keep: Keep | None = None) -> Any:
        """Return a value of a corpus as a prediction is stored with it, in JSON's types.

        Args:
            value: Of the corpus.
            keep: Keeps a file beside the predictions; None where none can be kept.
        """
        return value

    def preview(self, value: Any) -> str:
        """Return a value as a text for people."""
        return " | ".join(self.texts(value))

    def received(self, value: Any) -> Any:
        """Return a raw value from a request's; no file that it names is opened."""
        return value

    @classmethod
    def is_column(cls) -> bool:
        """Return whether a field of a file can hold it, which `read` then reads."""
        return cls.read is not Field.read

    def read(self, columns: Columns, name: str) -> pa.Array:
        """Return the values of a column of a file as an Arrow column.

        Raises:
            UserError: A value is of another form; names file and line.
        """
        raise columns.fail(f"a {self.what} cannot be read from a field of a file", 0, value=name)


Fields = dict[str, Field]
"""Name of a column to what it holds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Text(StoredText, Field):
    """A text."""

    what: ClassVar[str] = "text"
    json_type: ClassVar[object] = str

    def texts(self, value: str) -> Sequence[str]:
        return (value,)

    def read(self, columns: Columns, name: str) -> pa.Array:
        from lushan.data.raw_columns import strings

        return strings(columns, name)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Texts(StoredTexts, Field):
    """Several texts, each of which is as right as the others: references."""

    target: bool = True
    what: ClassVar[str] = "list of texts"
    sources: ClassVar[str] = "data=table or data=jsonl with data.source=NAME data.target=NAME."

    def texts(self, value: Sequence[str]) -> Sequence[str]:
        return tuple(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Words(StoredWords, Field):
    """A text as a list of words."""

    what: ClassVar[str] = "list of words"
    json_type: ClassVar[object] = list[str]
    sources: ClassVar[str] = "data=conll, or data=jsonl with tags or spans."

    def texts(self, value: Sequence[str]) -> Sequence[str]:
        return (" ".join(value),)

    def key(self, value: Sequence[str]) -> tuple[str, ...]:
        return tuple(value)

    def preview(self, value: Sequence[str]) -> str:
        return join_words(list(value))[0]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tags(StoredTags, Field):
    """A tag for each word, in IOB2.

    Args:
        words: The column of the words.
        scores: The entry of a stored prediction with a `score` for each span from `start` to `end`;
            '' where there is none.
    """

    words: str = "tokens"
    scores: str = ""
    target: bool = True
    has_classes: ClassVar[bool] = True
    what: ClassVar[str] = "list of tags"
    sources: ClassVar[str] = "data=conll, or data=jsonl with tags or spans."
    class_name: ClassVar[str] = "entity type"
    empty: ClassVar[str] = "the training split has no entity: every tag is O"
    setting: ClassVar[str] = "data.tag_column"

    def classes(self, value: Sequence[str]) -> Sequence[str]:
        return [tag.partition("-")[2] for tag in value if tag != "O"]

    def preview(self, value: Sequence[str]) -> str:
        found = tags.spans(list(value), "iob2", strict=False)
        return ", ".join(f"{s.label} {s.start}-{s.end}" for s in found)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Label(StoredLabel, Field):
    """One class.

    Args:
        probabilities: Entry of a stored prediction with that of each class; '' is none.
    """

    probabilities: str = ""
    target: bool = True
    has_classes: ClassVar[bool] = True
    what: ClassVar[str] = "label"

    def classes(self, value: str) -> Sequence[str]:
        return (value,)

    def preview(self, value: str) -> str:
        return value


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labels(StoredLabels, Field):
    """Any number of classes.

    Args:
        probabilities: Entry of a stored prediction with that of each class; '' is none.
    """

    probabilities: str = ""
    target: bool = True
    has_classes: ClassVar[bool] = True
    what: ClassVar[str] = "list of labels"

    def classes(self, value: Sequence[str]) -> Sequence[str]:
        return tuple(value)

    def preview(self, value: Sequence[str]) -> str:
        return ", ".join(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Number(StoredNumber, Field):
    """A number."""

    target: bool = True
    what: ClassVar[str] = "number"

    def preview(self, value: float) -> str:
        return f"{value:g}"


LABEL_FIELDS = (Label, Labels, Number)
"""Fields that are labels, in the many forms in which files have them."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Messages(StoredMessages, Field):
    """A dialogue: messages with roles, as a table keeps them (see `lushan.data.messages`)."""

    what: ClassVar[str] = "dialogue"
    json_type: ClassVar[object] = list[dict[str, Any]]
    sources: ClassVar[str] = "data=chat with data.messages=NAME."

    def texts(self, value: Sequence[Mapping[str, Any]]) -> Sequence[str]:
        return tuple(text for message in value for text in message_texts(message))

    def training_texts(self, value: Sequence[Mapping[str, Any]]) -> Iterator[str]:
        for message in value:  # with the words that some templates have for roles
            content, *others = message_texts(message)
            yield f"{message['role'].capitalize()}: {content}"
            yield from others

    def received(self, value: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        found = [dict(message) for message in value]
        for message in found:
            if isinstance(content := message.get("content"), list):
                message["content"] = received_parts(content, references.of_data_url)
        return found

    def media_keys(self, value: Sequence[Mapping[str, Any]]) -> Sequence[str]:
        return [references.content_hash(i) for m in value for i in message_images(m)]

    def content(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        if column.type.value_type.get_field_index(IMAGES) < 0:
            return column
        rows = [
            repr([{**m, IMAGES: [references.content_hash(i) for i in m[IMAGES]]} for m in value])
            for value in column.to_pylist()
        ]
        return pa.chunked_array([arrow.texts(rows)])

    def stored(
        self, value: Sequence[Mapping[str, Any]], keep: Keep | None = None
    ) -> list[dict[str, Any]]:
        return [stored_message(message, keep) for message in unpacked(value)]

    def preview(self, value: Sequence[Mapping[str, Any]]) -> str:
        images = [" ".join(f"[{references.preview(i)}]" for i in message_images(m)) for m in value]
        pairs = zip(value, images, strict=True)
        return " | ".join(
            f"{m['role']}: {' '.join(filter(None, (shown, message_texts(m)[0])))}"
            for m, shown in pairs
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Json(Field):
    """A value of any form as JSON text, such as tools: a question with others is the same one."""

    what: ClassVar[str] = "value"

    def training_texts(self, value: str | None) -> Sequence[str]:
        return (value,) if value else ()

    def preview(self, value: str | None) -> str:
        return value or ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Image(StoredImage, Field):
    """An image, as a struct of `path` and encoded `bytes`, one of which is empty."""

    names: Sequence[str] = ("img", "image_path", "image_name", "file_name", "filename")
    what: ClassVar[str] = "image"
    json_type: ClassVar[object] = str
    json_pattern: ClassVar[str | None] = references.DATA_URL
    sources: ClassVar[str] = (
        "data=folder, or data=jsonl with a column of their names and data.media=FOLDER."
    )

    def media_keys(self, value: Mapping[str, Any]) -> Sequence[str]:
        return (references.content_hash(value),)

    def content(self, column: pa.ChunkedArray) -> pa.ChunkedArray:
        hashes = map(references.content_hash, column.to_pylist())
        return pa.chunked_array([arrow.texts(list(hashes))])

    def is_blank(self, value: Mapping[str, Any]) -> bool:
        return not value["bytes"] and not value["path"]

    def received(self, value: str) -> bytes:
        return references.of_data_url(value)

    def read(self, columns: Columns, name: str) -> pa.Array:
        return references.structs(
            [columns.image(row, v) for row, v in enumerate(columns.values[name])]
        )

    def stored(self, value: Mapping[str, Any], keep: Keep | None = None) -> dict[str, str]:
        return references.stored(value, keep)

    def preview(self, value: Mapping[str, Any]) -> str:
        return references.preview(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Value(Field):
    """A value of any form, as JSON has it: a detail of a stored prediction."""

    what: ClassVar[str] = "value"


WORDS: Fields = {"tokens": Words(), "tags": Tags()}
"""Words with tags."""
LABELLED: Fields = {"text": Text(), "text_pair": Text(optional=True), "label": Label()}
"""Texts, or pairs of texts, with a class."""
PAIRS: Fields = {"source": Text(), "targets": Texts()}
"""Texts with what is to be written of them."""
DOCUMENTS: Fields = {"text": Text()}
"""Texts without more."""
DIALOGUES: Fields = {"messages": Messages(), "tools": Json(optional=True)}
"""Dialogues, and the tools that may be called in them."""
