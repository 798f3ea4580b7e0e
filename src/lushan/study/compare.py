"""Two runs side by side: what was asked differently, what came out, which examples changed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.common.units import UNKNOWN, Measure, head, is_better, number, p_text, signed
from lushan.errors import UserError, did_you_mean
from lushan.run.columns import aligned
from lushan.run.config_yaml import no_run
from lushan.run.files import jsonable
from lushan.run.identity import ABSENT
from lushan.run.values import show
from lushan.study import collect, comparable, differences, made_from, records, same_rows
from lushan.study.collect import Member
from lushan.study.differences import Contrast
from lushan.study.example_changes import Changes, changes
from lushan.study.named_tests import OVER_RUNS, TESTS

PREFIX = {split: prefix for prefix, split in collect.SPLITS.items()}


@dataclasses.dataclass(frozen=True)
class Row:
    """A metric of both runs.

    Attributes:
        metric: With its split.
        a: Of the first run; None where it is not finite.
        b: Of the second.
        contrast: `b - a`, tested; None where no test was asked for.
        measure: Unit and direction of the metric.
        compares: Whether the metric may be compared between these runs.
    """

    metric: str
    a: float | None
    b: float | None
    contrast: Contrast | None
    measure: Measure = UNKNOWN
    compares: bool = True

    @property
    def difference(self) -> float | None:
        """`b - a`; None where a side has no number, or the metric does not compare."""
        if self.a is None or self.b is None or not self.compares:
            return None
        return self.b - self.a


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Differences between two runs.

    Attributes:
        a: The first run.
        b: The second.
        config: Key or group to both values.
        inputs: Files, data and code that both configs name alike and that were not the same.
        rows: The metrics, those that were tested first.
        test: In words.
        changes: The examples that one run has right and the other wrong, or that changed most;
            None where they cannot be determined, with the reason among the notes.
        notes: What the reader must know.
    """

    a: Member
    b: Member
    config: Mapping[str, tuple[Any, Any]]
    inputs: made_from.Apart
    rows: Sequence[Row]
    test: str
    changes: Changes | None
    notes: Sequence[str]


def compare(
    one: Path,
    other: Path,
    *,
    split: str | None = None,
    metrics: Sequence[str] = (),
    test: str = "bootstrap",
) -> Comparison:
    """Compare a run with another, from their folders alone.

    Args:
        one: A complete run's folder.
        other: Another; differences are its numbers less those of the first.
        split: `test` or `validation`; when not given, test where both runs were tested.
        metrics: Which differences are tested; the first run's main metric when not given.
        test: `bootstrap`, `randomisation` or `mcnemar`.

    Raises:
        UserError: A run is not complete, they were measured on different data, or a split, metric
            or test is not one of theirs.
    """
    differences.require_test(test)
    if test in OVER_RUNS:
        raise UserError(
            "this test needs many runs, but only two are compared",
            key="--test",
            value=test,
            hint=f"Write lushan table FOLDER --rows KEY --baseline VALUE --test {test}.",
        )
    a, b = _complete(one), _complete(other)
    assert a.result is not None
    assert b.result is not None
    for result in (a.result, b.result):
        collect.require_metrics([result])
    names = list(dict.fromkeys(metrics)) or [a.result.main_metric.rpartition("/")[2]]
    prefix = _prefix(a, b, split, names)
    hint = "Numbers on different examples are not comparable. Use `lushan eval` to evaluate a run "
    hint += "on other data."
    collect.require_same_data([a, b], f"{prefix}/{names[0].rpartition('/')[2]}", hint=hint)
    tested = [_full(name, prefix, _shared(a, b)) for name in names]
    read = differences.reader()
    found = differences.corrected([differences.contrast([b], [a], m, test, read) for m in tested])
    notes = [
        f"{metric} is undecided: {c.why}."
        for metric, c in zip(tested, found, strict=True)
        if c.why is not None and c.compares
    ]
    shown = _rows(a, b, dict(zip(tested, found, strict=True)))
    content, why = changes(a, b, tested[0], read) if found[0].compares else (None, None)
    notes += [f"Which examples changed is not known: {why}."] if why else []
    return Comparison(
        a,
        b,
        _config(a, b),
        made_from.hashes(a, b),
        shown,
        TESTS[test],
        content,
        notes
        + made_from.unrecorded([a, b])
        + collect.training_data([a, b])
        + collect.computed_apart([a, b])
        + collect.cut_short([a, b])
        + comparable.notes([a, b], [row.metric for row in shown]),
    )


def _complete(path: Path) -> Member:
    if not any((path / name).is_file() for name in ("run.json", "result.json")):
        raise no_run(path)
    run = collect.member_of(path)
    if run.result is None:
        raise UserError(
            f"the run is not complete ({run.missing})",
            file=path,
            hint="Run the command that started it to resume.",
        )
    return run


def _metrics(run: Member) -> Mapping[str, float | None]:
    assert run.result is not None
    return run.result.metrics


def _shared(a: Member, b: Member) -> list[str]:
    return [name for name in _metrics(a) if name in _metrics(b)]


