"""Runs in processes of their own, quickly (torch is imported once), with a fault on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lushan.config.check import check
from lushan.config.compose import compose
from tests.helpers import forked
from tests.helpers.narrow import narrowed

SMALL = [
    "data=sample_ner",
    "data.batch_tokens=null",
    "data.batch_examples=4",
    "data.limit=32",
    "model=bert_tiny",
    "processor.vocab_size=300",
    "trainer=cpu",
    "trainer.precision=32-true",
    "trainer.max_epochs=3",
    "trainer.log_every_n_steps=1",
    "callbacks.checkpoints.every_n_steps=3",
]
"""A run of 24 steps: shuffled, with dropout, warm-up and decay."""

Fault = Callable[[], None]


def config(folder: Path, *overrides: str) -> dict[str, Any]:
    """A checked config of a small run whose folder is below `folder`."""
    lines = [*SMALL, f"paths.output_dir={folder}", *overrides]
    return check(compose(narrowed(lines)))


def execute(cfg: dict[str, Any], fault: Fault | None = None, **options: Any) -> int:
    """Run in a process of its own; its exit code as the shell sees it (137 after SIGKILL)."""
    process = start(cfg, fault, **options)
    process.join()
    return code(process)


def start(
    cfg: dict[str, Any], fault: Fault | None = None, threads: int = 1, executed: bool = False
) -> Any:
    """Start a run in a process of its own.

    Args:
        cfg: Of the run.
        fault: What happens to the process.
        threads: It computes with.
        executed: Its other ranks are interpreters of their own, not processes like that one.
    """
    folder = Path(cfg["paths"]["output_dir"])
    notes = notes_of(folder)
    if not folder.is_dir() or not any(folder.iterdir()):
        shutil.rmtree(notes, ignore_errors=True)  # of another test, whose folder had this name
    notes.mkdir(exist_ok=True, parents=True)
    notes.chmod(0o777)  # the run may be another user's
    return forked.process(_job, (cfg, fault, threads, executed))


def code(process: Any) -> int:
    """The exit code as the shell sees it."""
    return 128 - process.exitcode if process.exitcode < 0 else process.exitcode


def _job(cfg: dict[str, Any], fault: Fault | None, threads: int, executed: bool) -> None:
    import sys
    import traceback

    import torch

    from lushan.engine import lifecycle
    from lushan.errors import Interrupted, RunFailed, UserError

    torch.set_num_threads(threads)
    forked.prepare(ranks=0 if executed else cfg["trainer"]["devices"] - 1)
    notes = notes_of(Path(cfg["paths"]["output_dir"]))
    watch(notes / "seen.jsonl")
    if fault is not None:
        fault()
    try:
        lifecycle.run(cfg)
    except (UserError, RunFailed) as error:
        (notes / "error.txt").write_text(str(error), encoding="utf-8")
        sys.exit(error.exit_code)
    except Interrupted as error:
        sys.exit(error.exit_code)
    except Exception:
        (notes / "error.txt").write_text(traceback.format_exc(), encoding="utf-8")
        raise


def watch(path: Path) -> None:
    """Write down what every optimizer step saw: its number, the loss in hex, its examples."""
    from lushan.engine.lit_module import LitModule

    step = LitModule.training_step

    def watched(self: Any, batch: Any, batch_idx: int) -> None:
        number, before = self.global_step, self.running.loss
        step(self, batch, batch_idx)
        self.settle()
        loss = (self.running.loss - before).hex()
        with path.open("a") as file:
            file.write(json.dumps([number, loss, sorted(batch["examples"])]) + "\n")

    LitModule.training_step = watched  # type: ignore[method-assign]


def notes_of(folder: Path) -> Path:
    """Where a run with this output folder leaves notes: beside it, for it may be read-only."""
    return folder.with_name(f"{folder.name}-notes")


def error(folder: Path) -> str:
    """What the last run that failed said."""
    return (notes_of(folder) / "error.txt").read_text(encoding="utf-8")


def steps_seen(folder: Path) -> dict[int, list[int]]:
    """Step to examples; where a step was done twice, both must have seen the same."""
    seen: dict[int, list[int]] = {}
    for line in (notes_of(folder) / "seen.jsonl").read_text().splitlines():
        number, _, examples = json.loads(line)
        assert seen.setdefault(number, examples) == examples
    return seen


def run_folder(folder: Path) -> Path:
    """The one run folder below an output folder."""
    (found,) = folder.glob("*/*/run.json")
    return found.parent


def result(folder: Path) -> dict[str, Any]:
    """The result of the one run below an output folder."""
    return json.loads((run_folder(folder) / "result.json").read_text(encoding="utf-8"))


def state(folder: Path) -> str:
    """The state of the one run below an output folder."""
    from lushan.run.folder import RunFolder

    return RunFolder(run_folder(folder)).state


# Faults; each is made by a call with its place, and picklable.


class At:
    """Do something to this process when a method has been called so often.

    Args:
        method: `module:Class.method`.
        call: Counted from 1; the thing happens before this call begins.
        signum: The signal to send.
    """

    def __init__(self, method: str, call: int, signum: int = signal.SIGKILL) -> None:
        self.method, self.call, self.signum = method, call, signum

    def __call__(self) -> None:
        import importlib

        module, _, path = self.method.partition(":")
        holder = importlib.import_module(module)
        *outer, name = path.split(".")
        for part in outer:
            holder = getattr(holder, part)
        original, count = getattr(holder, name), [0]

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            count[0] += 1
            if count[0] == self.call:
                os.kill(os.getpid(), self.signum)
                time.sleep(0.01)
            return original(*args, **kwargs)

        setattr(holder, name, wrapped)


def at_step(number: int, signum: int = signal.SIGKILL) -> At:
    """Before the optimizer step of this number, counted from 0 in this process."""
    return At("lushan.engine.lit_module:LitModule.training_step", number + 1, signum)


class Together:
    """Several faults."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults

    def __call__(self) -> None:
        for fault in self.faults:
            fault()


class Environment:
    """Variables of the environment; None removes one."""

    def __init__(self, **variables: str | None) -> None:
        self.variables = variables

    def __call__(self) -> None:
        for name, value in self.variables.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


class LossBecomes:
    """The loss of every call from one on is this number."""

    def __init__(self, value: float, call: int) -> None:
        self.value, self.call = value, call

    def __call__(self) -> None:
        from lushan.tasks.ner import NER

        original, count = NER.loss, [0]

        def wrapped(self_: Any, model: Any, batch: Any) -> Any:
            count[0] += 1
            loss = original(self_, model, batch)
            return loss * self.value if count[0] >= self.call else loss

        NER.loss = wrapped  # type: ignore[method-assign]


class LargestFile:
    """No file may grow beyond so many bytes: what a full disk looks like to a writer."""

    def __init__(self, size: int, from_step: int) -> None:
        self.size, self.from_step = size, from_step

    def __call__(self) -> None:
        import resource

        from lushan.engine.lit_module import LitModule

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        step, count = LitModule.training_step, [0]

        def wrapped(self_: Any, *args: Any) -> Any:
            if count[0] == self.from_step:
                resource.setrlimit(resource.RLIMIT_FSIZE, (self.size, self.size))
            count[0] += 1
            return step(self_, *args)

        LitModule.training_step = wrapped  # type: ignore[method-assign]


class Nobody:
    """Run as a user who owns nothing."""

    def __call__(self) -> None:
        os.setgid(65534)
        os.setuid(65534)
