"""The command `lushan train`: Hydra's arguments, a run or a sweep, and what is said at its end.

What takes time to import is imported inside, as in `lushan.cli`.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lushan.errors import Interrupted
from lushan.job import Job, gave_up
from lushan.runs import trust
from lushan.runs.surroundings import require_numbers
from lushan.terminal import console, echo

if TYPE_CHECKING:
    from lushan.runs.outcomes import Outcome


def train(args: Sequence[str]) -> int:
    """`lushan train ARGS...`; the exit code."""
    if "--help" in args or "-h" in args:
        from lushan.config import usage

        echo(usage.text())
        return 0
    from lushan.config import compose
    from lushan.runs import outcomes
    from lushan.runs.launcher import set_apart

    require_numbers()
    outcomes.clear()  # of an earlier command of this process
    if {"-m", "--multirun", "hydra.mode=MULTIRUN"} & set(args):
        from hydra.core.plugins import Plugins

        from lushan.search.sweeper import Search

        Plugins.instance().register(Search)
    if trust.permitted():
        args = [*args, f"++{trust.KEY}=true"]
    try:
        done = compose.main(args, Job())
    except Interrupted as stopped:
        _close_sweep(outcomes.collected())
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
    return _close_sweep(found or outcomes.collected())


def _close_run(answer: Mapping[str, Any]) -> int:
    """Print the result table of a single run, and its folder in the last line."""
    from lushan import training
    from lushan.runs.closing import closing_text
    from lushan.runs.folder import RunFolder

    if answer["state"] == "complete":
        if training.rank() > 0 or answer.get("shown"):
            return 0
        result = RunFolder(answer["folder"]).result()
        assert result is not None
        echo(closing_text(result))
    if answer["state"] == "interrupted":
        echo("what was done is saved: the same command resumes it", err=True)
    if answer.get("folder") and Path(answer["folder"]).is_dir():
        echo(f"run: {answer['folder']}")
    return int(answer["exit_code"])


def _close_sweep(found: Sequence[Outcome]) -> int:
    """Print how the jobs of a sweep ended."""
    from lushan.runs import outcomes

    screen = console() if sys.stdout.isatty() else console(width=240, no_color=True)
    if found:
        screen.print()
        screen.print(outcomes.outcome_table(found))
    echo(outcomes.describe(found))
    for note in outcomes.notes():
        echo(note)
    return outcomes.exit_code(found)


def _outcome(overrides: tuple[str, ...], answer: Mapping[str, Any]) -> Outcome:
    """What a job came to whose launcher was not ours."""
    from lushan.runs.outcomes import Outcome

    names = {field.name for field in dataclasses.fields(Outcome)} - {"overrides"}
    known = {name: value for name, value in answer.items() if name in names}
    return Outcome(overrides=overrides, **known)
