"""The command `lushan train`: Hydra's arguments, a run or a sweep, and the closing lines.

What takes time to import is imported inside, as in `lushan.cli.app`.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lushan.cli import reference
from lushan.common.terminal import console, echo
from lushan.engine.job import Job, gave_up
from lushan.errors import Interrupted
from lushan.run import remote_code
from lushan.run.surroundings import require_numbers

if TYPE_CHECKING:
    from lushan.launch.job_status import JobStatus


def train(args: Sequence[str]) -> int:
    """`lushan train ARGS...`; the exit code."""
    if "--help" in args or "-h" in args:
        _help(args)
        return 0
    from lushan.config import train_command
    from lushan.launch import job_status
    from lushan.launch.fork import set_apart

    require_numbers()
    job_status.clear()  # of an earlier command of this process
    if {"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(args):
        from hydra.core.plugins import Plugins

        from lushan.search.sweeper import Search

        Plugins.instance().register(Search)
    if remote_code.permitted():
        args = [*args, f"++{remote_code.KEY}=true"]
    try:
        done = train_command.main(args, Job())
    except Interrupted as stopped:
        _close_sweep(job_status.collected())
        return stopped.exit_code
    except Exception as error:
        if (failure := gave_up(error)) is not None:
            raise failure from error
        raise
    if done is None:  # something was only shown
        return 0
    jobs: list[JobStatus] = [job.return_value for job in done]
    if len(jobs) == 1 and jobs[0].number is None:
        return _close_run(jobs[0])
    apart = set_apart([job.overrides or () for job in done])
    named = [dataclasses.replace(job, overrides=o) for job, o in zip(jobs, apart, strict=True)]
    return _close_sweep(named or job_status.collected())


def _help(args: Sequence[str]) -> None:
    """Print the help of the options of groups that are chosen, else the command's own."""
    from lushan.config import usage
    from lushan.config.search_path import conf_folders

    groups = usage.options_by_group(conf_folders())
    chosen = [arg.partition("=")[::2] for arg in args if arg.partition("=")[0] in groups]
    if not chosen:
        echo(usage.text())
    for group, name in chosen:
        reference.show_option(group, name)


def _close_run(job: JobStatus) -> int:
    """Print the result table of a single run, and its folder in the last line."""
    from lushan.run.folder import RunFolder
    from lushan.run.status import COMPLETE, INTERRUPTED
    from lushan.run.summary import closing_text

    if job.state == COMPLETE and job.result is None:  # shown only, or another rank than the first
        return job.exit_code
    if job.result is not None:
        echo(closing_text(job.result))
    if job.state == INTERRUPTED:
        saved = job.folder is not None and RunFolder(job.folder).can_resume
        text = "the state is saved; run the same command to resume"
        echo(text if saved else "nothing was saved yet; the same command starts again", err=True)
    if job.folder is not None and (job.result is not None or job.begun) and job.folder.is_dir():
        echo(f"run: {job.folder}")
    return job.exit_code


def _close_sweep(jobs: Sequence[JobStatus]) -> int:
    """Print how the jobs of a sweep ended."""
    from lushan.launch import job_status

    screen = console() if sys.stdout.isatty() else console(width=240, no_color=True)
    if jobs:
        screen.print()
        screen.print(job_status.status_table(jobs))
    echo(job_status.describe(jobs))
    for note in job_status.notes():
        echo(note)
    return job_status.exit_code(jobs)
