"""Evaluation of a trained run: on another split, other files, or with another way of decoding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from lushan.common import shell
from lushan.config.build import source_of
from lushan.config.override import overridden
from lushan.data.labelled import NO_TEST, remember
from lushan.data.labels import require_known
from lushan.data.source import Corpus, Source
from lushan.engine.components import encode_all, encoding_notes
from lushan.engine.computing import KEYS, Computing
from lushan.engine.devices import require_alone
from lushan.engine.evaluating import (
    LIMIT,
    PREFIX,
    TEST,
    VALIDATION,
    evaluate_split,
    precision_note,
)
from lushan.engine.limits import TrainLimits
from lushan.errors import UserError, did_you_mean
from lushan.inference.load import config_of, load
from lushan.run.identity import RESOLVED

CHANGEABLE = ("data", "task", "paths", *(f"trainer.{key}" for key in (*KEYS, LIMIT)))
"""Groups and keys that may be overridden: others would make another model, or have no part."""


def evaluate(
    run: str | Path,
    *,
    split: str = TEST,
    overrides: Sequence[str] = (),
    observe: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Evaluate a run's best weights.

    Args:
        run: A run folder.
        split: `train`, `validation` (or `val`) or `test`.
        overrides: Of the run's config, such as `data.test=other.conll` or `task.constrained=true`;
            another format of data is chosen by `data=table`.
        observe: Gets the number of batches that are done, and of all.

    Returns:
        `metrics`, `measures` (what is to be known of each) and `ci` (flat, with the split's name),
        `reports`, `notes`, `main_metric`, and `records`, one an example.

    Raises:
        UserError: There is no such run, split or file, or the data does not fit the run.
    """
    require_alone()
    split = {"val": VALIDATION}.get(split, split)
    cfg = overridden(config_of(run), overrides, groups=CHANGEABLE, reads_anew=True)
    computing, limits = Computing(cfg["trainer"]), TrainLimits.of(cfg["trainer"])
    loaded = load(run, cfg)
    source: Source = source_of(cfg)
    remember(source, **loaded.columns)
    try:
        corpus = source.read(loaded.task.fields, only=split)
    except UserError as error:
        raise _predicted(error, run) from error
    if split not in corpus.splits:
        there = [PREFIX.get(s, s) for s in corpus.splits]
        raise UserError(
            f"the run's data does not have this split; it has {', '.join(there)}",
            key="--split",
            value=split,
            hint=did_you_mean(split, there) or f"Give a file for it: data.{split}=FILE.",
        )
    if loaded.task.labels:
        require_known(split, corpus.splits[split], corpus.fields, loaded.task.labels)
    corpus = Corpus(
        splits={split: corpus.splits[split]},
        fields=corpus.fields,
        scheme=corpus.scheme,
        notes=corpus.notes,
    )
    cache = Path(cfg["paths"]["cache_dir"]) / "encoded"
    encoded = encode_all(corpus, source, loaded.task, loaded.processor, loaded.limits, cache)
    found = evaluate_split(
        loaded.task,
        loaded.model,
        encoded[split],
        corpus.splits[split],
        eval_tokens=source.eval_tokens,
        computing=computing,
        limit=limits.fast_dev_run or limits.test_batches,
        observe=observe,
    )
    prefix = PREFIX.get(split, split)
    return {
        "run": str(run),
        "split": split,
        "main_metric": f"{prefix}/{loaded.task.main_metric}",
        "metrics": {f"{prefix}/{k}": v for k, v in found.metrics.items()},
        "measures": {f"{prefix}/{k}": v.as_dict() for k, v in found.measures.items()},
        "ci": {f"{prefix}/{k}": list(v) for k, v in found.intervals.items()},
        "reports": {prefix: found.report},
        "notes": loaded.notes
        + precision_note(cfg.get(RESOLVED) or {}, computing.precision)
        + corpus.notes
        + encoding_notes(loaded.task, encoded)
        + found.notes,
        "records": found.records,
    }


def _predicted(error: UserError, run: str | Path) -> UserError:
    """Return an error about missing labels with what to do outside of training: predict."""
    if error.hint is None or NO_TEST not in error.hint or error.file is None:
        return error
    command = ["lushan", "predict", str(run), "--input", error.file]
    wanted = shell.join([*command, "--output", "predictions.jsonl"])
    found = UserError(error.problem, key=error.key, value=error.value, line=error.line)
    found.hint = error.hint.replace(NO_TEST, f"To predict labels instead: {wanted}")
    return found.located(error.file)
