"""Permission for the code that comes with a model, given on the command line alone.

A config states that a model needs its own code (`trust_remote_code: true`); the flag
`--trust-remote-code` permits it to this process, and to those that it starts. A config, a study or
a run folder from elsewhere can state, and cannot permit; nor can the environment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lushan.errors import UserError

KEY = "trust_remote_code"
FLAG = "--trust-remote-code"

MODELLESS = ("runs", "table", "compare", "report", "score", "sync", "study status", "study table")
"""Commands for which there is nothing to permit."""

_permitted = False


def permit() -> None:
    """Let code that comes with models run in this process, until it ends."""
    global _permitted  # noqa: PLW0603 - a switch of the process, which has one command line
    _permitted = True


def permitted() -> bool:
    """Return whether such code may run."""
    return _permitted


def without_flag(arguments: Sequence[str]) -> list[str]:
    """A command line's words without the flag, wherever it stands; with it, code may run.

    Raises:
        UserError: The flag has a value, or the command does not load a model.
    """
    for word in arguments:
        if word.startswith(f"{FLAG}="):
            raise UserError("this flag takes no value", key=FLAG, value=word, hint=FLAG)
    words = [word for word in arguments if word != FLAG]
    if len(words) < len(arguments):
        for command in MODELLESS:
            if f"{' '.join(words)} ".startswith(f"{command} "):
                raise UserError(f"`lushan {command}` does not load a model", key=FLAG)
        permit()
    return words


def flag() -> list[str]:
    """Return the arguments that pass the permission to a process that this one starts."""
    return [FLAG] if _permitted else []


def options() -> dict[str, bool]:
    """Return the options that transformers takes for each object that it reads."""
    return {KEY: _permitted}


def is_stated(config: Mapping[str, Any]) -> bool:
    """Return whether a config states that its model needs its own code."""
    return bool(config.get(KEY))


def require(config: Mapping[str, Any]) -> None:
    """Refuse a config that needs what the command line does not permit."""
    if is_stated(config) and not _permitted:
        raise UserError(
            "a config cannot permit the code that comes with a model",
            key=KEY,
            value=True,
            hint=f"Read that code, then add {FLAG} on the command line.",
        )
