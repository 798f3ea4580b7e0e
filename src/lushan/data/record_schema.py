"""Schema of a task's stored predictions: for each entry its field and its role.

A task states it, `result.json` holds it under `records`, and readers of the predictions of a run
use it: the code of the task, and torch, are not needed.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, cast, get_args

from lushan.common.parsing import parse_json
from lushan.data.fields import Field, Fields, Value
from lushan.data.stored import Record

Role = Literal["input", "gold", "predicted", "detail"]
"""Role of an entry in its record: given to the model, right, predicted, or more about it."""

Content = dict[str, dict[str, Any]]
"""A schema as JSON: name of an entry to role, import path of the field, options of it."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """An entry of stored predictions.

    Args:
        field: What its values are. A record may lack an `optional` one, or have null there.
        role: What it is to its record.
    """

    field: Field
    role: Role


def of_fields(fields: Fields) -> dict[str, Entry]:
    """Return the entries that follow from what a task reads: its inputs, `gold` and `predicted`.

    Raises:
        ValueError: There are several targets, and the task has to state what it predicts.
    """
    found = {n: Entry(field, "input") for n, field in fields.items() if not field.target}
    targets = [field for field in fields.values() if field.target]
    if len(targets) > 1:
        raise ValueError("its fields have several targets: record_fields has to state the entries")
    if not targets:
        return found
    target = targets[0]
    return found | {"gold": Entry(target, "gold"), "predicted": Entry(target, "predicted")}


@dataclasses.dataclass(frozen=True, eq=False)
class RecordSchema:
    """The entries of stored predictions, each of which has an `id` beside them.

    Args:
        entries: By their names. At most one is gold, and at most one predicted.
        notes: What could not be known of them.
    """

    entries: Mapping[str, Entry]
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        for role in ("gold", "predicted"):
            names = [name for name, entry in self.entries.items() if entry.role == role]
            if len(names) > 1:
                raise ValueError(f"{', '.join(names)} are all {role}, and only one can be")

    def of_role(self, role: Role) -> dict[str, Field]:
        """Return the fields of all entries that have a role."""
        return {name: e.field for name, e in self.entries.items() if e.role == role}

    @property
    def gold(self) -> tuple[str, Field] | None:
        """Name and field of what is right; None where nothing is."""
        return next(iter(self.of_role("gold").items()), None)

    @property
    def predicted(self) -> tuple[str, Field] | None:
        """Name and field of what was predicted; None where nothing was."""
        return next(iter(self.of_role("predicted").items()), None)

    def pairs(self, records: Sequence[Record]) -> Iterator[tuple[Record, Any, Any]]:
        """Yield the records that have a gold and a predicted value, with both values."""
        if self.gold is None or self.predicted is None:
            return
        gold, predicted = self.gold[0], self.predicted[0]
        for record in records:
            if record.get(gold) is not None and record.get(predicted) is not None:
                yield record, record[gold], record[predicted]

    def check(self, record: Record) -> None:
        """Refuse a record that is not as stated; entries that are not stated are ignored.

        Raises:
            ValueError: An entry is wrong; names it, and the reason.
        """
        if type(record.get("id")) not in (str, int):
            raise ValueError("it has no id")
        for name, entry in self.entries.items():
            value = record.get(name)
            if value is None and not entry.field.optional:
                raise ValueError(f"{name!r} is missing")
            try:
                if value is not None:
                    entry.field.check(value, record)
            except (ValueError, TypeError, LookupError, AttributeError) as error:
                raise ValueError(f"{name!r}: {error}") from error

    def as_dict(self) -> Content:
        """Return it as JSON; options of a field that are as usual are left out.

        Raises:
            ValueError: An option is no JSON, or the field's class cannot be imported by a name.
        """
        return {name: _as_dict(name, entry) for name, entry in self.entries.items()}

    @classmethod
    def from_dict(
        cls, content: Content, locate: Callable[[str], type[Field] | str]
    ) -> RecordSchema:
        """Read what `as_dict` gave.

        Args:
            content: From `result.json`, which may come from anywhere.
            locate: Gives a field's class by its import path, or says why it must not be imported.
                Values of such a field are shown as JSON.

        Raises:
            ValueError: It is not a schema.
        """
        entries, notes = {}, []
        for name, stated in content.items():
            role, options = str(stated.get("role")), stated.get("options", {})
            if role not in get_args(Role) or not isinstance(options, dict):
                raise ValueError(f"{name!r} of records is not described")
            found = locate(str(stated.get("field")))
            if isinstance(found, str):
                notes.append(f"{name!r} of its predictions is shown as JSON: {found}")
                found, options = Value, {"optional": True}
            try:
                entries[name] = Entry(found(**options), cast(Role, role))
            except TypeError as error:
                raise ValueError(f"{name!r} of records: {error}") from error
        return cls(entries, notes)


def _as_dict(name: str, entry: Entry) -> dict[str, Any]:
    kind = type(entry.field)
    if "<locals>" in kind.__qualname__:
        raise ValueError(f"{name!r}: {kind.__qualname__} is not at the top of a module")
    usual = {f.name: f.default for f in dataclasses.fields(kind)}
    given = {f.name: getattr(entry.field, f.name) for f in dataclasses.fields(kind)}
    options = {key: value for key, value in given.items() if value != usual[key]}
    found: dict[str, Any] = {"role": entry.role, "field": f"{kind.__module__}.{kind.__qualname__}"}
    if options:
        try:
            found["options"] = parse_json(json.dumps(options))
        except TypeError as error:
            raise ValueError(f"{name!r}: an option of {kind.__qualname__} is no JSON") from error
    return found
