"""Surroundings of a command: the folder it works in, and numbers that others have set."""

from __future__ import annotations

import os
from pathlib import Path

from lushan.errors import UserError

NUMBERS = (
    *("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),
    *("MASTER_PORT", "SLURM_PROCID", "SLURM_LOCALID", "SLURM_NTASKS", "SLURM_NODEID"),
)
"""Variables by which launchers give a process its place; libraries read them while imported."""


def require_folder() -> None:
    """Make sure that the working folder is there."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise UserError(
            "the working folder no longer exists", hint="Use cd to change to another folder."
        ) from error


def require_numbers() -> None:
    """Make sure that the variables of launchers are numbers."""
    for name in NUMBERS:
        value = os.environ.get(name)
        if value is not None and not (value.isascii() and value.isdigit()):
            raise UserError(
                "this variable must be a number; launchers of several processes set it",
                key=name,
                value=value,
                hint=f"Unset it: env -u {name} lushan ...",
            )
