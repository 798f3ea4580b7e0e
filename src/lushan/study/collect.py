"""The runs of a comparison, read from their folders, and whether they may be compared."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.common.units import PLAIN, UNKNOWN, Measure
from lushan.errors import UserError, did_you_mean, one_of
from lushan.run import checksums, remote_code
from lushan.run.config_yaml import read_config
from lushan.run.folder import RunFolder
from lushan.run.identity import ABSENT, RESOLVED, flat, is_excluded, lookup, run_id, same
from lushan.run.input_changes import INPUTS
from lushan.run.listing import folders, nothing_to_collect
from lushan.run.result import RunResult, headline
from lushan.run.shortened import shortened_by
from lushan.run.status import COMPLETE
from lushan.run.values import value_of
from lushan.run.where import Condition, Facts, select

SPLITS = {"val": "validation"}
"""Split names in the data's fingerprints, by a metric's prefix, where they differ."""
TABLE_OF_EACH = "Make one table for each, or write --columns data."
"""What to do about runs that are not comparable."""


@dataclasses.dataclass(frozen=True)
class Member:
    """A run of a comparison.

    Attributes:
        folder: Where it is.
        run_id: Its id.
        config: Resolved.
        choices: Hydra's group choices.
        started: Start of its last attempt.
        result: Its result; None where it is not complete.
        missing: Why there is no result.
        begun_with: Of a run that is not complete, hashes of what it was begun with.
    """

    folder: Path
    run_id: str
    config: Mapping[str, Any]
    choices: Mapping[str, Any]
    started: str
    result: RunResult | None
    missing: str | None = None
    begun_with: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict)

    @property
    def inputs(self) -> Mapping[str, Mapping[str, str]]:
        """Hashes of what it was made from, by kind and name; empty where they are not known."""
        return self.begun_with if self.result is None else self.result.inputs

    def values(self, keys: Iterable[str]) -> tuple[Any, ...]:
        """The values of some keys or groups."""
        return tuple(value_of(key, self.config, self.choices) for key in keys)

    def measure(self, metric: str) -> Measure:
        """Return what is to be known of a metric."""
        return UNKNOWN if self.result is None else self.result.measure(metric)

    def number(self, metric: str) -> float | None:
        """A metric; None where the run has it not."""
        return None if self.result is None else self.result.metrics.get(metric)


def members(
    places: Sequence[str | Path], where: Sequence[Condition] = ()
) -> tuple[list[Member], list[str]]:
    """The runs at and below some folders, in the order they were started; notes on those twice.

    Raises:
        UserError: There is no such folder, or no run in it that fits.
    """
    paths = dict.fromkeys(path for place in places for path in folders(place, resolved=True))
    with nothing_to_collect():
        everything = [member_of(path) for path in paths]
    found, notes = counted_once(everything)
    if not found:
        raise UserError(
            "the folder contains no runs",
            file=", ".join(map(str, places)),
            hint="Give the folder of an experiment: outputs/NAME.",
        )
    fitting = select(sorted(found, key=lambda member: member.started), facts_of, where)
    if not fitting:
        conditions = " ".join(f"{c.key}{c.operator}{c.value}" for c in where)
        raise UserError(
            f"none of {len(found)} runs matches",
            key="--where",
            value=conditions,
            hint="Run `lushan runs` without --where to see the values.",
        )
    return fitting, notes


def counted_once(runs: Sequence[Member]) -> tuple[list[Member], list[str]]:
    """Return the different runs among some folders, and a note on each folder that is a copy.

    Runs with one id and other inputs are different: the id is of the config alone.
    """
    kept: dict[str, list[Member]] = {}
    notes = []
    for run in runs:
        same = kept.setdefault(run.run_id, [])
        place = next((i for i, other in enumerate(same) if other.inputs == run.inputs), None)
        if place is None:
            same.append(run)
            continue
        twin, left = same[place], run
        if twin.result is None and run.result is not None:
            same[place], twin, left = run, run, twin
        notes.append(f"Counted once: {shown(left.folder)} is the same run as {shown(twin.folder)}.")
    return [run for several in kept.values() for run in several], notes


def facts_of(member: Member) -> Facts:
    """Return the facts of a run."""
    result = member.result
    main = None if result is None else result.headline
    own = {
        "state": COMPLETE if result is not None else RunFolder(member.folder).state,
        "run": str(member.folder),
        "id": member.folder.name,
        "name": str(member.config.get("name") or member.folder.parent.name),
        "metric": main,
        "value": None if result is None else result.metrics.get(str(main)),
        "started": member.started or None,
        "seconds": None if result is None else result.seconds,
    }
    metrics: Mapping[str, Any] = {} if result is None else result.metrics
    measures = {} if result is None else result.measures
    return Facts(own, member.config, member.choices, metrics, measures)


def member_of(path: Path) -> Member:
    """The run of a folder, complete or not."""
    status = RunFolder(path).status()
    if (result := status.result) is not None:
        started = result.started or status.started or ""
        return Member(path, result.run_id, result.config, result.choices, started, result)
    record = status.record
    config, choices = record.get("config") or _config_in(path), record.get("choices") or {}
    number = str(record.get("run_id") or run_id(config))
    started = status.started or ""
    return Member(path, number, config, choices, started, None, status.missing, begun_with(path))


def begun_with(folder: Path) -> dict[str, Any]:
    """Return hashes of what a run was begun with; empty where none or damaged ones are there."""
    try:
        found = checksums.read_json(folder, INPUTS, dict[str, dict[str, str]])
    except (FileNotFoundError, UserError):
        return {}
    return dict(found)


def _config_in(folder: Path) -> dict[str, Any]:
    """The config of a run whose `run.json` is damaged; empty where its `config.yaml` is too."""
    try:
        return read_config(folder)
    except UserError:
        return {}


def shown(path: Path) -> str:
    """A path as the user would write it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def require_known(runs: Sequence[Member], keys: Mapping[str, Sequence[str]]) -> None:
    """Every key that was named must be one of some run.

    Raises:
        UserError: Names the key, and the nearest one that there is.
    """
    for option, names in keys.items():
        for name in names:
            if all(run.values([name]) == (ABSENT,) for run in runs):
                known = {key for run in runs for key in flat(run.config)}
                known |= {group.replace("/", ".") for run in runs for group in run.choices}
                raise UserError(
                    "no run has this key or group",
                    key=option,
                    value=name,
                    hint=did_you_mean(name, sorted(known))
                    or "`lushan runs` shows how the runs differ.",
                )


