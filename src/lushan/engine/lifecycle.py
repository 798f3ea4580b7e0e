"""Life cycle of a run, light until it is trained: return a complete result, resume, or train."""

from __future__ import annotations

import datetime
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lushan.callbacks.destinations.tracker import Completed
from lushan.common import terminal
from lushan.compat.deferred import deferring
from lushan.config import environment, inputs
from lushan.config.build import source_of
from lushan.config.init_from import written_for
from lushan.config.inputs import Inputs
from lushan.errors import UserError
from lushan.launch.signals import Signals
from lushan.run import checksums, remote_code
from lushan.run.artifacts import ENCODER, PROCESSOR, require_checkpoint
from lushan.run.config_yaml import read_config
from lushan.run.files import appending, intact, jsonable, write_json
from lushan.run.folder import RunFolder
from lushan.run.identity import RESOLVED, unseen
from lushan.run.input_changes import INPUTS, changes, require_unchanged
from lushan.run.manifest import close_manifest, write_manifest
from lushan.run.redaction import redact_config
from lushan.run.result import RunResult
from lushan.run.status import FAILED
from lushan.text.hub import pinned

if TYPE_CHECKING:
    from lushan.data.source import Source

log = logging.getLogger(__name__)


def run(
    cfg: dict[str, Any],
    *,
    choices: Mapping[str, str | None] | None = None,
    overrides: Sequence[str] = (),
    stored: RunResult | None = None,
) -> RunResult:
    """Execute the experiment that a config describes, or return its stored result.

    It is for the first of the processes that train together; others `take_part`.

    Args:
        cfg: The checked, resolved config in plain values.
        choices: Hydra's group choices, kept for tables.
        overrides: The command line's, kept for the record.
        stored: The result of the run, where the caller has read it.

    Raises:
        UserError: The config or the data cannot be used, or another process owns the run.
        RunFailed: Training could not continue.
        Interrupted: A signal stopped the run; what was done is saved.
    """
    folder = RunFolder.of(cfg)
    result = folder.result() if stored is None else stored
    source, read = _read_inputs(cfg, folder, result, overrides)
    if result is not None:
        folder.finish(result)
        note_unseen(result, cfg)
        return result
    remote_code.require(cfg)
    with Signals().caught() as signals, folder.locked():
        result = folder.result()  # another process may have completed it just now
        if result is None:
            require_its_inputs(folder, read, _written(overrides, source))
            with deferring(wanted=is_alone(cfg["trainer"])):
                result = execute(cfg, folder, source, read, signals, choices or {}, overrides)
    return result


def is_alone(trainer: Mapping[str, Any]) -> bool:
    """Return whether one process trains and compiles nothing, as far as a config says so."""
    plain = {"devices": 1, "num_nodes": 1, "strategy": "auto", "compile": False}
    return all(trainer.get(key) in (None, value) for key, value in plain.items())


def take_part(
    cfg: dict[str, Any], *, overrides: Sequence[str] = (), stored: RunResult | None = None
) -> None:
    """Train as another rank than the first, in a process that something else has started.

    Args:
        cfg: The checked, resolved config in plain values.
        overrides: The command line's.
        stored: The result of the run, where the caller has read it; then nothing is trained.

    Raises:
        UserError: The config or the data cannot be used.
        RunFailed: Training could not continue.
        Interrupted: A signal stopped the run.
    """
    folder = RunFolder.of(cfg)
    result = folder.result() if stored is None else stored
    source, _ = _read_inputs(cfg, folder, result, overrides)
    if result is None:
        follow(folder.path, cfg, source)


def show(cfg: Mapping[str, Any]) -> None:
    """Print the first batch instead of training: nothing is written but what was encoded."""
    remote_code.require(cfg)
    if rank() == 0:
        from lushan.engine import preview

        preview.show(cfg, source_of(cfg))


def _read_inputs(
    cfg: Mapping[str, Any], folder: RunFolder, result: RunResult | None, overrides: Sequence[str]
) -> tuple[Source, Inputs]:
    """Make a run's data source and hash its inputs; those of a complete run are as they were."""
    if result is None and cfg["ckpt_path"]:
        require_checkpoint("ckpt_path", cfg["ckpt_path"])
    source = source_of(cfg)
    read = inputs_of(cfg, source)
    if result is not None:
        require_unchanged(result.inputs, read, folder.path, _written(overrides, source))
    return source, read


