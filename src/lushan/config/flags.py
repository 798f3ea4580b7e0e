"""Hydra's flags on the command line of `lushan train`, with our own errors for mistakes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from lushan.compat.argparse import flags as all_flags
from lushan.compat.hydra import args_parser
from lushan.config import hints, provenance
from lushan.config.compose import Composer
from lushan.config.folders import PRIMARY
from lushan.config.peers import VALUE
from lushan.errors import UnknownKey, UserError, nearest

_HELP = "Run `lushan train --help` for usage."


def flags_of(args: Sequence[str]) -> argparse.Namespace:
    """Read a command line.

    Raises:
        UserError: A flag is unknown, not allowed, or does not go with another.
    """
    parser = args_parser()
    # `--experiment` is no short form of `--experimental-rerun`.
    parser.allow_abbrev = False
    known = all_flags(parser)

    def fail(message: str) -> NoReturn:
        given = enumerate(args)
        place = next((i for i, a in given if a.startswith("-") and _name(a) not in known), None)
        if place is None:
            raise UserError(message, hint=_HELP)
        raise UnknownKey(
            "unknown flag",
            key=_name(args[place]),
            hint=_suggestion(args[place:], known) or _HELP,
        )

    parser.error = fail  # type: ignore[method-assign]
    flags = parser.parse_intermixed_args(list(args))
    if flags.experimental_rerun is not None:
        raise UserError(
            "this flag is not supported: the command that started a run resumes it",
            key="--experimental-rerun",
            hint="It would load a pickle. Run `lushan train` with the same arguments instead.",
        )
    if flags.config_path is not None:
        raise UserError(
            "config folders can only be added, not replaced",
            key="--config-path",
            hint="Use --config-dir, or a conf/ in the working folder.",
        )
    if flags.shell_completion:
        raise UserError(
            "completion is installed for all commands together",
            key="--shell-completion",
            hint='Write eval "$(lushan completion bash)", or zsh or fish.',
        )
    if sum([bool(flags.cfg), bool(flags.info), flags.multirun]) > 1:
        raise UserError("only one of --multirun, --cfg and --info is allowed")
    if flags.resolve and not flags.cfg:
        raise UserError("requires --cfg", key="--resolve", hint="--cfg job --resolve")
    return flags


def _name(argument: str) -> str:
    return argument.partition("=")[0]


def _suggestion(args: Sequence[str], known: Sequence[str]) -> str | None:
    """Suggest what was meant by the unknown flag that some arguments begin with."""
    flag, equals, value = args[0].partition("=")
    if near := nearest(flag, known):
        return f"Did you mean {near}?"
    if flag in ("--config", "--config-file"):
        return "Select a file below conf/experiment with experiment=NAME, without .yaml."
    follows = [a for a in args[1:2] if not a.startswith("-") and "=" not in a]
    text = value if equals else next(iter(follows), None)
    name = flag.lstrip("-")
    composer = Composer()
    base = composer.without_values(PRIMARY, composer.parse_quietly(args[1:]))
    keys = list(provenance.keys_of(base)) if base is not None else []
    groups = provenance.groups_of(composer)
    for own in (name, name.replace("-", "_")):
        if own in keys or own in groups:
            return f"Write overrides without dashes: {own}={VALUE if text is None else text}."
    values = provenance.values_of(base) if base is not None else {}
    return hints.hint_for(name.replace("-", "_"), text, keys, groups, values)
