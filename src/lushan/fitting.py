"""One run carried out: from a checked config to numbers on disk.

The story, in the order it is told: data, labels, tokenizer, encoded splits, encoder, model,
trainer, fit, the best checkpoint tested once, result.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytorch_lightning as pl
import torch

from lushan.callbacks.checkpoints import WEIGHTS, Checkpoints, Damaged, FolderIO, newest
from lushan.callbacks.checkpoints import load_weights as read_weights
from lushan.callbacks.console import Console
from lushan.callbacks.record import Record
from lushan.config.build import build
from lushan.data.encoding import Encoded, code_version, encode, fingerprint_of
from lushan.data.source import Corpus, Source
from lushan.errors import RunFailed, UserError
from lushan.module import PREFIX, TEST, VALIDATION, Batching, Experiment
from lushan.runs.files import sha256_file, write_json
from lushan.runs.signals import Signals
from lushan.tasks.base import Evaluation, Limits, Task
from lushan.text.tokenizers import fingerprint as tokenizer_fingerprint
from lushan.trainer import RUN_FOLDER, Trainer

log = logging.getLogger(__name__)

TASK_STATE = "task.json"
TOKENIZER = "tokenizer"
LONGEST = 512
"""Tokens of a feature where neither the config nor the encoder sets a bound."""


@dataclasses.dataclass
class Prepared:
    """Everything that is known before the first step."""

    source: Source
    corpus: Corpus
    task: Task
    tokenizer: Any
    encoded: dict[str, Encoded]
    model: torch.nn.Module
    notes: list[str]


def prepare(cfg: dict[str, Any]) -> Prepared:
    """Data, labels, tokenizer, encoded splits, encoder, model: facts flow one way."""
    torch.manual_seed(cfg["seed"])
    source: Source = build(cfg["data"])
    corpus = source.read()
    task: Task = build(cfg["task"])
    require_kind(task, corpus)
    if "train" not in corpus.splits:
        raise UserError("there is nothing to train on", key="data.train", hint="write data.train=FILE")
    task.prepare(corpus)
    cache = Path(cfg["paths"]["cache_dir"])
    tokenizer = build(
        cfg["tokenizer"], texts=functools.partial(texts_of, corpus), cache_dir=cache / "tokenizers"
    )
    encoder = build(cfg["model"], vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id)
    limits = limits_of(source, encoder)
    encoded = {
        split: encode_split(split, corpus, source, task, tokenizer, limits, cache / "encoded")
        for split in corpus.splits
    }
    model = task.build(encoder)
    return Prepared(
        source, corpus, task, tokenizer, encoded, model, corpus.notes + encoding_notes(encoded)
    )


def require_kind(task: Task, corpus: Corpus) -> None:
    """A task that reads words cannot read texts, nor the other way round."""
    if corpus.kind != task.reads:
        raise UserError(
            f"this task reads {task.reads}, and the data holds {corpus.kind}",
            key="data",
            value=corpus.kind,
            hint="NER wants data=conll or data=jsonl with tags or spans; classification wants "
            "data=table or data=jsonl with text and label",
        )


def texts_of(corpus: Corpus) -> Iterator[str]:
    """The training texts, to train a tokenizer on."""
    table = corpus.splits["train"]
    if corpus.kind == "tokens":
        for tokens in table.column("tokens").to_pylist():
            yield " ".join(tokens)
        return
    for name in ("text", "text_pair"):
        if name in table.column_names:
            yield from table.column(name).to_pylist()


def limits_of(source: Source, encoder: Any) -> Limits:
    """How long a feature may be: what the config says, within what the encoder can read."""
    bound = encoder.max_length
    if source.max_length is not None and bound is not None and source.max_length > bound:
        raise UserError(
            f"the encoder reads at most {bound} tokens",
            key="data.max_length",
            value=source.max_length,
            hint=f"write data.max_length={bound} or less; data.stride=64 reads on in windows",
        )
    return Limits(source.max_length or bound or LONGEST, source.stride)


def encode_split(
    split: str,
    corpus: Corpus,
    source: Source,
    task: Task,
    tokenizer: Any,
    limits: Limits,
    cache: Path,
) -> Encoded:
    """One encoded split, from the cache if any run has encoded alike before."""
    fingerprint = fingerprint_of(
        source.fingerprint().get(split),
        {f.name: getattr(source, f.name) for f in dataclasses.fields(source)},
        tokenizer_fingerprint(tokenizer),
        task.options(),
        dataclasses.asdict(limits),
        code_version(type(task), encode, type(source), Source),
        split,
    )
    return encode(
        corpus.splits[split],
        lambda rows, first: task.encode(rows, first, tokenizer, limits),
        task.schema,
        fingerprint=fingerprint,
        cache_dir=cache,
        count=task.count,
    )


def encoding_notes(encoded: dict[str, Encoded]) -> list[str]:
    """What was cut or cannot be read, counted."""
    notes = []
    for split, data in encoded.items():
        if data.meta.get("cut"):
            notes.append(f"{split}: {data.meta['cut']} words or texts were cut by max_length")
        if data.meta.get("unknown"):
            notes.append(f"{split}: {data.meta['unknown']} texts hold only unknown or no tokens")
    return notes


def batching_of(cfg: dict[str, Any], source: Source, trainer: Trainer) -> Batching:
    """How examples become batches."""
    return Batching(
        seed=cfg["seed"],
        batch_examples=source.batch_examples,
        batch_tokens=source.batch_tokens,
        micro_tokens=source.micro_tokens,
        eval_tokens=source.eval_tokens,
        bucket=source.bucket,
        max_epochs=trainer.wanted_epochs,
        max_steps=trainer.wanted_steps,
        limit=trainer.wanted_train_limit,
    )


def fit(cfg: dict[str, Any], folder: Path, signals: Signals) -> dict[str, Any]:
    """Carry out a run in its folder, from where it stands.

    Args:
        cfg: The checked config, in plain values.
        folder: The run folder, owned by this process (or by the first rank).
        signals: Where SIGTERM and Ctrl-C wait for the step to end.

    Returns:
        The run's outcome: `metrics`, `ci`, `report`, `notes`, ...; the same on every rank.

    Raises:
        RunFailed: The loss is not finite, or the disk refuses.
        UserError: The data or the interrupted run does not fit the config.
    """
    quiet_lightning()
    ready = prepare(cfg)
    for note in ready.notes:
        log.info("note: %s", note)
    os.environ[RUN_FOLDER] = str(folder)
    record: Record
    trainer, checkpoints, record = make_trainer(cfg, folder, signals, ready)
    experiment = Experiment(
        model=ready.model,
        task=ready.task,
        optimizer=lambda model: build(cfg["optimizer"], model=model),
        multiplier=_schedule(cfg),
        batching=batching_of(cfg, ready.source, trainer),
        encoded=ready.encoded,
        tables=ready.corpus.splits,
        pad_id=ready.tokenizer.pad_token_id,
        clip=trainer.clip_norm,
    )
    assert experiment.plan is not None
    trainer.follow(experiment.plan.epochs)
    trainer.callbacks.insert(0, Console(experiment.plan.total_steps, shown(ready.task)))
    if trainer.is_global_zero:
        describe(ready, experiment)
        keep_for_later(ready, folder)
    if cfg.get("train", True):
        resume = where_to_resume(cfg, folder)
        trainer.fit(experiment, ckpt_path=resume, weights_only=None)
    outcome = judge(cfg, trainer, experiment, checkpoints, folder)
    outcome["notes"] = ready.notes + outcome["notes"]
    outcome["train_seconds"] = round(record.elapsed, 3)
    outcome["steps"] = trainer.global_step
    return outcome


def _schedule(cfg: dict[str, Any]) -> Callable[[int, int], float]:
    schedule = build(cfg["scheduler"])
    return lambda step, total: schedule(step, total_steps=total)


def shown(task: Task) -> list[str]:
    """Metrics of the console's line."""
    return ["val/loss", f"val/{task.main_metric}"]


