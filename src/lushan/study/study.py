"""A study: one file that states what is compared, over which seeds, and what is claimed."""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lushan.common import parsing
from lushan.errors import UserError, one_of
from lushan.study import folds
from lushan.study.named_tests import TESTS

Levels = dict[str, str]
"""Axis to the level that is chosen on it."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table of a study.

    Attributes:
        rows: Axes whose levels are its rows.
        columns: The same for its columns.
        over: Axes that are averaged over, beside the seeds; folds are, wherever not named.
        metrics: What is shown; the main metric where none is named.
        baseline: Levels of the row that the others are compared with; where it names the columns'
            too, all cells are compared with that one.
        test: By which; see `named_tests.TESTS`.
    """

    rows: tuple[str, ...]
    columns: tuple[str, ...] = ()
    over: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    baseline: Levels = dataclasses.field(default_factory=dict)
    test: str | None = None


@dataclasses.dataclass(frozen=True)
class Plot:
    """A plot of a study: the mean over the seeds, and the deviation.

    Attributes:
        x: The axis along which a line goes.
        metric: What is shown; the main metric where none is named.
        scale: `levels` sets the levels side by side; `linear` and `log` read them as numbers.

    All other axes are lines.
    """

    x: str
    metric: str | None = None
    scale: str = "levels"


SCALES = ("levels", "linear", "log")


@dataclasses.dataclass(frozen=True)
class Study:
    """Content of a `study.yaml`.

    Attributes:
        file: The file.
        title: In words.
        base: Overrides of every run.
        axes: Axis to level to the overrides that make the level.
        exclude: Combinations that are left out; each names some axes.
        seeds: One run of every cell for each.
        tables: What is shown of it.
        plots: Those that are drawn.
        claims: Statements that the runs must support; see `lushan.study.claims`.
        lines: Dotted key to its line in the file.
        remarks: What its reader should know, a paragraph each.
    """

    file: Path
    title: str
    base: tuple[str, ...]
    axes: Mapping[str, Mapping[str, tuple[str, ...]]]
    exclude: tuple[Levels, ...]
    seeds: tuple[int, ...]
    tables: tuple[Table, ...]
    plots: tuple[Plot, ...]
    claims: tuple[str, ...]
    lines: Mapping[str, int]
    remarks: tuple[str, ...] = ()

    def cells(self) -> list[Levels]:
        """Every combination of levels that is not left out."""
        axes = list(self.axes)
        found = [
            dict(zip(axes, levels, strict=True))
            for levels in itertools.product(*self.axes.values())
        ]
        return [
            cell for cell in found if not any(_within(cell, without) for without in self.exclude)
        ]

    def overrides(self, cell: Levels, seed: int) -> list[str]:
        """The overrides of one run."""
        return list(self.places(cell, seed).values())

    def places(self, cell: Levels, seed: int) -> dict[str, str]:
        """The overrides of one run by where they stand: `axes.head.crf.0`."""
        several = {"base": self.base}
        several |= {f"axes.{a}.{level}": self.axes[a][level] for a, level in cell.items()}
        found = {
            f"{key}.{i}": line for key, lines in several.items() for i, line in enumerate(lines)
        }
        return found | {f"seeds.{self.seeds.index(seed)}": f"seed={seed}"}

    def mistake(self, problem: str, key: str, **more: Any) -> UserError:
        """An error that names the file, the line and the key."""
        return UserError(problem, file=self.file, line=self.line(key), key=key, **more)

    def line(self, key: str) -> int | None:
        """Return the line of a key, or of the one above it."""
        return next((self.lines[k] for k in _above(key) if k in self.lines), None)


