"""One job of `lushan train`, and how what went wrong is said."""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lushan.common.terminal import echo
from lushan.errors import Interrupted, Pruned, RunFailed, UserError, in_a_line, of_path
from lushan.run import remote_code

if TYPE_CHECKING:
    from omegaconf import DictConfig


class Job:
    """One job of `lushan train`: what every launcher calls, here or in another process.

    It may be pickled, and answers in plain values whatever happens. Another process has not seen
    the command line, and may have been started in another folder: both are carried along.
    """

    __name__ = "job"

    def __init__(self) -> None:
        self.stopped: str | None = None
        self.permits = remote_code.permitted()
        self.folder = Path.cwd()

    def __call__(self, cfg: DictConfig) -> dict[str, Any]:
        """Carry out the experiment of a composed config; the fields of an `Outcome`."""
        from hydra.core.hydra_config import HydraConfig

        from lushan.config.check import check
        from lushan.engine import lifecycle
        from lushan.launch import gpus

        if self.permits:
            remote_code.permit()
        begun = time.monotonic()
        hydra = HydraConfig.get()
        overrides = list(hydra.overrides.task)
        is_sweep = str(hydra.mode).endswith("MULTIRUN")
        answer: dict[str, Any] = {"number": hydra.job.num if is_sweep else None}
        if is_sweep:  # Hydra keeps the whole config there, and knows nothing of secrets
            Path(hydra.sweep.dir, "multirun.yaml").unlink(missing_ok=True)
        if self.stopped:  # a signal to this process was meant for all that it had to do
            return answer | {"state": "interrupted", "reason": self.stopped, "exit_code": 1}
        config: dict[str, Any] | None = None
        attempts = 0
        try:
            self._go_there()
            config = check(cfg)
            answer |= _place(config)
            attempts = _attempts(answer)
            if is_sweep and not answer["answered"]:
                gpus.take(hydra.launcher, config["trainer"], hydra.job.num)
            choices = {k: v for k, v in hydra.runtime.choices.items() if k[:6] != "hydra/"}
            result = lifecycle.run(config, choices=choices, overrides=overrides)
            answer |= {"state": "complete", "exit_code": 0} | _value(result, config.get("trial"))
            answer["shown"] = result.get("shown")
        except Pruned as early:
            answer |= {"state": "pruned", "reason": str(early), "exit_code": early.exit_code}
        except BaseException as raised:  # noqa: BLE001 - an exception would end the whole sweep
            error = of_path(raised)
            complain(error, overrides, config or _unchecked(cfg))
            answer |= self._failure(error, overrides, config) | {"answered": False}
        # A run that was refused is none of this job's.
        answer["begun"] = answer["state"] != "complete" and _attempts(answer) > attempts
        return answer | {"seconds": round(time.monotonic() - begun, 1)}

    def _go_there(self) -> None:
        """Work where the command was typed: a worker of Ray's is started where its node was."""
        if not self.folder.is_dir():
            raise UserError(
                "the folder that the command was typed in is not on this machine",
                value=str(self.folder),
                hint="Machines that share a sweep need a folder that all of them see.",
            )
        if self.folder != Path.cwd():
            os.chdir(self.folder)

    def _failure(
        self, error: BaseException, overrides: Sequence[str], config: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        from lushan.run.redaction import redact, secret_values

        code = code_of(error)
        if isinstance(error, Interrupted | KeyboardInterrupt):
            self.stopped = "not begun: the sweep was stopped"
            return {"state": "interrupted", "reason": stopped_by(error), "exit_code": code}
        text = str(error).strip() or type(error).__name__
        if not isinstance(error, UserError | RunFailed):
            text = f"{type(error).__name__}: {text}"
        reason = redact(text.splitlines()[0], secret_values(config, overrides))
        return {"state": "failed", "reason": reason, "exit_code": code}

    @staticmethod
    def to_train(cfg: DictConfig) -> dict[str, Any] | None:
        """The checked config of a job that has to be trained; None where the answer is quick."""
        from lushan.config.check import check
        from lushan.run.folder import RunFolder

        try:
            config = check(cfg)
            return None if RunFolder.of(config).result() is not None else config
        except UserError:
            return None

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


def _place(config: Mapping[str, Any]) -> dict[str, Any]:
    from lushan.run.folder import RunFolder

    folder = RunFolder.of(config)
    return {"folder": str(folder.path), "answered": folder.result() is not None}


def _attempts(answer: Mapping[str, Any]) -> int:
    """Return how often the run of a job was begun."""
    from lushan.run.folder import RunFolder

    return RunFolder(answer["folder"]).status().attempts if "folder" in answer else 0


def _value(result: Mapping[str, Any], trial: Mapping[str, Any] | None) -> dict[str, Any]:
    """The main number of a result, or a trial's; another rank than the first has none."""
    if "metrics" not in result:
        return {}
    from lushan.run.result import headline

    metric = trial["metric"] if trial else headline(result["main_metric"], result["metrics"])
    measure = result.get("measures", {}).get(metric)
    return {"metric": metric, "value": result["metrics"].get(metric), "measure": measure}


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
    """Say on stderr what went wrong, without secrets; with a traceback where it is our fault.

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
"""Of launchers that give up all their jobs when one worker dies."""


def gave_up(error: Exception) -> RunFailed | None:
    """What to say of a launcher that has failed; None if the exception is not one's."""
    if not type(error).__module__.startswith(tuple(f"{name}." for name in LIBRARIES)):
        return None
    return RunFailed(
        f"the launcher gave up: {in_a_line(error)}\n"
        "  What is complete is kept, and the same command resumes the rest. With "
        "hydra/launcher=fork a job\n  that is killed costs no other; `lushan study run` continues "
        "by itself, and says which one it was."
    )


def stopped_by(error: BaseException) -> str:
    """The signal that ended something, in words."""
    import signal

    name = signal.Signals(error.signum).name if isinstance(error, Interrupted) else "SIGINT"
    return f"stopped by {name}"
