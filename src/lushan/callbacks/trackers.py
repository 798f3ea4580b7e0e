"""Trackers of a run: W&B, MLflow, TensorBoard get copies, and can neither stop nor slow the run.

`metrics.csv` and `result.json` are the record; a tracker gets them from a thread of its own. What
fails first there is one warning, the rest is left out and counted, and `lushan sync RUN` sends it
later.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning.loggers import Logger

from lushan.callbacks.destinations.tracker import About, Completed, Tracker
from lushan.config.build import build
from lushan.run.redaction import redact

log = logging.getLogger(__name__)

CLOSE_SECONDS = 20.0
"""Seconds that a tracker has to take what is left when its run is over."""
STOP_SECONDS = 5.0
"""The same where the run was stopped or failed."""
WEIGHTS_SECONDS = 600.0
"""The same where weights are sent."""
MOST_WAITING = 10_000
"""Messages that a tracker may be behind; one that is slower is left out, and sent to later."""


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
        self.lost = 0
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
            self.lost += 1
            return
        self._waiting.put(message)
        if self._waiting.qsize() > MOST_WAITING:
            self._give_up(f"it is {MOST_WAITING:,} messages behind")

    def close(self, done: Completed | None) -> None:
        """End the tracker's copy; waits for it only so long."""
        self._waiting.put(lambda: self.tracker.finish(done, self.about.folder))
        self._waiting.put(None)
        seconds = CLOSE_SECONDS
        if done is None:
            seconds = STOP_SECONDS
        elif getattr(self.tracker, "weights", False):
            seconds = WEIGHTS_SECONDS
        self._thread.join(seconds)
        if self._thread.is_alive():
            self.lost += self._waiting.qsize()
            if not self.failed:
                self._give_up("it does not accept the remaining messages")
        if self.lost:
            log.warning("warning: %s did not receive %d of its messages", self.name, self.lost)

    def _work(self) -> None:
        while (message := self._waiting.get()) is not None:
            if self.failed:
                self.lost += 1
                continue
            try:
                message()
            except BaseException as error:  # noqa: BLE001  (its own exits, too, are not ours)
                self.lost += 1
                self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, reason: str) -> None:
        self.failed = True
        first = next(iter(redact(reason).splitlines()), "")
        later = getattr(self.tracker, "later", "")
        log.warning(
            "warning: %s failed and is turned off for this run (%s). The run's own log continues%s",
            self.name,
            first,
            f"; `{later.format(self.about.folder)}` uploads it later." if later else ".",
        )


class _Adapted:
    """A logger of Lightning's, or a user's own, as a tracker."""

    def __init__(self, logger: Logger) -> None:
        self.logger = logger

    def start(self, about: About) -> None:
        self.logger.log_hyperparams(dict(about.config))

    def log(self, values: Mapping[str, float], step: int) -> None:
        self.logger.log_metrics(dict(values), step)

    def finish(self, done: Completed | None, folder: Path) -> None:
        if done is not None:
            metrics = done.result.metrics.items()
            self.logger.log_metrics({k: v for k, v in metrics if v is not None})
        self.logger.finalize("success" if done is not None else "failed")


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
def tracked(trackers: list[Guarded]) -> Iterator[list[Completed]]:
    """Close trackers at the end of a block: with the result that it appends to what it is given.

    Yields:
        A list for the complete run; where it stays empty, the run was stopped or failed.
    """
    completed: list[Completed] = []
    try:
        yield completed
    finally:
        for tracker in trackers:
            tracker.close(completed[0] if completed else None)
