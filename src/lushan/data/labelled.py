"""Columns of any format as a corpus's rows of texts: which column is what, and what labels say."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from lushan.common.arrays import pa
from lushan.data.classes import LabelReader, label_text
from lushan.data.encode import arrow
from lushan.data.fields import LABEL_FIELDS, LABELLED, Field, Fields, Labels, Number
from lushan.data.label_names import WithLabelNames
from lushan.data.label_numbers import means_none, numbers_of, remark
from lushan.data.raw_columns import Columns, strings, texts_of, with_places, word_lists
from lushan.data.which import first_usual, listed, which, without_header
from lushan.errors import UserError, did_you_mean

TEXTS = ("text", "sentence", "content", "review", "tweet", "document", "body", "headline", "title")
SHORT = ("headline", "title")
"""Those of `TEXTS` that mostly stand beside a longer text."""
PAIRS = (
    ("text", "text_pair"),
    ("sentence1", "sentence2"),
    ("premise", "hypothesis"),
    ("question1", "question2"),
    ("question", "sentence"),
)
LABELS = ("label", "labels", "class", "category", "target", "sentiment", "score")
IDS = ("id", "_id", "idx", "guid", "uid")
UNDECIDED = "-"
"""What SNLI, MultiNLI, OCNLI and others have where annotators did not agree on a label."""
MOST_CLASSES = 10
"""Different labels beyond which `-` is one of them, such as an answer."""
FEWEST_ROWS = 20
"""Rows below which a label a row says nothing of a column."""
NO_TEST = "If the test split has no labels, write data.test=null."
_UNLABELLED = f"Add it, or drop these rows with data.unlabelled=drop. {NO_TEST}"


@dataclasses.dataclass(kw_only=True)
class Labelled(WithLabelNames):
    """Options of a source that reads labelled texts.

    Args:
        text: Column of the texts, or two columns for pairs; null detects it by name.
        label: Column of the labels, or several columns with 0 or 1 for one label each; null detects
            it by name.
        id: Column of the ids of examples; null uses line numbers.
        label_separator: Separator of several labels in one field, such as `,`.
        multi_hot: Whether lists of labels are indicators, with 0 or 1 for each label; null detects
            it from the values.
        unlabelled: How to handle rows without a label: `refuse` the file, or `drop` them with a
            note. Where labels are numbers, `nan`, `NA`, `null` and the like are none.
        no_label: Labels that mean that a row has none, such as `nan`.
    """

    text: str | list[str] | None = None
    label: str | list[str] | None = None
    id: str | None = "id"
    label_separator: str | None = None
    multi_hot: bool | None = None
    unlabelled: Literal["refuse", "drop"] = "refuse"
    no_label: list[str] | None = None

    @property
    def label_name(self) -> str | None:
        """The column of the labels, that is named or stands for several."""
        return ", ".join(self.label) if isinstance(self.label, list) else self.label

    def texts_table(
        self,
        columns: Columns,
        split: str = "input",
        notes: list[str] | None = None,
        fields: Fields | None = None,
    ) -> pa.Table:
        """Return rows of texts in a corpus's columns.

        Args:
            columns: As they were read.
            split: Their name in notes.
            notes: Takes what the reader of the numbers must know.
            fields: What is looked for: `text`, `text_pair` where there are two, and `label`, whose
                field says what a label is. None is a text and a class.

        Raises:
            UserError: A column is not there, a label or text is missing or no such thing.
        """
        wanted = (LABELLED if fields is None else fields).get("label")
        labels = columns.usual(self.label_name, among=LABELS)
        label = self._label_column(labels, columns, split) if wanted else self._known_label(labels)
        is_known = self.text is not None or "text" in remembered(self)
        texts = self._text_columns(columns.usual(self.text), label, columns.file)
        if not is_known:
            _require_longest(columns, texts, label)
        table = {"id": self.ids(columns)}
        for target, name in zip(("text", "text_pair"), texts, strict=False):
            table[target] = strings(columns, name)
        if wanted is not None and label is not None:
            reported = [] if notes is None else notes
            table["label"] = self._labels(columns, label, wanted, split, reported)
        return with_places(table, columns)

    def _text_columns(
        self, names: Sequence[str], label: str | None, file: str | Path
    ) -> Sequence[str]:
        """Return the one or two columns of texts: named, or of the last file, or by their names.

        Raises:
            UserError: They are not there, or cannot be distinguished.
        """
        before = remembered(self).get("text")
        if self.text is None and before and set(before) <= set(names):
            return list(before)
        texts = self._named_texts(names, label, file)
        if before and len(before) != len(texts):
            here = " and ".join(texts)
            problem = f"{before[0]} was the text column so far, but in this file it would be {here}"
            if len(before) > 1:
                problem = (
                    f"{' and '.join(before)} were the text columns so far, but this file does not "
                    f"have both"
                )
            raise UserError(
                problem,
                key="data.text",
                file=file,
                hint=f"Write data.text=NAME; the columns are: {listed(names)}.",
            )
        remember(self, text=list(texts))
        return texts

    def _named_texts(
        self, names: Sequence[str], label: str | None, file: str | Path
    ) -> Sequence[str]:
        if self.text is not None:
            wanted = [self.text] if isinstance(self.text, str) else self.text
            if not 1 <= len(wanted) <= 2:
                raise UserError("one column, or two for pairs", key="data.text", value=self.text)
            for name in wanted:
                require_column(name, names, "data.text", file)
            return wanted
        free = [name for name in names if name != label and name.lower() not in IDS]
        by_lower = {name.lower(): name for name in free}
        for pair in PAIRS:
            if all(part in by_lower for part in pair):
                return [by_lower[part] for part in pair]
        for known in TEXTS:
            if known in by_lower:
                return [by_lower[known]]
        if len(free) == 1:
            return free
        raise which("the texts", "data.text", names, file)

    def _known_label(self, names: Sequence[str]) -> str | None:
        """The column of the labels, where there is one besides others."""
        if (named := self.label_name) is not None:
            return named if named in names else None
        return first_usual(names, LABELS)

    def _label_column(self, names: Sequence[str], columns: Columns, split: str) -> str:
        if self.label_name is not None and split != "test":
            require_column(self.label_name, names, "data.label", columns.file)
        if (found := self._known_label(names)) is not None:
            return found
        more = ""
        if split == "test":
            more = f" {NO_TEST}"
        raise which("the labels", "data.label", names, columns.file, more=more)

    def ids(self, columns: Columns) -> pa.Array:
        """The examples' names: their column, or file and line."""
        name_of = id_column(columns, self.id)
        if name_of is None:
            if self.id not in (None, "id"):
                require_column(self.id, list(columns.values), "data.id", columns.file)
            stem = Path(columns.file).name
            numbers = columns.lines if columns.elements is None else columns.elements
            return arrow.texts([f"{stem}:{number}" for number in numbers])
        values = columns.values[name_of]
        seen: dict[str, int] = {}
        for row, value in enumerate(values):
            name = "" if value is None else str(value)
            if not name:
                raise columns.fail(f"the {name_of} is missing", row, hint="Or write data.id=null.")
            if name in seen:
                raise columns.fail(
                    f"the {name_of} {name!r} is already in {columns.place(seen[name])}",
                    row,
                    hint="Each example needs its own id. data.id=null uses line numbers.",
                )
            seen[name] = row
        return texts_of(columns, list(seen))

    # Labels

    def labelled_rows(
        self, columns: Columns, fields: Fields, split: str, notes: list[str]
    ) -> Columns:
        """Return the rows that have a label, where a task reads one.

        Raises:
            UserError: There are others, and `unlabelled` does not drop them; or there are no rows
                with a label.
        """
        field = fields.get("label")
        name = self._known_label(columns.usual(self.label_name, among=LABELS))
        if not isinstance(field, LABEL_FIELDS) or name is None:
            return columns
        values = columns.values[name]
        gaps = [row for row, blank in enumerate(self._blanks(values, field)) if blank]
        if not gaps:
            return columns
        if self.unlabelled == "refuse" or len(gaps) == len(values):
            others = f", in {len(gaps):,} of {len(values):,} rows" if len(gaps) > 1 else ""
            problem = (
                "labels are missing" if isinstance(field, Labels) else f"{field.what} is missing"
            )
            hint, found = _UNLABELLED, values[gaps[0]]
            shown = None if found == UNDECIDED or _is_blank(found) else found
            if found == UNDECIDED:
                problem = f"{problem}: {UNDECIDED!r} means that the annotators did not agree"
                hint = f"{hint} If it is a label: 'data.label_names=[\"{UNDECIDED}\",...]'."
            raise columns.fail(f"the {problem}{others}", gaps[0], hint=hint, value=shown)
        notes.append(f"{split}: {len(gaps):,} of {len(values):,} rows dropped: they have no label")
        left_out = set(gaps)
        return columns.take([row for row in range(len(values)) if row not in left_out])

    def _blanks(self, values: Sequence[Any], field: Field) -> Iterator[bool]:
        """Yield of each label whether it is none."""
        listed, undecided = set(self.no_label or ()), self._undecided(values)
        for value in values:
            blank = value is None if isinstance(field, Labels) else _is_blank(value)
            blank = blank or (undecided and value == UNDECIDED)
            blank = blank or (isinstance(field, Number) and means_none(value))
            yield blank or (bool(listed) and label_text(value) in listed)

    def _undecided(self, values: Sequence[Any]) -> bool:
        """Return whether `-` stands for no label, as in SNLI, and is not the opposite of `+`."""
        if UNDECIDED not in values or "+" in values or UNDECIDED in (self.label_names or ()):
            return False
        return len({str(value) for value in values}) <= MOST_CLASSES

    def _labels(
        self, columns: Columns, name: str, field: Field, split: str, notes: list[str]
    ) -> pa.Array:
        coded = columns.classes.get(name)
        values: Sequence[Any] = columns.values[name]
        names: Sequence[str] | None = self.label_names
        several = isinstance(field, Labels)
        if coded is not None and (names is not None or several):
            # Lists of class numbers may be indicators: they are named once that is known.
            values, names = coded.numbers, names or coded.names
        if isinstance(field, Number):
            return arrow.numbers(numbers_of(columns, name, names), pa.float64())
        reader = LabelReader(
            columns, values, names, self.label_separator, self.multi_hot, self._width()
        )
        found = (
            word_lists(columns, reader.several()) if several else texts_of(columns, reader.single())
        )
        self._require_one_width(columns, reader.width)
        if not several and split == "train":
            notes += _free_text(name, found)
        known = names or (coded.names if coded is not None else ())
        remarks = [*reader.remarks, remark(values, known)]
        notes += [f"{split}: {what}" for what in remarks if what is not None]
        return found

    def _width(self) -> int | None:
        """Places of an indicator of the files that were read before."""
        known: dict[str, int | None] = self.__dict__.setdefault("_widths", {})
        return next(iter(known.values()), None)

    def _require_one_width(self, columns: Columns, width: int | None) -> None:
        known: dict[str, int | None] = self.__dict__["_widths"]
        for file, other in known.items():
            if other != width:
                here, there = (
                    f"indicators of {n} labels" if n else "no indicators" for n in (width, other)
                )
                raise UserError(
                    f"the labels are {here}, and {there} in {file}",
                    file=columns.file,
                    hint="All splits must use the same encoding; see data.multi_hot.",
                )
        known[str(columns.file)] = width


