"""The jobs of a sweep, each in a child forked from one process that has imported torch already.

A child costs no import, and shares with its siblings what the parent has read. It cannot take the
others with it: killed, it is one interrupted job. Signals to the parent go to the children, which
save, and the parent waits for them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import pickle
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, filter_overrides, run_job, setup_globals
from hydra.core.utils import JobStatus as HydraStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from lushan.common.terminal import echo, hint, is_quiet
from lushan.errors import Interrupted, UserError
from lushan.launch import job_status
from lushan.launch.cores import usable_threads
from lushan.launch.job_status import JobStatus
from lushan.launch.protocol import CheckedConfig, Job
from lushan.launch.signals import CAUGHT, end_with, wanted
from lushan.run.folder import RunFolder
from lushan.run.progress import Bar
from lushan.run.redaction import redact, redact_arguments
from lushan.run.status import COMPLETE, FAILED, INTERRUPTED

POLL = 0.02
"""Seconds between two checks of the children."""
MANY = 20
"""Jobs whose configs take seconds to compose: a bar is shown."""


@dataclasses.dataclass(frozen=True)
class _Planned:
    """A job before it begins."""

    number: int
    apart: tuple[str, ...]
    """The overrides that set it apart from the others."""
    config: DictConfig
    checked: CheckedConfig | UserError
    """Its config after the check, or why that was refused."""

    @property
    def to_train(self) -> dict[str, Any] | None:
        """The config of a job that has to be trained; None where the answer is quick."""
        if isinstance(self.checked, UserError) or self.checked.stored is not None:
            return None
        return self.checked.config


@dataclasses.dataclass(frozen=True)
class _Child:
    """A job at work."""

    job: _Planned
    pid: int
    answer: IO[bytes]
    begun: float
    output: Path | None
    """File for its output, where several jobs would print at the same time."""


class ForkLauncher(Launcher):
    """Hydra's launcher of this process's own children.

    Args:
        jobs: How many at the same time; the cores are shared among them.
    """

    def __init__(self, jobs: int = 1) -> None:
        if isinstance(jobs, bool) or not isinstance(jobs, int) or jobs < 1:
            raise UserError(
                "must be 1 or more",
                key="hydra.launcher.jobs",
                value=jobs,
                hint="Write hydra.launcher.jobs=2.",
            )
        self.jobs = jobs
        self.config: DictConfig
        self.context: HydraContext
        self.job: Job

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Take what Hydra gives before the launch: a sweep begins."""
        job_status.clear()
        self.context, self.config = hydra_context, config
        self.job = task_function  # type: ignore[assignment]  # Hydra knows it as a plain function

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Carry out the jobs.

        Raises:
            Interrupted: A signal stopped the sweep; its running jobs have been waited for.
        """
        setup_globals()
        planned = self._planned(job_overrides, initial_job_idx)
        found: dict[int, JobStatus] = {}
        with _Stop() as stop:
            waiting = []
            for job in planned:
                if job.to_train is not None:
                    waiting.append(job)
                elif not stop.signum:
                    self._finish(job, self._run(job), found)
            if waiting and not stop.signum:
                self.job.preload([job.to_train for job in waiting if job.to_train is not None])
            self._run_children(waiting, stop, found)
        if stop.signum:
            for job in planned:
                if job.number not in found:
                    reason = f"not started: {signal.Signals(stop.signum).name} stopped the sweep"
                    found[job.number] = _record(job, JobStatus(INTERRUPTED, reason=reason))
            raise Interrupted(stop.signum)
        return [self._returned(job, found[job.number]) for job in planned]

    def _planned(self, job_overrides: Sequence[Sequence[str]], first: int) -> list[_Planned]:
        apart = set_apart(job_overrides, self.config.hydra.overrides.task)
        planned = []
        with Bar("configs") if len(apart) >= MANY else contextlib.nullcontext() as on_progress:
            for place, overrides in enumerate(job_overrides):
                planned.append(self._plan(first + place, overrides, apart[place]))
                if on_progress is not None:
                    on_progress(place + 1, len(apart))
        return planned

    def _plan(self, number: int, overrides: Sequence[str], apart: tuple[str, ...]) -> _Planned:
        config = self.context.config_loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        task = config.copy()
        with open_dict(task):
            del task["hydra"]
        with _hydra_config(config):
            try:
                checked: CheckedConfig | UserError = self.job.check(task)
            except UserError as error:  # the job reports it
                checked = error
        return _Planned(number, apart, config, checked)

    def _run(self, job: _Planned) -> JobStatus:
        """Carry out a job in this process."""
        done = run_job(
            hydra_context=self.context,
            task_function=functools.partial(self.job.execute, checked=job.checked),
            config=job.config,
            job_dir_key="hydra.sweep.dir",
            job_subdir_key="hydra.sweep.subdir",
        )
        status: JobStatus = done.return_value
        return status

    def _run_children(
        self, waiting: list[_Planned], stop: _Stop, found: dict[int, JobStatus]
    ) -> None:
        several = min(self.jobs, len(waiting))
        threads = max(1, usable_threads() // several) if several > 1 else None
        children: list[_Child] = []
        while children or (waiting and not stop.signum):
            while waiting and len(children) < several and not stop.signum:
                children.append(self._fork(waiting.pop(0), threads, stop))
            for child in children[:]:
                pid, status = os.waitpid(child.pid, os.WNOHANG)
                if pid:
                    children.remove(child)
                    stop.pids.discard(pid)
                    ended = _status(child, os.waitstatus_to_exitcode(status))
                    self._finish(child.job, ended, found)
            if children:
                time.sleep(POLL)

    def _fork(self, job: _Planned, threads: int | None, stop: _Stop) -> _Child:
        hint(f"#{job.number} {' '.join(job.apart)}")
        output = None
        if threads is not None:
            place = Path(str(self.config.hydra.sweep.dir))
            place.mkdir(parents=True, exist_ok=True)
            output = place / f"{os.getpid()}-{job.number}.txt"
        answer = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the child has answered
        # What is still in the buffers would be written by the child too.
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        # A signal that comes meanwhile waits: for the child's own handlers, and for its number.
        signal.pthread_sigmask(signal.SIG_BLOCK, CAUGHT)
        try:
            with warnings.catch_warnings():
                # BLAS libraries start threads when they are imported, and know how to be forked.
                warnings.simplefilter("ignore", DeprecationWarning)
                pid = os.fork()
            if pid == 0:
                self._be_child(job, answer, output, threads, parent)
            stop.pids.add(pid)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, CAUGHT)
        return _Child(job, pid, answer, time.monotonic(), output)

    def _be_child(
        self,
        job: _Planned,
        answer: IO[bytes],
        output: Path | None,
        threads: int | None,
        parent: int,
    ) -> NoReturn:
        code = 1
        try:
            leave_parent(parent)
            _redirect(output)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, CAUGHT)
            if threads is not None:
                self.job.limit_threads(threads)
            status = self._run(job)
            answer.write(pickle.dumps(status))
            answer.flush()
            code = status.exit_code
        except Interrupted as stopped:
            code = stopped.exit_code
        except BaseException:  # noqa: BLE001 - nothing may reach the parent's code in the child
            echo(redact(traceback.format_exc()).rstrip(), err=True)
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)  # not the parent's atexit, nor the buffers it has

    def _finish(self, job: _Planned, status: JobStatus, found: dict[int, JobStatus]) -> None:
        ended = found[job.number] = _record(job, status)
        message = "complete before" if ended.answered else f"{ended.state}, {ended.seconds:.1f} s"
        reason = f": {ended.reason}" if ended.reason else ""
        if not is_quiet():
            echo(f"#{job.number} {' '.join(job.apart)}  {message}{reason}")

    def _returned(self, job: _Planned, status: JobStatus) -> JobReturn:
        done = JobReturn()
        done.overrides = list(job.config.hydra.overrides.task)
        done.status = HydraStatus.COMPLETED
        done.return_value = status
        return done


def set_apart(
    job_overrides: Sequence[Sequence[str]], command: Sequence[str] = ()
) -> list[tuple[str, ...]]:
    """Return for each job the overrides that not all have, to be shown.

    Args:
        job_overrides: Of each job.
        command: The command's: a search has few jobs at a time, and what they share stands there.
    """
    several = len(job_overrides) > 1
    common = set.intersection(*map(set, job_overrides)) if several else set(command)
    return [_apart(own, common) or _apart(own, set()) for own in job_overrides]


def _apart(own: Sequence[str], common: set[str]) -> tuple[str, ...]:
    left = [line.lstrip("+") for line in filter_overrides(own) if line not in common]
    return tuple(redact_arguments([line for line in left if not line.startswith("trial={")]))


@contextlib.contextmanager
def _hydra_config(config: DictConfig) -> Iterator[None]:
    """Let Hydra's own part of a job's config be the one that is looked up."""
    holder = HydraConfig.instance()
    before = holder.cfg
    holder.set_config(config)
    try:
        yield
    finally:
        holder.cfg = before


def _record(job: _Planned, status: JobStatus) -> JobStatus:
    """Keep how a job ended for the closing table."""
    named = dataclasses.replace(status, number=job.number, overrides=job.apart)
    job_status.record(named)
    return named


def _status(child: _Child, code: int) -> JobStatus:
    """Return how a child ended: what it wrote, or else what its folder says."""
    with child.answer:
        child.answer.seek(0)
        written = child.answer.read()
    if code < 0:
        # The other ranks of its run, and whatever else it had started.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGTERM)
    try:  # only by the child: the file has no name
        status: JobStatus = pickle.loads(written)
    except (EOFError, pickle.UnpicklingError):  # it ended before it had written everything
        status = _status_of_folder(child, code)
    if child.output is not None:
        if status.state == COMPLETE:
            child.output.unlink(missing_ok=True)
        else:
            status = dataclasses.replace(status, reason=f"{status.reason}; see {child.output}")
    return status


def _status_of_folder(child: _Child, code: int) -> JobStatus:
    assert child.job.to_train is not None
    folder = RunFolder.of(child.job.to_train)
    found = folder.status()
    seconds = round(time.monotonic() - child.begun, 1)
    if found.state == COMPLETE:  # it ended after its result was written
        return JobStatus(COMPLETE, folder=folder.path, seconds=seconds, result=found.result)
    failed = code > 0 and code not in {128 + signum for signum in CAUGHT}
    return JobStatus(
        FAILED if failed else INTERRUPTED,
        reason=job_status.exit_reason(code),
        exit_code=code,
        folder=folder.path if folder.path.exists() else None,
        seconds=seconds,
    )


class _Stop:
    """Sends signals on to the children; the first one also ends the sweep."""

    def __init__(self) -> None:
        self.signum: int | None = None
        self.pids: set[int] = set()
        self._before: dict[int, Any] = {}

    def _handle(self, signum: int, _frame: object) -> None:
        self.signum = self.signum or signum
        for pid in list(self.pids):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)

    def __enter__(self) -> _Stop:
        self._before = {signum: signal.signal(signum, self._handle) for signum in wanted()}
        return self

    def __exit__(self, *_: object) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)


def leave_parent(parent: int) -> None:
    """Make a forked child one that is signalled alone, and that ends when its parent is killed.

    Ctrl-C in a terminal goes to a whole group of processes. A child in the parent's would get it
    twice, from the terminal and from the parent, and a second one does not wait for saving.
    """
    os.setpgid(0, 0)
    for signum in wanted():
        signal.signal(signum, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    end_with(parent)


def _redirect(output: Path | None) -> None:
    """Detach from the terminal, which a background group must not read, and redirect the output."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if output is not None:
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666)
        os.dup2(file, 1)
        os.dup2(file, 2)
        os.close(file)
