"""What runs there are below a folder: their states, in what they differ, what they came to."""

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

from lushan import units
from lushan.errors import UserError
from lushan.runs.columns import aligned
from lushan.runs.files import jsonable
from lushan.runs.folder import COMPLETE, RunFolder, Status
from lushan.runs.identity import ABSENT, lookup, varying


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
        interval: 95 % interval of the value.
        started: Start of its last attempt.
        seconds: Its time.
    """

    folder: str
    name: str
    state: str
    reason: str | None = None
    differs: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metric: str | None = None
    value: float | None = None
    interval: Sequence[float | None] | None = None
    started: str | None = None
    seconds: float | None = None


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
            "there is no such folder",
            file=root,
            hint="Runs are below outputs/, or where you put them.",
        )
    for parent, inner, files in os.walk(root.resolve() if resolved else root):
        if "run.json" in files or "result.json" in files:
            inner.clear()
            yield Path(parent)
        inner[:] = sorted(name for name in inner if not name.startswith("."))


def list_runs(root: str | Path) -> list[Listed]:
    """All runs below a folder, the latest last.

    Raises:
        UserError: There is no such folder.
    """
    found = []
    with nothing_to_collect():
        for path in folders(root):
            folder = RunFolder(path)
            status = folder.status()
            found.append((path, status, *_described(folder, status)))
    keys = differing([config for *_, config, _ in found], [choices for *_, choices in found])
    listed = []
    for path, status, config, choices in found:
        main = _main_metric(RunFolder(path), status.record) if status.state == COMPLETE else {}
        listed.append(
            Listed(
                folder=str(path),
                name=str(config.get("name") or path.parent.name),
                state=status.state,
                reason=status.reason,
                differs={key: value_of(key, config, choices) for key in keys},
                metric=main.get("name"),
                value=main.get("value"),
                interval=main.get("interval"),
                started=status.started,
                seconds=status.seconds,
            )
        )
    return sorted(listed, key=lambda run: run.started or "")


@contextlib.contextmanager
def nothing_to_collect() -> Iterator[None]:
    """For reading thousands of runs: Python does not look for garbage among what has just come.

    With ten thousand results that search is a fifth of the time of their table.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _described(folder: RunFolder, status: Status) -> tuple[dict[str, Any], dict[str, Any]]:
    """Config and choices, from what the run left: `run.json`, or else its result."""
    record = status.record
    if not record.get("config"):
        try:
            result = folder.result()
        except UserError:  # damaged: the listing shows the run, and a table says what is wrong
            result = None
        return (result.config, dict(result.choices)) if result else ({}, {})
    return dict(record["config"]), dict(record.get("choices") or {})


def _main_metric(folder: RunFolder, record: Mapping[str, Any]) -> dict[str, Any]:
    if record.get("main_metric"):
        return dict(record["main_metric"])
    try:  # killed between the result and the state
        result = folder.result()
    except UserError:
        return {}
    if result is None:
        return {}
    name = result.headline
    return {"name": name, "value": result.metrics.get(name), "interval": result.ci.get(name)}


def differing(
    configs: Sequence[Mapping[str, Any]], choices: Sequence[Mapping[str, Any]]
) -> list[str]:
    """What sets some runs apart, in the words of the command line.

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
    """Whether a key has one value wherever the same options were chosen."""
    seen: dict[tuple[str, ...], str] = {}
    for config, chosen in zip(configs, choices, strict=True):
        value = repr(lookup(config, key))
        if seen.setdefault(tuple(str(chosen.get(g)) for g in groups), value) != value:
            return False
    return True


def value_of(key: str, config: Mapping[str, Any], choices: Mapping[str, Any]) -> Any:
    """The value of a key or group: `task/head` and `task.head` are the option that was chosen.

    Returns:
        `ABSENT` where the run has neither such a choice nor such a key.
    """
    group = key.replace(".", "/")
    if choices.get(group) is not None:
        return choices[group]
    return lookup(config, key.replace("/", "."))


def show(value: Any) -> str:
    """A value as a person would write it."""
    if value is ABSENT or value is None:
        return "-"
    if isinstance(value, Mapping) and isinstance(value.get("_target_"), str):
        return str(value["_target_"]).rpartition(".")[2]
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple | Mapping):
        return json.dumps(jsonable(value), ensure_ascii=False)
    return str(value)


def to_json(found: Sequence[Listed]) -> str:
    """The runs as a JSON list."""
    rows = []
    for run in found:
        differs = {key: None if v is ABSENT else v for key, v in run.differs.items()}
        rows.append(dataclasses.asdict(dataclasses.replace(run, differs=differs)))
    return json.dumps(jsonable(rows), ensure_ascii=False, indent=2)


def to_text(found: Sequence[Listed], root: str | Path) -> str:
    """The runs as a table for the terminal."""
    if not found:
        return f"There are no runs in {root}."
    keys = list(found[0].differs)
    head = ["state", "run", *keys, "metric", "value", "95 % interval", "age"]
    lines = [head]
    for run in found:
        low, high = run.interval or (None, None)
        metric = run.metric or ""
        values = [show(run.differs[key]) for key in keys]
        value = "" if run.value is None else units.number(run.value, metric)
        within = units.interval(low, high, metric)
        lines.append(
            [run.state, run.folder, *values, units.head(metric), value, within, age(run.started)]
        )
    text = aligned(lines)
    text += [f"{run.folder}: {run.state}, {run.reason}" for run in found if run.reason]
    return "\n".join(text)


def age(started: str | None, now: datetime.datetime | None = None) -> str:
    """How long ago something was, in one unit: `5 min`."""
    if started is None:
        return ""
    now = now or datetime.datetime.now(datetime.UTC)
    seconds = max(0.0, (now - datetime.datetime.fromisoformat(started)).total_seconds())
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
