"""Details of each run on the page: config, results, place and code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.common import shell
from lushan.common.override_text import from_here
from lushan.common.units import Measure, head, measure_of
from lushan.errors import UserError
from lushan.report.groups import Shown
from lushan.run.identity import flat, varying
from lushan.run.manifest import read_manifest
from lushan.run.result import RunResult, summary
from lushan.run.values import show
from lushan.study.collect import shown


def of_run(run: Shown, group: int) -> dict[str, Any]:
    """A run, for the table of runs."""
    result = run.member.result
    return {
        "id": run.member.run_id,
        "experiment": run.experiment,
        "group": group,
        "seed": run.seed,
        "state": run.state,
        "reason": run.reason,
        "folder": shown(run.member.folder),
        "started": run.status.started,
        "seconds": run.status.seconds,
        "metrics": _metrics(result) if result else [],
        "main": result.headline if result else None,
        "command": _command(run),
        "facts": _facts(run, result),
        "notes": [str(note) for note in (result.extra.get("notes") or ())] if result else [],
    }


def _metrics(result: RunResult) -> list[list[Any]]:
    """Name, value, low and high, the main one first."""
    return [[row.metric, row.value, row.low, row.high] for row in summary(result)]


def _command(run: Shown) -> str | None:
    overrides = run.status.record.get("overrides")
    if not overrides:
        return None
    return "lushan train " + shell.join(from_here(str(override)) for override in overrides)


def _facts(run: Shown, result: RunResult | None) -> list[list[str]]:
    """Name and value of what else is known."""
    found: list[tuple[str, Any]] = []
    if result is not None:
        extra = result.extra
        sizes = extra.get("parameters") or {}
        found += [(name, f"{extra[key]:,}") for name, key in _COUNTED if extra.get(key) is not None]
        if sizes.get("all") is not None:
            trained = f", {sizes['trained']:,} trained" if "trained" in sizes else ""
            found.append(("parameters", f"{sizes['all']:,}{trained}"))
    found += _made(run.member.folder)
    return [[name, str(value)] for name, value in found if value]


_COUNTED = (("steps", "steps"), ("best step", "best_step"), ("tokens trained on", "train_tokens"))


def _made(folder: Path) -> list[tuple[str, Any]]:
    """Return machine and code from the manifest; nothing where a run has none."""
    try:
        manifest = read_manifest(folder)
    except OSError:
        return []
    except UserError as error:
        return [("manifest.json", error.problem)]
    machine = manifest.get("machine") or {}
    where = [str(machine.get("processor") or "")]
    where += [str(card.get("name", card)) for card in machine.get("gpus") or ()]
    code = manifest.get("lushan") or {}
    git = code.get("git") or {}
    commit = str(git.get("commit") or "")[:10]
    changed = " with changes" if git.get("dirty") else ""
    return [
        ("machine", ", ".join(part for part in where if part)),
        ("lushan", f"{code.get('version') or ''} {commit}{changed}".strip()),
        ("python", manifest.get("python")),
    ]


def metrics(names: Sequence[str], measures: Mapping[str, Measure]) -> dict[str, dict[str, Any]]:
    """Return how each metric is written, as tables do."""
    return {
        name: {
            "head": head(name, known := measure_of(measures, name)),
            "scale": known.unit.scale,
            "digits": known.unit.digits,
            "lower": known.higher_is_better is False,
        }
        for name in names
    }


def configs(runs: Sequence[Shown]) -> dict[str, Any]:
    """The keys in which some runs differ, and the values of each; equal values are stored once."""
    keys = varying([run.member.config for run in runs if run.member.config])
    values: dict[str, int] = {}
    rows = []
    for run in runs:
        known = flat(run.member.config)
        texts = [_written(key, known, run.member.config) for key in keys]
        rows.append([values.setdefault(text, len(values)) for text in texts])
    return {"keys": keys, "values": list(values), "runs": rows}


def _written(key: str, known: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    if key in known:
        return "null" if known[key] is None else show(known[key])
    below = [name for name in known if name.startswith(f"{key}.")]
    return "{…}" if below and config else "-"
