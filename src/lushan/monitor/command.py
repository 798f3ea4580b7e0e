"""`lushan monitor`: a source read to its end, or followed."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lushan.common.terminal import echo, echo_notes
from lushan.errors import Interrupted, UserError
from lushan.launch.signals import Signals
from lushan.monitor import page
from lushan.monitor.alarms import Recipients
from lushan.monitor.classifier import Runs
from lushan.monitor.correction import Correction
from lushan.monitor.opening import source_of
from lushan.monitor.records import Parser, plural_counts
from lushan.monitor.service import COUNTED, Monitor, Settings
from lushan.monitor.sources import Source
from lushan.run.lock import lock_run

Spreading = Callable[[Sequence[Path], str], Runs]
"""From folders of runs and a label to the runs in several processes."""
PAGE_EVERY = 10.0
"""Seconds between two versions of the page while a source is followed."""


def run(
    runs: Sequence[Path],
    source: str,
    output: Path,
    settings: Settings,
    *,
    fields: Mapping[str, str],
    follow: bool,
    every: float,
    recipients: Mapping[str, str | None] | None,
    is_corrected: bool,
    changes: Path | None,
    spread: Spreading | None = None,
) -> None:
    """Read a source, count its texts and send alarms.

    Args:
        runs: Folders of runs.
        source: A file, a folder, `-` or a URL.
        output: Folder of the state.
        settings: What is counted; the topics are added here.
        fields: Names of the fields: `text`, `time` and `id`.
        follow: Whether to wait for more.
        every: Seconds between two requests of a URL.
        recipients: Fields of `Recipients`; None evaluates on history and sends nothing.
        is_corrected: Whether shares are corrected by the validation split.
        changes: Of an evaluation: the file of the real changes.
        spread: Where texts are labelled by a cluster; None labels them here.

    Raises:
        Interrupted: A signal stopped it; Ctrl-C is how following ends, and is none.
        UserError: There is no such run or source, or the state is that of other settings.
    """
    from lushan.monitor import replay

    sending = None if recipients is None else Recipients(**recipients)
    if sending is not None:
        sending.require_sound()
    marked = None if changes is None else replay.read_changes(changes)
    lines = source_of(source, follow=follow, every=every)
    models = Runs(runs, settings.label) if spread is None else spread(runs, settings.label)
    if settings.entities and not models.finds_entities:
        raise UserError("entities need a run of task=ner", key="--entity")
    correction = models.correction() if is_corrected else Correction.none()
    settings = dataclasses.replace(settings, topics=tuple(models.topics))
    echo_notes(models.notes)
    output.mkdir(parents=True, exist_ok=True)
    with lock_run(output):
        if sending is None and (output / "state.sqlite").exists():
            raise UserError("an evaluation needs a new folder", key="--output", value=output)
        monitor = Monitor(
            output,
            settings,
            models.classify,
            correction,
            Parser(fields["text"], fields["time"], fields["id"]),
            sending,
            facts={"runs": [str(run.resolve()) for run in runs], "source": source},
        )
        signals = Signals()
        with contextlib.suppress(Interrupted), signals.caught():
            _read(monitor, lines, signals, follow=follow)
        stopped = signals.pending
        is_replayed = sending is None and stopped is None
        if is_replayed:
            monitor.finish()
        path = page.write(monitor)
        _report(monitor, path)
        if is_replayed:
            echo(replay.report(monitor, marked))
        if stopped is not None and not (follow and stopped == signal.SIGINT):
            raise Interrupted(stopped)


def _read(monitor: Monitor, source: Source, signals: Signals, *, follow: bool) -> None:
    shown = time.monotonic()
    position = monitor.position
    for lines in source.follow(position) if follow else source.read(position):
        monitor.counts.update(source.counts)
        source.counts.clear()
        if lines.lines or monitor.counts or lines.position != position:
            monitor.take(lines)
            position = lines.position
        if follow and time.monotonic() - shown > PAGE_EVERY:
            page.write(monitor)
            shown = time.monotonic()
        if signals.pending is not None:  # where a library has swallowed the exception
            return


def _report(monitor: Monitor, path: Path) -> None:
    lines = dict(monitor.store.fact("lines", {}))
    counted = lines.pop(COUNTED, 0)
    others = plural_counts(lines)
    echo(f"{counted:,} texts counted{f'; not counted: {others}' if others else ''}")
    missing = [name for name in monitor.settings.series if name not in monitor.detectors]
    if missing:
        echo(
            f"note: no alarms yet for {', '.join(missing)}: the baseline needs "
            f"{monitor.settings.baseline} windows with texts, and 100 texts",
            err=True,
        )
    echo(f"{len(monitor.store.alarms())} alarms: {path}")
