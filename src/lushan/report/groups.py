"""Content of a report: runs, in groups that differ in nothing but the seed."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lushan.errors import UserError
from lushan.run.columns import distinguished
from lushan.run.folder import RunFolder
from lushan.run.status import COMPLETE, NEW, Status
from lushan.run.status import STATES as RUN_STATES
from lushan.run.values import show
from lushan.run.where import Condition
from lushan.study import claims as claiming
from lushan.study import collect, render, same_rows
from lushan.study.claims import UNDECIDED, Answer
from lushan.study.collect import Member
from lushan.study.grid import Grid
from lushan.study.plan import STALE, Plan
from lushan.study.table import arrange

DAMAGED, MISSING = "damaged", "missing"
STATES = (
    COMPLETE,
    STALE,
    *(state for state in RUN_STATES if state not in (COMPLETE, NEW)),
    DAMAGED,
    MISSING,
)
"""In the order in which they are counted on the page."""
LONGEST = 38
"""Places of the longest label: what a chart has room for beside its rows."""
_NUMBER = re.compile(r"-|[-+.\deE]+|true|false")


@dataclasses.dataclass(frozen=True, eq=False)
class Shown:
    """A run on the page.

    Attributes:
        member: The run.
        status: Of its folder.
        values: What it was chosen by: axes and levels, or the keys in which runs differ.
        experiment: Its name.
    """

    member: Member
    status: Status
    values: Mapping[str, str]
    experiment: str

    @property
    def state(self) -> str:
        """One of `STATES`."""
        if self.status.is_damaged:
            return DAMAGED
        return MISSING if self.status.state == NEW else self.status.state

    @property
    def reason(self) -> str | None:
        """Reason why the run is not complete, where that is known."""
        return self.status.reason

    @property
    def seed(self) -> int | None:
        """Its seed; None where the run knows nothing of itself."""
        return self.member.config.get("seed")


@dataclasses.dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed.

    Attributes:
        label: What sets them apart from others.
        experiment: Its name.
        values: See `Shown`.
        runs: Places among all runs.
    """

    label: str
    experiment: str
    values: Mapping[str, str]
    runs: Sequence[int]


@dataclasses.dataclass(frozen=True)
class Gathered:
    """Content of the page.

    Attributes:
        title: Its heading.
        runs: All of them, complete or not.
        groups: Of these.
        tables: Each a grid, or the reason why there is none.
        claims: Verdicts on them.
        notes: What the reader must know.
        plan: The study, where it is one.
        plots: What each shows to its file (PNG).
    """

    title: str
    runs: Sequence[Shown]
    groups: Sequence[Group]
    tables: Sequence[Grid | str]
    claims: Sequence[Answer] = ()
    notes: Sequence[str] = ()
    plan: Plan | None = None
    plots: Mapping[str, bytes] = dataclasses.field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """State to the number of runs, of those states that occur."""
        states = [run.state for run in self.runs]
        return {state: states.count(state) for state in STATES if state in states}


def of_study(plan: Plan) -> Gathered:
    """Collect the runs of a study, those too that have not been started."""
    runs = [
        Shown(run.member(), status, dict(run.cell), str(run.config["name"]))
        for run, status in plan.states().items()
    ]
    # One study is one experiment, whatever its runs are called.
    runs = [dataclasses.replace(run, experiment=plan.study.title) for run in runs]
    tables: list[Grid | str]
    try:
        tables = list(render.grids(plan))
        plots = _plots(plan)
    except UserError as error:
        tables, plots = [_without_a_table(error)], {}
    claims = claiming.read(plan.study)
    try:
        answers = claiming.answer(plan, claims)
    except UserError as error:  # a damaged result
        answers = [Answer(claim, UNDECIDED, error.problem) for claim in claims]
    notes = list(plan.notes)
    return Gathered(plan.study.title, runs, _groups(runs), tables, answers, notes, plan, plots)


def _plots(plan: Plan) -> dict[str, bytes]:
    if not plan.study.plots:
        return {}
    from lushan.plotting import png
    from lushan.study.plots import drawn

    return {plot.caption: png(plot.figure) for plot in drawn(plan)}


def of_folders(
    places: Sequence[str | Path], title: str | None = None, where: Sequence[Condition] = ()
) -> Gathered:
    """The runs at and below some folders, those that fit.

    Raises:
        UserError: There is no such folder, or no run in it that fits.
    """
    members, notes = collect.members(places, where)
    parts: dict[str, list[Member]] = {}
    for member in members:
        parts.setdefault(_name(member), []).append(member)
    runs: list[Shown] = []
    tables: list[Grid | str] = []
    for name, several in parts.items():
        keys, alike = _keys(several), same_rows.read_alike(several)
        runs += [_shown(*pair, keys, name) for pair in zip(several, alike, strict=True)]
        try:
            tables.append(_table(alike, keys))
        except UserError as error:
            tables.append(f"{name}: {_without_a_table(error)}")
    heading = title or ", ".join(parts if len(parts) < 5 else map(_called, places))
    return Gathered(heading, runs, _groups(runs), tables, notes=notes)


def _called(place: str | Path) -> str:
    return Path(place).resolve().name


def _name(member: Member) -> str:
    return str(member.config.get("name") or member.folder.parent.name)


def _keys(members: Sequence[Member]) -> list[str]:
    """Return the keys in which the runs of an experiment differ, but for the seed."""
    known = [member for member in members if member.config]
    found = same_rows.differences(known)
    return [key for key in found if key != "seed"]


def _shown(member: Member, alike: Member, keys: Sequence[str], name: str) -> Shown:
    values = {
        key.replace("/", "."): show(value)
        for key, value in zip(keys, alike.values(keys), strict=True)
    }
    return Shown(member, RunFolder(member.folder).status(), values, name)


def _groups(runs: Sequence[Shown]) -> list[Group]:
    found: dict[tuple[str, ...], list[int]] = {}
    for place, run in enumerate(runs):
        found.setdefault((run.experiment, *run.values.values()), []).append(place)
    firsts = [runs[places[0]] for places in found.values()]
    labels = distinguished([_label(run) for run in firsts], LONGEST)
    return [
        Group(label, run.experiment, run.values, places)
        for label, run, places in zip(labels, firsts, found.values(), strict=True)
    ]


def _label(run: Shown) -> str:
    """`crf` of one key, `head=crf, decay=none` of several; the experiment's name of none.

    A number alone would not say what it is one of: `lr=0.001`.
    """
    alone = next(iter(run.values.values())) if len(run.values) == 1 else ""
    if alone and not _NUMBER.fullmatch(alone):
        return alone
    last = [key.rpartition(".")[2] for key in run.values]
    keys = last if len(set(last)) == len(last) else list(run.values)
    pairs = zip(keys, run.values.values(), strict=True)
    return ", ".join(f"{key}={value}" for key, value in pairs) or run.experiment


def _table(members: Sequence[Member], keys: Sequence[str]) -> Grid:
    rows = [key.replace("/", ".") for key in keys] or ["name"]
    return arrange(members, [], rows, [], ["seed"], [], declared=True)


def _without_a_table(error: UserError) -> str:
    return f"No table: {error.problem}."
