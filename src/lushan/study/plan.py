"""Plan of a study: its cells, their runs, and the state of each of them."""

from __future__ import annotations

import collections
import copy
import dataclasses
import functools
import json
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from lushan.common import shell
from lushan.common.parsing import texts_in
from lushan.common.units import Measure
from lushan.config.check import check, check_top
from lushan.config.compose import Known, compose
from lushan.config.measures import measures
from lushan.config.provenance import COMMAND_LINE
from lushan.errors import UserError
from lushan.run.folder import RunFolder
from lushan.run.status import COMPLETE, FAILED, INTERRUPTED, NEW, PRUNED, RUNNING, Status
from lushan.study.collect import Member, begun_with
from lushan.study.study import Levels, Study

if TYPE_CHECKING:
    from omegaconf import DictConfig

STALE = "stale"
"""The state of a complete run whose data, files or code are no longer what it was made from."""

_MAY_NAME_SEED = re.compile(r"\$\{[^}]*(seed|\$\{)")
"""An interpolation that names the seed, or whose own name is interpolated."""

ORDER = (COMPLETE, STALE, RUNNING, INTERRUPTED, PRUNED, FAILED, NEW)


@dataclasses.dataclass(frozen=True, eq=False)
class Run:
    """A run of a study.

    Attributes:
        cell: Axis to level.
        seed: Its seed.
        overrides: Of the command that would train it alone.
        config: Resolved.
        folder: Where it is or will be, the same as that command's.
    """

    cell: Levels
    seed: int
    overrides: tuple[str, ...]
    config: Mapping[str, Any]
    folder: RunFolder

    @property
    def label(self) -> str:
        """`head=crf decay=none seed=1`."""
        return " ".join(f"{k}={v}" for k, v in (self.cell | {"seed": str(self.seed)}).items())

    def status(self) -> Status:
        """Return how far it is."""
        return self.folder.status()

    def member(self) -> Member:
        """The run as tables know it; its levels are what it was chosen by."""
        status = self.folder.status()
        result = status.result
        missing = None if result is not None else status.missing
        return Member(
            self.folder.path,
            self.folder.path.name,
            self.config,
            dict(self.cell),
            status.started or "",
            result,
            missing,
            {} if result is not None else begun_with(self.folder.path),
        )


@dataclasses.dataclass(frozen=True)
class Plan:
    """A study spelled out.

    Attributes:
        study: The study.
        runs: Cell by cell, seed by seed.
        notes: What its reader must know.
        stale: Complete runs that `lushan train` would not answer, and why.
    """

    study: Study
    runs: tuple[Run, ...]
    notes: tuple[str, ...]
    stale: Mapping[Run, str] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def members(self) -> list[Member]:
        """The runs as tables and claims know them, read once."""
        return [run.member() for run in self.runs]

    def measures(self) -> dict[str, Measure]:
        """Return what the runs report, without the split's name, and what is known of it."""
        tasks = {json.dumps(run.config["task"], sort_keys=True): run.config for run in self.runs}
        found: dict[str, Measure] = {}
        for cfg in tasks.values():
            for name, measure in measures(cfg).items():
                found.setdefault(name, measure)
        return found

    def states(self) -> dict[Run, Status]:
        """Return the state of each run; one whose result is damaged has failed."""
        return {run: self._status(run) for run in self.runs}

    def _status(self, run: Run) -> Status:
        status = run.status()
        if status.state != COMPLETE or run not in self.stale:
            return status
        return dataclasses.replace(status, state=STALE, reason=self.stale[run])


def plan(study: Study, on_progress: Callable[[int, int], None] | None = None) -> Plan:
    """Compose and check the config of every run.

    Args:
        study: The study.
        on_progress: Called with how many of how many runs have been composed.

    Raises:
        UserError: An override is wrong; names where it stands in the study's file, the cell, and
            what composing it said.
    """
    cells = study.cells()
    wanted = len(cells) * len(study.seeds)
    runs: list[Run] = []
    known: Known = {}
    for cell in cells:
        of_seed: Callable[[int], dict[str, Any]] | None = None
        for seed in study.seeds:
            lines = study.overrides(cell, seed)
            try:
                # The override of the seed is the last, and all that the runs of a cell differ in.
                of_seed = of_seed or _by_seed(compose(lines, known=known))
                config = of_seed(seed)
            except UserError as error:
                raise _placed(error, study, cell, seed) from error
            runs.append(Run(cell, seed, tuple(lines), config, RunFolder.of(config)))
            if on_progress is not None:
                on_progress(len(runs), wanted)
    return Plan(study, tuple(runs), tuple(_twice(runs)))


def _by_seed(cfg: DictConfig) -> Callable[[int], dict[str, Any]]:
    """Return the function from a seed to the checked config, checked whole once where it can be."""
    written = OmegaConf.to_container(cfg, resolve=False)
    alike = not any(_MAY_NAME_SEED.search(text) for text in texts_in(written))
    first: dict[str, Any] | None = None

    def of(seed: int) -> dict[str, Any]:
        nonlocal first
        cfg.seed = seed
        if first is None or not alike:
            first = check(cfg)
            return first
        config = {**copy.deepcopy(first), "seed": seed}
        check_top(config)
        return config

    return of


