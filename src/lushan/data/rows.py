"""Rows with named fields (JSONL, Parquet, hub sets): words with tags, labelled texts, or pairs."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

from lushan.common.arrays import pa
from lushan.common.wording import plural
from lushan.data import files
from lushan.data import spans as char_spans
from lushan.data.field_roles import has, inputs
from lushan.data.fields import LABEL_FIELDS, LABELLED, PAIRS, WORDS, Field, Fields, Words
from lushan.data.groups import WithGroup
from lushan.data.indicator_columns import with_one_column
from lushan.data.labelled import LABELS, most, remember, remembered, require_column
from lushan.data.media import WithMedia
from lushan.data.paired import Paired
from lushan.data.raw_columns import Columns, strings, with_places, word_lists
from lushan.data.spans import BadSpan, SpanEnd, look_like_spans
from lushan.data.split_column import WithSplitColumn
from lushan.data.tagged import Tagged
from lushan.data.which import first_usual, listed, which
from lushan.data.written_lists import as_list
from lushan.errors import UserError
from lushan.text.words import split_words

TOKENS = ("tokens", "words")
TAGS = ("tags", "ner_tags", "ner", "labels", "bio_tags", "tag")
SPANS = ("entities", "spans", "annotations", *LABELS)
_BLANKS = re.compile(r"[ \t\n\x02]+")
_BLANKS_OR_COMMAS = re.compile(r"[ \t\n\x02,]+")


@dataclasses.dataclass(kw_only=True)
class Rows(Tagged, Paired, WithMedia, WithGroup, WithSplitColumn):
    """Options of a source whose rows have named fields of any type.

    Args:
        fields: From a field of the task to the field of the data, for fields without their own
            option. Other fields are detected by name.
        tokens: Field with the list of words; null detects it by name.
        tags: Field with the list of tags; null detects it by name.
        spans: Field with entities as character spans of the text; null detects it by name.
        span_end: Whether the end of a span is exclusive (the character after the last one) or
            inclusive.
        longest_line: Maximum size in bytes of a line, or in characters of a text.
    """

    fields: dict[str, str] | None = None
    tokens: str | None = None
    tags: str | None = None
    spans: str | None = None
    span_end: SpanEnd = "exclusive"
    longest_line: int = files.LONGEST_LINE

    def table_of(
        self, columns: Columns, split: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Return a corpus's table of any rows.

        Words with their tags, a text with its references, and one or two texts with a label are
        found together, in many forms; any other field is read from a field of its name.

        Args:
            columns: As they were read.
            split: Their name in notes.
            notes: Takes what the reader of the numbers must know.
            fields: What is looked for; None finds what there is by the usual names.

        Raises:
            UserError: A field is not there, or a row does not hold what it should.
        """
        columns = self.own_rows(columns, split, notes)
        wanted = self._usual_fields(columns) if fields is None else fields
        if isinstance(self.label, list) and "label" in wanted and self.label_name is not None:
            columns = with_one_column(columns, self.label, self.label_name)
        columns = self.labelled_rows(columns, wanted, split, notes)
        return self.with_group(self._table_of(columns, split, notes, wanted), columns)

    def _table_of(self, columns: Columns, split: str, notes: list[str], wanted: Fields) -> pa.Table:
        if has(wanted, Words):
            together, table = WORDS, self._words_table(columns, split, notes)
        elif wanted.keys() >= PAIRS.keys():
            together, table = PAIRS, self.pairs_table(columns, longest=self.longest_line)
        elif inputs(wanted).keys() <= inputs(LABELLED).keys():
            together, table = LABELLED, self.texts_table(columns, split, notes, wanted)
        else:
            return self.fields_table(columns, wanted, split, notes)
        others = {name: field for name, field in wanted.items() if name not in together}
        for name, values in self._read(columns, others, split, notes).items():
            table = table.append_column(name, values)
        return table

    def _usual_fields(self, columns: Columns) -> Fields:
        """Return what rows hold that are read for no task."""
        if self.names_pairs:
            return PAIRS
        if self._tokens_field(columns) is not None or self._spans_field(columns) is not None:
            return WORDS
        return LABELLED

    def fields_table(
        self, columns: Columns, fields: Fields, split: str, notes: list[str]
    ) -> pa.Table:
        """Return rows with a column for each field, read from fields of a file by their names.

        Raises:
            UserError: A field is not there, or a value is of another form.
        """
        values = self._read(columns, fields, split, notes)
        return with_places({"id": self.ids(columns), **values}, columns)

    def _read(
        self, columns: Columns, fields: Fields, split: str, notes: list[str]
    ) -> dict[str, pa.Array]:
        _require_columns(fields, columns)
        columns = dataclasses.replace(columns, media=self.media_of(split))
        table: dict[str, pa.Array] = {}
        for name, field in fields.items():
            column = self.column_of(name, field, columns)
            if column is not None:
                remember(self, **{name: column})
                if isinstance(field, LABEL_FIELDS):
                    table[name] = self._labels(columns, column, field, split, notes)
                else:
                    table[name] = field.read(columns, column)
        return table

    def column_of(self, name: str, field: Field, columns: Columns) -> str | None:
        """Return the column that holds a field; None where it is optional and not there."""
        own = self.label_name if name == "label" else getattr(self, name, None)
        chosen = (self.fields or {}).get(name) or (own if isinstance(own, str) else None)
        if chosen is not None:
            key = f"data.{name}" if chosen == own else f"data.fields.{name}"
            require_column(chosen, list(columns.values), key, columns.file)
            return chosen
        before = remembered(self).get(name)
        known = (before, name, *field.names) if before else (name, *field.names)
        found = first_usual(columns.values, known)
        if found is None and not field.optional:
            what, key = f"the {name} ({field.what})", f"+data.fields.{name}"
            raise which(what, key, columns.values, columns.file, kind="field")
        return found

    def _words_table(self, columns: Columns, split: str, notes: list[str]) -> pa.Table:
        tokens = self._tokens_field(columns)
        if tokens is not None:
            remember(self, tokens=tokens)
            return self._from_tokens(columns, tokens)
        spans = self._spans_field(columns)
        if spans is not None:
            return self._from_spans(columns, spans, split, notes)
        raise UserError(
            "it is unclear which fields contain the words and their tags",
            key="data.tokens",
            file=columns.file,
            hint="Write data.tokens=NAME data.tags=NAME, or for texts with entities "
            "data.text=NAME data.spans=NAME. For one word and tag a line, use data=conll; "
            f"the fields are: {listed(columns.values)}.",
        )

    def _tokens_field(self, columns: Columns) -> str | None:
        if self.tokens is not None:
            require_column(self.tokens, list(columns.values), "data.tokens", columns.file)
            return self.tokens
        usual = columns.usual()
        written = [n for n in TOKENS if n in usual and any(tags in usual for tags in TAGS)]
        found = (n for n in TOKENS if most(columns.values.get(n, ()), _holds_words) or n in written)
        return next(found, None)

    def _spans_field(self, columns: Columns) -> str | None:
        if self.spans is not None:
            require_column(self.spans, list(columns.values), "data.spans", columns.file)
            return self.spans
        usual = columns.usual()
        for name in (n for n in SPANS if n in usual):
            if most([value for value in columns.values[name] if value], _holds_spans):
                return name
        return None

    # Words

    def _from_tokens(self, columns: Columns, field: str) -> pa.Table:
        tags_field = self._tags_field(columns)
        tokens, tags = columns.values[field], columns.values[tags_field]
        named: list[list[str]] = []
        tokens, tags = words_of(tokens), words_of(tags, _BLANKS_OR_COMMAS)
        for row, (words, marks) in enumerate(zip(tokens, tags, strict=True)):
            _require_words(columns, row, field, words)
            if not _is_list(marks):
                raise columns.fail(f"{tags_field} must be a list of tags", row, value=marks)
            if len(words) != len(marks):
                raise columns.fail(
                    f"{len(words)} in {field} and {len(marks)} in {tags_field}",
                    row,
                    hint="Each word needs one tag. A text is split into words at spaces.",
                )
            named.append([self._tag(columns, row, mark) for mark in marks])
        return with_places(
            {
                "id": self.ids(columns),
                "tokens": word_lists(columns, tokens),
                "tags": word_lists(columns, named),
            },
            columns,
        )

    def _tags_field(self, columns: Columns) -> str:
        if self.tags is not None:
            require_column(self.tags, list(columns.values), "data.tags", columns.file)
            return self.tags
        usual = columns.usual(among=TAGS)
        for name in TAGS:
            if name in usual:
                return name
        raise which("the tags", "data.tags", columns.values, columns.file, kind="field")

    def _tag(self, columns: Columns, row: int, value: object) -> str:
        if isinstance(value, str) and value:
            return value
        names = self.label_names
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if type(value) is int and names is None:
            raise columns.fail(
                "the tags are numbers without names",
                row,
                value=value,
                hint="Name the tags in order: data.label_names=[O,B-PER,I-PER,...].",
            )
        if type(value) is int and names is not None and 0 <= value < len(names):
            return names[value]
        raise columns.fail("this is not a tag", row, value=value if value is not None else "null")

    # Texts with spans

    def _from_spans(self, columns: Columns, field: str, split: str, notes: list[str]) -> pa.Table:
        name = self._text_columns(columns.usual(self.text), field, columns.file)[0]
        strings(columns, name)  # refuses what is not text
        tokens, tags = [], []
        widened = lost = total = 0
        pairs = list(zip(columns.values[field], columns.values[name], strict=True))
        if (misread := char_spans.misread(pairs, self.span_end)) is not None:
            row, wrong = misread
            raise columns.fail(wrong.problem, row, hint=wrong.hint)
        for row, (value, text) in enumerate(pairs):
            words, offsets = split_words(text)
            try:
                found = char_spans.parse(value, text, self.span_end)
                marks, wider, loser = char_spans.to_tags(
                    found, words, offsets, repair=bool(self.repair)
                )
            except BadSpan as error:
                raise columns.fail(error.problem, row, hint=error.hint) from None
            widened, lost, total = widened + wider, lost + loser, total + len(found)
            tokens.append(words)
            tags.append(marks)
        if widened:
            what = plural(widened, "entity", "entities")
            note = f"{split}: {what} of {total:,} ended inside a word; extended to its end"
            if 2 * widened > total:
                note += "; data.span_end=inclusive if an end is the last character"
            notes.append(note)
        if lost:
            notes.append(f"{split}: {lost} entities lost words to the previous entity")
        return with_places(
            {
                "id": self.ids(columns),
                "tokens": word_lists(columns, tokens),
                "tags": word_lists(columns, tags),
            },
            columns,
        )


