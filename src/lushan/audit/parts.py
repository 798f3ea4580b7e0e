"""Parts of examples that the training split has too: an image, a video, the context of a question.

An image with five captions is learned on one side and evaluated on the other, although no row is a
copy. Each input of a task is therefore also compared by itself.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa

from lushan.audit import texts
from lushan.data.field_roles import inputs
from lushan.data.field_tables import present
from lushan.data.fields import Field, Fields, Image

LARGEST = 1 << 25
"""Bytes of the different texts of a field up to which they are compared."""
Keeping = Callable[[str, str], str | None]
"""(split, field) -> the override that keeps rows with one value of a field in one split; None where
there is none. Of parts of a field, such as images of a dialogue, no field is named."""
Units = list[list[object]]
"""What each row has of a field: its text, or each of its images."""


@dataclasses.dataclass(frozen=True)
class SharedPart:
    """Values of one field that a split and train have in common.

    Attributes:
        split: Its name.
        field: The field.
        what: What its values are called: `images`.
        shared: Different values that train has, too.
        total: Different values of the split.
        keeping: The override that keeps them together; None where there is none.
    """

    split: str
    field: str
    what: str
    shared: int
    total: int
    keeping: str | None = None

    @property
    def sentence(self) -> str:
        """The finding in words."""
        more = f"; {self.keeping} keeps them together" if self.keeping else ""
        return f"{self.shared:,} of {self.total:,} {self.split} {self.what} are also in train{more}"


def shared_parts(
    splits: Mapping[str, pa.Table],
    fields: Fields,
    copies: Mapping[str, Sequence[bool]] | None = None,
    keeping: Keeping | None = None,
) -> list[SharedPart]:
    """Compare each input by itself.

    Args:
        splits: Name to table.
        fields: What their columns hold.
        copies: Split to whether train has each row as a whole: what is shared by these rows alone
            has been reported with them.
        keeping: What would keep a field's values together.
    """
    found: list[tuple[bool, SharedPart]] = []
    given = {name: field for name, field in inputs(fields).items() if not field.is_name}
    there = present(given, splits["train"])
    telling = [n for n, f in there.items() if _overrides(f, "texts") or _overrides(f, "media_keys")]
    for name, field in there.items():
        holding = {s: t.column(name) for s, t in splits.items() if name in t.column_names}
        media = {split: _media(field, column) for split, column in holding.items()}
        if any(map(any, media.values())):
            what = f"{field.what if isinstance(field, Image) else 'image'}s"
            found += [(True, part) for part in _compared(name, what, media, copies)]
        elif telling != [name] and sum(map(_size, holding.values())) <= LARGEST:
            several = {split: _texts(field, column) for split, column in holding.items()}
            found += [(False, part) for part in _compared(name, _several(name), several, copies)]
    if keeping is None:
        return [part for _, part in found]
    return list(_with_one_override(found, there, keeping))


def _with_one_override(
    found: Sequence[tuple[bool, SharedPart]], fields: Fields, keeping: Keeping
) -> Iterator[SharedPart]:
    """Yield all, with the override of one field: images before texts, then what is shared most."""
    chosen: dict[str, SharedPart] = {}
    for _, part in sorted(found, key=lambda one: (not one[0], -one[1].shared / one[1].total)):
        chosen.setdefault(part.split, part)
    for is_media, part in found:
        if part is not chosen[part.split]:
            yield part
            continue
        inside = is_media and not isinstance(fields[part.field], Image)  # of a dialogue, say
        override = keeping(part.split, "" if inside else part.field)
        yield dataclasses.replace(part, keeping=override)


def _compared(
    name: str, what: str, units: Mapping[str, Units], copies: Mapping[str, Sequence[bool]] | None
) -> Iterator[SharedPart]:
    learned = {unit for row in units["train"] for unit in row}
    for split, rows in units.items():
        if split == "train":
            continue
        reported = copies[split] if copies is not None else [False] * len(rows)
        if all(known or learned.isdisjoint(row) for row, known in zip(rows, reported, strict=True)):
            continue
        own = {unit for row in rows for unit in row}
        yield SharedPart(split, name, what, len(own & learned), len(own))


def _overrides(field: Field, method: str) -> bool:
    return getattr(type(field), method) is not getattr(Field, method)


def _media(field: Field, column: pa.ChunkedArray) -> Units:
    """Return the hashes of the images of each row; of a field that never holds any, no row."""
    if not _overrides(field, "media_keys"):
        return []
    return [
        [] if value is None or field.is_blank(value) else list(field.media_keys(value))
        for chunk in column.chunks
        for value in chunk.to_pylist()
    ]


def _texts(field: Field, column: pa.ChunkedArray) -> Units:
    """Return the normal form of each row's text, as few bytes; nothing of one that is blank."""
    known: dict[str, list[object]] = {}
    found: Units = []
    for chunk in column.chunks:
        for value in chunk.to_pylist():
            text = texts.BETWEEN.join(() if value is None else field.texts(value))
            if text not in known:
                key = texts.key_of((text,))
                known[text] = [texts.digest(key)] if key else []
            found.append(known[text])
    return found


def _size(column: pa.ChunkedArray) -> int:
    """Return the bytes of the different values of a column; of lists those of all."""
    plain = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return int((column.unique() if plain else column).nbytes)


def _several(name: str) -> str:
    """Return what values of a field of texts are called."""
    if name.startswith("text"):  # whole examples are called texts
        return f"values of {name}"
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"
