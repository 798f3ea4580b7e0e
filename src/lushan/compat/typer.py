"""Private names of typer."""

from __future__ import annotations

import os
from typing import Any

import typer
from typer._completion_classes import FishComplete
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
    os.environ["_TYPER_COMPLETE_ARGS"] = line
    finder = FishComplete(get_command(app), {}, program, variable)
    return list(finder.get_completions(*finder.get_completion_args()))
