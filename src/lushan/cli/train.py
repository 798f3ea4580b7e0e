"""The command `lushan train`: Hydra's arguments, a run or a sweep, and the closing lines.

What takes time to import is imported inside, as in `lushan.cli.app`.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lushan.common.terminal import console, echo
from lushan.engine.job import Job, gave_up
from lushan.errors import Interrupted
from lushan.run import remote_code
from lushan.run.surroundings import require_numbers

if TYPE_CHECKING:
    from lushan.launch.job_status import Outcome


def train(args: Sequence[str]) -> int:
    """`lushan train ARGS...`; the exit code."""
    if "--help" in args or "-h" in args:
        from lushan.config import usage

        echo(usage.text())
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
    answers = [dict(job.return_value) for job in done]
    if len(answers) == 1 and answers[0]["number"] is None:
        return _close_run(answers[0])
    apart = set_apart([job.overrides or () for job in done])
    found = [_outcome(a, answer) for a, answer in zip(apart, answers, strict=True)]
    return _close_sweep(found or job_status.collected())


def _close_run(answer: Mapping[str, Any]) -> int:
    """Print the result table of a single run, and its folder in the last line."""
    from lushan.engine import lifecycle
    from lushan.run.folder import RunFolder
    from lushan.run.summary import closing_text

    if answer["state"] == "complete":
        if lifecycle.rank() > 0 or answer.get("shown"):
            return 0
        result = RunFolder(answer["folder"]).result()
        assert result is not None
        echo(closing_text(result))
    if answer["state"] == "interrupted":
        echo("what was done is saved: the same command resumes it", err=True)
    if (answer["state"] == "complete" or answer["begun"]) and Path(answer["folder"]).is_dir():
        echo(f"run: {answer['folder']}")
    return int(answer["exit_code"])


def _close_sweep(found: Sequence[Outcome]) -> int:
    """Print how the jobs of a sweep ended."""
    from lushan.launch import job_status

    screen = console() if sys.stdout.isatty() else console(width=240, no_color=True)
    if found:
        screen.print()
        screen.print(job_status.outcome_table(found))
    echo(job_status.describe(found))
    for note in job_status.notes():
        echo(note)
    return job_status.exit_code(found)


def _outcome(overrides: tuple[str, ...], answer: Mapping[str, Any]) -> Outcome:
    """Return the status of a job that another launcher has started."""
    from lushan.launch.job_status import Outcome

    names = {field.name for field in dataclasses.fields(Outcome)} - {"overrides"}
    known = {name: value for name, value in answer.items() if name in names}
    return Outcome(overrides=overrides, **known)
