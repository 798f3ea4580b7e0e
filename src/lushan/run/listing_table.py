"""Runs as a table for the terminal, no wider than it."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from lushan.common import units
from lushan.run.columns import CUT, aligned, display_width, padded, shortened
from lushan.run.identity import ABSENT
from lushan.run.listing import Listed, age
from lushan.run.values import show

LONGEST = 24
"""Places of the longest value of a key, where the table has to fit."""
KEPT = 2
"""Keys that the interval, the age and the metric's column give way to."""
FEWEST = 12
"""Characters of the shortest form of a folder's name."""
FIRST = ("model", "task", "data", "peft", "processor")
"""Groups that say what a run is: their columns come first, and give way last."""
LAST = "seed"
"""The key whose column comes last."""
_GAP = 2

Column = tuple[str, list[str]]
"""(head, a cell for each run)."""


def to_text(
    found: Sequence[Listed],
    root: str | Path,
    *,
    width: int | None = None,
    columns: Sequence[str] = (),
) -> str:
    """The runs as a table for the terminal.

    Args:
        found: The runs.
        root: The folder they are below.
        width: Places of a line; columns that distinguish least for their width are
            left out for it, and named below the table. None shows all.
        columns: Keys, groups and metrics to show instead of those in which the runs differ.
    """
    if not found:
        return f"There are no runs in {root}."
    if columns:
        table, hidden = [_asked(found, name) for name in columns], []
    else:
        before, keys, after = _all(found)
        choices = {name for run in found for name in run.facts.choices}
        keys.sort(key=lambda column: _place(column[0], choices))
        hidden = [] if width is None else _fit(before, keys, after, width, choices)
        table = [*before, *keys, *after]
    heads, cells = zip(*table, strict=True)
    lines = aligned([list(heads), *map(list, zip(*cells, strict=True))])
    if hidden:
        text = f"not shown: {', '.join(hidden)}; use --columns all to show all"
        lines += textwrap.wrap(text, width or 80, break_on_hyphens=False)
    for run in found:
        if run.reason:
            text = f"{run.folder}: {run.state}, {run.reason}"
            lines += [text] if width is None else _wrapped(text, width)
    return "\n".join(lines)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, subsequent_indent="  ", break_on_hyphens=False)


def _all(found: Sequence[Listed]) -> tuple[list[Column], list[Column], list[Column]]:
    """The columns before the keys in which the runs differ, these, and those after them."""
    keys = [(key, [show(run.differs[key]) for run in found]) for key in found[0].differs]
    names = ("metric", "value", "95 % interval", "age")
    return (
        [_asked(found, "state"), _asked(found, "run")],
        keys,
        [_asked(found, name) for name in names],
    )


def _place(key: str, choices: Collection[str]) -> int:
    """Return where the column of a key comes; columns of one place keep their order."""
    group = key.partition("/")[0]
    if key in choices and group in FIRST:
        return FIRST.index(group)
    if key in choices:
        return len(FIRST)
    return len(FIRST) + (2 if key == LAST else 1)


def _asked(found: Sequence[Listed], name: str) -> Column:
    """A column by its name."""
    if name in ("95 % interval", "interval"):
        return name, [_interval(run) for run in found]
    if name == "age":
        return name, [age(run.started) for run in found]
    if name == "value":
        return name, [_number(run) for run in found]
    known = {key: one for run in found for key, one in run.measures.items()}
    measure = known.get(name, units.UNKNOWN)
    head = units.head(name, measure) if "/" in name else name
    return head, [_cell(name, run.facts.get(name), measure) for run in found]


def _cell(name: str, value: object, measure: units.Measure = units.UNKNOWN) -> str:
    if name in ("metric", "state", "run", "name", "id") and value in (None, ABSENT):
        return ""
    return units.number(value, measure) if "/" in name and isinstance(value, float) else show(value)


def _number(run: Listed) -> str:
    # With its unit: the column of the metric may have given way.
    return "" if run.value is None else units.text(run.value, run.measure)


def _interval(run: Listed) -> str:
    low, high = run.interval or (None, None)
    return units.interval(low, high, run.measure)


