"""Runs that have read the same rows, however their configs name them, and how they differ."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from lushan.errors import UserError
from lushan.run.identity import varying
from lushan.run.listing import differing
from lushan.run.values import show
from lushan.study.collect import Member

AFTER_READING = (
    "max_length",
    "stride",
    "batch_*",
    "micro_tokens",
    "eval_tokens",
    "bucket",
    "packing",
    # Of mixtures and streams: which rows an epoch has, and in which parts they are read.
    "weights",
    "weigh_by",
    "epoch_examples",
    "stopping",
    "window_documents",
    "longest_part",
)
"""Keys of `data.` that apply to rows once they are read; all others determine the rows."""


def read_alike(runs: Iterable[Member]) -> list[Member]:
    """Return the runs, those of the same rows with one account of how these were read.

    Where all splits of two runs have the same fingerprints, the way to them is no difference: a
    column that was found or was named, a file of another name, another format. The first of them
    stands for all. To be used for what runs differ in, and nothing else.
    """
    first: dict[str, Member] = {}
    found = []
    for run in runs:
        prints = None if run.result is None else run.result.data_fingerprint
        if prints and isinstance(run.config.get("data"), Mapping):
            like = first.setdefault(json.dumps(prints, sort_keys=True), run)
            found.append(run if like is run else _read_like(run, like))
        else:
            found.append(run)
    return found


def _read_like(run: Member, like: Member) -> Member:
    own, other = run.config["data"], like.config["data"]
    data = {key: value for key, value in other.items() if not is_after_reading(key)}
    data |= {key: value for key, value in own.items() if is_after_reading(key)}
    choices = {**run.choices}
    if "data" in like.choices:
        choices["data"] = like.choices["data"]
    config: dict[str, Any] = {**run.config, "data": data}
    return dataclasses.replace(run, config=config, choices=choices)


def is_after_reading(key: str) -> bool:
    """Return whether a key of `data` applies to rows once they are read."""
    return any(fnmatchcase(key, pattern) for pattern in AFTER_READING)


def require_alike(cell: Sequence[Member], over: Sequence[str]) -> None:
    """The runs that are averaged may differ in what they are averaged over, and in nothing else.

    Raises:
        UserError: Names what else they differ in.
    """
    cell = read_alike(cell)
    allowed = tuple(f"{key.replace('/', '.')}." for key in over)
    others = [
        key for key in varying([run.config for run in cell]) if not f"{key}.".startswith(allowed)
    ]
    if others:
        others = _in_words(cell, others)
        first = others[0]
        values = dict.fromkeys(show(run.values([first])[0]) for run in cell)
        raise UserError(
            f"runs to be averaged also differ in {', '.join(others)}"
            f" ({first}: {', '.join(values)})",
            key="--over",
            value=",".join(over),
            hint=f"Add {first} to --rows or --columns, or to --over to average over it.",
        )


def differences(runs: Sequence[Member]) -> list[str]:
    """Return the keys and groups that set runs apart; see `lushan.run.listing.differing`."""
    alike = read_alike(runs)
    return differing([run.config for run in alike], [run.choices for run in alike])


def _in_words(runs: Sequence[Member], keys: Sequence[str]) -> list[str]:
    """Keys that differ as one would write them: a group for all that a choice of it changes."""
    apart = differences(runs)
    dotted = [name.replace("/", ".") for name in apart]
    meant = [name for name in dotted if any(f"{key}.".startswith(f"{name}.") for key in keys)]
    return meant or list(keys)
