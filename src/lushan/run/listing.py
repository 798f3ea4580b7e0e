"""Listing of the runs below a folder: their states, differences and results."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import gc
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.common.units import UNKNOWN, Measure
from lushan.errors import UserError
from lushan.run.checksums import CHECKSUMS, RESULT
from lushan.run.config_yaml import CONFIG
from lushan.run.files import jsonable
from lushan.run.folder import RunFolder
from lushan.run.identity import ABSENT, lookup, varying
from lushan.run.result import RunResult
from lushan.run.status import Status
from lushan.run.values import value_of
from lushan.run.where import Condition, Facts, ordered, select, values_of

MADE = ("interval", "age")
"""Columns that are no key of a run."""


@dataclasses.dataclass(frozen=True)
class Listed:
    """A run in a listing.

    Attributes:
        folder: Where it is.
        name: Of its experiment.
        state: `new`, `running`, `complete`, `interrupted` or `failed`.
        reason: Why it is not complete.
        differs: The keys and groups in which the runs differ, to this run's values.
        metric: Name of its main metric.
        value: Its value.
        measure: What is to be known of the metric.
        interval: 95 % interval of the value.
        started: Start of its last attempt.
        seconds: Its time.
        measures: Of all its metrics.
        facts: What can be asked of it.
    """

    folder: str
    name: str
    state: str
    reason: str | None = None
    differs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metric: str | None = None
    value: float | None = None
    measure: Measure = UNKNOWN
    interval: Sequence[float | None] | None = None
    started: str | None = None
    seconds: float | None = None
    measures: Mapping[str, Measure] = dataclasses.field(
        default_factory=dict, repr=False, compare=False
    )
    facts: Facts = dataclasses.field(
        default_factory=lambda: Facts({}, {}, {}), repr=False, compare=False
    )


def folders(root: str | Path, *, resolved: bool = False) -> Iterator[Path]:
    """The run folders at and below a folder, sorted.

    Args:
        root: The folder.
        resolved: As absolute paths without links: one folder is one path.

    Raises:
        UserError: There is no such folder.
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(
            "the folder does not exist",
            file=root,
            hint="Runs are below outputs/ by default.",
        )
    damaged = {CHECKSUMS, CONFIG}  # a run whose run.json is gone
    for parent, inner, files in os.walk(root.resolve() if resolved else root):
        if "run.json" in files or RESULT in files or damaged <= set(files):
            inner.clear()
            yield Path(parent)
        inner[:] = sorted(name for name in inner if not name.startswith("."))


def list_runs(
    root: str | Path,
    *,
    where: Sequence[Condition] = (),
    sort: str | None = None,
    last: int | None = None,
    columns: Sequence[str] = (),
) -> list[Listed]:
    """All runs below a folder, the latest last.

    Args:
        root: The folder.
        where: Those alone that fit all of these.
        sort: A key, group or metric to sort by; `-KEY` from high to low.
        last: So many of the end of the list alone.
        columns: What will be shown of them.

    Raises:
        UserError: There is no such folder, or no run has a key that is asked for.
    """
    with nothing_to_collect():
        found = [_listed(path) for path in folders(root)]
    found.sort(key=lambda run: run.started or "")
    for name in columns:
        if name not in MADE:
            values_of([run.facts for run in found], name, "--columns")
    found = select(found, _facts, where)
    if sort is not None:
        found = ordered(found, _facts, sort)
    if last is not None:
        found = found[len(found) - last :] if last < len(found) else found
    known = [run.facts for run in found]
    keys = differing([facts.config for facts in known], [facts.choices for facts in known])
    return [
        dataclasses.replace(
            run, differs={key: value_of(key, run.facts.config, run.facts.choices) for key in keys}
        )
        for run in found
    ]


def _facts(run: Listed) -> Facts:
    return run.facts


