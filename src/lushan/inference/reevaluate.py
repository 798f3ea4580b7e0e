"""Evaluation of a trained run: on another split, other files, or with another way of decoding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.config.build import source_of
from lushan.config.override import overridden
from lushan.data.labelled import remember
from lushan.data.labels import require_known
from lushan.data.source import Corpus, Source
from lushan.engine.components import encode_all, encoding_notes
from lushan.engine.fit import size_of_batches
from lushan.engine.limits import TrainLimits
from lushan.engine.lit_module import PREFIX, TEST, VALIDATION, LitModule
from lushan.engine.quieting import quiet_lightning
from lushan.engine.trainer import Trainer, make_trainer
from lushan.errors import UserError, did_you_mean
from lushan.inference.load import config_of, load
from lushan.run.identity import RESOLVED

CHANGEABLE = ("data", "trainer", "task", "paths")
"""Groups whose keys may be overridden: the others would make another model."""


def evaluate(
    run: str | Path, *, split: str = TEST, overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Evaluate a run's best weights.

    Args:
        run: A run folder.
        split: `train`, `validation` (or `val`) or `test`.
        overrides: Of the run's config, such as `data.test=other.conll` or `task.constrained=true`;
            another format of data is chosen by `data=table`.

    Returns:
        `metrics`, `measures` (what is to be known of each) and `ci` (flat, with the split's name),
        `reports`, `notes`, `main_metric`, and `records`, one an example.

    Raises:
        UserError: There is no such run, split or file, or the data does not fit the run.
    """
    quiet_lightning()
    split = {"val": VALIDATION}.get(split, split)
    cfg = overridden(config_of(run), overrides, groups=CHANGEABLE, reads_anew=True)
    loaded = load(run, cfg)
    source: Source = source_of(cfg)
    remember(source, **loaded.columns)
    corpus = source.read(loaded.task.fields, only=split)
    if split not in corpus.splits:
        there = [PREFIX.get(s, s) for s in corpus.splits]
        raise UserError(
            f"the run's data has no such split; it has {', '.join(there)}",
            key="--split",
            value=split,
            hint=did_you_mean(split, there) or f"Name its file: data.{split}=FILE.",
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
    node = alone(cfg["trainer"]) | {"enable_progress_bar": False}
    trainer = make_trainer(
        node,
        TrainLimits.of(node),
        callbacks=[],
        logger=False,
        plugins=[],
        default_root_dir=str(run),
    )
    module = LitModule(
        model=loaded.model,
        task=loaded.task,
        batching=size_of_batches(cfg, source),
        encoded=encoded,
        tables=corpus.splits,
    )
    found = module.test_on(trainer, split)
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
        + computed(cfg, trainer)
        + corpus.notes
        + encoding_notes(loaded.task, encoded)
        + found.notes,
        "records": found.records,
    }


def computed(cfg: Mapping[str, Any], trainer: Trainer) -> list[str]:
    """Return a note where the run's numbers were computed in another precision."""
    key = "trainer.precision"
    then, now = (cfg.get(RESOLVED) or {}).get(key), trainer.facts[key]
    return [] if then in (None, now) else [f"{key} is {now} here, and was {then} in training"]


def alone(trainer: Mapping[str, Any]) -> dict[str, Any]:
    """A trainer's config for one process, whatever number has trained."""
    devices = trainer.get("devices")
    one = {"devices": devices[:1] if isinstance(devices, list) else 1, "num_nodes": 1}
    plain = {"strategy": "auto", "tensor_parallel": 1, "compile": False}
    return {**trainer, **one, **plain}
