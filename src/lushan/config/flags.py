"""Hydra's flags on the command line of `lushan train`, with mistakes told as ours are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from lushan.errors import UserError, did_you_mean


def flags_of(args: Sequence[str]) -> argparse.Namespace:
    """Read a command line.

    Raises:
        UserError: A flag is unknown, not allowed, or does not go with another.
    """
    parser = get_args_parser()
    known = [flag for action in parser._actions for flag in action.option_strings]

    def fail(message: str) -> NoReturn:
        wrong = next((a for a in args if a.startswith("-") and a not in known), None)
        raise UserError(
            message,
            value=wrong,
            hint=(did_you_mean(wrong, known) if wrong else None)
            or "`lushan train --help` shows what can be written.",
        )

    parser.error = fail  # type: ignore[method-assign]
    flags = parser.parse_intermixed_args(list(args))
    if flags.experimental_rerun is not None:
        raise UserError(
            "a run is started again by the command that started it",
            key="--experimental-rerun",
            hint="It would read a pickle; `lushan train` with the same arguments does not.",
        )
    if flags.config_path is not None:
        raise UserError(
            "folders are added, not replaced",
            key="--config-path",
            hint="Use --config-dir, or a conf/ in the working folder.",
        )
    shown = [bool(flags.cfg), bool(flags.info), flags.multirun, flags.shell_completion]
    if sum(shown) > 1:
        raise UserError("only one of --multirun, --cfg, --info and --shell-completion")
    if flags.resolve and not flags.cfg:
        raise UserError("it goes with --cfg", key="--resolve", hint="--cfg job --resolve")
    return flags
