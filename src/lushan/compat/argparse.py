"""Private names of argparse."""

from __future__ import annotations

import argparse


def flags(parser: argparse.ArgumentParser) -> list[str]:
    """Return the flags of a parser: `--help`, `-h`.

    No public method lists the actions of a parser; its help text also names flags of others.
    """
    return [flag for action in parser._actions for flag in action.option_strings]
