"""`RunResult`: what a complete run reports, and `result.json`, which is its serialisation."""

from __future__ import annotations

import dataclasses
import functools
import html
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict

from lushan.common.parsing import require_shape
from lushan.common.units import Measure, head, interval, measure_of, number
from lushan.errors import UserError, did_you_mean
from lushan.run.files import read_json, write_json
from lushan.run.redaction import redact_config


@dataclasses.dataclass(frozen=True, repr=False)
class RunResult:
    """Result of a run, from its life cycle to commands, launchers and studies.

    Args:
        folder: The run's folder; where it lies is not written into it.
        name: Name of the experiment.
        run_id: Hash of its config.
        seed: Its seed.
        metrics: Flat: `val/entity_f1`, `test/accuracy`. None where a number is not finite.
        main_metric: The main metric, with its split: `val/entity_f1`.
        config: The whole config, resolved; its secrets are redacted where it is written.
        records: What the entries of its stored predictions are, as `lushan.data.record_schema` has
            it; None in results that lack it.
        measures: What is to be known of a metric: direction, unit, how examples add up to it.
        ci: 95 % interval of a metric: low, high.
        reports: Split -> level -> class -> precision, recall, f1, support.
        choices: Hydra's group choices: `{"task/head": "crf"}`.
        data_fingerprint: Split -> SHA-256 of its examples, whatever file they were read from.
        inputs: What was read, as `lushan.config.inputs` has it; empty where it is not known.
        started: Start of the last attempt; None in results without it.
        seconds: Time of the whole run, all attempts together.
        weights_sha256: SHA-256 over the weights that were tested.
        extra: What else a task wants kept; written beside the others.
        announced: Those of its notes that this process printed before training; not written.
    """

    folder: Path
    name: str
    run_id: str
    seed: int
    metrics: dict[str, float | None]
    main_metric: str
    config: dict[str, Any]
    measures: dict[str, Measure] = dataclasses.field(default_factory=dict)
    records: dict[str, dict[str, Any]] | None = None
    ci: dict[str, list[float | None]] = dataclasses.field(default_factory=dict)
    reports: dict[str, Any] = dataclasses.field(default_factory=dict)
    choices: dict[str, str | None] = dataclasses.field(default_factory=dict)
    data_fingerprint: dict[str, str] = dataclasses.field(default_factory=dict)
    inputs: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    started: str | None = None
    seconds: float | None = None
    weights_sha256: str | None = None
    extra: dict[str, Any] = dataclasses.field(default_factory=dict)
    state: str = "complete"
    announced: tuple[str, ...] = dataclasses.field(default=(), compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `result.json`, state first; secrets of the config redacted.

        `report` is what most readers want of `reports`.
        """
        fields: dict[str, Any] = {name: getattr(self, name) for name in _fields()}
        extra = self.extra
        fields["report"] = self.report
        fields["measures"] = {name: one.as_dict() for name, one in self.measures.items()}
        clash = sorted(set(extra) & set(fields))
        if clash:
            raise ValueError(f"extra entries of a result use reserved names: {clash}")
        fields["config"] = redact_config(self.config)
        return {"state": fields.pop("state"), **fields, **extra}

    @classmethod
    def from_dict(cls, content: object, *, file: Path) -> RunResult:
        """Read the content of a `result.json`.

        Args:
            content: Parsed.
            file: Where it was read; its folder is the run's.

        Raises:
            UserError: Something is missing or is not what it should be; names `file`.
        """
        try:
            require_shape(content, _Written)
            assert isinstance(content, dict)
            measures = _measures(content)
        except ValueError as error:
            raise UserError(
                f"not the result of a run: {error}",
                file=file,
                hint="The file was changed after the run. Delete its folder and train again.",
            ) from error
        known = _fields()
        fields = {name: value for name, value in content.items() if name in known}
        extra = {k: v for k, v in content.items() if k not in known and k != "report"}
        fields["measures"] = measures
        return cls(folder=file.parent, **fields, extra=extra)

    def write(self, path: str | Path) -> None:
        """Write it, atomically."""
        write_json(path, self.to_dict())

    @classmethod
    def read(cls, path: str | Path) -> RunResult:
        """Read a `result.json`.

        Raises:
            FileNotFoundError: There is none.
            UserError: It is damaged.
        """
        return cls.from_dict(read_json(path), file=Path(path))

    @property
    def report(self) -> dict[str, Any]:
        """Class -> precision, recall, f1, support, of the split and level of the main number."""
        levels = self.reports.get(self.headline.partition("/")[0]) or {}
        return dict(next(iter(levels.values()), {}))

    def measure(self, metric: str) -> Measure:
        """Return what is to be known of a metric, named with or without its split."""
        return measure_of(self.measures, metric)

    @property
    def not_comparable(self) -> dict[str, str]:
        """Metric to the reason why it must not be compared between runs."""
        return dict(self.extra.get("not_comparable") or {})

    @property
    def processor_sha256(self) -> str | None:
        """Fingerprint of the run's processor; None where that is not known."""
        return self.extra.get("processor_sha256")

    @property
    def headline(self) -> str:
        """The one metric to show: the main one on test if it was tested, else as it is named."""
        return headline(self.main_metric, self.metrics)

    def __repr__(self) -> str:
        """Return what a run is known by, and its headline: a terminal shows no 500 lines."""
        shown, main = "no metric", self.headline
        if main in self.metrics:
            measure, ends = self.measure(main), self.ci.get(main)
            shown = f"{head(main, measure)}: {number(self.metrics[main], measure)}"
            shown += f" ({interval(ends[0], ends[1], measure)})" if ends else ""
        return f"<RunResult of {self.name} {self.run_id}, seed {self.seed}: {shown}; {self.folder}>"

    def _repr_html_(self) -> str:
        """Return its metrics with their intervals as a table, for notebooks."""
        lines = []
        for row in summary(self):
            cells = (
                head(row.metric, row.measure),
                number(row.value, row.measure),
                interval(row.low, row.high, row.measure),
            )
            kind = "th" if row.is_main else "td"
            lines.append("".join(f"<{kind}>{html.escape(cell)}</{kind}>" for cell in cells))
        rows = "".join(f"<tr>{line}</tr>" for line in ["<th>metric<th>value<th>95 %", *lines])
        return f"<table>{rows}</table><p>{html.escape(str(self.folder))}</p>"


def _measures(content: Mapping[str, Any]) -> dict[str, Measure]:
    found = content.get("measures") or {}
    return {str(name): Measure.from_dict(one) for name, one in found.items()}


@functools.cache
def _fields() -> tuple[str, ...]:
    """Return the names of what is written, in its order."""
    apart = ("extra", "folder", "announced")
    return tuple(f.name for f in dataclasses.fields(RunResult) if f.name not in apart)


@dataclasses.dataclass(frozen=True)
class SummaryRow:
    """One line of a run's closing table."""

    metric: str
    measure: Measure
    value: float | None
    low: float | None
    """Lower end of the 95 % interval, where there is one."""
    high: float | None
    is_main: bool


def summary(result: RunResult) -> list[SummaryRow]:
    """Return the lines of a run's closing table: main metric first, then test, val, the rest."""
    main = {result.headline, result.main_metric}
    splits = ("test", "val", "train")

    def order(metric: str) -> tuple[bool, bool, int]:
        split = metric.partition("/")[0]
        place = splits.index(split) if split in splits else len(splits)
        return metric != result.headline, metric not in main, place

    rows = []
    for metric in sorted(result.metrics, key=order):  # stable: else the order of the file
        low, high = result.ci.get(metric) or (None, None)
        rows.append(
            SummaryRow(
                metric, result.measure(metric), result.metrics[metric], low, high, metric in main
            )
        )
    return rows


def headline(main_metric: str, metrics: Mapping[str, Any]) -> str:
    """Return the name under which `metrics` has the main metric: on test, else on val, else as is.

    Args:
        main_metric: With or without a split: `val/entity_f1`, `entity_f1`.
        metrics: Flat metrics of a run.
    """
    name = main_metric.rpartition("/")[2]
    for candidate in (f"test/{name}", f"val/{name}"):
        if candidate in metrics:
            return candidate
    return main_metric


def objective(result: RunResult, metric: str | None = None) -> float | None:
    """Return the number that a search optimizes: `metric`, else the main metric on validation.

    Raises:
        UserError: The run has no such metric.
    """
    if metric is None:
        name = result.main_metric.rpartition("/")[2]
        metric = next((m for m in (f"val/{name}", result.main_metric) if m in result.metrics), None)
        return None if metric is None else result.metrics[metric]
    if metric not in result.metrics:
        raise UserError(
            "the run does not have this metric",
            key="optimized_metric",
            value=metric,
            hint=did_you_mean(metric, result.metrics)
            or f"It has {', '.join(result.metrics) or 'none'}.",
        )
    return result.metrics[metric]


Number = float | None
Node = dict[str, Any] | None


class _Config(TypedDict, total=False):
    """The parts of a config that readers look into."""

    data: Node
    processor: Node
    model: Node
    task: Node
    optimizer: Node
    trainer: Node
    peft: Node


class _Parameters(TypedDict, total=False):
    """Numbers of parameters."""

    all: int
    trained: int


class _Written(TypedDict):
    """Contents of `result.json`."""

    state: Literal["complete"]
    name: str
    run_id: str
    seed: int
    metrics: dict[str, Number]
    main_metric: str
    config: _Config
    measures: NotRequired[dict[str, dict[str, Any]]]
    records: NotRequired[dict[str, dict[str, Any]] | None]
    ci: NotRequired[dict[str, tuple[Number, Number]]]
    reports: NotRequired[dict[str, dict[str, dict[str, dict[str, Any]]]]]
    choices: NotRequired[dict[str, str | None]]
    data_fingerprint: NotRequired[dict[str, str]]
    inputs: NotRequired[dict[str, dict[str, str]]]
    started: NotRequired[str | None]
    seconds: NotRequired[Number]
    weights_sha256: NotRequired[str | None]
    notes: NotRequired[list[str] | None]
    not_comparable: NotRequired[dict[str, str] | None]
    processor_sha256: NotRequired[str | None]
    parameters: NotRequired[_Parameters | None]
    steps: NotRequired[Number]
    best_step: NotRequired[Number]
    train_tokens: NotRequired[Number]
    train_seconds: NotRequired[Number]