def _prefix(a: Member, b: Member, split: str | None, names: Sequence[str]) -> str:
    """The prefix of the metrics of the split that is meant: `test` or `val`."""
    if split is not None:
        if split not in ("test", "validation"):
            hint = did_you_mean(split, ("test", "validation")) or "Write test or validation."
            raise UserError("unknown split", key="--split", value=split, hint=hint)
        return PREFIX.get(split, split)
    given = {name.partition("/")[0] for name in names if "/" in name}
    if len(given) > 1:
        raise UserError("all metrics must be of one split", key="--metric", value=",".join(names))
    if given:
        return given.pop()
    return "test" if any(name.startswith("test/") for name in _shared(a, b)) else "val"


def _full(name: str, prefix: str, shared: Sequence[str]) -> str:
    full = name if "/" in name else f"{prefix}/{name}"
    known = [metric for metric in shared if metric.startswith(f"{prefix}/")]
    if full not in known:
        raise UserError(
            f"the runs do not share this metric of the {records.split_of(f'{prefix}/')} split",
            key="--metric",
            value=full,
            hint=did_you_mean(full, known) or f"They share {', '.join(known or shared)}.",
        )
    return full


def _config(a: Member, b: Member) -> dict[str, tuple[Any, Any]]:
    keys = same_rows.differences([a, b])
    return {key: (*a.values([key]), *b.values([key])) for key in keys}


def _rows(a: Member, b: Member, tested: Mapping[str, Contrast]) -> list[Row]:
    prefix = next(iter(tested)).partition("/")[0]
    others = [metric for metric in _shared(a, b) if metric.startswith(f"{prefix}/")]
    return [
        Row(
            metric,
            _metrics(a)[metric],
            _metrics(b)[metric],
            tested.get(metric),
            collect.measure([a, b], metric),
            comparable.reason([a, b], metric) is None,
        )
        for metric in dict.fromkeys([*tested, *others])
    ]


# As text


def to_text(found: Comparison, examples: int) -> str:
    """The comparison for the terminal.

    Args:
        found: From `compare`.
        examples: How many of those that changed are shown, of each kind.
    """
    a, b = found.a, found.b
    parts = [[f"A: {collect.shown(a.folder)}", f"B: {collect.shown(b.folder)}"]]
    if found.config:
        rows = [["config", "A", "B"]]
        rows += [[key, show(one), show(other)] for key, (one, other) in found.config.items()]
        parts.append(aligned(rows))
    if found.inputs:
        parts.append(aligned(made_from.as_rows(found.inputs)))
    if not found.config and not found.inputs:
        parts.append(["Their configs have no difference that can change a result."])
    parts.append(_table(found))
    if found.changes:
        parts.append(found.changes.lines(examples))
    parts += [[f"note: {note}"] for note in found.notes]
    return "\n\n".join("\n".join(part) for part in parts)


def _table(found: Comparison) -> list[str]:
    tests = [row.contrast for row in found.rows if row.contrast is not None]
    p = "p" if len(tests) < 2 else f"p, Holm over {len(tests)}"
    rows = [["metric", "A", "B", "B - A", "95 % interval", p, ""]]
    for row in found.rows:
        m, c = row.measure, row.contrast
        values = [number(x, m) for x in (row.a, row.b)]
        effect = row.difference
        line = [head(row.metric, m), *values, "-" if effect is None else signed(effect, m)]
        rows.append([*line, *_interval_and_p(c, m), _verdict(row)])
    lines = aligned(rows, right=range(1, 4))
    if any(c.compares for c in tests):
        lines.append(f"p: {found.test}, two-sided; for these two runs, not for other seeds.")
    return lines


def _interval_and_p(c: Contrast | None, measure: Measure) -> list[str]:
    if c is None or not c.compares:
        return ["", ""]
    if c.low is None or c.high is None or c.corrected is None:
        return ["", "undecided"]
    return [
        f"{signed(c.low, measure)} to {signed(c.high, measure)}",
        p_text(c.corrected).removeprefix("p = ").removeprefix("p "),
    ]


def _verdict(row: Row) -> str:
    if not row.compares:
        return "does not compare"
    effect = row.difference if row.contrast and row.contrast.is_marked else None
    if not effect or (better := is_better(effect, row.measure)) is None:
        return ""
    return "B is better" if better else "A is better"


def to_json(found: Comparison, examples: int) -> str:
    """The comparison as a JSON object, all numbers in full."""

    def plain(value: object) -> object:
        return None if value is ABSENT else value

    content: dict[str, Any] = {
        "a": {"folder": str(found.a.folder), "run_id": found.a.run_id},
        "b": {"folder": str(found.b.folder), "run_id": found.b.run_id},
        "config": {k: [plain(one), plain(other)] for k, (one, other) in found.config.items()},
        "inputs": {label: list(both) for label, both in found.inputs.items()},
        "test": found.test,
        "metrics": [
            {
                "metric": row.metric,
                "a": row.a,
                "b": row.b,
                "difference": row.difference,
                **({} if row.contrast is None else _tested(row.contrast)),
            }
            for row in found.rows
        ],
        "changes": found.changes.as_dict(examples) if found.changes else None,
        "notes": list(found.notes),
    }
    return json.dumps(jsonable(content), ensure_ascii=False, indent=2)


def _tested(c: Contrast) -> dict[str, Any]:
    interval = None if c.low is None else [c.low, c.high]
    return {"interval": interval, "p": c.p, "p_holm": c.corrected, "undecided": c.why}