def _listed(path: Path) -> Listed:
    folder = RunFolder(path)
    status = folder.status()
    config, choices = _described(status)
    result = status.result
    main = _main_metric(result)
    metrics: Mapping[str, Any] = {} if result is None else result.metrics
    measures: Mapping[str, Measure] = {} if result is None else result.measures
    name = str(config.get("name") or path.parent.name)
    own = {
        "state": status.state,
        "run": str(path),
        "id": path.name,
        "name": name,
        "metric": main.get("name"),
        "value": main.get("value"),
        "started": status.started,
        "seconds": status.seconds,
    }
    return Listed(
        folder=str(path),
        name=name,
        state=status.state,
        reason=status.reason,
        metric=main.get("name"),
        value=main.get("value"),
        measure=main.get("measure", UNKNOWN),
        interval=main.get("interval"),
        started=status.started,
        seconds=status.seconds,
        measures=measures,
        facts=Facts(own, config, choices, metrics, measures),
    )


@contextlib.contextmanager
def nothing_to_collect() -> Iterator[None]:
    """Pause garbage collection while thousands of runs are read.

    With ten thousand results that search is a fifth of the time of their table.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _described(status: Status) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return config and choices: of a complete run those of its result."""
    if (result := status.result) is not None:
        return result.config, dict(result.choices)
    record = status.record
    return dict(record.get("config") or {}), dict(record.get("choices") or {})


def _main_metric(result: RunResult | None) -> dict[str, Any]:
    if result is None:
        return {}
    name = result.headline
    return {
        "name": name,
        "value": result.metrics.get(name),
        "measure": result.measure(name),
        "interval": result.ci.get(name),
    }


def differing(
    configs: Sequence[Mapping[str, Any]], choices: Sequence[Mapping[str, Any]]
) -> list[str]:
    """Return what some runs differ in, in the words of the command line.

    A group that was chosen differently stands for the keys below it that differ with it.

    Args:
        configs: Of the runs, resolved.
        choices: Hydra's group choices of each, in the same order.
    """
    groups = [
        group
        for group in dict.fromkeys(name for one in choices for name in one)
        if group not in ("paths", "logger", "debug", "experiment", "trainer")
        and len({str(one.get(group)) for one in choices}) > 1
    ]
    keys = []
    for key in varying(configs):
        above = [g for g in groups if f"{key}.".startswith(f"{g.replace('/', '.')}.")]
        if not above or not _follows(key, above, configs, choices):
            keys.append(key)
    return groups + keys


def _follows(
    key: str,
    groups: Sequence[str],
    configs: Sequence[Mapping[str, Any]],
    choices: Sequence[Mapping[str, Any]],
) -> bool:
    """Return whether a key has one value wherever the same options were chosen."""
    seen: dict[tuple[str, ...], str] = {}
    for config, chosen in zip(configs, choices, strict=True):
        value = repr(lookup(config, key))
        if seen.setdefault(tuple(str(chosen.get(g)) for g in groups), value) != value:
            return False
    return True


def to_json(found: Sequence[Listed], columns: Sequence[str] = ()) -> str:
    """The runs as a JSON list; `columns` are keys, groups and metrics to add as `columns`."""
    hidden = ("facts", "measure", "measures")
    names = [field.name for field in dataclasses.fields(Listed) if field.name not in hidden]
    rows = []
    for run in found:
        row = {name: getattr(run, name) for name in names}
        row["differs"] = _plain(run.differs)
        if columns:
            row["columns"] = _plain({key: run.facts.get(key) for key in columns})
        rows.append(row)
    return json.dumps(jsonable(rows), ensure_ascii=False, indent=2)


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: None if value is ABSENT else value for key, value in values.items()}


def age(started: str | None, now: datetime.datetime | None = None) -> str:
    """Return how long ago something was, in one unit: `5 min`."""
    if started is None:
        return ""
    now = now or datetime.datetime.now(datetime.UTC)
    seconds = max(0.0, (now - datetime.datetime.fromisoformat(started)).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