def _written(overrides: Sequence[str], source: Source) -> dict[str, str]:
    """Return what was written for keys of inputs; for splits their files, or that of train."""
    files = source.names()
    files |= dict.fromkeys(source.taken(), files["train"]) if "train" in files else {}
    return written_for(overrides) | {f"data.{split}": file for split, file in files.items()}


def note_unseen(result: RunResult, cfg: Mapping[str, Any]) -> None:
    """Report requests that only the training of a run gives, and this run is complete."""
    if keys := unseen(result.config, cfg):
        terminal.echo(
            f"note: {', '.join(keys)}: this has an effect only in training, but the run is "
            f"complete. Its stored result follows. To train again, set another name=NAME.",
            err=True,
        )
    elif cfg["trainer"].get("profiler"):
        terminal.echo("note: trainer.profiler: the report is in the run's log.txt", err=True)


def inputs_of(cfg: Mapping[str, Any], source: Source) -> Inputs:
    """Return hashes of all that a run reads: data by split, files by key, code by module.

    Of what is on the hub the commit stands for its files.

    Raises:
        UserError: A file is missing, or an earlier run is not complete.
    """
    found = inputs.read_by(cfg)
    data: dict[str, str] = source.fingerprint()
    return {"data": data, **found, "files": found["files"] | pinned(cfg)}


def inputs_here(cfg: Mapping[str, Any]) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Return the inputs of a run that are on this machine, and why others are not known.

    Runs may be read where neither their data nor their models are.
    """
    found: dict[str, dict[str, str]] = {}
    lost: list[str] = []
    try:
        found["data"] = dict(source_of(cfg).fingerprint())
    except UserError as error:
        lost.append(_where(error))
    try:
        named = inputs.read_by(cfg)
        found |= named | {"files": named["files"] | pinned(cfg)}
    except UserError as error:
        lost.append(_where(error))
    return found, lost


def _where(error: UserError) -> str:
    return error.problem if error.key is None else f"{error.key}: {error.problem}"


def require_its_inputs(
    folder: RunFolder, read: Inputs, names: Mapping[str, str] | None = None
) -> None:
    """Make sure that an interrupted run is resumed with what it was begun with.

    A run that failed before its first checkpoint has learned nothing, and its mistake may just have
    been mended: it begins again with what is there now.

    Raises:
        UserError: Names what has changed.
    """
    try:
        before = checksums.read_json(folder.path, INPUTS)
    except FileNotFoundError:
        return
    with intact(folder.path / INPUTS):
        changed = changes(before, read)
    if not changed:
        return
    saved = folder.checkpoints.is_dir() and any(folder.checkpoints.iterdir())
    if saved or folder.state != FAILED:
        require_unchanged(before, read, folder.path, names)
    for name in (PROCESSOR, ENCODER):
        shutil.rmtree(folder.path / name, ignore_errors=True)


def execute(
    cfg: dict[str, Any],
    folder: RunFolder,
    source: Source,
    read: Inputs,
    signals: Signals,
    choices: Mapping[str, str | None],
    overrides: Sequence[str],
) -> RunResult:
    """Train and evaluate in a folder that this process owns."""
    begun = time.monotonic()
    spent = folder.status().seconds or 0.0
    folder.start(cfg, choices=choices, overrides=overrides)
    write_json(folder.path / INPUTS, read)
    write_manifest(folder.manifest_json, fingerprints=read, started=now(), config=cfg)
    with logged(folder.log_txt):
        for note in environment.notes():
            log.info("note: %s", note)
        from lushan.callbacks import trackers
        from lushan.engine import fit
        from lushan.models.own_code import hashes

        loggers = trackers.make(cfg, folder.path)
        with trackers.tracked(loggers) as completed:
            fitted = fit.fit(cfg, folder.path, signals, source, loggers, choices)
            task = fitted.task
            from lushan.engine.artifacts import keep  # after training: matplotlib takes its time

            keep(fitted.evaluations, folder, main_metric=task.main_metric)
            kept, noted = still_inputs(cfg, source, read)
            split = "test" if f"test/{task.main_metric}" in fitted.metrics else "val"
            result = RunResult(
                folder=folder.path,
                name=str(cfg["name"]),
                run_id=folder.path.name,
                seed=int(cfg["seed"]),
                metrics=jsonable(fitted.metrics),
                main_metric=f"{split}/{task.main_metric}",
                measures=fitted.measures,
                records=fitted.schema.as_dict(),
                config=redact_config(cfg | {RESOLVED: fitted.resolved}),
                ci=jsonable(fitted.intervals),
                reports=jsonable(fitted.reports),
                choices=dict(choices),
                data_fingerprint=fitted.data_fingerprint,
                inputs=kept,
                seconds=round(spent + time.monotonic() - begun, 1),
                weights_sha256=fitted.weights_sha256,
                announced=fitted.announced,
                extra={
                    "notes": fitted.notes + noted,
                    "not_comparable": fitted.not_comparable,
                    "processor_sha256": fitted.processor_sha256,
                    "final_weights_sha256": fitted.final_weights_sha256,
                    "best_step": fitted.best_step,
                    "steps": fitted.steps,
                    "train_seconds": fitted.train_seconds,
                    "train_examples": fitted.train_examples,
                    "train_tokens": fitted.train_tokens,
                    "parameters": fitted.parameters,
                },
            )
            known: dict[str, Any] = {**kept, "processor": fitted.processor_sha256}
            if remote_code.is_stated(cfg):
                known["code"] = hashes(folder.path / ENCODER)
            # Sums come out differently over another number of threads.
            threads = computing_threads()
            close_manifest(folder.manifest_json, ended=now(), fingerprints=known, threads=threads)
            result = folder.complete(result, fitted.checkpoint)
            completed.append(Completed(result, fitted.schema))
    return result


def still_inputs(cfg: Mapping[str, Any], source: Source, read: Inputs) -> tuple[Inputs, list[str]]:
    """Return what a run has read that is as it was when the run began, and notes on the rest.

    A file that a callback has written is none of its inputs. What else has changed meanwhile stays
    as it was at the beginning, so that the run is not taken for one of the new.
    """
    kept = {kind: dict(found) for kind, found in read.items()}
    notes = []
    for change in changes(read, inputs_of(cfg, source)):
        if change.kind == "files" and change.name.startswith("callbacks."):
            del kept["files"][change.name]
        else:
            notes.append(f"{change.what} changed while the run was training")
    return kept, notes


def rank() -> int:
    """Number of this process among those that train together, as its launcher says."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if name == "SLURM_PROCID" and os.environ.get("SLURM_NTASKS", "1") == "1":
            continue
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0