def describe(ready: Prepared, experiment: Experiment) -> None:
    """Say what is about to be trained."""
    assert experiment.plan is not None
    sizes = ", ".join(f"{name} {table.num_rows:,}" for name, table in ready.corpus.splits.items())
    parameters = sum(p.numel() for p in ready.model.parameters())
    learned = sum(p.numel() for p in ready.model.parameters() if p.requires_grad)
    log.info("examples: %s", sizes)
    log.info("parameters: %s, trained: %s", f"{parameters:,}", f"{learned:,}")
    log.info("steps: %d in %d epochs", experiment.plan.total_steps, experiment.plan.epochs)


def keep_for_later(ready: Prepared, folder: Path) -> None:
    """What prediction needs besides the weights: labels and tokenizer."""
    write_json(folder / TASK_STATE, ready.task.state())
    if not (folder / TOKENIZER).exists():
        temporary = folder / f".tmp-{TOKENIZER}"
        shutil.rmtree(temporary, ignore_errors=True)
        ready.tokenizer.save_pretrained(temporary)
        temporary.rename(folder / TOKENIZER)


def make_trainer(
    cfg: dict[str, Any], folder: Path, signals: Signals, ready: Prepared
) -> tuple[Trainer, Checkpoints, Record]:
    """The trainer with its observers."""
    task = ready.task
    node = dict(cfg["trainer"])
    columns = [f"val/{name}" for name in type(task).metric_names(cfg["task"])]
    nodes = dict(cfg.get("callbacks") or {})
    monitored = VALIDATION in ready.corpus.splits
    save = nodes.pop("checkpoints", None) or {"_target_": f"{__package__}.callbacks.checkpoints.Checkpoints"}
    checkpoints: Checkpoints = build(
        save,
        folder=folder / "checkpoints",
        monitor=f"val/{task.main_metric}" if monitored else None,
        higher_is_better=task.higher_is_better,
        signals=signals,
        facts={},
    )
    record = Record(folder / "metrics.csv", columns)
    callbacks: list[pl.Callback] = [build(c) for c in nodes.values() if c]
    trainer: Trainer = build(
        node,
        callbacks=[*callbacks, record, checkpoints],
        logger=loggers(cfg, folder),
        plugins=[FolderIO()],
        default_root_dir=str(folder),
    )
    checkpoints.facts = {"trainer.devices": trainer.world_size}
    return trainer, checkpoints, record