def _free_text(name: str, labels: pa.Array) -> list[str]:
    """Return a note where a column of labels looks like one of texts: most rows have their own."""
    different = len(labels.unique())
    if len(labels) < FEWEST_ROWS or 2 * different <= len(labels):
        return []
    return [
        f"train: {different:,} labels in {len(labels):,} rows: is {name!r} a column of texts? "
        "data.label names the column of the labels"
    ]


def _require_longest(columns: Columns, texts: Sequence[str], label: str | None) -> None:
    """Refuse to take titles for the texts where another column holds longer ones."""
    if texts[0].lower() not in SHORT or len(texts) > 1:
        return
    others = [name for name in columns.values if name not in (*texts, label)]
    longer = max(others, key=lambda name: _characters(columns, name), default=None)
    if longer is not None and _characters(columns, longer) > _characters(columns, texts[0]):
        raise UserError(
            f"it is unclear which column is the text: {longer} has longer texts than {texts[0]}",
            key="data.text",
            file=columns.file,
            hint=f"Write data.text={longer}, or data.text=[{texts[0]},{longer}] to read both.",
        )


def _characters(columns: Columns, name: str) -> int:
    return sum(len(value) for value in columns.values[name] if isinstance(value, str))


def _is_blank(value: object) -> bool:
    return not label_text(value)


