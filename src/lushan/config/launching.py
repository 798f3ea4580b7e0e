"""Jobs that are no product of a sweep's values, carried out by any of Hydra's launchers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from hydra.utils import execution_whitelist
from omegaconf import DictConfig

from lushan.compat.hydra import callbacks
from lushan.config.compose import Composer
from lushan.config.folders import PRIMARY
from lushan.config.hydra_guard import TRUSTED
from lushan.config.init_from import starting_from


def launch(
    jobs: Sequence[Sequence[str]],
    task: Callable[[DictConfig], Any],
    options: Sequence[str] = (),
) -> list[JobReturn]:
    """Carry out jobs, each with overrides of its own.

    Args:
        jobs: The overrides of each.
        task: What to do with a job's config; it must catch its own exceptions.
        options: Overrides that choose and set the launcher, as the person typed them:
            `["hydra/launcher=joblib"]`.

    Returns:
        What the jobs returned, in their order.

    Raises:
        UserError: An override is wrong.
    """
    with _launcher(task, options) as (composer, launcher):
        spelled = [composer.spelled_out(starting_from(job)) for job in jobs]
        return list(launcher.launch(spelled, initial_job_idx=0))


def require_launcher(options: Sequence[str]) -> None:
    """Check options of a launcher before there is anything to launch.

    Raises:
        UserError: An override is wrong.
    """
    with _launcher(lambda _: None, options):
        pass


@contextlib.contextmanager
def _launcher(
    task: Callable[[DictConfig], Any], options: Sequence[str]
) -> Iterator[tuple[Composer, Launcher]]:
    """The launcher that options choose, and what composes the config of its jobs."""
    composer = Composer(typed=options)
    GlobalHydra.instance().initialize(composer)
    try:
        with (
            composer.as_user_errors(PRIMARY, options),
            execution_whitelist(TRUSTED, reset=True),
        ):
            config = composer.compose_config(
                PRIMARY,
                [*options, "hydra.mode=MULTIRUN"],
                RunMode.MULTIRUN,
                activate_config_repository=True,
            )
            HydraConfig.instance().set_config(config)
            yield (
                composer,
                Plugins.instance().instantiate_launcher(
                    hydra_context=HydraContext(
                        config_loader=composer.config_loader, callbacks=callbacks(config)
                    ),
                    task_function=task,
                    config=config,
                ),
            )
    finally:
        GlobalHydra.instance().clear()
        HydraConfig.instance().cfg = None  # what is checked next is no job of this command
