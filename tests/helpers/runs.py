"""Runs that nobody has trained: their folders, with results and predictions."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.common.units import Measure, measure_of
from lushan.metrics.statistics import packed
from lushan.run import checksums
from lushan.run.files import sha256_file
from lushan.run.folder import RunFolder
from lushan.run.identity import run_id
from lushan.run.result import RunResult
from tests.helpers import declared, measuring


def finished(
    place: Path,
    config: Mapping[str, Any],
    metrics: Mapping[str, float | None],
    records: Sequence[Mapping[str, Any]] = (),
    *,
    data: str = "a",
    choices: Mapping[str, str] | None = None,
    measures: Mapping[str, Measure] | None = None,
    inputs: Mapping[str, dict[str, str]] | None = None,
    main_metric: str | None = None,
    **extra: Any,
) -> Path:
    """The folder of a complete run with some test predictions.

    Args:
        place: `paths.output_dir`.
        config: What else is in its config; `seed` is 1 when not given.
        metrics: With their splits; the first is the main one.
        records: Of the test split; none are stored where there are none.
        data: A name for its data.
        choices: Hydra's group choices.
        main_metric: The first of the metrics when not given.
        extra: What else its result says.
        measures: Of metrics that no task of lushan's has, without their splits.
        inputs: Hashes of what it was made from.
    """
    found = measuring.of_records(records)
    shown = measuring.known() | found.measures | dict(measures or {})
    cfg = {"name": "mine", "seed": 1, "paths": {"output_dir": str(place)}, **config}
    folder = RunFolder.of(cfg)
    with folder.locked():
        folder.start(cfg, choices=choices)
        if records:
            folder.predictions.mkdir()
            lines = [json.dumps(record, ensure_ascii=False) for record in records]
            (folder.predictions / "test.jsonl").write_text("\n".join([*lines, ""]), "utf-8")
            if found.statistics:
                (folder.predictions / "test.npz").write_bytes(packed(found.statistics))
        folder.complete(
            _result(
                folder.path,
                cfg,
                metrics,
                shown,
                data,
                main_metric=main_metric or next(iter(metrics)),
                records=declared.content_of(records),
                choices=dict(choices or {}),
                inputs=dict(inputs or {}),
                extra=extra,
            )
        )
    return folder.path


def _result(
    folder: Path,
    cfg: Mapping[str, Any],
    metrics: Mapping[str, float | None],
    measures: Mapping[str, Measure],
    data: str,
    **more: Any,
) -> RunResult:
    return RunResult(
        folder=folder,
        name=cfg["name"],
        run_id=run_id(cfg),
        seed=cfg["seed"],
        metrics=dict(metrics),
        measures={name: measure_of(measures, name) for name in metrics},
        config=dict(cfg),
        data_fingerprint=dict.fromkeys(("train", "validation", "test"), data),
        **more,
    )


def answered(
    overrides: Sequence[str], metrics: Mapping[str, float], inputs: Mapping[str, Any] | None = None
) -> Path:
    """The folder of a complete run that `lushan train` with these overrides answers.

    Args:
        overrides: Of the command.
        metrics: With their splits; the first is the main one.
        inputs: What it was made from; what is there now when not given.
    """
    from lushan.config.build import source_of
    from lushan.config.check import check
    from lushan.config.compose import compose
    from lushan.engine import lifecycle

    cfg = check(compose(list(overrides)))
    folder = RunFolder.of(cfg)
    with folder.locked():
        folder.start(cfg)
        folder.complete(
            _result(
                folder.path,
                cfg,
                metrics,
                measuring.known(),
                "a",
                main_metric=next(iter(metrics)),
                inputs=lifecycle.inputs_of(cfg, source_of(cfg)) if inputs is None else dict(inputs),
                seconds=1.0,
            )
        )
    return folder.path


def labelled(gold: Sequence[Any], predicted: Sequence[Any]) -> list[dict[str, Any]]:
    """Records of texts with labels."""
    pairs = enumerate(zip(gold, predicted, strict=True))
    return [{"id": f"test:{i}", "gold": g, "predicted": p} for i, (g, p) in pairs]


def tagged(*sentences: tuple[str, str, str]) -> list[dict[str, Any]]:
    """Records of sentences: words, gold tags and predicted tags, each with blanks between."""
    rows = []
    for i, (words, gold, predicted) in enumerate(sentences):
        tokens, there, found = words.split(), gold.split(), predicted.split()
        rows.append({"id": f"test:{i}", "tokens": tokens, "gold": there, "predicted": found})
    return rows


def curve(run: Path, column: str, values: Sequence[float | None]) -> None:
    """Numbers of a run over its steps, ten steps apart."""
    lines = [f"step,epoch,seconds,{column}"]
    lines += [f"{10 * (i + 1)},{i},1,{'' if v is None else v}" for i, v in enumerate(values)]
    (run / "metrics.csv").write_text("\n".join([*lines, ""]), encoding="utf-8")


LOSSES = ("train/loss", "val/loss")
"""Those of training, and of validation where one came."""


def losses(run: Path, *columns: str) -> list[float]:
    """The losses of a run's `metrics.csv`, row by row; those of training when not said."""
    names = columns or ("train/loss",)
    with (run / "metrics.csv").open(newline="") as file:
        return [float(row[name]) for row in csv.DictReader(file) for name in names if row[name]]


def listed_anew(run: Path) -> None:
    """List the files of a complete run as if it had written them as they are now."""
    checksums.begin(run, checksums.run_id_of(run) or run.name)
    result = {checksums.RESULT: sha256_file(run / checksums.RESULT)}
    checksums.add(run, checksums.AT_END, result)
