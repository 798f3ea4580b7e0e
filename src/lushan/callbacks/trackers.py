"""Trackers of a run: W&B and TensorBoard get copies, and can neither stop nor slow the run.

`metrics.csv` and `result.json` are the record; a tracker gets them from a thread of its own. What
fails first there is one warning, the rest is left out, and `lushan sync RUN` sends it later.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pytorch_lightning.loggers import Logger

from lushan.callbacks.wandb_server import answers, api_key, base_url, refuse_workspace_settings
from lushan.common.units import SHARE, head, number
from lushan.config.build import build
from lushan.configurable import configurable
from lushan.errors import RunFailed, UserError
from lushan.run import checksums
from lushan.run.config_yaml import read_config
from lushan.run.folder import RunFolder
from lushan.run.metrics_csv import SAMPLES, read_rows, read_samples
from lushan.run.redaction import redact, redact_config
from lushan.run.result import RunResult

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

CLOSE_SECONDS = 20.0
"""Seconds that a tracker has to take what is left when its run is over."""
STOP_SECONDS = 5.0
"""The same where the run was stopped or failed."""
MOST_WAITING = 10_000
"""Messages that a tracker may be behind; one that is slower is left out, and sent to later."""
MOST_SAMPLES = 1000
"""Rows of a table of texts: the newest ones."""


@dataclasses.dataclass(frozen=True)
class About:
    """Facts of a run that a tracker gets before training begins; secrets are redacted.

    Attributes:
        folder: The run folder.
        name: Of the experiment.
        run_id: Of the run, and so of its copy: a resumed run continues it.
        config: Resolved.
        tags: Of the config.
    """

    folder: Path
    name: str
    run_id: str
    config: Mapping[str, Any]
    tags: tuple[str, ...]

    @classmethod
    def of(cls, cfg: Mapping[str, Any], folder: Path) -> About:
        """Describe the run of a config."""
        redacted = redact_config(cfg)
        tags = tuple(str(tag) for tag in redacted.get("tags") or ())
        return cls(folder, str(redacted["name"]), folder.name, redacted, tags)


class Tracker(Protocol):
    """Destination of a copy of a run's numbers; each method is called from one thread."""

    def start(self, about: About) -> None:
        """Begin the copy, or continue it if the run was resumed."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Take some numbers of one step."""

    def finish(self, result: RunResult | None, folder: Path) -> None:
        """End; with a result, take its numbers, tables and plots."""


@configurable
class WandB:
    """Weights & Biases: online where there is a key and a server, else offline; never a prompt.

    Args:
        project: W&B's project.
        entity: W&B's user or team; null is the key's own.
        mode: `auto` is online with a key and offline without; or as W&B has them.
    """

    def __init__(
        self,
        *,
        project: str = "lushan",
        entity: str | None = None,
        mode: Literal["auto", "online", "offline", "disabled"] = "auto",
    ) -> None:
        self.project, self.entity, self.mode = project, entity, mode
        self.run: Any = None

    def start(self, about: About) -> None:
        """Open W&B's run, under the run id."""
        refuse_workspace_settings()
        import wandb

        self.run = wandb.init(
            project=self.project,
            entity=self.entity,
            id=about.run_id,
            name=f"{about.name}-{about.run_id}",
            group=about.name,
            tags=list(about.tags),
            config=dict(about.config),
            dir=str(about.folder),
            resume="allow",
            mode=self._mode(),
            settings=wandb.Settings(
                base_url=base_url(),
                silent=True,
                console="off",
                # They would hold the command line and the working tree; the manifest has both,
                # without secrets.
                x_disable_meta=True,
                x_disable_machine_info=True,
                disable_git=True,
                disable_code=True,
                x_save_requirements=False,
                init_timeout=30,
            ),
        )
        if self.run.url:
            log.info("W&B: %s", self.run.url)

    def _mode(self) -> Any:
        mode = self.mode
        if mode == "auto":
            mode = os.environ.get("WANDB_MODE", "online" if api_key() else "offline")  # type: ignore[assignment]
        if mode == "online" and not answers(base_url()):
            log.warning(
                "warning: %s does not answer; W&B writes offline, and `lushan sync` sends it later",
                base_url(),
            )
            return "offline"
        return mode

    def log(self, values: Mapping[str, float], step: int) -> None:
        """One row."""
        self.run.log(dict(values), step=step)

    def samples(self, rows: Sequence[Mapping[str, Any]], step: int) -> None:
        """All texts written so far, as a table: one sees the model learn to speak."""
        import wandb

        data = [list(row.values()) for row in rows[-MOST_SAMPLES:]]
        self.run.log({"samples": wandb.Table(columns=[*rows[0]], data=data)}, step=step)

    def finish(self, result: RunResult | None, folder: Path) -> None:
        """The summary, the per-class table, the plots; a stopped run stays open for its resume."""
        import wandb

        if result is None:
            self.run.finish(exit_code=1)
            return
        self.run.summary.update({k: v for k, v in result.metrics.items() if v is not None})
        rows = class_rows(result)
        if rows:
            data = [list(row.values()) for row in rows]
            table = wandb.Table(columns=[*rows[0]], data=data)
            self.run.log({"report": table})
        plots = sorted((folder / "plots").glob("*.png"))
        if plots:
            self.run.log({f"plots/{path.stem}": wandb.Image(str(path)) for path in plots})
        self.run.finish(exit_code=0)


