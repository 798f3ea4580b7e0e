"""A study carried out: what is missing is run, by as many processes as take part in it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from lushan.errors import UserError, in_a_line
from lushan.run.status import COMPLETE, FAILED, INTERRUPTED, NEW, PRUNED, RUNNING, Status
from lushan.study.plan import Plan, Run

DUE = (NEW, INTERRUPTED, PRUNED, FAILED)
"""States that a run does not stay in."""

POLL = 2.0
"""Seconds between two checks of runs that other processes execute."""


def execute(
    plan: Plan,
    launch: Callable[[Sequence[Run]], None],
    *,
    states: Mapping[Run, Status],
    retry: int = 0,
    report: Callable[[str], None] = lambda _: None,
) -> dict[Run, Status]:
    """Run what is not complete, until nothing is left that this process may do.

    What other processes are at is left to them. It is waited for, and taken over from where it
    stands once its owner is dead: several processes, on several machines with one folder, share a
    study without knowing of each other.

    Some launchers give up all their jobs when one worker dies. Those that had been begun are then
    launched one by one, after the others: the one that ends its worker again is lost, and named.

    Args:
        plan: The study, spelled out.
        launch: Carries out some runs, and returns when all have ended, however they have.
        states: How far each run is, as the caller has read it.
        retry: How often a run that has failed is started again; 0 leaves it alone, also one that
            failed before.
        report: Called with what is waited for.

    Returns:
        How far each run is in the end.
    """
    states = dict(states)
    # One that is interrupted each time (killed for memory, say) is not restarted forever either.
    left = {run: retry + int(s.state != FAILED) for run, s in states.items()}
    waiting, suspects = False, list[Run]()
    while True:
        todo = [run for run, s in states.items() if s.state in DUE and left[run] > 0]
        # Two cells may be the same runs.
        todo = list({str(run.folder.path): run for run in reversed(todo)}.values())[::-1]
        if todo:
            todo = [run for run in todo if run not in suspects] or todo[:1]
            broken = _broken(launch, todo)
            states = plan.states()
            begun = [run for run in todo if states[run].state not in (NEW, COMPLETE)]
            if broken is not None:
                report(f"the launcher gave up ({broken}); running: {_labels(begun)}")
            if broken is not None and len(todo) > 1 and begun:
                suspects += begun
                continue
            for run in plan.runs:
                same = any(run.folder.path == other.folder.path for other in todo)
                # One that another process has is none that was started here.
                left[run] -= int(same and states[run].state != RUNNING)
            continue
        elsewhere = [run for run, s in states.items() if s.state == RUNNING]
        if not elsewhere:
            return states
        if not waiting:
            report(f"waiting for {len(elsewhere)} runs of other processes")
        waiting = True
        time.sleep(POLL)
        states = plan.states()


def _broken(launch: Callable[[Sequence[Run]], None], todo: Sequence[Run]) -> str | None:
    """Launch runs; return why the launcher itself failed, if it did. Jobs report their errors."""
    try:
        launch(todo)
    except UserError:
        raise
    except Exception as error:  # noqa: BLE001 - each launcher has its own
        return in_a_line(error)
    return None


def _labels(runs: Sequence[Run]) -> str:
    return "; ".join(run.label for run in runs) or "none"
