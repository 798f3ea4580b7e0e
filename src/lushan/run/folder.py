"""A run folder: its files, its state (see `lushan.run.status`), its lock."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import shutil
import signal
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.common.parsing import parse_json
from lushan.common.terminal import visible
from lushan.errors import Interrupted, Pruned, RunFailed, UserError
from lushan.run import checksums, inside
from lushan.run import lock as locks
from lushan.run.artifacts import BEST_SUMS
from lushan.run.checksums import RESULT
from lushan.run.config_yaml import to_yaml
from lushan.run.files import (
    appending,
    as_json,
    atomic_write,
    check_writable,
    clean_leftovers,
    disk_full,
    is_disk_full,
    read_bytes,
    sha256_file,
    write_json,
)
from lushan.run.identity import is_run_id, run_id, run_path
from lushan.run.redaction import redact, redact_arguments, redact_config, secret_values
from lushan.run.result import RunResult
from lushan.run.status import COMPLETE, FAILED, INTERRUPTED, PRUNED, RUNNING, STATES, Status
from lushan.run.tidy import left_over, tidy

SUM = "sha256"
"""The field of `run.json` that proves the others."""


class _Inside:
    """A file or folder of a run, looked up when it is asked for: most commands ask for few."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, folder: RunFolder, kind: type[RunFolder]) -> Path:
        return folder.path / self.name