@configurable
class TensorBoard:
    """TensorBoard's event files, in the run folder's `tensorboard/`."""

    def __init__(self) -> None:
        self.writer: Any = None

    def start(self, about: About) -> None:
        """Open the event file."""
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(about.folder / "tensorboard"))

    def log(self, values: Mapping[str, float], step: int) -> None:
        """One scalar each."""
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def samples(self, rows: Sequence[Mapping[str, Any]], step: int) -> None:
        """The texts of this step."""
        new = [f"**{row['prompt']}** {row['text']}" for row in rows if row["step"] == step]
        self.writer.add_text("samples", "\n\n".join(new), step)

    def finish(self, result: RunResult | None, folder: Path) -> None:
        """The final numbers, the per-class table and the plots."""
        if result is not None:
            for name, value in result.metrics.items():
                if value is not None:
                    self.writer.add_scalar(f"result/{name}", value, 0)
            if rows := class_rows(result):
                self.writer.add_text("report", _markdown(rows), 0)
            for path in sorted((folder / "plots").glob("*.png")):
                self.writer.add_image(f"plots/{path.stem}", _pixels(path), 0, dataformats="HWC")
        self.writer.close()


class Guarded(Logger):
    """Calls a tracker from a thread of its own, until it first fails.

    Args:
        tracker: The tracker to call.
        about: The run.
    """

    def __init__(self, tracker: Tracker, about: About) -> None:
        super().__init__()
        self.tracker, self.about = tracker, about
        self.failed = False
        self._waiting: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=f"{self.name}", daemon=True)
        self._waiting.put(lambda: tracker.start(about))
        self._thread.start()

    @property
    def name(self) -> str:
        """The tracker's."""
        return type(self.tracker).__name__

    @property
    def version(self) -> str:
        """The run id."""
        return self.about.run_id

    def log_hyperparams(self, params: object, *args: object, **kwargs: object) -> None:
        """Do nothing: the tracker got the config at the start."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Pass some numbers on; returns at once."""
        values = {name: float(value) for name, value in metrics.items()}
        self._send(lambda: self.tracker.log(values, step or 0))

    def log_samples(self, rows: Sequence[Mapping[str, Any]], step: int) -> None:
        """Pass on what the model has written, all rows so far, to a tracker that has a place."""
        take, redacted = getattr(self.tracker, "samples", None), list(rows)
        if take is not None and redacted:
            self._send(lambda: take(redacted, step))

    def _send(self, message: Callable[[], None]) -> None:
        if self.failed:
            return
        self._waiting.put(message)
        if self._waiting.qsize() > MOST_WAITING:
            self._give_up(f"it is {MOST_WAITING:,} messages behind")

    def close(self, result: RunResult | None) -> None:
        """End the tracker's copy; waits for it only so long."""
        self._waiting.put(lambda: self.tracker.finish(result, self.about.folder))
        self._waiting.put(None)
        self._thread.join(CLOSE_SECONDS if result is not None else STOP_SECONDS)
        if self._thread.is_alive() and not self.failed:
            self._give_up("it does not take what is left")

    def _work(self) -> None:
        while (redacted := self._waiting.get()) is not None:
            if self.failed:
                continue
            try:
                redacted()
            except BaseException as error:  # noqa: BLE001  (its own exits, too, are not ours)
                self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, reason: str) -> None:
        self.failed = True
        first = next(iter(redact(reason).splitlines()), "")
        log.warning(
            "warning: %s failed and is left out of this run (%s). The run's own record continues; "
            "`lushan sync %s` sends it to W&B later.",
            self.name,
            first,
            self.about.folder,
        )


