"""Streams of texts with times, and a monitor whose classifier looks for a word."""

from __future__ import annotations

import json
import random
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from lushan.monitor.alarms import Recipients
from lushan.monitor.classifier import Finding
from lushan.monitor.correction import Correction
from lushan.monitor.records import Parser
from lushan.monitor.service import Monitor, Settings

HOUR = 3600
START = 470_000 * HOUR
SETTINGS = Settings("bad", baseline=60, rise=2.0)


def by_word(texts: Sequence[str]) -> list[Finding]:
    """Find the label in texts that have the word."""
    return [Finding("bad" in t.split(), 0.9 if "bad" in t else 0.1) for t in texts]


def line(moment: Any, text: str, **more: Any) -> bytes:
    """A line of a stream."""
    return json.dumps({"time": moment, "text": text, **more}).encode()


def monitor(
    folder: Path, settings: Settings = SETTINGS, recipients: Recipients | None = None
) -> Monitor:
    """A monitor without a model."""
    return Monitor(folder, settings, by_word, Correction.none(), Parser(), recipients)


def stream(
    windows: int = 200,
    each: int = 30,
    raised: Collection[int] = (),
    seed: int = 1,
    usual: float = 0.1,
    high: float = 0.4,
) -> Iterator[bytes]:
    """Lines, so many an hour, of which some have the word: more in the raised hours."""
    rng = random.Random(seed)
    for window in range(windows):
        share = high if window in raised else usual
        for i in range(each):
            word = "bad" if rng.random() < share else "good"
            yield line(START + window * HOUR + i * HOUR / each, f"{word} text {window} {i}")
