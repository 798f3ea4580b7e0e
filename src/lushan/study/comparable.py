"""Comparability of a metric between runs: by what the runs state of it, and by their tokenizers.

A metric that counts tokens means another thing for each tokenizer; one that counts bytes does not,
unless a tokenizer loses a part of the texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lushan.common.wording import plural
from lushan.study import collect
from lushan.study.collect import Member


def stated(runs: Iterable[Member], metric: str) -> str | None:
    """Return why the metric of some runs must not be compared; None if it may."""
    found = (run.result.not_comparable.get(metric) for run in runs if run.result is not None)
    return next(filter(None, found), None)


def tokenized_apart(runs: Iterable[Member]) -> bool | None:
    """Return whether some runs have different tokenizers; None where it is unknown."""
    found = {run.result.processor_sha256 for run in runs if run.result is not None}
    return None if None in found else len(found) > 1


def stated_apart(runs: Sequence[Member], metric: str) -> str | None:
    """Return what `stated` does, but None where all runs have one tokenizer."""
    return None if tokenized_apart(runs) is False else stated(runs, metric)


def reason(runs: Sequence[Member], metric: str) -> str | None:
    """Return why a metric does not compare between some runs; None where it does."""
    with_it = [run for run in runs if run.number(metric) is not None]
    if len(with_it) < 2:
        return None
    if why := stated_apart(with_it, metric):
        return why
    known_apart = tokenized_apart(with_it)
    return otherwise(with_it, metric) if known_apart and _counts_tokens(with_it, metric) else None


def _counts_tokens(runs: Sequence[Member], metric: str) -> bool:
    return collect.measure(runs, metric).same is not None


def otherwise(runs: Sequence[Member], metric: str) -> str:
    """Return why a metric of different tokens does not compare, and which one does."""
    measure = collect.measure(runs, metric)
    split, _, name = metric.partition("/")
    why = measure.otherwise.replace("{metric}", name)
    return why + _instead(runs, f"{split}/{measure.instead}") if measure.instead else why


def _instead(runs: Iterable[Member], metric: str) -> str:
    name, lost = metric.partition("/")[2], stated(runs, metric)
    return f": compare {name}" if lost is None else f": nor does {name} compare: {lost}"


def notes(runs: Sequence[Member], metrics: Sequence[str]) -> list[str]:
    """Return notes on the metrics that do not compare between the runs, or with other runs.

    Each reason is reported once, for all metrics that it holds for.
    """
    found = []
    others: dict[tuple[str, str], list[str]] = {}
    for metric in metrics:
        those = [r for r in runs if r.result is not None and metric in r.result.not_comparable]
        measure, split = collect.measure(runs, metric), metric.partition("/")[0]
        if those:
            found.append(
                f"{metric} of {plural(len(those), 'run')} does not compare with that of another "
                f"tokenizer: {collect.shown(those[0].folder)}: {stated(those, metric)}."
            )
        elif reason(runs, metric):
            instead = measure.instead and f"{split}/{measure.instead}"
            others.setdefault((measure.otherwise, instead), []).append(metric)
    for (why, instead), names in others.items():
        known = not instead or (instead in metrics and stated(runs, instead))
        which = names[0].partition("/")[2] if len(names) == 1 else "such a metric"
        text = why.replace("{metric}", which) + ("" if known else _instead(runs, instead))
        does = "does" if len(names) == 1 else "do"
        found.append(f"{', '.join(names)} {does} not compare: {text}.")
    return found
