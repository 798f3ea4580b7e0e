"""Runs that die at chosen moments, in this process, and are started again.

A moment is a place between two things that act: before a hook of a callback or of the module,
before a step, before a save. What dies leaves nothing behind but what it had written by then: no
handler of an exception runs.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import random
import re
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping
from pytorch_lightning.profilers import PassThroughProfiler
from pytorch_lightning.trainer import call

from lushan.config.build import source_of
from lushan.engine import fit
from lushan.errors import Pruned
from lushan.launch.signals import Signals

ACTS = re.compile(r"\.(on_\w+|training_step|validation_step)$|^save_checkpoint$")
CALLBACK = re.compile(r"^\[Callback\](?P<key>.*)\.(?P<hook>\w+)$", re.DOTALL)


class Killed(BaseException):
    """The process is gone."""


class Moments:
    """Write down the moments of runs, and let them die at some of them.

    Attributes:
        seen: Each moment once, in the order in which they came.
        fatal: Moments at which a run dies; each does so once.
        watch: Called at each moment.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: dict[tuple[int, int, str], None] = {}
        self.fatal: set[tuple[int, int, str]] = set()
        self.watch: Callable[[], None] | None = None
        self._trainer: Any = None
        make, interrupt = fit.make_trainer, call._interrupt

        def made(*args: Any, **given: Any) -> Any:
            self._trainer = make(*args, **given)
            return self._trainer

        def interrupted(trainer: Any, exception: BaseException) -> None:
            if not isinstance(exception, Killed):
                interrupt(trainer, exception)

        monkeypatch.setattr(fit, "make_trainer", made)
        monkeypatch.setattr(call, "_interrupt", interrupted)
        monkeypatch.setattr(PassThroughProfiler, "start", lambda _, action: self._reach(action))

    def _reach(self, action: str) -> None:
        if self._trainer.state.fn != "fit" or not ACTS.search(action) or self._is_idle(action):
            return
        moment = (self._trainer.global_step, self._trainer.current_epoch, action)
        self.seen[moment] = None
        if self.watch is not None:
            self.watch()
        if moment in self.fatal:
            self.fatal.remove(moment)
            raise Killed(moment)

    def _is_idle(self, action: str) -> bool:
        """Whether it is a hook that its callback has not."""
        if (found := CALLBACK.match(action)) is None:
            return False
        hook = found["hook"]
        return not any(
            callback.state_key == found["key"]
            and getattr(type(callback), hook) is not getattr(pl.Callback, hook, None)
            for callback in self._trainer.callbacks
        )


class Copies:
    """Copies of a folder as a death would leave it: one for each content that it has had.

    Attributes:
        found: A copy, and what else lasts, such as what a search's storage has been given.
    """

    def __init__(self, place: Path) -> None:
        self.place = place
        self.found: list[tuple[Path, Any]] = []
        self._seen: tuple[Any, ...] = ()

    def take(self, folder: Path, lasts: Any = None) -> None:
        """Copy the folder if it has changed; logs decide nothing."""
        files = (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".txt")
        content = {path.relative_to(folder): path.read_bytes() for path in files}
        if (content, lasts) != self._seen:
            self._seen = (content, lasts)
            self.found.append((self.place / str(len(self.found)), lasts))
            shutil.copytree(folder, self.found[-1][0])


def life(cfg: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Carry out a run, or what is left of it; all that must be equal.

    Raises:
        Killed: It died.
    """
    folder.mkdir(exist_ok=True)
    with Signals().caught() as signals:
        try:
            fitted = fit.fit(cfg, folder, signals, source_of(cfg))
        except Pruned as end:
            return {"pruned": str(end), "curve": curve(folder)}
    kept = ("metrics", "best_step", "steps", "train_examples", "train_tokens", "weights_sha256")
    found = {name: getattr(fitted, name) for name in (*kept, "final_weights_sha256")}
    samples = folder / "samples.jsonl"
    written = samples.read_text(encoding="utf-8") if samples.exists() else None
    return found | {"curve": curve(folder), "samples": written}


def lives(cfg: Mapping[str, Any], folder: Path, moments: Moments, fatal: Collection[Any]) -> Any:
    """Carry out a run that dies at each of some moments; the results of its last life."""
    moments.fatal = set(fatal)
    while True:
        try:
            return life(cfg, folder)
        except Killed:
            continue


def curve(folder: Path) -> list[dict[str, str]]:
    """The rows of metrics.csv without the clock."""
    with (folder / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if k != "seconds"} for row in csv.DictReader(file)]


def _acting(hook: str) -> Callable[..., None]:
    def act(self: Any, trainer: pl.Trainer, pl_module: Any, *args: Any) -> None:
        del args
        self.act(hook, trainer, pl_module)

    return act


class Witness(pl.Callback):
    """Acts in every hook of training, and what it does there depends on all that it did before.

    It remembers, draws from each global random state, and moves a weight; so the last weights show
    whether a hook was called once too often, too seldom, or with another state.
    """

    def __init__(self) -> None:
        self.memory = ""

    def act(self, hook: str, trainer: pl.Trainer, pl_module: Any) -> None:
        """Remember, draw, move a weight."""
        drawn = (random.random(), np.random.rand(), float(torch.rand(())))  # noqa: NPY002
        metrics = sorted((k, float(v)) for k, v in trainer.callback_metrics.items())
        shown = (self.memory, hook, trainer.global_step, trainer.current_epoch, drawn, metrics)
        self.memory = hashlib.sha256(repr(shown).encode()).hexdigest()
        weight = next(iter(pl_module.model.parameters()))
        with torch.no_grad():
            weight.view(-1)[0] += int(self.memory[:4], 16) / 2**24

    def state_dict(self) -> dict[str, Any]:
        """What it remembers."""
        return {"memory": self.memory}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it over."""
        self.memory = state["memory"]


for _hook in (
    *("on_train_epoch_start", "on_train_epoch_end", "on_train_batch_start", "on_train_batch_end"),
    *("on_validation_start", "on_validation_end", "on_validation_epoch_end", "on_train_end"),
    *("on_validation_epoch_start", "on_validation_batch_end"),
):
    setattr(Witness, _hook, _acting(_hook))


class LateWitness(EarlyStopping, Witness):
    """The same among the callbacks that watch a metric, which act after all others."""

    def __init__(self) -> None:
        EarlyStopping.__init__(self, "val/loss", min_delta=10, patience=2)
        self.memory = ""

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: Any) -> None:
        """Watch, and act."""
        super().on_train_epoch_end(trainer, pl_module)
        self.act("late on_train_epoch_end", trainer, pl_module)

    def state_dict(self) -> dict[str, Any]:
        """What both remember."""
        return EarlyStopping.state_dict(self) | Witness.state_dict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take it over."""
        EarlyStopping.load_state_dict(self, state)
        Witness.load_state_dict(self, state)


class Unreadable(pl.Callback):
    """Has a state that only code could read."""

    def state_dict(self) -> dict[str, Any]:
        """A path."""
        return {"deep": [{"place": Path("here")}], "weights": torch.zeros(3)}


@dataclasses.dataclass
class Hopeless:
    """A search's trial that is pruned after some validations."""

    after: int
    reported: dict[int, float] = dataclasses.field(default_factory=dict)

    def report(self, number: int, value: float) -> None:
        """Take a value."""
        assert self.reported.setdefault(number, value) == value

    def is_hopeless(self, pruner: Any) -> bool:
        """Whether to end it."""
        del pruner
        return len(self.reported) >= self.after

    def mark_pruned(self, printed: str) -> None:
        """Take the end."""
