"""Lines as texts with times; what is none is counted by its reason."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import math
import re
from collections import Counter
from typing import Any

from lushan.common.parsing import is_text, parse_json

MILLISECONDS = 1e11
"""Seconds since 1970 do not reach it before the year 5138: numbers above are milliseconds."""
NOW = "now"
"""Value of `--time`: the time at which a text was read."""

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_UNITS |= {"second": 1, "minute": 60, "hour": 3600, "day": 86400, "week": 604800}
_UNITS |= {"month": 2629800, "year": 31557600}
"""Seconds; a month is a twelfth of 365.25 days."""
MONTH = _UNITS["month"]
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)?\s*([a-z]+?)s?")


def seconds(text: str) -> float:
    """Return the seconds of a length of time: `90s`, `15min`, `1h`, `day`, `2 weeks`.

    Raises:
        ValueError: It is none, or 0.
    """
    found = _LENGTH.fullmatch(text.strip().lower())
    unit = found and (_UNITS.get(found[2]) or _UNITS.get(f"{found[2]}s"))
    if not found or not unit or not (length := float(found[1] or 1) * unit):
        raise ValueError("write a number and s, min, h, day, week, month or year, such as 1h")
    return length


@dataclasses.dataclass(frozen=True, slots=True)
class Record:
    """A text of the stream.

    Attributes:
        time: In seconds since 1970, UTC.
        text: The text.
        key: A 64-bit hash of its id, or of time and text where it has none.
    """

    time: float
    text: str
    key: int


@dataclasses.dataclass
class Parser:
    """Parser of lines: JSON objects, or plain texts where times are those of reading.

    Attributes:
        text: The field of the text.
        time: The field of the time; `now` is the time of reading.
        id: The field of the id, if there are ids.
        counts: Lines that are no record, by reason.
    """

    text: str = "text"
    time: str = "time"
    id: str = "id"
    counts: Counter[str] = dataclasses.field(default_factory=Counter)

    def parse(self, line: bytes, now: float) -> Record | None:
        """Return the record of a line; None where it is blank, or was counted as none."""
        if not line.strip():
            return None
        try:
            content = line.decode("utf-8")
        except UnicodeDecodeError:
            self.counts["not UTF-8"] += 1
            return None
        if self.time == NOW and content.lstrip()[:1] != "{":
            return Record(now, content.strip(), _key(f"{now!r}\0{content}"))
        try:
            row = parse_json(line, bounded=False)
        except ValueError:
            self.counts["not JSON"] += 1
            return None
        return self.of_row(row, now)

    def of_row(self, row: Any, now: float) -> Record | None:
        """Return the record of a JSON value; None where it was counted as none."""
        if not isinstance(row, dict):
            self.counts["no JSON object"] += 1
            return None
        text = row.get(self.text)
        if not isinstance(text, str) or not text.strip():
            self.counts[f"no text in {self.text!r}"] += 1
            return None
        if not is_text(text):
            self.counts["half of a surrogate pair"] += 1
            return None
        time = now if self.time == NOW else row.get(self.time)
        if time is None or time == "":
            self.counts[f"no time in {self.time!r}"] += 1
            return None
        if (moment := moment_of(time)) is None:
            self.counts["a time that cannot be read"] += 1
            return None
        named = row.get(self.id)
        is_named = isinstance(named, str | int) and not isinstance(named, bool)
        return Record(moment, text, _key(f"id\0{named}" if is_named else f"{moment!r}\0{text}"))


def moment_of(value: Any) -> float | None:
    """Return a time in seconds since 1970; None where it is none.

    Args:
        value: ISO 8601 (without a zone it is UTC), or seconds or milliseconds since 1970.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        number = float(value) if abs(value) < 1e15 else math.nan
        number = number / 1000 if abs(number) >= MILLISECONDS else number
        return number if math.isfinite(number) and number >= 0 else None
    if not isinstance(value, str) or len(value) > 64:
        return None
    try:
        found = datetime.datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=datetime.UTC)
    try:
        return max(0.0, found.timestamp()) if found.year >= 1970 else None
    except (OverflowError, ValueError):
        return None


def iso(moment: float) -> str:
    """Return a time as ISO 8601, UTC, to the second."""
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _key(text: str) -> int:
    content = text.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(content, digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def plural_counts(counts: Counter[str] | dict[str, int]) -> str:
    """Return counts in one line: `3 late, 1 not JSON`."""
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()) if count)