def _placed(error: UserError, study: Study, cell: Levels, seed: int) -> UserError:
    """Return a mistake of a run's config with its place in the study's file and its command."""
    places = study.places(cell, seed)
    levels = ", ".join(f"{axis}={level}" for axis, level in cell.items())
    command = f"It is the config of {levels}: lushan train {shell.join(places.values())}"
    hint = f"{error.hint}\n  {command}" if error.hint else command
    file: str | Path | None = error.file
    line = error.line
    if file is None or file == COMMAND_LINE:
        place = _place(error, places)
        file, line = study.file, None if place is None else study.line(place)
    return UserError(
        error.problem, key=error.key, value=error.value, file=file, line=line, hint=hint
    )


def _place(error: UserError, places: Mapping[str, str]) -> str | None:
    """Return the place of the override that a mistake refers to, if it can be determined."""
    key, value = (error.key or "").replace("/", "."), str(error.value or "")
    last_first = [(place, places[place]) for place in reversed(list(places))]
    for place, override in last_first:
        name = override.lstrip("+~").partition("=")[0].replace("/", ".")
        if key and f"{key}.".startswith(f"{name}."):
            return place
    return next((place for place, override in last_first if value and value in override), None)


def _twice(runs: Sequence[Run]) -> list[str]:
    """Notes on cells whose runs are the same: their levels make no difference."""
    cells: dict[str, list[str]] = collections.defaultdict(list)
    for run in runs:
        levels = ", ".join(f"{axis}={level}" for axis, level in run.cell.items())
        key = str(run.folder.path)
        if levels not in cells[key]:
            cells[key].append(levels)
    same = dict.fromkeys(tuple(names) for names in cells.values() if len(names) > 1)
    return [f"The same runs, trained once: {'; '.join(names)}." for names in same]


@dataclasses.dataclass(frozen=True)
class Progress:
    """Progress of a study.

    Attributes:
        counts: State to number of runs.
        left: Seconds of training that are left, at one run at a time; None where none is complete.
    """

    counts: Mapping[str, int]
    left: float | None

    def __str__(self) -> str:
        parts = [f"{n} {_IN_WORDS[state]}" for state in ORDER if (n := self.counts.get(state, 0))]
        text = f"{sum(self.counts.values())} runs: {', '.join(parts)}"
        if self.counts.get(COMPLETE, 0) + self.counts.get(STALE, 0) == sum(self.counts.values()):
            return text
        if self.left is None:
            return f"{text}; none is complete, so the time left is unknown"
        return f"{text}; about {duration(self.left)} left, one run at a time"


_IN_WORDS = {COMPLETE: "complete", STALE: "stale", RUNNING: "running", INTERRUPTED: "interrupted"}
_IN_WORDS |= {PRUNED: "pruned by a search", FAILED: "failed", NEW: "missing"}


def progress(states: Mapping[Run, Status]) -> Progress:
    """Count the runs, and estimate the time that is left from those that are complete.

    The estimate is by a cell's own runs; where none is complete, by all.
    """
    by_cell: dict[tuple[str, ...], list[float]] = collections.defaultdict(list)
    for run, status in states.items():
        if status.state in (COMPLETE, STALE) and status.seconds:
            by_cell[tuple(run.cell.values())].append(status.seconds)
    known = [seconds for several in by_cell.values() for seconds in several]
    counts = collections.Counter(status.state for status in states.values())
    if not known:
        return Progress(counts, None)
    left = 0.0
    for run, status in states.items():
        if status.state in (NEW, INTERRUPTED, PRUNED, RUNNING):
            of_cell = by_cell.get(tuple(run.cell.values())) or known
            left += max(0.0, statistics.fmean(of_cell) - (status.seconds or 0.0))
    return Progress(counts, left)


def duration(seconds: float) -> str:
    """`40 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def as_text(made: Plan) -> str:
    """The state of every cell, and why runs failed."""
    states = made.states()
    cells: dict[tuple[str, ...], list[Run]] = collections.defaultdict(list)
    for run in made.runs:
        cells[tuple(run.cell.values())].append(run)
    lines = []
    for levels, runs in cells.items():
        counts = collections.Counter(states[run].state for run in runs)
        parts = [f"{counts[state]} {_IN_WORDS[state]}" for state in ORDER if counts[state]]
        names = " ".join(f"{a}={v}" for a, v in zip(made.study.axes, levels, strict=True))
        lines.append(f"{names}  {', '.join(parts)}")
        lines += [
            f"  {run.label}: {states[run].state}, {states[run].reason} ({run.folder.path})"
            for run in runs
            if states[run].reason and states[run].state in (FAILED, INTERRUPTED, STALE)
        ]
    return "\n".join([*lines, *made.notes, str(progress(states))])


def as_json(made: Plan, states: Mapping[Run, Status]) -> str:
    """Return the counts, the seconds that are left, and every run, for programs."""
    found = progress(states)
    runs = [
        {
            "cell": dict(run.cell),
            "seed": run.seed,
            "state": status.state,
            "reason": status.reason,
            "seconds": status.seconds,
            "folder": str(run.folder.path),
            "overrides": list(run.overrides),
        }
        for run, status in states.items()
    ]
    on_progress = {"counts": dict(found.counts), "seconds_left": found.left, "runs": runs}
    return json.dumps(on_progress | {"notes": list(made.notes)}, ensure_ascii=False, indent=2)