def follow(
    folder: Path, cfg: Mapping[str, Any] | None = None, source: Source | None = None
) -> None:
    """Take part in a run that the first rank owns.

    Args:
        folder: The run's.
        cfg: The config, where this process has composed it itself.
        source: Its data source, where this process has made it.
    """
    from lushan.engine import fit

    cfg = read_config(folder) if cfg is None else cfg
    remote_code.require(cfg)
    with Signals().caught() as signals:
        fit.fit(cfg, folder, signals, source_of(cfg) if source is None else source)


def now() -> str:
    """Date and time with offset."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


@contextmanager
def logged(path: Path) -> Iterator[None]:
    """Send the log to the run's `log.txt`, and what is meant for people to stderr too."""
    root = logging.getLogger("lushan")
    root.setLevel(logging.INFO)
    root.propagate = False
    file = appending(path)
    to_file = terminal.journal(file)
    to_screen = terminal.screen()
    lightning = logging.getLogger("pytorch_lightning")
    handlers: list[tuple[logging.Logger, logging.Handler]] = [
        (root, to_file),
        (root, to_screen),
        (lightning, to_file),
        (lightning, to_screen),
    ]
    for logger, handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger, handler in handlers:
            logger.removeHandler(handler)
        file.close()


def preload(configs: Iterable[Mapping[str, Any]] = ()) -> None:
    """Import what training needs, once for all jobs of a sweep that are forked later.

    Nothing here starts a thread: threads do not survive a fork.

    Args:
        configs: Of the jobs; what they name is imported too.
    """
    import lushan.callbacks.trackers
    import lushan.engine.fit  # noqa: F401
    from lushan.config.allow_list import locate, nodes
    from lushan.engine import artifacts
    from lushan.models import encoders
    from lushan.run import manifest

    plain = [dict(cfg) for cfg in configs]
    targets = {(key, node["_target_"]) for cfg in plain for key, node in nodes(cfg)}
    found = {pair: locate(pair[1], pair[0]) for pair in sorted(targets)}
    for cfg in plain:
        if config := cfg["model"].get("config"):
            task = found["task", cfg["task"]["_target_"]]
            encoders.warm_up(found["model.config", config["_target_"]], task.auto_class)
    artifacts.warm_up()
    manifest.packages()
    manifest.describe_machine()


def computing_threads() -> int:
    """Threads that this process computes with."""
    import torch

    return int(torch.get_num_threads())


def limit_threads(count: int) -> None:
    """Let a job of several on one machine use its share of the cores."""
    import torch

    torch.set_num_threads(count)
