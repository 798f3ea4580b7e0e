"""Inputs to predict on: lines, JSONL, columns or tables, from a file or the standard input; images.

A run's source reads it with its own settings. What was read in training stands in `remembered`; a
file in another format may call its one column of texts otherwise, which is reported.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, cast

from lushan.common.arrays import pa
from lushan.data import corpora
from lushan.data.dialogues import Dialogues
from lushan.data.encode import arrow
from lushan.data.field_roles import has, inputs, required
from lushan.data.fields import DOCUMENTS, LABELLED, PAIRS, Fields, Image, Messages, Words
from lushan.data.formats.chat import Chat
from lushan.data.formats.conll import Conll
from lushan.data.formats.folder import ARCHIVES, Folder
from lushan.data.formats.jsonl import Jsonl
from lushan.data.formats.table import Table
from lushan.data.formats.text import Text
from lushan.data.labelled import (
    IDS,
    LABELS,
    TEXTS,
    Labelled,
    id_column,
    most,
    remember,
    remembered,
    require_column,
)
from lushan.data.media import ENDINGS, Beside, Media, WithMedia, beside
from lushan.data.media_fields import file_in, first_media
from lushan.data.raw_columns import Columns, strings, texts_of, with_places, word_lists
from lushan.data.raw_input import STDIN, Input, format_of, standard_input
from lushan.data.rows import TOKENS, Rows, words_of
from lushan.data.source import Format, Source
from lushan.errors import UserError
from lushan.text.words import Offsets, join_words, locate_words, split_words

T = TypeVar("T")

READERS: Mapping[Format, type[Source]] = {
    "txt": Jsonl,
    "jsonl": Jsonl,
    "conll": Conll,
    "table": Table,
    "images": Folder,
}
PAIR = ["text", "text_pair"]
"""What predictions call the two columns of a run's data, whatever their names are there."""


def reader_class(format: Format, fields: Fields) -> type[Source]:
    """Return the source that reads a format, for the fields of a task."""
    return Chat if has(fields, Messages) and format != "conll" else READERS[format]


def image_of(fields: Fields) -> str | None:
    """Return the name of the image that is all that a task reads; None where it reads more."""
    needed = required(inputs(fields))
    return needed[0] if len(needed) == 1 and isinstance(fields[needed[0]], Image) else None


def format_for(
    fields: Fields,
    name: str,
    own: Format | None = None,
    endings: Collection[str] = (),
    data: bytes | None = None,
) -> Format:
    """Return the format of an input; a folder is one of images to a task that reads those."""
    is_images = Path(name).is_dir() or name.lower().endswith((*ENDINGS, *ARCHIVES))
    if data is None and is_images and image_of(fields) is not None:
        return "images"
    return format_of(name, own, endings, data)


def read_unlabelled(
    path: str | Path,
    fields: Fields,
    *,
    source: Source | None = None,
    format: Format | None = None,
    notes: list[str] | None = None,
) -> pa.Table:
    """Read text to predict on; tags and labels that it may hold are ignored.

    Args:
        path: A file (perhaps .gz), or `-` for the standard input.
        fields: What the task reads.
        source: How it is read; by the usual names otherwise.
        format: `txt` (a text a line), `jsonl`, `conll` or `table`; by the file's ending otherwise.
        notes: Gets what was found out about the file, and how it is read.

    Returns:
        Columns id, line, file, and one for each input; of words also text and `offsets` in it.

    Raises:
        UserError: The input cannot be read; names file and line.
    """
    name = STDIN if str(path) == "-" else str(path)
    data = standard_input() if name == STDIN else None
    chosen = format or format_for(fields, name, data=data)
    given = reader_class(chosen, fields)() if source is None else source
    collected = [] if notes is None else notes
    return Reading(name, chosen, given, notes=collected, data=data, fields=fields).read()


