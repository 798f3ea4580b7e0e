"""The command line of `lushan train`: composed, shown or carried out by Hydra."""

from __future__ import annotations

import argparse
import contextlib
import io
from collections.abc import Callable, Sequence
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.types import RunMode
from hydra.utils import execution_whitelist
from omegaconf import DictConfig

from lushan.common.terminal import echo
from lushan.compat.hydra import args_parser
from lushan.config import usage
from lushan.config.compose import Composer
from lushan.config.flags import flags_of
from lushan.config.folders import PRIMARY
from lushan.config.hydra_guard import TRUSTED
from lushan.config.init_from import starting_from


def main(args: Sequence[str], job: Callable[[DictConfig], Any]) -> list[JobReturn] | None:
    """Do what `lushan train ARGS...` asks for.

    Args:
        args: Overrides and Hydra's flags.
        job: What to do with a config; it must catch its own exceptions, or a sweep ends with them.

    Returns:
        What the jobs returned, one entry for a single run; None where something was only shown.

    Raises:
        UserError: The command line or a config is wrong.
    """
    flags = flags_of(args)
    flags.overrides = starting_from(flags.overrides)
    if flags.help:
        echo(usage.text())
        return None
    name = flags.config_name or PRIMARY
    composer = Composer(flags.config_dir, flags.overrides)
    GlobalHydra.instance().initialize(composer)
    try:
        with (
            composer.as_user_errors(name, flags.overrides),
            execution_whitelist(TRUSTED, reset=True),
        ):
            if _show(composer, flags, name):
                return None
            parsed = composer.parse(flags.overrides)
            mode = composer.get_mode(name, flags.overrides, parsed)
            if flags.multirun or mode is RunMode.MULTIRUN:
                overrides = [composer.without_glob(o) for o in parsed]
                overrides.append("hydra.mode=MULTIRUN")
                return _flat(composer.multirun(name, job, overrides))
            return [composer.run(name, job, flags.overrides)]
    finally:
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None  # what is checked next is no job of this command


def _show(composer: Composer, flags: argparse.Namespace, name: str) -> bool:
    if not (flags.hydra_help or flags.cfg or flags.info):
        return False
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        if flags.hydra_help:
            composer.hydra_help(name, args_parser(), flags)
        elif flags.cfg:
            composer.show_cfg(name, flags.overrides, flags.cfg, flags.package, flags.resolve)
        else:
            composer.show_info(flags.info, name, flags.overrides)
    echo(shown.getvalue(), end="")
    return True


def _flat(batches: object) -> list[JobReturn]:
    """The jobs of all batches; a sweeper that returns something else has no list of jobs."""
    found: list[JobReturn] = []
    for batch in batches if isinstance(batches, list | tuple) else []:
        found += [batch] if isinstance(batch, JobReturn) else list(batch)
    return found
