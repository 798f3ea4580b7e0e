"""Flags that mean the same in every command, and the commands that lack one.

- `--json`: the result is one JSON document on standard output, and nothing else is printed there.
- `--quiet` goes with any command, `train` too, anywhere on the line (`lushan.common.terminal`): no
  progress and no hints on standard error; notes on what was left out, warnings and errors stay.
- `--yes` agrees to what would be asked, or refused: a download, a removal, a folder's replacement.
"""

from __future__ import annotations

import json
from typing import Annotated

import typer

from lushan.common.terminal import echo
from lushan.errors import UserError

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Where = Annotated[
    list[str] | None,
    typer.Option(
        help="Only matching runs. KEY is a config key, a group, a metric or state. Operators: = "
        "and !=; for numbers also > < >= <=. Write a percentage as 50%, 50 or 0.5. A run must "
        "match all conditions.",
        metavar="KEY=VALUE",
        show_default=False,
    ),
]


def require_ray(option: str, value: object, *, ray: bool) -> None:
    """Refuse an option of `--ray` that was given without it.

    Raises:
        UserError: Names the option.
    """
    if value is not None and not ray:
        hint = f"Add --ray, or remove {option}."
        raise UserError("requires --ray", key=option, value=value, hint=hint)


def echo_json(value: object) -> None:
    """Print the result of a command as one JSON document."""
    from lushan.run.files import jsonable

    echo(json.dumps(jsonable(value), ensure_ascii=False, indent=2, default=str))
