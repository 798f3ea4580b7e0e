"""Results of a search: its trials as a table, plots, and the best one as a preset."""

from __future__ import annotations

import collections
import csv
import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from lushan.common.terminal import csv_cell
from lushan.common.units import text
from lushan.config.check import check
from lushan.config.compose import Composer, compose
from lushan.config.folders import user_conf
from lushan.errors import UserError
from lushan.run.files import atomic_write
from lushan.run.identity import run_id
from lushan.run.redaction import redact_arguments
from lushan.search import space
from lushan.search.plan import Plan

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

    from lushan.search.trials import Trials

TRIALS = "trials.csv"


def close(plan: Plan, trials: Trials, wanted: int, preset: str | None) -> str:
    """Write a search's table, plots and best trial into its folder, as far as it has come.

    Args:
        plan: The search.
        trials: Its trials.
        wanted: So many there are to be.
        preset: Where below `conf/experiment` the best one is written; None writes none.

    Returns:
        The lines to print at the end.
    """
    from lushan.search import plots  # matplotlib takes its time

    known = trials.all()
    atomic_write(plan.folder / TRIALS, as_csv(plan, known))
    closing = [f"search {plan.name}: {counted(known, wanted)}"]
    best = best_of(trials.study)
    for trial in best[:3]:
        closing.append(
            f"{'best' if len(best) == 1 else 'one of the best'}: {_described(plan, trial)}"
        )
    if len(best) > 3:
        closing.append(f"and {len(best) - 3} more Pareto-optimal trials: {TRIALS}")
    shares = importance(trials.study)
    if len(shares) > 1:  # of one key alone it means nothing
        closing.append(
            f"importance: {', '.join(f'{k} {share:.2f}' for k, share in shares.items())}"
        )
    names = plots.draw(trials.study, plan.measures, shares, plan.folder)
    if names:
        closing.append(f"plots: {', '.join(str(plan.folder / name) for name in names)}")
    if best and preset is not None:
        closing.append(write_preset(plan, best[0], preset))
    return "\n".join([*closing, f"trials: {plan.folder / TRIALS}"])


def counted(known: Sequence[Any], wanted: int) -> str:
    """`14 of 20 trials: 11 complete, 2 pruned, 1 failed`."""
    words = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "unfinished"}
    counts = collections.Counter(trial.state.name for trial in known)
    parts = ", ".join(f"{counts[name]} {word}" for name, word in words.items() if counts[name])
    finished = len(known) - counts["RUNNING"] - counts["WAITING"]
    return f"{finished} of {wanted} trials{f': {parts}' if parts else ''}"


def best_of(study: Study) -> list[Any]:
    """The best trial; of several metrics those that no other beats in every one."""
    finished = [t for t in study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
    if not finished:
        return []
    return [study.best_trial] if len(study.directions) == 1 else list(study.best_trials)


def _described(plan: Plan, trial: FrozenTrial) -> str:
    scores = ", ".join(
        f"{m} {text(v, plan.measures[m])}" for m, v in zip(plan.metrics, trial.values, strict=True)
    )
    values = " ".join(redact_arguments(space.lines(_bare(trial.params))))
    return f"trial {trial.number}, {scores}: {values}\n  run: {trial.user_attrs.get('run')}"


def _bare(params: Mapping[str, Any]) -> dict[str, Any]:
    return {key.lstrip("+"): value for key, value in params.items()}


def as_csv(plan: Plan, known: Sequence[Any]) -> str:
    """One line a trial: number, state, seconds, metrics, values, run, why it failed."""
    keys = [key.lstrip("+") for key in plan.space]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["trial", "state", "seconds", *plan.metrics, *keys, "run", "reason"])
    for trial in known:
        scores = trial.values or [None] * len(plan.metrics)
        params = _bare(trial.params)
        seconds = trial.duration.total_seconds() if trial.duration else None
        row = [
            *(trial.number, trial.state.name.lower(), seconds),
            *scores,
            *(params.get(key) for key in keys),
            trial.user_attrs.get("run"),
            trial.user_attrs.get("reason"),
        ]
        writer.writerow(map(csv_cell, row))
    return out.getvalue()


def importance(study: Study) -> dict[str, float]:
    """Return the share of the metric's variation for each key (PED-ANOVA; Watanabe et al., 2023).

    Empty where there are too few trials, or several metrics.
    """
    import optuna

    complete = [t for t in study.get_trials(deepcopy=False) if t.state.name == "COMPLETE"]
    if len(study.directions) > 1 or len(complete) < 4 or len({t.value for t in complete}) < 2:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        found = optuna.importance.get_param_importances(study)
    return {key.lstrip("+"): float(share) for key, share in found.items()}


# The best trial as a preset


def write_preset(plan: Plan, trial: FrozenTrial, name: str) -> str:
    """Write a trial as an experiment preset into the user's `conf/`; return how to run it.

    The preset is composed again: it must describe the very run of the trial.
    """
    lines = space.of_a_run([*plan.fixed, *space.lines(trial.params)])
    command = f"lushan train {' '.join(redact_arguments(lines))}"
    if (problem := _not_a_preset(lines)) is not None:
        return f"no preset: {problem}; to run it: {command}"
    conf = user_conf() or Path("conf")
    path = conf / "experiment" / f"{name}.yaml"
    scores = ", ".join(
        f"{m} {text(v, plan.measures[m])}" for m, v in zip(plan.metrics, trial.values, strict=True)
    )
    head = f"# @package _global_\n# Trial {trial.number} of the search {plan.name}: {scores}.\n"
    before = path.read_text(encoding="utf-8") if path.exists() else None
    if before is not None and "of the search " not in before:
        return f"no preset: {path} is not from a search and was not changed"
    atomic_write(path, head + as_preset(lines))
    try:
        made = run_id(check(compose([f"experiment={name}"])))
        wanted = run_id(check(compose(lines)))
    except UserError as error:
        path.unlink()
        return f"no preset: {error}"
    if made != wanted:
        path.unlink()
        return f"no preset for this trial; to run it: {command}"
    return f"preset: {path}; lushan train experiment={name}"


def _not_a_preset(lines: Sequence[str]) -> str | None:
    """Return why overrides cannot be written as a preset."""
    for override in Composer.parse(lines):
        if override.is_delete():
            return f"{override.input_line} removes a key"
        if "@" in override.key_or_group or override.package is not None:
            return f"{override.input_line} names a package"
    if redact_arguments(list(lines)) != list(lines):
        return "it holds a secret"
    return None


def as_preset(lines: Sequence[str]) -> str:
    """The YAML of overrides: groups in its defaults list, values below their keys."""
    composer = Composer()
    defaults: list[Any] = []
    values: dict[str, Any] = {}
    for override in composer.parse(lines):
        key, value = override.key_or_group, override.value()
        if composer.is_group(override):
            if key == "experiment":
                defaults.insert(0, f"/experiment/{value}")
            else:
                defaults.append({f"override /{key}": value})
            continue
        *groups, last = key.split(".")
        node = values
        for group in groups:
            node = node.setdefault(group, {})
        node[last] = _as_plain(value)
    parts = [{"defaults": defaults}] if defaults else []
    parts += [values] if values else []
    return "\n".join(yaml.safe_dump(part, sort_keys=False, allow_unicode=True) for part in parts)


def _as_plain(value: object) -> object:
    from hydra.core.override_parser.types import QuotedString
    from omegaconf import OmegaConf

    if isinstance(value, QuotedString):
        return value.text
    if isinstance(value, Mapping):
        return {str(k): _as_plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_as_plain(v) for v in value]
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value