def _require_columns(fields: Fields, columns: Columns) -> None:
    """Refuse fields that no field of a file can hold, such as dialogues."""
    for name, field in fields.items():
        if not (field.optional or field.is_column() or isinstance(field, LABEL_FIELDS)):
            raise UserError(
                f"this task needs {name} (a {field.what} for each example), but this source does "
                f"not have it",
                key="data",
                file=columns.file,
                hint=f"Use {field.sources.rstrip('.')}; the fields are: {listed(columns.values)}.",
            )


def _require_words(columns: Columns, row: int, field: str, words: Any) -> None:
    if not _is_list(words):
        raise columns.fail(f"{field} must be a list of words", row, value=words)
    for place, word in enumerate(words):
        if not isinstance(word, str):
            raise columns.fail(f"word {place + 1} of {field} is not text", row, value=word)


def words_of(values: Sequence[Any], marks: re.Pattern[str] = _BLANKS) -> list[Any]:
    """Return lists of words, where all of them are texts: in brackets, or with blanks between."""
    if not all(isinstance(value, str) for value in values):
        return list(values)
    return [_parts(value, marks) for value in values]


def _parts(text: str, marks: re.Pattern[str]) -> list[Any]:
    found = as_list(text)
    return [part for part in marks.split(text) if part] if found is None else found


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)


def _holds_words(value: Any) -> bool:
    # Texts with spans come with words too (Prodigy); their words are mappings.
    return _is_list(value) and not any(isinstance(word, dict) for word in value[:1])


def _holds_spans(value: object) -> bool:
    return isinstance(value, list | dict) and look_like_spans(value)
