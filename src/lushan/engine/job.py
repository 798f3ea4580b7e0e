"""One job of `lushan train`, and the report of its errors."""

from __future__ import annotations

import dataclasses
import os
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lushan.common.terminal import echo
from lushan.errors import Interrupted, Pruned, RunFailed, UserError, in_a_line, of_path
from lushan.launch.command_line import CommandLine

if TYPE_CHECKING:
    from hydra.conf import HydraConf
    from omegaconf import DictConfig

    from lushan.launch.job_status import JobStatus
    from lushan.launch.protocol import CheckedConfig


class Job:
    """One job of `lushan train`: what every launcher calls, here or in another process.

    It may be pickled, and returns a `JobStatus` whatever happens. Another process has not seen the
    command line, and may have been started in another folder: see `CommandLine`.
    """

    __name__ = "job"

    def __init__(self) -> None:
        self.stopped: str | None = None
        self.command_line = CommandLine.here()

    def __call__(self, cfg: DictConfig) -> JobStatus:
        """Check a composed config and carry out its experiment."""
        return self.execute(cfg)

    def execute(
        self, cfg: DictConfig, checked: CheckedConfig | UserError | None = None
    ) -> JobStatus:
        """Carry out the experiment of a composed config; return how it ended, and never raise.

        Args:
            cfg: The config.
            checked: The same after its check, or why that refused it; it is checked here where
                None.
        """
        from hydra.core.hydra_config import HydraConfig

        from lushan.launch.job_status import JobStatus
        from lushan.run.status import INTERRUPTED

        begun = time.monotonic()
        hydra = HydraConfig.get()
        number = hydra.job.num if _is_sweep(hydra) else None
        if number is not None:  # Hydra keeps the whole config there, and knows nothing of secrets
            Path(hydra.sweep.dir, "multirun.yaml").unlink(missing_ok=True)
        if self.stopped:  # a signal to this process was meant for all that it had to do
            return JobStatus(INTERRUPTED, number=number, reason=self.stopped, exit_code=1)
        ended = self._ended(cfg, checked, hydra)
        seconds = round(time.monotonic() - begun, 1)
        return dataclasses.replace(ended, number=number, seconds=seconds)

    def _ended(
        self, cfg: DictConfig, checked: CheckedConfig | UserError | None, hydra: HydraConf
    ) -> JobStatus:
        from lushan.launch import gpus
        from lushan.launch.job_status import JobStatus
        from lushan.run.folder import RunFolder
        from lushan.run.status import PRUNED

        overrides = list(hydra.overrides.task)
        found: CheckedConfig | None = None
        attempts = 0
        try:
            self.command_line.apply()
            found = self._checked(cfg, checked)
            if found.stored is None:
                attempts = RunFolder.of(found.config).status().attempts
                if _is_sweep(hydra):
                    gpus.take(hydra.launcher, found.config["trainer"], hydra.job.num)
            return _executed(found, hydra.runtime.choices, overrides)
        except Pruned as early:
            ended = JobStatus(PRUNED, reason=str(early), exit_code=early.exit_code)
        except BaseException as raised:  # noqa: BLE001 - an exception would end the whole sweep
            error = of_path(raised)
            config = None if found is None else found.config
            complain(error, overrides, config or _unchecked(cfg))
            ended = self._failure(error, overrides, config)
        if found is None:
            return ended
        folder = RunFolder.of(found.config)
        # A run that was refused is none of this job's.
        was_begun = found.stored is None and folder.status().attempts > attempts
        return dataclasses.replace(ended, folder=folder.path, begun=was_begun)

    def _checked(self, cfg: DictConfig, checked: CheckedConfig | UserError | None) -> CheckedConfig:
        if isinstance(checked, UserError):
            raise checked
        return self.check(cfg) if checked is None else checked

    def _failure(
        self, error: BaseException, overrides: Sequence[str], config: Mapping[str, Any] | None
    ) -> JobStatus:
        from lushan.launch.job_status import JobStatus
        from lushan.run.redaction import redact, secret_values
        from lushan.run.status import FAILED, INTERRUPTED

        code = code_of(error)
        if isinstance(error, Interrupted | KeyboardInterrupt):
            self.stopped = "not started: the sweep was stopped"
            return JobStatus(INTERRUPTED, reason=stopped_by(error), exit_code=code)
        text = str(error).strip() or type(error).__name__
        if not isinstance(error, UserError | RunFailed):
            text = f"{type(error).__name__}: {text}"
        reason = redact(text.splitlines()[0], secret_values(config, overrides))
        return JobStatus(FAILED, reason=reason, exit_code=code)

    def check(self, cfg: DictConfig) -> CheckedConfig:
        """Check a composed config, and look whether its run is complete.

        Raises:
            UserError: The config cannot be used, or the result of its run is damaged.
        """
        from lushan.config.check import check
        from lushan.launch.protocol import CheckedConfig
        from lushan.run.folder import RunFolder

        config = check(cfg)
        return CheckedConfig(config, RunFolder.of(config).result())

    @staticmethod
    def preload(configs: Iterable[Mapping[str, Any]]) -> None:
        """Import what these jobs need."""
        from lushan.engine import lifecycle

        lifecycle.preload(configs)

    @staticmethod
    def limit_threads(count: int) -> None:
        """Let this process compute with so many threads."""
        from lushan.engine import lifecycle

        lifecycle.limit_threads(count)


