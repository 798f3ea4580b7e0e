"""Private names of typer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import typer
from typer import core
from typer._click import Context
from typer._coercion import (
    RuntimeParam,
    build_runtime_param,
    resolve_type_descriptor,
)
from typer._param_types import coerce_cli_path
from typer.main import get_command


def completions(app: typer.Typer, line: str, *, program: str, variable: str) -> list[Any]:
    """Return the completions of a command line's last word, each with `value` and `help`.

    typer has completion as shell scripts alone: what these print breaks long help at the width of
    the terminal. The class behind the script for fish reads a whole line, as is needed here.

    Args:
        app: The command line's program.
        line: What is written so far.
        program: The name of the program.
        variable: The environment variable by which the scripts call it.
    """
    from typer._completion_classes import FishComplete  # every command imports this module

    os.environ["_TYPER_COMPLETE_ARGS"] = line
    finder = FishComplete(get_command(app), {}, program, variable)
    return list(finder.get_completions(*finder.get_completion_args()))


class PlainParam(RuntimeParam):
    """Text, a path or a default, for which pydantic need not be imported (0.07 s)."""

    def _coerce_value(self, value: Any, param: core._TyperParameter, ctx: Context) -> Any:
        info, kind = self.parameter_info, self.annotation
        if info.parser is None:
            if type(value) is kind and (kind is str or value == param.default):
                return value
            if kind is Path and isinstance(value, str) and str(Path(value)) == value:
                return coerce_cli_path(Path(value), info, path_type=Path, param=param, ctx=ctx)
        full = build_runtime_param(resolve_type_descriptor(kind, info))
        return full.coerce(value, param, ctx)


def coerce_plainly() -> None:
    """Let typer read arguments by `PlainParam`; it has no hook for how one is read."""
    vars(core)["build_runtime_param"] = lambda descriptor: PlainParam(
        descriptor.parameter_info, descriptor.annotation
    )
