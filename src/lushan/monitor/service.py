"""The monitor: lines in, counts and alarms out; each batch is one transaction."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lushan.common.terminal import echo
from lushan.errors import UserError
from lushan.guard import redact
from lushan.monitor import cusum
from lushan.monitor.alarms import Recipients
from lushan.monitor.classifier import Classify, Finding
from lushan.monitor.correction import Correction
from lushan.monitor.records import Parser, Record, iso, seconds
from lushan.monitor.sources import Lines
from lushan.monitor.store import ALL, KEPT, Sample, Store

FEWEST = 100
"""Texts of a series' baseline below which it gets no alarms."""
EXAMPLES = 20
"""Texts that are sent with an alarm."""
AT_ONCE = 2000
"""Texts that are classified and committed together."""
LATE, FUTURE, DUPLICATE, COUNTED = "late", "in the future", "duplicates", "counted"


def rate(text: str) -> float:
    """Return the seconds between two false alarms of `1/month`, `2/year`.

    Raises:
        UserError: It is no rate.
    """
    number, _, unit = text.partition("/")
    try:
        often = float(number)
        if not 0 < often < float("inf"):
            raise ValueError
        return seconds(unit or "month") / often
    except ValueError:
        raise UserError(
            "not a rate of false alarms",
            key="--false-alarms",
            value=text,
            hint="For example, write 1/month, 2/year or 0.5/week.",
        ) from None


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a monitor counts, and when that is an alarm.

    Attributes:
        label: The watched one.
        window: Seconds of a window.
        between: Seconds between two false alarms, on average, of all series together.
        rise: The factor on the share of the label that is to be found soonest.
        baseline: Windows with texts that the usual share is estimated from.
        lateness: Seconds by which a text may arrive behind a later one.
        topics: Labels of other runs; each has a series of its own.
        entities: Names of entities that have series of their own.
        redacts: Whether personal data are removed from texts that are stored.
    """

    label: str
    window: float = 3600.0
    between: float = 2629800.0
    rise: float = 1.5
    baseline: int = 100
    lateness: float = 0.0
    topics: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    redacts: bool = False

    def require_sound(self) -> None:
        """Refuse what has no meaning."""
        bounds = {
            "--window": (self.window >= 1, self.window, "must be 1 s or more"),
            "--rise": (self.rise > 1, self.rise, "must be above 1"),
            "--baseline": (self.baseline >= 20, self.baseline, "must be 20 windows or more"),
            "--lateness": (self.lateness >= 0, self.lateness, "must be 0 or more"),
            "--false-alarms": (
                self.between >= 10 * self.window,
                self.between,
                "at most one alarm in ten windows; write a lower rate, or a shorter --window",
            ),
        }
        for key, (fine, value, problem) in bounds.items():
            if not fine:
                raise UserError(problem, key=key, value=value)

    @property
    def series(self) -> list[str]:
        """Names of all series that may have alarms."""
        topics = [f"topic: {topic}" for topic in self.topics]
        return [ALL, *topics, *(f"entity: {name}" for name in self.entities)]

    @property
    def run_length(self) -> float:
        """Windows between two false alarms of each series: they share the stated rate."""
        return self.between / self.window * len(self.series)


class Monitor:
    """Counts a stream, and sends alarms.

    Args:
        folder: Of the state, the alarms and the page.
        settings: What is counted.
        classify: What labels texts.
        correction: Of the shares of the watched label.
        parser: Of lines.
        recipients: Of alarms; None where none are sent, as in an evaluation on history.
        facts: More that may not change while the state lasts.
    """

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        classify: Classify,
        correction: Correction,
        parser: Parser,
        recipients: Recipients | None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        self.folder, self.settings, self.classify = folder, settings, classify
        self.correction, self.parser, self.recipients = correction, parser, recipients
        kept = {"text": parser.text, "time": parser.time, "id": parser.id, **(facts or {})}
        self.store = Store(folder, {**dataclasses.asdict(settings), **kept})
        with self.store.transaction():
            self.store.set_fact("correction", dataclasses.asdict(correction))
        self.latest = float(self.store.fact("latest", 0.0))
        self.closed = int(self.store.fact("closed", -1))
        """The last window that takes no more texts."""
        stored = self.store.fact("detectors", {})
        self.detectors = {n: cusum.Detector.from_dict(d) for n, d in stored.items()}
        self.counts: Counter[str] = Counter()
        self.send()

    @property
    def position(self) -> Any:
        """Position of the source up to which all is counted."""
        return self.store.fact("position")

    def take(self, lines: Lines, now: float | None = None) -> None:
        """Count lines, close windows, and keep all of it with the position behind them.

        Args:
            lines: From the source.
            now: The time, in seconds since 1970.
        """
        moment = time.time() if now is None else now
        parsed = (self.parser.parse(line, moment) for line in lines.lines)
        records = [record for record in parsed if record is not None]
        with self.store.transaction():
            for start in range(0, len(records), AT_ONCE):
                self._count(records[start : start + AT_ONCE], moment)
            self.counts.update(self.parser.counts)
            self.parser.counts.clear()
            self.store.add_counts(self.counts)
            self.store.set_fact("position", lines.position)
        self.send()

    def _count(self, records: Sequence[Record], now: float) -> None:
        """Count some records, and close the windows that they end."""
        new = list(self._new(records, now))
        found = self.classify([record.text for _, record in new]) if new else []
        counts: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
        entities: dict[tuple[int, str], list[int]] = defaultdict(lambda: [0, 0])
        samples: list[Sample] = []
        for (window, record), one in zip(new, found, strict=True):
            for name in self._series(one):
                row = counts[window, name]
                row[0] += 1
                row[1] += one.watched
                if one.watched:
                    text = self._redacted(record.text)[:1000]
                    samples.append((window, name, one.score, record.time, text))
            for name in one.entities:
                row = entities[window, self._redacted(name)[:200]]
                row[0] += 1
                row[1] += one.watched
        seen = [(record.key, window) for window, record in new]
        self.store.add(seen, counts, entities, samples)
        self.counts[COUNTED] += len(new)
        self._close(self._window(self.latest - self.settings.lateness) - 1)
        self.store.set_fact("latest", self.latest)

    def _redacted(self, text: str) -> str:
        return redact(text) if self.settings.redacts else text

    def _series(self, one: Finding) -> Iterable[str]:
        yield ALL
        for topic in one.topics:
            yield f"topic: {topic}"
        for name in self.settings.entities:
            if name in one.entities:
                yield f"entity: {name}"

    def _window(self, moment: float) -> int:
        return int(moment // self.settings.window)

    def _new(self, records: Sequence[Record], now: float) -> Iterable[tuple[int, Record]]:
        """Yield records to count with their windows; count the others by reason.

        Whether one is late depends on those before it, not on what is read at a time.
        """
        known = self.store.known([record.key for record in records])
        for record in records:
            if record.key in known:
                self.counts[DUPLICATE] += 1
                continue
            if record.time > now + self.settings.window:
                self.counts[FUTURE] += 1
                continue
            window = self._window(record.time)
            if window < self._window(self.latest - self.settings.lateness):
                self.counts[LATE] += 1
                continue
            known.add(record.key)
            self.latest = max(self.latest, record.time)
            yield window, record

    def finish(self) -> None:
        """Close all windows: no more texts follow."""
        with self.store.transaction():
            self._close(self._window(self.latest))
        self.send()

    def _close(self, last: int) -> None:
        """Close all windows up to one, in their order."""
        if last <= self.closed:
            return
        for window, _, _ in self.store.series(ALL, self.closed + 1, last):
            counted = self.store.counted(window)
            for name, detector in self.detectors.items():
                texts, found = counted.get(name, (0, 0))
                if detector.step(window, found, texts):
                    self.store.add_alarm(self._alarm(name, window, detector))
                self.store.keep_sum(window, name, detector.value, detector.threshold)
            self.closed = window
            self._learn(window)
        self.closed = last
        self.store.set_fact("closed", last)
        self.store.set_fact("detectors", {n: d.as_dict() for n, d in self.detectors.items()})
        self.store.forget(last - KEPT)

    def _learn(self, window: int) -> None:
        """Design the detectors of those series that have a baseline after a window."""
        waited = int(self.store.fact("waited", 0)) + 1
        if waited == self.settings.baseline:
            windows = [w for w, _, _ in self.store.recent(ALL, window, self.settings.baseline)]
            for name in self.settings.series:
                if name not in self.detectors:
                    self._design(name, windows)
            waited = 0
        if len(self.detectors) < len(self.settings.series):
            self.store.set_fact("waited", waited)

    def _design(self, name: str, windows: Sequence[int]) -> None:
        counted = {w: (n, k) for w, n, k in self.store.series(name, windows[0], windows[-1])}
        texts = [counted.get(window, (0, 0))[0] for window in windows]
        found = [counted.get(window, (0, 0))[1] for window in windows]
        if sum(texts) < FEWEST:
            return  # tried again when as many windows have passed; the page says so

        def raised(share: float) -> float:
            return self.correction.raised(share, self.settings.rise)

        self.detectors[name] = cusum.design(found, texts, raised, self.settings.run_length)

    def _alarm(self, name: str, window: int, detector: cusum.Detector) -> dict[str, Any]:
        first = window if detector.since is None else detector.since
        rows = self.store.series(name, first, window)
        texts, found = sum(row[1] for row in rows), sum(row[2] for row in rows)
        low, high = self.correction.interval(found, texts)
        width = self.settings.window
        usual = self.correction.adjusted(round(detector.baseline.share * 10**6), 10**6)
        examples = self.store.texts(name, first, window, EXAMPLES)
        return {
            "series": name,
            "label": self.settings.label,
            "since": iso(first * width),
            "until": iso((window + 1) * width),
            "window": window,
            "texts": texts,
            "found": found,
            "share": round(self.correction.adjusted(found, texts), 6),
            "low": round(low, 6),
            "high": round(high, 6),
            "usual": round(usual, 6),
            "sum": round(detector.value, 4),
            "threshold": round(detector.threshold, 4),
            "examples": [{**one, "time": iso(one["time"])} for one in examples],
        }

    def send(self) -> None:
        """Send the alarms that have been committed and not been sent yet."""
        if self.recipients is None:
            return
        for number, body in self.store.alarms(unsent=True):
            for failure in self.recipients.send(body, self.folder):
                self.counts["alarms not delivered"] += 1
                echo(f"warning: alarm {number} was not delivered: {failure}", err=True)
            with self.store.transaction():
                self.store.mark_sent(number)
                self.store.add_counts(self.counts)
