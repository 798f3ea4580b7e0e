"""Complete runs of a study whose data, files or code have changed since they were trained."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lushan.common.wording import plural
from lushan.run.identity import lookup
from lushan.run.input_changes import Change, changes, in_words
from lushan.study.plan import Plan, Run

Inputs = Mapping[str, Mapping[str, str]]

Read = Callable[[Mapping[str, Any]], tuple[Inputs, Sequence[str]]]
"""Hashes of what a config reads that is on this machine, and what could not be found."""


def marked(plan: Plan, read: Read) -> tuple[Plan, list[str]]:
    """Return a study with those of its complete runs marked that are stale.

    Returns:
        The study, and a line on what could not be checked because it is not on this machine.
    """
    known: dict[str, tuple[Inputs, Sequence[str]]] = {}
    stale: dict[Run, str] = {}
    unknown: dict[str, int] = {}
    for run in plan.runs:
        result = run.status().result
        if result is None or not (before := result.inputs):
            continue
        now, missing = _read_once(run.config, read, known)
        here, gone = _apart(before, now)
        if here:
            stale[run] = _reason(run, here)
        for lost in [*missing, *gone[:1]]:
            unknown[lost] = unknown.get(lost, 0) + 1
    notes = [*plan.notes, *_notes(stale, len(plan.runs))]
    listed = [
        f"could not check whether the inputs of {plural(count, 'run')} have changed: {lost}"
        for lost, count in unknown.items()
    ]
    return dataclasses.replace(plan, notes=tuple(notes), stale=stale), listed


def _read_once(
    config: Mapping[str, Any], read: Read, known: dict[str, tuple[Inputs, Sequence[str]]]
) -> tuple[Inputs, Sequence[str]]:
    """Read what a config names; runs that differ in the seed alone read the same."""
    key = json.dumps({k: v for k, v in config.items() if k != "seed"}, sort_keys=True, default=str)
    if key not in known:
        known[key] = read(config)
    return known[key]


def _apart(before: Inputs, now: Inputs) -> tuple[list[Change], list[str]]:
    """Return what has changed, and in words what is not on this machine."""
    found = changes({kind: names for kind, names in before.items() if kind in now}, now)
    still = {name.partition("/")[0] for name in before.get("files") or {} if _is_in(now, name)}
    gone = [change for change in found if change.how == "gone"]
    # Of a folder that is not here, what else answers to its name (on the hub) is no news.
    lost = {change.key for change in gone if change.kind == "files"} - still
    changed = [
        change
        for change in found
        if change.how != "gone" and not (change.kind == "files" and change.key in lost)
    ]
    return changed, [change.what for change in gone]


def _is_in(now: Inputs, file: str) -> bool:
    return file in (now.get("files") or {})


def _reason(run: Run, found: list[Change]) -> str:
    """Return what has changed in the words of the refusal, with the file that the config names."""
    key = found[0].key
    value = None if key is None else lookup(run.config, key)
    named = f" ({key}={value})" if isinstance(value, str) else ""
    return f"{in_words(found)} since it was trained{named}"


def _notes(stale: Mapping[Run, str], runs: int) -> list[str]:
    """Return a note for each reason, with the number of runs it is the reason of."""
    reasons = list(stale.values())
    return [
        f"Stale: {reasons.count(reason)} of {runs} runs: {reason}."
        for reason in dict.fromkeys(reasons)
    ]