class _Adapted:
    """A logger of Lightning's, or a user's own, as a tracker."""

    def __init__(self, logger: Logger) -> None:
        self.logger = logger

    def start(self, about: About) -> None:
        self.logger.log_hyperparams(dict(about.config))

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.logger.log_metrics(dict(values), step)

    def finish(self, result: RunResult | None, folder: Path) -> None:
        if result is not None:
            self.logger.log_metrics({k: v for k, v in result.metrics.items() if v is not None})
        self.logger.finalize("success" if result is not None else "failed")


def make(cfg: Mapping[str, Any], folder: Path) -> list[Guarded]:
    """The trackers that a config names, started.

    Args:
        cfg: The checked config; `logger` maps a name of the user's to a node, or is empty.
        folder: The run folder.
    """
    about = About.of(cfg, folder)
    made = [build(node) for node in (cfg.get("logger") or {}).values() if node]
    return [Guarded(_Adapted(t) if isinstance(t, Logger) else t, about) for t in made]


@contextlib.contextmanager
def tracked(trackers: list[Guarded]) -> Any:
    """Close trackers at the end of a block: with the result that it appends to what it is given.

    Yields:
        A list for the result; where it stays empty, the run was stopped or failed.
    """
    results: list[RunResult] = []
    try:
        yield results
    finally:
        for tracker in trackers:
            tracker.close(results[0] if results else None)


def sync(folder: str | Path) -> str:
    """Send a run's record to W&B.

    Args:
        folder: A run folder.

    Returns:
        The address of the copy.

    Raises:
        UserError: It is no run folder, or there is no key.
        RunFailed: The server does not answer.
    """
    run = RunFolder(folder)
    cfg = read_config(folder)
    if not api_key():
        hint = "Set it, or run `wandb login` once."
        raise UserError("W&B needs a key", key="WANDB_API_KEY", hint=hint)
    if not answers(base_url()):
        raise RunFailed(f"{base_url()} does not answer")
    node = (cfg.get("logger") or {}).get("wandb") or {}
    tracker = WandB(project=node.get("project", "lushan"), entity=node.get("entity"), mode="online")
    tracker.start(About.of(cfg, run.path.resolve()))
    url = str(tracker.run.url)
    for row in read_rows(checksums.verified(run.path, "metrics.csv")):
        numbers = {k: float(v) for k, v in row.items() if v and k != "step"}
        tracker.log(numbers, int(row["step"]))
    if written := read_samples(checksums.verified(run.path, SAMPLES)):
        tracker.samples(written, int(written[-1]["step"]))
    tracker.finish(run.result(), run.path)
    return url


def class_rows(result: RunResult) -> list[dict[str, Any]]:
    """The per-class report as flat rows: split, level, class, precision, recall, f1, support."""
    rows = []
    for split, levels in result.reports.items():
        for level, classes in levels.items():
            found = classes if isinstance(classes, Mapping) else {}
            for name, scores in found.items():
                if isinstance(scores, Mapping):
                    rows.append({"split": split, "level": level, "class": name} | dict(scores))
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [{c: row.get(c) for c in columns} for row in rows]


def _markdown(rows: list[dict[str, Any]]) -> str:
    columns = list(rows[0])
    heads = [head(str(c), SHARE) if isinstance(rows[0][c], float) else str(c) for c in columns]
    lines = ["| " + " | ".join(heads) + " |", "|" + " --- |" * len(columns)]
    for row in rows:
        cells = (number(v, SHARE) if isinstance(v, float) else str(v) for v in row.values())
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _pixels(path: Path) -> NDArray[np.uint8]:
    from matplotlib.image import imread

    return imread(path)[..., :3]