def require_metrics(results: Sequence[RunResult]) -> None:
    """Some complete run must have been evaluated.

    Raises:
        UserError: None was.
    """
    if not any(result.metrics for result in results):
        one = len(results) == 1
        raise UserError(
            f"{'the run has' if one else 'the runs have'} no metrics: "
            f"{'it' if one else 'they'} had neither validation nor test",
            hint="Evaluate a run on a file: lushan eval RUN data.test=FILE. For metrics of a new "
            "run, train with data.validation=0.1 or a file.",
        )


def choose_metrics(runs: Sequence[Member], wanted: Sequence[str]) -> list[str]:
    """The full names of the metrics that are shown: the main one where none is wanted.

    Raises:
        UserError: No run has such a metric, or the runs have not one main metric.
    """
    complete = [run.result for run in runs if run.result is not None]
    if not complete:
        reasons = "; ".join(f"{shown(run.folder)}: {run.missing}" for run in runs[:5])
        raise UserError(
            "no run is complete yet",
            hint=f"{reasons}. Run the command that trained them again to finish.",
        )
    require_metrics(complete)
    if not wanted:
        names = sorted({result.main_metric.rpartition("/")[2] for result in complete})
        if len(names) > 1:
            raise UserError(
                f"the runs have different main metrics: {', '.join(names)}",
                key="--metric",
                hint=f"Write --metric {names[0]}.",
            )
        wanted = names
    known = sorted({name for result in complete for name in result.metrics})
    found = []
    for name in wanted:
        full = name
        if "/" not in name:
            # On test only where all runs have been tested: two splits are not compared.
            shared = set.intersection(*(set(result.metrics) for result in complete))
            full = headline(name, dict.fromkeys(shared or known))
            full = full if full in shared else headline(name, dict.fromkeys(known))
        if full not in known:
            raise UserError(
                "no run has this metric",
                key="--metric",
                value=name,
                hint=one_of(name, known),
            )
        found.append(full)
    return list(dict.fromkeys(found))