def most(values: Collection[Any], test: Callable[[Any], bool]) -> bool:
    """Return whether a test holds for at least half of some values, and for one."""
    passed = sum(map(test, values))
    return passed > 0 and 2 * passed >= len(values)


def remember(source: object, /, **columns: object) -> None:
    """Record which columns a source has read, so that other files are read by the same ones."""
    vars(source).setdefault("found", {}).update(columns)


def remembered(source: object) -> dict[str, Any]:
    """Return what a source has read so far: option to column, or columns."""
    return dict(vars(source).get("found", {}))


def id_column(columns: Columns, chosen: str | None) -> str | None:
    """Return the column of the rows' ids; None where lines name them.

    Args:
        columns: As they were read.
        chosen: The column that an option names. Where it is `id` and there is none, it may be
            `_id`, as in BEIR, if its values are texts or numbers: databases have objects there.
    """
    if chosen is None or chosen in columns.values:
        return chosen
    values = columns.values.get("_id", ()) if chosen == "id" else ()
    return "_id" if values and all(type(value) in (str, int) for value in values) else None


def require_column(name: str, names: Collection[str], key: str, file: str | Path) -> None:
    """Refuse the name of a column that is not there."""
    if name not in names:
        near = did_you_mean(name, names)
        plus = "+" if key.startswith("data.fields.") else ""  # no preset has this key
        known = f"the columns are: {listed(names)}.{without_header(names)}"
        hint = f"Write {plus}{key}=NAME; {known}"
        raise UserError(
            f"there is no column {name!r}",
            key=key,
            file=file,
            hint=f"{near} {hint}" if near else hint,
        )