@dataclasses.dataclass
class Reading(Input):
    """One input being read."""

    fields: Fields = dataclasses.field(default_factory=lambda: DOCUMENTS)

    @property
    def _has_words(self) -> bool:
        return has(self.fields, Words)

    @property
    def _has_pairs(self) -> bool:
        return self.fields.keys() >= PAIRS.keys()

    def read(self) -> pa.Table:
        """Return rows as the task reads them; see `read_unlabelled`."""
        if self.format == "images":
            return self._of_images()
        return self.documents() if isinstance(self.source, Text) else self.table(self.columns())

    # The task's columns

    def table(self, columns: Columns) -> pa.Table:
        """Return rows as the task reads them, from raw columns."""
        if has(self.fields, Messages):
            return self._dialogues(columns)
        of_lines = self.format in ("txt", "conll")
        is_by_name = first_media(self.fields) is not None and not of_lines
        if is_by_name or not (self._has_words or self._has_pairs or "text" in self.fields):
            return self._of_fields(columns)
        if self.format == "conll":
            return self._of_words(columns, "tokens")
        if self.format == "txt":
            return self._of_lines(columns)
        if self._has_pairs:
            return self._of_texts(columns, "source")
        field = self._tokens_field(columns)
        return self._of_texts(columns, "text") if field is None else self._of_words(columns, field)

    def _of_images(self) -> pa.Table:
        """Return a row for each image of a folder or an archive, or for one image."""
        name = image_of(self.fields)
        assert name is not None
        reader = self.source if isinstance(self.source, Folder) else Folder()
        found = reader.images(Path(self.name) if Path(self.name).is_dir() else self.path())
        return found.rename_columns([name if n == "image" else n for n in found.column_names])

    def _media(self, reader: Rows, columns: Columns, wanted: Fields) -> str:
        """Return where the images lie that rows name: beside the input, or where the run's do."""
        beside = Path.cwd() if self.name == STDIN else self.path().parent
        name, field = first_media(wanted) or ("", Image())
        column = reader.column_of(name, field, columns)
        first = "" if column is None else file_in(columns.values[column][0])
        is_beside = first and Media(beside).find(first) is not None
        other = None if is_beside else reader.elsewhere
        if other is None:
            return str(beside)
        self._note(f"the images are read from {other.place}, the folder of the run's images")
        return str(other.place)

    def beside(self) -> Beside:
        """Return where images lie that messages name: beside the input, or where the run's do."""
        other = self.source.elsewhere if isinstance(self.source, WithMedia) else None
        sampling = self.source.sampling if isinstance(self.source, Dialogues) else None
        return beside(self.name if self.name == STDIN else self.path(), other, sampling)

    def _of_fields(self, columns: Columns) -> pa.Table:
        """Return rows with the inputs of a task, each from the field of its name."""
        wanted = inputs(self.fields)
        if self.format == "txt":
            needed = required(wanted)
            if len(needed) != 1:
                raise UserError(
                    f"this run needs {', '.join(needed)}, but a line of plain text is one text",
                    file=self.name,
                    hint="Write JSON lines or CSV with these fields. For standard input, add "
                    "--format jsonl or --format table.",
                )
            columns = dataclasses.replace(columns, values={needed[0]: columns.values["text"]})
        reader = self.source if isinstance(self.source, Rows) else Rows()
        plain = dataclasses.replace(reader, id=None)
        remember(plain, **remembered(self.source))
        if first_media(wanted) is not None and "media" not in self.stated:
            plain.media = self._media(plain, columns, wanted)
        table = plain.fields_table(columns, wanted, "input", self.notes)
        return table.set_column(0, "id", self._ids(columns))

    def _note(self, what: str) -> None:
        self.notes.append(f"{self.name}: {what}")

    def _of_lines(self, columns: Columns) -> pa.Table:
        before = None if self._has_pairs or self._has_words else self.wanted("text")
        if isinstance(before, list) and len(before) > 1:
            raise UserError(
                f"the run needs pairs of texts ({', '.join(before)}), but a line of plain text is "
                f"one text",
                file=self.name,
                hint="Write JSON lines or CSV with these fields. For standard input, add --format "
                "jsonl or --format table.",
            )
        self._note("read as plain text, one example a line")
        lines = Rows(text="text", id=None)
        if self._has_pairs:
            return Rows(source="text", id=None).pairs_table(columns, targets=False)
        return self._of_kind(lines.texts_table(columns, fields=DOCUMENTS))

    def wanted(self, option: str) -> Any:
        """Return the column, or two, that the config names for an option, or training has read."""
        return getattr(self.source, option, None) or remembered(self.source).get(option)

    def _settled(self, reader: T, columns: Columns, option: str) -> T:
        """Return a reader that names its columns, with the one that stands for it elsewhere.

        Raises:
            UserError: The column is not there, and it is not certain which one stands for it.
        """
        wanted = self.wanted(option)
        if not wanted:
            return reader
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        there = list(columns.values)
        lacking = next((n for n in names if n not in there and n.split(".")[0] not in there), None)
        is_pair = option == "text" and len(names) > 1 and option not in self.stated
        if lacking is not None and is_pair and set(PAIR) <= set(there):
            names = PAIR
        elif lacking is not None:
            label = self.wanted("label")
            known = (*IDS, *LABELS, *(label if isinstance(label, list) else [label]))
            others = [n for n in there if n.lower() not in known and n not in known]
            strict = self.is_own or option in self.stated
            if strict or len(names) > 1 or len(others) != 1:
                require_column(lacking, there, f"data.{option}", columns.file)
            names = others
        changed: Any = reader
        return cast("T", dataclasses.replace(changed, **{option: _one_or_list(names, wanted)}))

    def _of_texts(self, columns: Columns, option: Literal["text", "source"]) -> pa.Table:
        reader = self.source if isinstance(self.source, Rows) else Rows()
        plain = dataclasses.replace(self._settled(reader, columns, option), id=None)
        remember(plain, **remembered(self.source))
        if option == "source":
            table = plain.pairs_table(columns, targets=False)
        else:
            table = plain.texts_table(columns, fields=inputs(LABELLED))
        used = remembered(plain)[option]
        names = [used] if isinstance(used, str) else used
        named = getattr(self.source, option) if self.is_own else None
        if option not in self.stated and (not named or named not in (names, names[0])):
            what = {"text": "texts", "source": "sources"}[option]
            self._note(f"the {what} are read from {' and '.join(map(repr, names))}")
        return self._of_kind(table.set_column(0, "id", self._ids(columns)))

    def _tokens_field(self, columns: Columns) -> str | None:
        """Return the field with lists of words; None where texts are split into words."""
        wanted = self.wanted("tokens") if self._has_words else None
        known = [name for name in TOKENS if _holds_words(columns, name)]
        if not self._has_words:
            names = [name.lower() for name in columns.values]
            has_text = self.wanted("text") or any(name in names for name in TEXTS)
            return None if has_text else next(iter(known), None)
        if wanted is None or wanted in columns.values:
            return wanted or next(iter(known), None)
        if (self.is_own or "tokens" in self.stated) and known:
            require_column(wanted, list(columns.values), "data.tokens", columns.file)
        return next(iter(known), None)

    def _dialogues(self, columns: Columns) -> pa.Table:
        if self.format in ("txt", "conll"):
            raise UserError(
                "this run needs dialogues, but this is plain text",
                file=self.name,
                hint="Write JSON lines with messages (for standard input, add --format jsonl). "
                "For plain lines, use lushan generate RUN --input FILE.",
            )
        reader: Any = self.source if isinstance(self.source, Dialogues) else Chat()
        plain = self._settled(dataclasses.replace(reader, id=None), columns, "messages")
        counts: Counter[str] = Counter()
        stated = "media" in self.stated
        media = plain.media_of("") if stated else self.beside()
        columns = dataclasses.replace(columns, media=media, sampling=plain.sampling)
        table, _ = plain.dialogues_of(columns, counts, answered=False)
        return table.set_column(0, "id", self._ids(columns))

    def _ids(self, columns: Columns) -> pa.Array:
        # Names given twice are the user's business here: every example is answered, in its order.
        field = id_column(columns, getattr(self.source, "id", "id"))
        given = None if field is None else columns.values[field]
        places = Labelled(id=None).ids(columns)
        if given is None:
            return places
        pairs = zip(given, places.to_pylist(), strict=True)
        return texts_of(columns, [p if value is None else str(value) for value, p in pairs])

    def _of_words(self, columns: Columns, field: str) -> pa.Table:
        """Rows whose words are given; their text is theirs, or written from the words."""
        texts: list[Any] = []
        offsets: list[Offsets] = []
        given = columns.values.get(self.wanted("text") or "text")
        several = words_of(columns.values[field])
        for row, words in enumerate(several):
            if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
                raise columns.fail(f"{field} must be a list of words", row, value=words)
            own = given[row] if given is not None else None
            places = locate_words(words, own) if isinstance(own, str) else None
            if places is None:
                written, places = join_words(words)
                texts.append(written)
            else:
                texts.append(own)
            offsets.append(places)
        tokens = word_lists(columns, several)
        table: dict[str, pa.Array] = {
            "id": self._ids(columns),
            "text": strings(Columns({"text": texts}, columns.lines, columns.file), "text"),
        }
        if self._has_words:
            table |= {"tokens": tokens, "offsets": arrow.pair_lists(offsets)}
        made = with_places(table, columns)
        if self._has_pairs:
            return made.rename_columns([_SOURCE.get(name, name) for name in made.column_names])
        return made

    def _of_kind(self, table: pa.Table) -> pa.Table:
        """Texts, split into words where the task reads words."""
        if not self._has_words:
            return table
        split: Callable[[str], tuple[list[str], Offsets]] = split_words
        words, offsets = zip(*map(split, table.column("text").to_pylist()), strict=True)
        names = [name for name in table.column_names if name != "text_pair"]
        return (
            table.select(names)
            .append_column("tokens", arrow.text_lists(words))
            .append_column("offsets", arrow.pair_lists(offsets))
        )

    # Raw text

    def documents(self) -> pa.Table:
        """Read documents, as the source of raw text does: `data.document` says what one is."""
        assert isinstance(self.source, Text)
        formats: Mapping[Format, Any] = {"txt": "txt", "jsonl": "jsonl", "table": None}
        if self.format == "conll":
            raise UserError("this run reads raw text", file=self.name, hint="Write --format txt.")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, STDIN)
            if self.name == STDIN:
                path.write_bytes(self.content())
            else:
                path = self.path()
            named: Any = formats[self.format] or ("csv" if self.name == STDIN else None)
            source = dataclasses.replace(self.source, format=named, cache_dir=None)
            found = corpora.read_files([path], source.reading(), None)
        for note in found.notes:
            self._note(note)
        if self.format == "txt":
            unit = {"file": "the file is one text"}.get(
                source.document, f"each {source.document} is a text"
            )
            self._note(f"read as plain text, {unit} (data.document)")
        return found.table.select(["id", "text", "line", "file"])


_SOURCE = {"text": "source"}


def _one_or_list(names: list[str], like: object) -> str | list[str]:
    return names[0] if isinstance(like, str) else names


def _holds_words(columns: Columns, field: str) -> bool:
    return most(
        columns.values.get(field, ()),
        lambda value: isinstance(value, list) and all(isinstance(word, str) for word in value),
    )