def read(file: str | Path) -> Study:
    """Read and check a study's file; nothing of it is composed yet.

    Raises:
        UserError: There is no such file, or something in it is wrong; names line and key.
    """
    path = Path(file)
    try:
        content = parsing.read_bounded(path, parsing.MOST_YAML_BYTES)
        node: yaml.Node | None = parsing.compose_yaml(content.decode("utf-8"))
    except OSError as error:
        raise UserError(
            "unknown study", file=path, hint="A study is a YAML file; see docs/studies.md."
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise UserError("not UTF-8", file=path, line=line, hint="Save it as UTF-8.") from error
    except parsing.Unreadable as error:
        raise UserError(f"not YAML: {error}", file=path, line=error.line) from error
    reader = _Reader(path, {})
    return reader.study(reader.plain(node, "") if node is not None else {})


class _Reader:
    """Turns a file's nodes into a `Study`, remembering where each key stands."""

    def __init__(self, file: Path, lines: dict[str, int]) -> None:
        self.file, self.lines = file, lines

    def wrong(self, problem: str, key: str, **more: Any) -> UserError:
        line = next((self.lines[k] for k in _above(key) if k in self.lines), 1)
        return UserError(problem, file=self.file, line=line, key=key or None, **more)

    def plain(self, node: yaml.Node, key: str) -> object:
        """A node in plain values; keys are text as it is written, and none is repeated."""
        self.lines[key] = node.start_mark.line + 1
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(n, f"{key}.{i}") for i, n in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            try:
                return parsing.value_of(node)
            except parsing.Unreadable as error:
                raise self.wrong(f"not a value: {error}", key, value=node.value) from error
        found: dict[str, Any] = {}
        for name, value in node.value:
            if not isinstance(name, yaml.ScalarNode):
                self.lines[key] = name.start_mark.line + 1
                raise self.wrong("a key must be a word, not a list", key)
            inner = f"{key}.{name.value}" if key else str(name.value)
            if name.value in found:
                first, self.lines[inner] = self.lines[inner], name.start_mark.line + 1
                raise self.wrong(f"is already in line {first}", inner)
            self.lines[inner] = name.start_mark.line + 1
            found[str(name.value)] = self.plain(value, inner)
            self.lines[inner] = name.start_mark.line + 1
        return found

    def study(self, content: object) -> Study:
        known: tuple[str, ...] = ("title", "base", "axes", "exclude", "seeds", "folds")
        known += ("tables", "plots", "claims", "remarks")
        fields = self.mapping(content, "", known)
        axes = self.axes(fields.get("axes")) | self.folds(fields)
        tables = [
            self.table(table, f"tables.{i}", axes)
            for i, table in enumerate(self.list(fields.get("tables"), "tables"))
        ]
        exclude = [
            self.levels(one, f"exclude.{i}", axes)
            for i, one in enumerate(self.list(fields.get("exclude"), "exclude"))
        ]
        study = Study(
            file=self.file,
            title=self.text(fields.get("title"), "title") or self.file.parent.name,
            base=self.overrides(fields.get("base"), "base"),
            axes=axes,
            exclude=tuple(exclude),
            seeds=self.seeds(fields.get("seeds")),
            tables=tuple(tables) or (self.table({"rows": list(self.compared(axes))}, "", axes),),
            plots=tuple(
                self.plot(plot, f"plots.{i}", axes)
                for i, plot in enumerate(self.list(fields.get("plots"), "plots"))
            ),
            claims=self.texts(fields.get("claims"), "claims"),
            lines=self.lines,
            remarks=self.texts(fields.get("remarks"), "remarks"),
        )
        if not study.cells():
            raise self.wrong("leaves no run", "exclude")
        return study

    def axes(self, value: object) -> dict[str, dict[str, tuple[str, ...]]]:
        if not isinstance(value, dict) or not value:
            hint = "axes: {head: {linear: [task/head=linear], crf: [task/head=crf]}}"
            raise self.wrong("a study needs at least one axis", "axes", hint=hint)
        found = {}
        for axis, levels in value.items():
            if not isinstance(levels, dict) or not levels:
                hint = f"{axis}: {{one: [KEY=VALUE], other: [KEY=OTHER]}}"
                raise self.wrong("an axis needs levels", f"axes.{axis}", hint=hint)
            found[axis] = {
                level: self.overrides(lines, f"axes.{axis}.{level}")
                for level, lines in levels.items()
            }
        return found

    def overrides(self, value: object, key: str) -> tuple[str, ...]:
        lines = self.list(value, key)
        for i, line in enumerate(lines):
            if not isinstance(line, str) or "=" not in line:
                raise self.wrong(
                    "not an override", f"{key}.{i}", value=line, hint="Write KEY=VALUE."
                )
            name = line.lstrip("+~").partition("=")[0]
            if name == "seed":
                raise self.wrong("seeds have their own key", f"{key}.{i}", value=line)
            if name.partition("/")[0].partition(".")[0] == "hydra":
                hint = "Set the launcher with --launcher and --option."
                raise self.wrong(
                    "a study only sets the config of its runs", f"{key}.{i}", value=line, hint=hint
                )
        return tuple(lines)

    def seeds(self, value: object) -> tuple[int, ...]:
        seeds = [1] if value is None else self.list(value, "seeds")
        if not seeds:
            raise self.wrong("leaves no run", "seeds", hint="Write seeds: [1, 2, 3].")
        for i, seed in enumerate(seeds):
            if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
                raise self.wrong("not a whole number, 0 or more", f"seeds.{i}", value=seed)
            if seeds.index(seed) < i:
                raise self.wrong("is repeated", f"seeds.{i}", value=seed)
        return tuple(seeds)

    def folds(self, fields: Mapping[str, Any]) -> dict[str, dict[str, tuple[str, ...]]]:
        """The axis of folds, where it is stated how many there are."""
        if (count := fields.get("folds")) is None:
            return {}
        if isinstance(count, bool) or not isinstance(count, int) or count < 2:
            raise self.wrong("not a whole number, 2 or more", "folds", value=count)
        if folds.AXIS in fields["axes"]:
            raise self.wrong("folds creates an axis with this name", f"axes.{folds.AXIS}")
        self.lines[f"axes.{folds.AXIS}"] = self.lines["folds"]
        return {folds.AXIS: folds.axis(count)}

    def compared(self, axes: Iterable[str]) -> list[str]:
        """The axes that a study compares: means are over folds."""
        return [axis for axis in axes if axis != folds.AXIS]

    def table(self, value: object, key: str, axes: Mapping[str, Any]) -> Table:
        known = ("rows", "columns", "over", "metrics", "baseline", "test")
        fields = self.mapping(value, key, known)
        parts = {}
        for part in ("rows", "columns", "over"):
            names = fields.get(part) or []
            parts[part] = tuple([names] if isinstance(names, str) else names)
            for name in parts[part]:
                if name not in axes:
                    raise self.unknown("axis", name, f"{key}.{part}", axes)
        if folds.AXIS in axes and not any(folds.AXIS in names for names in parts.values()):
            parts["over"] += (folds.AXIS,)
        metrics = self.texts(fields.get("metrics"), f"{key}.metrics")
        if not parts["rows"]:
            raise self.wrong("rows: name the keys of the rows", f"{key}.rows")
        named = [name for several in parts.values() for name in several]
        for axis in axes:
            if named.count(axis) != 1:
                problem = "is not in any of them" if axis not in named else "is repeated"
                hint = "Put each axis once into rows, columns or over."
                raise self.wrong(problem, key, value=axis, hint=hint)
        baseline = self.baseline(fields.get("baseline"), f"{key}.baseline", axes, parts)
        test = fields.get("test")
        if test is not None and test not in TESTS:
            raise self.unknown("test", str(test), f"{key}.test", TESTS)
        if test is not None and not baseline:
            hint = "baseline: {AXIS: LEVEL}"
            raise self.wrong("test needs a baseline", f"{key}.test", value=test, hint=hint)
        return Table(**parts, metrics=metrics, baseline=baseline, test=test)

    def plot(self, value: object, key: str, axes: Mapping[str, Mapping[str, Any]]) -> Plot:
        fields = self.mapping(value, key, ("x", "metric", "scale"))
        x = str(fields.get("x") or "")
        metric = self.text(fields.get("metric"), f"{key}.metric")
        scale = str(fields.get("scale") or "levels")
        if x not in axes:
            raise self.unknown("axis", x, f"{key}.x", axes)
        if scale not in SCALES:
            raise self.unknown("scale", scale, f"{key}.scale", SCALES)
        for level in axes[x] if scale != "levels" else ():
            place = number_in(level)
            if place is None or (scale == "log" and place <= 0):
                problem = f"the level {level!r} of {x} has no position on this scale"
                raise self.wrong(problem, f"{key}.scale", value=scale, hint="Write scale: levels.")
        return Plot(x, metric or None, scale)

    def baseline(
        self,
        value: object,
        key: str,
        axes: Mapping[str, Mapping[str, Any]],
        parts: Mapping[str, Sequence[str]],
    ) -> Levels:
        """The row, or the cell, that a table compares with."""
        if value is None:
            return {}
        found = self.levels(value, key, axes)
        if set(found) not in ({*parts["rows"]}, {*parts["rows"], *parts["columns"]}):
            hint = f"Name {', '.join(parts['rows'])}"
            hint += f"; or {', '.join(parts['columns'])} too." if parts["columns"] else "."
            raise self.wrong("not a row of the table", key, value=value, hint=hint)
        return found

    def levels(self, value: object, key: str, axes: Mapping[str, Mapping[str, Any]]) -> Levels:
        """Axis to level, each of which there is."""
        if not isinstance(value, dict) or not value:
            raise self.wrong("not a combination", key, value=value, hint="{AXIS: LEVEL, ...}")
        for axis, level in value.items():
            if axis not in axes:
                raise self.unknown("axis", axis, key, axes)
            if str(level) not in axes[axis]:
                raise self.unknown("level", str(level), f"{key}.{axis}", axes[axis])
        return {axis: str(level) for axis, level in value.items()}

    def unknown(self, what: str, name: str, key: str, known: Iterable[str]) -> UserError:
        hint = one_of(name, known)
        return self.wrong(f"unknown {what}", key, value=name, hint=hint)

    def mapping(self, value: object, key: str, known: Sequence[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            hint = f"Write KEY: VALUE, of {', '.join(known)}."
            raise self.wrong("must be a mapping", key, value=value, hint=hint)
        for name in value:
            if name not in known:
                raise self.unknown("key", name, f"{key}.{name}".lstrip("."), known)
        return value

    def text(self, value: object, key: str) -> str:
        if isinstance(value, dict | list):
            hint = "Quote it if it contains `: ` or begins with a bracket."
            raise self.wrong("is text", key, value=value, hint=hint)
        return "" if value is None else str(value).strip()

    def texts(self, value: object, key: str) -> tuple[str, ...]:
        parts = enumerate(self.list(value, key))
        return tuple(self.text(part, f"{key}.{i}") for i, part in parts)

    def list(self, value: object, key: str) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.wrong("must be a list", key, value=value, hint="Write [A, B].")
        return value


def number_in(level: str) -> float | None:
    """Return a level as a number: of `0.1`, `8k`, `10 %`; None where it is none."""
    found = re.fullmatch(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?) ?([kM%]?)", level)
    return float(found[1]) * {"k": 1e3, "M": 1e6}.get(found[2], 1) if found else None


def _within(cell: Mapping[str, str], chosen: Mapping[str, str]) -> bool:
    """Return whether a cell has all the levels that are chosen."""
    return all(cell[axis] == level for axis, level in chosen.items())


def _above(key: str) -> list[str]:
    """A dotted key and those it lies below, the innermost first."""
    parts = key.split(".")
    return [".".join(parts[:n]) for n in range(len(parts), 0, -1)]