def _is_sweep(hydra: HydraConf) -> bool:
    return str(hydra.mode).endswith("MULTIRUN")


def _executed(
    checked: CheckedConfig, choices: Mapping[str, str | None], overrides: Sequence[str]
) -> JobStatus:
    """Do what a checked config asks for: show a batch, take part as another rank, or run."""
    from lushan.engine import lifecycle
    from lushan.launch.job_status import JobStatus
    from lushan.run.folder import RunFolder
    from lushan.run.status import COMPLETE

    config, folder = checked.config, RunFolder.of(checked.config).path
    if config.get("show") is not None:
        lifecycle.show(config)
        return JobStatus(COMPLETE, folder=folder)
    if lifecycle.rank() > 0:
        lifecycle.take_part(config, overrides=overrides, stored=checked.stored)
        return JobStatus(COMPLETE, folder=folder)
    own = {name: choice for name, choice in choices.items() if not name.startswith("hydra/")}
    result = lifecycle.run(config, choices=own, overrides=overrides, stored=checked.stored)
    trial = config.get("trial")
    return JobStatus(
        COMPLETE,
        folder=folder,
        metric=trial["metric"] if trial else None,
        result=result,
        answered=checked.stored is not None,
    )


def _unchecked(cfg: DictConfig) -> dict[str, Any]:
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(cfg, resolve=False, throw_on_missing=False)
    return dict(plain)


def code_of(error: BaseException) -> int:
    """The exit code that an exception stands for."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, UserError | RunFailed | Interrupted):
        return error.exit_code
    return 1


def complain(
    error: BaseException, arguments: Sequence[str], config: Mapping[str, Any] | None = None
) -> None:
    """Report on stderr what went wrong, without secrets; with a traceback where it is our fault.

    Args:
        error: What was raised.
        arguments: The command line.
        config: The config, as far as it is known.
    """
    from lushan.run.redaction import redact, secret_values

    expected = isinstance(error, UserError | RunFailed | Interrupted | KeyboardInterrupt)
    if expected and os.environ.get("LUSHAN_TRACEBACK", "") in ("", "0"):
        text = f"error: {error}" if isinstance(error, UserError | RunFailed) else stopped_by(error)
    else:
        text = "".join(traceback.format_exception(error)).rstrip()
    echo(redact(text, secret_values(config, arguments)), err=True)


LIBRARIES = ("joblib", "ray", "submitit")
"""Libraries of launchers that give up all their jobs when one worker dies."""


def gave_up(error: Exception) -> RunFailed | None:
    """Return the error for a launcher that has failed; None if the exception is another one."""
    if not type(error).__module__.startswith(tuple(f"{name}." for name in LIBRARIES)):
        return None
    return RunFailed(
        f"the launcher gave up: {in_a_line(error)}\n"
        "  Complete jobs are kept, and the same command resumes the rest. With "
        "hydra/launcher=fork a killed\n  job does not affect others; `lushan study run` also "
        "continues, and names the killed job."
    )


def stopped_by(error: BaseException) -> str:
    """The signal that ended something, in words."""
    import signal

    name = signal.Signals(error.signum).name if isinstance(error, Interrupted) else "SIGINT"
    return f"stopped by {name}"