class RunFolder:
    """The folder of one run.

    Making one touches nothing; `locked()` creates the folder.
    """

    run_json = _Inside("run.json")
    result_json = _Inside("result.json")
    manifest_json = _Inside("manifest.json")
    config_yaml = _Inside("config.yaml")
    overrides_yaml = _Inside("overrides.yaml")
    metrics_csv = _Inside("metrics.csv")
    log_txt = _Inside("log.txt")
    predictions = _Inside("predictions")
    checkpoints = _Inside("checkpoints")
    plots = _Inside("plots")

    def __init__(self, path: str | Path) -> None:
        self.path = path if isinstance(path, Path) else Path(path)
        self._lock: locks.RunLock | None = None
        self._secrets: frozenset[str] | None = None

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> RunFolder:
        """Return the folder of the run that a resolved config describes."""
        return cls(run_path(config))

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    # What is there.

    def status(self) -> Status:
        """Read the state, and what is known beside it."""
        record, damage = self._record()
        known = {name: record[name] for name in _RECORDED if name in record}
        try:
            result = self.result()
        except UserError as error:
            file = Path(error.file or RESULT).name
            reason = f"its {file} is damaged ({error.problem}): delete its folder to run it again"
            known |= {"state": FAILED, "reason": reason, "error": type(error).__name__}
            return Status(**known, record=record, is_damaged=True)
        if result is not None:
            known |= {"state": COMPLETE, "reason": damage, "error": None}
            return Status(**known, record=record, result=result)
        status = Status(**known, record=record)
        if damage:
            return dataclasses.replace(status, state=INTERRUPTED, reason=damage)
        if status.state == COMPLETE:
            reason = "its result.json is missing"
            return dataclasses.replace(status, state=INTERRUPTED, reason=reason)
        if status.state == RUNNING:
            holder, beat = locks.current(self.path)
            if not locks.is_alive(holder, beat):
                reason = "ended without an error message"
                if holder:
                    reason = f"{holder} {reason}"
                return dataclasses.replace(status, state=INTERRUPTED, reason=reason)
        return status

    @property
    def state(self) -> str:
        """One of `STATES`."""
        return self.status().state

    def result(self) -> RunResult | None:
        """Return the result of a complete run; None when it is not complete.

        Raises:
            UserError: `result.json` is damaged, or was changed.
        """
        if not self.result_json.exists():
            return None  # listed or not: a run is complete once it is there
        return RunResult.from_dict(checksums.read_json(self.path, RESULT), file=self.result_json)

    def holder(self) -> locks.LockHolder | None:
        """Return the live lock holder of the folder, if it has one."""
        holder, beat = locks.current(self.path)
        return holder if locks.is_alive(holder, beat) else None

    # What its lock holder does.

    @contextlib.contextmanager
    def locked(self) -> Iterator[RunFolder]:
        """Hold the folder's lock for the length of the block, and record how the block ends.

        An exception in the block marks a running run as failed, a signal or Ctrl-C as interrupted,
        and is raised again. A run that was started in the block and not ended is marked too. A
        mistake of the user's that ends a new run before its first step leaves nothing behind.

        Raises:
            UserError: Another live process holds the lock, it cannot be written to, or a link in it
                leads out of it; exit code 2.
            RunFailed: The disk is full; exit code 1.
        """
        inside.require_own_run(self.path)
        missing = [place for place in (self.path, *self.path.parents) if not place.exists()]
        check_writable(self.path)
        try:
            with locks.lock_run(self.path) as held:
                self._lock = held
                try:
                    clean_leftovers(self.path)
                    yield self
                    if self._running():
                        self.interrupt("ended without a result")
                except BaseException as error:
                    self._end_with(error)
                    if missing and isinstance(error, UserError) and not self._has_trained():
                        _remove(missing)
                    raise
                finally:
                    self._lock = None
        except Exception as error:
            if isinstance(error, RunFailed) or not is_disk_full(error):
                raise
            raise disk_full(error, self.path) from error

    def _has_trained(self) -> bool:
        """Return whether a step was begun, or there is anything that was trained."""
        return self.metrics_csv.exists() or self.checkpoints.exists() or self.result_json.exists()

    @property
    def can_resume(self) -> bool:
        """Whether there is a checkpoint of training, from which the run continues."""
        return any(self.checkpoints.glob("step-*")) or self.result_json.exists()

    def start(
        self,
        config: Mapping[str, Any],
        *,
        choices: Mapping[str, Any] | None = None,
        overrides: Sequence[str] = (),
    ) -> None:
        """Mark the run as running; write `config.yaml`, `overrides.yaml` and `run.json`.

        Args:
            config: The whole config, resolved. What is secret in it is written as `***`.
            choices: Hydra's group choices.
            overrides: The command line's.

        Raises:
            RunFailed: The run is complete already.
        """
        self.require_lock()
        before = self.status()
        if before.state == COMPLETE:
            raise RunFailed(f"{self.path}: the run is complete; delete its folder to run it again")
        self._secrets = secret_values(config, overrides)
        identity = run_id(config)  # of the config as it is: redacted, it would be another one
        config, overrides = redact_config(config), redact_arguments(overrides)
        checksums.begin(self.path, identity)
        atomic_write(self.config_yaml, to_yaml(config))
        atomic_write(self.overrides_yaml, to_yaml(list(overrides)))
        me = locks.this_process()
        self._write(
            state=RUNNING,
            reason=None,
            error=None,
            name=config.get("name"),
            run_id=identity,
            seed=config.get("seed"),
            started=_now(),
            ended=None,
            seconds=before.seconds,
            attempts=before.attempts + 1,
            host=me.host,
            pid=me.pid,
            choices=dict(choices or {}),
            overrides=list(overrides),
            config=config,
        )

    def complete(self, result: RunResult, weights: Path | None = None) -> RunResult:
        """List what the run has written, write the result, and only then the state.

        Args:
            result: What it reports.
            weights: The checkpoint that was evaluated; of the others none is kept.

        Returns:
            The result as it was written: with the start of the last attempt.
        """
        self.require_lock()
        record, _ = self._record()
        result = dataclasses.replace(result, started=record.get("started"))
        content = as_json(result.to_dict())
        more = {RESULT: hashlib.sha256(content).hexdigest()}
        if self.manifest_json.exists():  # closed since it was listed
            more[checksums.MANIFEST] = sha256_file(self.manifest_json)
        if weights is not None:
            more[BEST_SUMS] = sha256_file(weights / Path(BEST_SUMS).name)
        checksums.add(self.path, checksums.AT_END, more)
        atomic_write(self.result_json, content)
        self._finish(result)
        return result

    def finish(self, result: RunResult) -> None:
        """Do what a process that was killed after it wrote the result has left to do."""
        if self._record()[0].get("state") == COMPLETE and not left_over(self.path):
            return
        # Its owner finishes it, and what cannot be written to stays as it is.
        with contextlib.suppress(UserError, RunFailed), self.locked():
            self._finish(result)

    def _finish(self, result: RunResult) -> None:
        record, _ = self._record()
        metric = result.headline
        main = {"name": metric, "value": result.metrics.get(metric)}
        ending = {"state": COMPLETE, "reason": None, "error": None, "seconds": result.seconds}
        more = {"ended": _now(), "main_metric": main | {"interval": result.ci.get(metric)}}
        self._write(**record | ending | more)
        tidy(self.path)

    def fail(self, error: BaseException) -> None:
        """Mark the run as failed; the traceback goes to `log.txt`."""
        text = str(error).strip() or type(error).__name__
        lines = traceback.format_exception(error)
        self._append_log("".join(lines))
        self._end(FAILED, self._clean(text.splitlines()[0]), type(error).__name__)

    def interrupt(self, reason: str) -> None:
        """Mark the run as interrupted: started again it resumes from its last checkpoint."""
        self._end(INTERRUPTED, self._clean(reason), None)

    def require_lock(self) -> None:
        """Make sure that this process still holds the lock; worth asking before a checkpoint.

        Raises:
            RunFailed: It does not.
        """
        if self._lock is None:
            raise RunFailed(f"{self.path}: another process wrote to it")
        self._lock.require()

    def _end(self, state: str, reason: str, error: str | None) -> None:
        self.require_lock()
        record, _ = self._record()
        seconds = record.get("seconds") or 0.0
        if record.get("started"):
            begun = datetime.datetime.fromisoformat(record["started"])
            seconds += (datetime.datetime.now(datetime.UTC) - begun).total_seconds()
        ending = {
            "state": state,
            "reason": reason,
            "error": error,
            "ended": _now(),
            "seconds": round(seconds, 1),
        }
        self._write(**record | ending)

    def _end_with(self, error: BaseException) -> None:
        if not self._running():
            return
        try:
            if isinstance(error, Pruned):
                self._end(PRUNED, str(error), None)
            elif isinstance(error, Interrupted):
                self.interrupt(f"stopped by {signal.Signals(error.signum).name}")
            elif isinstance(error, KeyboardInterrupt):
                self.interrupt("stopped by SIGINT")
            else:
                self.fail(error)
        except (RunFailed, OSError) as trouble:
            # The error on its way matters more than that it could not be recorded (it may be
            # that very full disk); what remains says `running` with a dead owner: interrupted.
            error.add_note(f"The state of the run could not be recorded: {trouble}")

    def _running(self) -> bool:
        return self._record()[0].get("state") == RUNNING and not self.result_json.exists()

    def _record(self) -> tuple[dict[str, Any], str | None]:
        """Read `run.json`; a second value is the error in it."""
        try:
            record = parse_json(read_bytes(self.run_json))
        except (FileNotFoundError, NotADirectoryError):
            begun = (self.path / checksums.CHECKSUMS).exists()
            return {}, "its run.json is missing" if begun else None
        except (ValueError, UserError) as error:
            return {}, f"its run.json is damaged ({getattr(error, 'problem', error)})"
        if not isinstance(record, dict) or record.get("state") not in STATES:
            return {}, "its run.json is damaged (no state)"
        if record.pop(SUM, None) not in (None, _sum(record)):
            return {}, "its run.json is damaged (its SHA-256 differs)"
        if self._is_of_another(record.get("run_id")):
            return {}, "its run.json is that of another run"
        return record, None

    def _is_of_another(self, number: object) -> bool:
        """Return whether a run id is not that of this folder, which may have been renamed."""
        return bool(number) and is_run_id(self.path.name) and self.path.name != number

    def _write(self, **record: object) -> None:
        write_json(self.run_json, record | {SUM: _sum(record)})

    def _append_log(self, text: str) -> None:
        with appending(self.log_txt) as file:
            file.write(visible(self._clean(text)))

    def _clean(self, text: str) -> str:
        return redact(text, self._secrets)


def _sum(record: Mapping[str, Any]) -> str:
    return hashlib.sha256(as_json(record)).hexdigest()


_RECORDED = ("state", "reason", "error", "started", "ended", "seconds", "attempts")


def _remove(made: Sequence[Path]) -> None:
    """Remove a run folder and the folders above it that were made for it, where they are empty."""
    shutil.rmtree(made[0], ignore_errors=True)
    for place in made[1:]:
        try:
            place.rmdir()
        except OSError:  # another run is there by now
            return


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