# Fitting


class _Keys:
    """The columns of keys, which give way where a line is too long.

    Args:
        columns: Whose heads are whole; they are shortened and removed in place.
        choices: Names of groups.

    Attributes:
        hidden: The names of the columns that are removed.
    """

    def __init__(self, columns: list[Column], choices: Collection[str]) -> None:
        self.columns, self.choices = columns, choices
        self.names = [head for head, _ in columns]
        self.order, self.hidden = list(self.names), list[str]()
        self.removed: dict[str, Column] = {}
        columns[:] = [
            (short, [shortened(cell, LONGEST) for cell in cells])
            for short, (_, cells) in zip(_last_parts(self.names), columns, strict=True)
        ]

    def _worth(self, place: int) -> tuple[bool, float]:
        """Return what a column tells of runs, for its width."""
        is_first = _place(self.names[place], self.choices) < len(FIRST)
        return is_first, _entropy(self.columns[place]) / _width([self.columns[place]])

    def remove(self, others: Sequence[Column], width: int, *, least: int) -> None:
        """Remove columns until they fit beside others, or until the least are left."""
        while len(self.columns) > least and _width([*self.columns, *others]) > width:
            place = min(range(len(self.columns)), key=self._worth)
            self.hidden.append(self.names.pop(place))
            self.removed[self.hidden[-1]] = self.columns.pop(place)

    def restore(self, others: Sequence[Column], width: int) -> None:
        """Show again what is narrow enough for the room that wider columns have left."""
        for name, column in reversed(self.removed.items()):
            if _width([*self.columns, column, *others]) <= width:
                place = sum(self.order.index(key) < self.order.index(name) for key in self.names)
                self.names.insert(place, name)
                self.columns.insert(place, column)
                self.hidden.remove(name)


def _fit(
    before: list[Column],
    keys: list[Column],
    after: list[Column],
    width: int,
    choices: Collection[str],
) -> list[str]:
    """Shorten and remove columns, in place, until a line fits; the names of those removed."""
    if _width([*before, *keys, *after]) <= width:
        return []
    found = _Keys(keys, choices)
    found.remove([*before, *after], width, least=KEPT)
    for name in ("95 % interval", "age"):
        if _width([*before, *keys, *after]) > width:
            after[:] = [column for column in after if column[0] != name]
            found.hidden.append(name)
    if _width([*before, *keys, *after]) > width:
        after[:] = _named_in_head(after)
    found.remove([*before, *after], width, least=0)
    found.restore([*before, *after], width)
    over = _width([*before, *keys, *after]) - width
    if over > 0:  # the end of a folder distinguishes runs
        head, cells = before[1]
        room = max(FEWEST, _width([before[1]]) - over)
        before[1] = head, [_ending(cell, room) for cell in cells]
    return found.hidden


def _named_in_head(columns: Sequence[Column]) -> list[Column]:
    """Return the columns with the metric's name as the head of its values, where all have one."""
    cells = dict(columns)
    names = {name for name in cells["metric"] if name}
    if len(names) != 1:
        return list(columns)
    renamed = {"value": names.pop()}
    return [(renamed.get(head, head), its) for head, its in columns if head != "metric"]


def _width(columns: Sequence[Column]) -> int:
    widths = [max(map(display_width, (head, *cells))) for head, cells in columns]
    return sum(widths) + _GAP * (len(widths) - 1)


def _entropy(column: Column) -> float:
    """Return how much a column distinguishes runs: the entropy of its values, in bits."""
    total = len(column[1])
    shares = [count / total for count in Counter(column[1]).values()]
    return -sum(share * math.log2(share) for share in shares)


def _last_parts(keys: Sequence[str]) -> list[str]:
    """`max_epochs` for `trainer.max_epochs`, where no other key ends so."""
    last = [key.rpartition(".")[2] for key in keys]
    return [short if last.count(short) == 1 else key for short, key in zip(last, keys, strict=True)]


def _ending(text: str, longest: int) -> str:
    if display_width(text) <= longest:
        return text
    while display_width(text) >= longest:
        text = text[1:]
    return padded(CUT + text, longest)
