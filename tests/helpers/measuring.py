"""The metrics of made-up predictions, as a run has them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.common.units import LOSS, Measure, measure_of
from lushan.metrics.evaluation import Measured, measured
from lushan.metrics.statistics import packed, unpacked
from lushan.run.result import RunResult
from lushan.study import differences
from lushan.study.collect import Member
from lushan.study.example_statistics import Counted
from lushan.study.records import Read
from tests.helpers import declared


def of_labels(
    gold: Sequence[Any],
    predicted: Sequence[Any],
    labels: Sequence[str] = (),
    *,
    several: bool | None = None,
) -> Measured:
    """One label a text, or several."""
    from lushan.metrics.classification import names_in
    from lushan.metrics.families import labels as family

    if several is None:
        several = not all(isinstance(label, str) for label in gold)
    names = names_in(gold, predicted, labels=labels)
    if not several:
        names = [name for name in names if name in {*gold, *predicted}]
    return measured(family.metrics(several=several, labels=names), predicted, gold, full=True)


def of_numbers(
    gold: Sequence[float], predicted: Sequence[float], *, intervals: bool = True
) -> Measured:
    """A number a text."""
    from lushan.metrics.families import numbers

    origin = sum(gold) / max(1, len(gold))
    return measured(numbers.metrics(origin=origin), predicted, gold, full=intervals)


def of_tags(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Measured:
    """Tags of sentences."""
    from lushan.metrics.entities import types_in
    from lushan.metrics.families import tags

    return measured(tags.metrics(sorted(types_in(gold, predicted))), predicted, gold, full=True)


def of_language(rows: Sequence[Mapping[str, Any]]) -> Measured:
    """Losses of a language model; bits per byte where the rows have bytes."""
    from lushan.metrics.families import language

    per_byte = all("bytes" in row for row in rows)
    return measured(language.metrics(per_byte=per_byte), rows, rows, full=True)


def of_texts(
    predicted: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    language: str = "auto",
    examples: Sequence[int] | None = None,
) -> Measured:
    """Generated texts."""
    from lushan.metrics.families import texts
    from lushan.metrics.generation import bleu_tokenizer, language_of

    known = language_of(references, language)  # type: ignore[arg-type]
    own = texts.metrics(language=known, tokenize=bleu_tokenizer(known))
    return measured(own, predicted, references, full=True, examples=examples, each=True)


def generated(
    predicted: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    language: Any = "auto",
    stem: bool = False,
    tokenize: Any = None,
) -> tuple[Measured, list[str]]:
    """Generated texts, with the notes on them that a run has."""
    from lushan.metrics import generation
    from lushan.metrics.families import texts

    generation.require_references(predicted, references)
    known = generation.language_of(references, language)
    own = texts.metrics(
        language=known, stem=stem, tokenize=tokenize or generation.bleu_tokenizer(known)
    )
    found = measured(own, predicted, references, full=True, each=True)
    signatures = f"BLEU {own['bleu'].signature}; chrF {own['chrf'].signature}"
    notes = generation.notes(predicted, references, known, stem=stem, signatures=signatures)
    return found, notes


def of_records(records: Sequence[Mapping[str, Any]]) -> Measured:
    """The metrics of what a run of one of lushan's tasks stores."""
    found = Measured()
    if all(isinstance(row.get("loss"), int | float) and "hits" in row for row in records):
        found.add(of_language(records))
    places = [i for i, row in enumerate(records) if "predicted" in row and "gold" in row]
    rows = [records[i] for i in places]
    if not rows:
        return found
    gold, predicted = ([row[side] for row in rows] for side in ("gold", "predicted"))
    if isinstance(rows[0].get("tokens"), list):
        found.add(of_tags(gold, predicted))
    elif isinstance(gold[0], int | float):
        found.add(of_numbers(gold, predicted))
    elif "hits" in rows[0] or "source" in rows[0]:
        several = [[g] if isinstance(g, str) else g for g in gold]
        found.add(of_texts(predicted, several, examples=places))
    else:
        found.add(of_labels(gold, predicted))
    return found


def run_of(found: Measured, records: Sequence[Mapping[str, Any]]) -> Any:
    """A run that has stored the values of some metrics, and how it is read."""
    metrics = {f"test/{name}": value for name, value in found.metrics.items()}
    measures = {f"test/{name}": measure for name, measure in found.measures.items()}
    stated = declared.content_of(records)
    result = RunResult(Path(), "x", "0", 1, metrics, next(iter(metrics)), {}, measures, stated)
    return Member(Path(str(id(found))), "0", {}, {}, "", result), found.statistics, records


def together(metric: str, *runs: Any) -> Counted:
    """The counts of a metric of some runs of `run_of`."""
    read: Any = Read()
    known = {run.folder: (statistics, records) for run, statistics, records in runs}
    read.statistics = lambda folder, _: unpacked(packed(known[folder][0]))
    read.records = lambda run, _: known[run.folder][1]
    return differences.count_together([run for run, _, _ in runs], f"test/{metric}", read)


def rows_of(count: int) -> list[dict[str, str]]:
    """Records that have nothing but an id."""
    return [{"id": f"test:{i}"} for i in range(count)]


def measures_of(metrics: Iterable[str]) -> dict[str, Measure]:
    """What is to be known of some metrics, named with their splits."""
    return {name: measure_of(known(), name) for name in metrics}


@functools.cache
def known() -> dict[str, Measure]:
    """What is to be known of all metrics of lushan's tasks, without what is stored of examples."""
    from lushan.metrics.families import labels, language, numbers, tags, texts

    families = (
        labels.metrics(several=True),
        labels.metrics(),
        numbers.metrics(),
        tags.metrics(),
        texts.metrics(),
        language.metrics(per_byte=True),
    )
    found = {"loss": LOSS}
    for family in families:
        for name, metric in family.items():
            measures_of = metric.measure(name)
            found[name] = Measure(measures_of.unit, measures_of.higher_is_better)
    return found