def loggers(cfg: dict[str, Any], folder: Path) -> Any:
    """The trackers of the config; the local record does not depend on them."""
    from lushan.callbacks.trackers import make

    return make(cfg, folder)


def where_to_resume(cfg: dict[str, Any], folder: Path) -> Path | None:
    """The newest whole checkpoint of this run, or the one that `ckpt_path` names."""
    if cfg.get("ckpt_path"):
        path = Path(cfg["ckpt_path"])
        if not path.is_dir():
            raise UserError(
                "no such checkpoint folder", key="ckpt_path", value=str(path),
                hint="write the path of a checkpoints/step-... folder of a run",
            )
        return path
    found, complaints = newest(folder / "checkpoints")
    for complaint in complaints:
        log.warning("refused a damaged checkpoint: %s", complaint)
    if complaints:
        log.warning("going on from %s", found or "the beginning")
    elif found:
        log.info("resuming from %s", found)
    return found


def judge(
    cfg: dict[str, Any],
    trainer: Trainer,
    experiment: Experiment,
    checkpoints: Checkpoints,
    folder: Path,
) -> dict[str, Any]:
    """Score the best weights once: on validation with everything, on test where there is one."""
    final = experiment.model.state_dict()
    outcome: dict[str, Any] = {"final_weights_sha256": weights_hash(final)}
    best = best_folder(checkpoints)
    if best is not None:
        try:
            experiment.model.load_state_dict(read_weights(best))
        except Damaged as error:
            raise RunFailed(f"the best checkpoint cannot be read: {error}") from error
    elif trainer.is_global_zero:
        from lushan.callbacks.checkpoints import write_folder

        best = checkpoints.folder / "best-last"
        write_folder(best, {WEIGHTS: experiment.judged_weights()})
    experiment.ema = None
    evaluations: dict[str, Evaluation] = {}
    for split in (VALIDATION, TEST):
        if split not in experiment.encoded or (split == TEST and not cfg.get("test", True)):
            continue
        evaluations[split] = evaluate(trainer, experiment, split)
    outcome |= {
        "best_step": checkpoints.best_step,
        "weights_sha256": weights_hash(experiment.model.state_dict()),
        "evaluations": evaluations,
        "checkpoint": str(best) if best else None,
    }
    outcome["metrics"], outcome["ci"], outcome["report"], outcome["notes"] = {}, {}, {}, []
    for split, evaluation in evaluations.items():
        prefix = PREFIX[split]
        outcome["metrics"] |= {f"{prefix}/{k}": v for k, v in evaluation.metrics.items()}
        outcome["ci"] |= {f"{prefix}/{k}": list(v) for k, v in evaluation.intervals.items()}
        outcome["report"][prefix] = evaluation.report
        outcome["notes"] += [f"{prefix}: {note}" for note in evaluation.notes]
    return outcome


def best_folder(checkpoints: Checkpoints) -> Path | None:
    """The best weights' folder; None where there was no validation to choose by."""
    if checkpoints.monitor is None:
        return None
    path = checkpoints.folder / f"best-{checkpoints.best_step or 0:09d}"
    if not path.is_dir():
        raise RunFailed(f"there is no best checkpoint at {path}; nothing was tested")
    return path


def evaluate(trainer: Trainer, experiment: Experiment, split: str) -> Evaluation:
    """All metrics, intervals and example records of one split."""
    experiment.judged_split = split
    trainer.test(experiment, verbose=False)
    return experiment.evaluations[split]


def weights_hash(weights: dict[str, Any]) -> str:
    """SHA-256 over names and values of tensors: equal only if every bit is."""
    import hashlib

    digest = hashlib.sha256()
    for name in sorted(weights):
        digest.update(name.encode())
        digest.update(weights[name].detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def quiet_lightning() -> None:
    """Lightning's advice and banners go to the log file, not to the terminal."""
    for name in ("pytorch_lightning", "lightning_fabric", "lightning.pytorch"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    warnings.filterwarnings("ignore", module="lightning_fabric")
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*treespec.*")


with contextlib.suppress(ImportError):  # its tips are not ours to show
    from pytorch_lightning.utilities import rank_zero

    rank_zero.rank_zero_info = lambda *_a, **_k: None

__all__ = ["fit", "prepare", "sha256_file", "pa"]