def measure(runs: Iterable[Member], metric: str) -> Measure:
    """Return what runs state of a metric; its direction and unit only where all agree."""
    found = [run.measure(metric) for run in runs if run.number(metric) is not None]
    if not found:
        return UNKNOWN
    alike = len({one.higher_is_better for one in found}) == 1
    return dataclasses.replace(
        found[0],
        unit=found[0].unit if len({one.unit for one in found}) == 1 else PLAIN,
        higher_is_better=found[0].higher_is_better if alike else None,
    )


def own_code(runs: Sequence[Member]) -> list[str]:
    """A note on runs whose model is code that came with it."""
    those = [run for run in runs if remote_code.is_stated(run.config)]
    if not those:
        return []
    return [f"{len(those)} runs use a model with its own code: {shown(those[0].folder)}."]


def require_same_data(column: Sequence[Member], metric: str, *, hint: str = TABLE_OF_EACH) -> None:
    """Numbers that are compared must have been measured on the same data.

    Raises:
        UserError: Names two runs whose data differ, or one that was cut short.
    """
    require_all_cut_short(column, metric)
    prefix = metric.partition("/")[0]
    split = SPLITS.get(prefix, prefix)
    first: dict[str | None, Member] = {}
    for run in column:
        if run.result is not None:
            first.setdefault(run.result.data_fingerprint.get(split), run)
    if len(first) > 1:
        one, other = list(first.values())[:2]
        raise UserError(
            f"{metric} was not measured on the same data: {shown(one.folder)} and "
            f"{shown(other.folder)} have different {split} splits",
            hint=hint,
        )


def require_all_cut_short(column: Sequence[Member], metric: str) -> None:
    """Numbers of whole splits are not compared with those of a part.

    Raises:
        UserError: Names a run that was cut short where another was not.
    """
    cut = [run for run in column if shortened_by(run.config, run.choices)]
    if cut and len(cut) < len(column):
        raise UserError(
            f"{metric} is not comparable with that of {shown(cut[0].folder)}, which was shortened: "
            f"{', '.join(shortened_by(cut[0].config, cut[0].choices))}",
            hint="Exclude that run, or delete its folder.",
        )


def cut_short(runs: Sequence[Member]) -> list[str]:
    """A note on runs whose numbers are not those of whole splits."""
    those = [run for run in runs if shortened_by(run.config, run.choices)]
    if not those:
        return []
    settings = ", ".join(shortened_by(those[0].config, those[0].choices))
    if len(runs) == 1:
        return [f"The run was shortened ({settings}): not comparable."]
    were = "was" if len(those) == 1 else "were"
    return [f"{len(those)} of {len(runs)} runs {were} shortened ({settings}): not comparable."]


def training_data(runs: Sequence[Member]) -> list[str]:
    """A note where runs that are compared were trained on different data."""
    prints = {run.result.data_fingerprint.get("train") for run in runs if run.result is not None}
    if len(prints) < 2:
        return []
    return [f"The runs were trained on {len(prints)} different sets of training data."]


def resolved_apart(configs: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Return the keys that runs resolved to different values, and these; older ones have none."""
    known = [found for config in configs if (found := config.get(RESOLVED))]
    keys = dict.fromkeys(key for found in known for key in found)
    values = {key: tuple(found.get(key) for found in known) for key in keys}
    return {
        key: found for key, found in values.items() if any(not same(found[0], v) for v in found)
    }


def computed_apart(runs: Sequence[Member]) -> list[str]:
    """Return a note on keys that all runs have alike and that were resolved to different values."""
    configs = [run.config for run in runs if run.result is not None]
    notes = []
    for key, values in resolved_apart(configs).items():
        settled = not is_excluded(key) and "." in key
        if settled and all(same(lookup(c, key), lookup(configs[0], key)) for c in configs):
            listed = ", ".join(dict.fromkeys(map(str, values)))
            notes.append(f"The runs were computed differently: {key} was {listed}.")
    return notes
