"""Inputs of runs: whether two of them read the same, and which file or code differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lushan.errors import UserError
from lushan.run.identity import varying
from lushan.run.input_changes import Change, changes
from lushan.study.collect import Member, shown

_SHOWN = 4
_DIGITS = 12

Apart = dict[str, tuple[str | None, str | None]]
"""An input as tables name it, to its hash in two runs; None where one has not read it."""


def between(a: Member, b: Member) -> list[Change]:
    """Return in what two runs' inputs differ beyond what their configs ask for differently.

    Of a run that has recorded none, nothing is known.
    """
    if a.inputs == b.inputs:
        return []
    keys = varying([a.config, b.config])
    return [change for change in changes(a.inputs, b.inputs) if not _follows(change, keys)]


def _follows(change: Change, keys: Sequence[str]) -> bool:
    """Return whether an input differs because a config names another one."""
    if change.kind == "targets":  # other targets import other modules, but no other code
        return bool(keys) and change.how != "changed"
    # A split's hash is also that of how it is read.
    above = "data" if change.kind == "data" else change.name.partition("/")[0]
    return any(f"{key}.".startswith(f"{above}.") or above.startswith(f"{key}.") for key in keys)


def hashes(a: Member, b: Member) -> Apart:
    """Return what differs with the first digits of both hashes, for a comparison of two runs."""

    def cut(run: Member, change: Change) -> str | None:
        found = (run.inputs.get(change.kind) or {}).get(change.name)
        return None if found is None else found[:_DIGITS]

    return {change.label: (cut(a, change), cut(b, change)) for change in between(a, b)}


def require_alike(cell: Sequence[Member], over: Sequence[str]) -> None:
    """Refuse to average runs that were made from different files or code."""
    allowed = tuple(f"{key.replace('/', '.')}." for key in over)
    if not (found := _first_apart(cell, allowed)):
        return
    one, other, apart = found
    hint = "Exclude some, for example with --where id!=RUN, or retrain those with old inputs."
    if cell[0].values(["name"]) != other.values(["name"]):
        hint = "Add name to --rows or --columns, or exclude one with --where name!=NAME."
    raise UserError(
        f"runs to be averaged have different inputs: {apart} "
        f"({shown(one.folder)} and {shown(other.folder)})",
        key="--over",
        value=",".join(over),
        hint=hint,
    )


def notes(cell: Sequence[Member]) -> list[str]:
    """Return a note on runs that are averaged and were made from different files or code."""
    if not (found := _first_apart(cell, ())):
        return []
    one, other, apart = found
    pair = f"{shown(one.folder)} and {shown(other.folder)}"
    return [f"Averaged runs have different inputs: {apart} ({pair})."]


def _first_apart(
    cell: Sequence[Member], allowed: tuple[str, ...]
) -> tuple[Member, Member, str] | None:
    """Return the first two runs whose inputs differ, and in what."""
    for run in cell[1:]:
        found = [
            change
            for change in between(cell[0], run)
            if change.key is None or not f"{change.key}.".startswith(allowed or ("\0",))
        ]
        if found:
            names = [change.label for change in found[:_SHOWN]]
            more = [f"{len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
            return cell[0], run, ", ".join([*names, *more])
    return None


def unrecorded(runs: Sequence[Member]) -> list[str]:
    """Return a note on runs of which it is not known what they were made from."""
    return [
        f"The inputs of {shown(run.folder)} are not recorded." for run in runs if not run.inputs
    ]


def as_rows(found: Mapping[str, tuple[str | None, str | None]]) -> list[list[str]]:
    """Return the rows of a table of two runs."""
    rows = [[label, one or "-", other or "-"] for label, (one, other) in found.items()]
    return [["input", "A", "B"], *rows] if rows else []
