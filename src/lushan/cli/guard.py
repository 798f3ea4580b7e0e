"""Options of the guard, for the commands that generate text."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lushan.common.terminal import echo_notes

if TYPE_CHECKING:
    from lushan.guard import Guard

GuardRun = Annotated[
    Path | None,
    typer.Option(
        "--guard", help="A classifier run that detects unsafe text in prompts and outputs."
    ),
]
GuardRate = Annotated[
    float | None,
    typer.Option(
        help="False-positive rate of the guard: share of safe texts that it may refuse, measured "
        "on its validation split. Default: 0.01.",
        show_default=False,
    ),
]
GuardLabel = Annotated[
    str | None,
    typer.Option(
        help="The guard's label for unsafe text. Default: unsafe, offensive, toxic or 1.",
        show_default=False,
    ),
]
Redact = Annotated[
    bool,
    typer.Option(
        "--redact", help="Redact phone, identity and card numbers, e-mail addresses and keys."
    ),
]


def guard_of(
    run: Path | None, label: str | None, rate: float | None, redacts: bool
) -> Guard | None:
    """Return the guard that options ask for, and print what was chosen; None without any."""
    from lushan.inference import early
    from lushan.inference.guarding import open_guard

    if run is not None:
        early.require_run(run)
    notes: list[str] = []
    found = open_guard(run, label=label, rate=rate, redacts=redacts, notes=notes)
    echo_notes(notes)
    return found
