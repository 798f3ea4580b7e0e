"""The state of a monitor: position, counts, sums and alarms, in one database.

Whatever a batch of lines changes is one transaction of SQLite, with the position behind them. A
process that is killed at any moment leaves the state before a batch or after it, never between, so
that each text is counted once. Memory does not grow with the stream.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lushan.common.parsing import parse_json
from lushan.errors import UserError

FILE = "state.sqlite"
ALL = "all"
"""The series of all texts."""
TEXTS = 20
"""Texts with the watched label that are kept of a window and series."""
KEPT = 200
"""Windows of which texts, entities and keys are kept."""

_TABLES = """
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS counts (
    window INTEGER, series TEXT, texts INTEGER, found INTEGER, PRIMARY KEY (window, series)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS sums (
    window INTEGER, series TEXT, value REAL, threshold REAL, PRIMARY KEY (window, series)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS entities (
    window INTEGER, name TEXT, texts INTEGER, found INTEGER, PRIMARY KEY (window, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS counts_series ON counts (series, window);
CREATE INDEX IF NOT EXISTS sums_series ON sums (series, window);
CREATE TABLE IF NOT EXISTS seen (key INTEGER PRIMARY KEY, window INTEGER);
CREATE INDEX IF NOT EXISTS seen_windows ON seen (window);
CREATE TABLE IF NOT EXISTS texts (
    window INTEGER, series TEXT, score REAL, time REAL, text TEXT
);
CREATE INDEX IF NOT EXISTS texts_windows ON texts (window, series);
CREATE TABLE IF NOT EXISTS alarms (
    number INTEGER PRIMARY KEY, body TEXT, sent INTEGER DEFAULT 0
);
"""

Sample = tuple[int, str, float, float, str]
"""Window, series, score, time and text."""


class Store:
    """The state in a folder.

    Args:
        folder: Made when missing.
        settings: What may not change while the state lasts.

    Raises:
        UserError: The folder holds the state of other settings, or the file is none of a monitor.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / FILE
        self.database = sqlite3.connect(self.path, isolation_level=None)
        try:
            self.database.execute("PRAGMA journal_mode=WAL")
            self.database.executescript(_TABLES)
            known = self.fact("settings")
        except sqlite3.DatabaseError as error:
            raise UserError(f"not the state of a monitor: {error}", file=self.path) from error
        plain = parse_json(json.dumps(settings))
        if known is not None and known != plain:
            changed = sorted(k for k in {*known, *plain} if known.get(k) != plain.get(k))
            raise UserError(
                f"the folder contains the state of other settings: {', '.join(changed)} differ",
                file=folder,
                hint="Use the same settings, or another --output.",
            )
        if known is None:
            with self.transaction():
                self.set_fact("settings", plain)

    def close(self) -> None:
        """Close the database."""
        self.database.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Have all changes of a block, or none."""
        self.database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self.database.execute("ROLLBACK")
            raise
        self.database.execute("COMMIT")

    # Facts

    def fact(self, name: str, default: Any = None) -> Any:
        """Return a named value."""
        row = self.database.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return default if row is None else parse_json(row[0], bounded=False)

    def set_fact(self, name: str, value: Any) -> None:
        """Set a named value, in JSON's types."""
        self.database.execute(
            "INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, json.dumps(value))
        )

    # Texts

    def known(self, keys: Sequence[int]) -> set[int]:
        """Return which keys were seen before."""
        found: set[int] = set()
        for start in range(0, len(keys), 500):
            part = keys[start : start + 500]
            marks = ",".join("?" * len(part))
            rows = self.database.execute(f"SELECT key FROM seen WHERE key IN ({marks})", part)
            found.update(key for (key,) in rows)
        return found

    def add(
        self,
        seen: Iterable[tuple[int, int]],
        counts: Mapping[tuple[int, str], Sequence[int]],
        entities: Mapping[tuple[int, str], Sequence[int]],
        samples: Sequence[Sample],
    ) -> None:
        """Add what a batch has counted.

        Args:
            seen: Keys and windows.
            counts: Window and series to texts, and to those with the watched label.
            entities: Likewise of window and entity.
            samples: Texts with the watched label.
        """
        run = self.database.executemany
        run("INSERT OR IGNORE INTO seen VALUES (?, ?)", seen)
        for table, name, values in (("counts", "series", counts), ("entities", "name", entities)):
            run(
                f"INSERT INTO {table} VALUES (?, ?, ?, ?) ON CONFLICT (window, {name}) DO UPDATE "
                "SET texts = texts + excluded.texts, found = found + excluded.found",
                [(*key, *value) for key, value in values.items()],
            )
        run("INSERT INTO texts VALUES (?, ?, ?, ?, ?)", samples)
        run(
            "DELETE FROM texts WHERE window = ?1 AND series = ?2 AND rowid NOT IN (SELECT rowid "
            "FROM texts WHERE window = ?1 AND series = ?2 ORDER BY score DESC, rowid LIMIT ?3)",
            [(window, series, TEXTS) for window, series in {s[:2] for s in samples}],
        )

    # Windows

    def counted(self, window: int) -> dict[str, tuple[int, int]]:
        """Return the counts of a window: series to texts, and those with the watched label."""
        rows = self.database.execute(
            "SELECT series, texts, found FROM counts WHERE window = ?", (window,)
        )
        return {series: (texts, found) for series, texts, found in rows}

    def series(self, name: str, first: int, last: int) -> list[tuple[int, int, int]]:
        """Return (window, texts, found) of a series' windows that have texts."""
        rows = self.database.execute(
            "SELECT window, texts, found FROM counts WHERE series = ? AND window BETWEEN ? AND ? "
            "ORDER BY window",
            (name, first, last),
        )
        return list(rows)

    def recent(self, name: str, last: int, most: int) -> list[tuple[int, int, int]]:
        """Return the same of the last windows up to one."""
        rows = self.database.execute(
            "SELECT window, texts, found FROM counts WHERE series = ? AND window <= ? "
            "ORDER BY window DESC LIMIT ?",
            (name, last, most),
        )
        return list(rows)[::-1]

    def keep_sum(self, window: int, series: str, value: float, threshold: float) -> None:
        """Keep a cumulative sum as it was after a window."""
        self.database.execute(
            "INSERT OR REPLACE INTO sums VALUES (?, ?, ?, ?)", (window, series, value, threshold)
        )

    def sums(self, name: str, first: int = 0) -> list[tuple[int, float, float]]:
        """Return (window, sum, threshold) of a series, from a window on."""
        rows = self.database.execute(
            "SELECT window, value, threshold FROM sums WHERE series = ? AND window >= ? "
            "ORDER BY window",
            (name, first),
        )
        return list(rows)

    def texts(self, series: str, first: int, last: int, most: int) -> list[dict[str, Any]]:
        """Return the texts behind an alarm: those with the watched label and the highest score."""
        rows = self.database.execute(
            "SELECT time, score, text FROM texts WHERE series = ? AND window BETWEEN ? AND ? "
            "ORDER BY score DESC, time LIMIT ?",
            (series, first, last, most),
        )
        return [{"time": time, "score": score, "text": text} for time, score, text in rows]

    def top_entities(self, most: int) -> list[tuple[str, int, int]]:
        """Return (name, texts, found) of the most frequent entities of the windows kept."""
        rows = self.database.execute(
            "SELECT name, SUM(texts), SUM(found) FROM entities GROUP BY name "
            "ORDER BY SUM(texts) DESC, name LIMIT ?",
            (most,),
        )
        return list(rows)

    def forget(self, before: int) -> None:
        """Remove texts, entities and keys of windows that ended long ago."""
        for table in ("texts", "entities", "seen"):
            self.database.execute(f"DELETE FROM {table} WHERE window < ?", (before,))

    # Alarms

    def add_alarm(self, body: Mapping[str, Any]) -> None:
        """Add an alarm that is to be sent."""
        self.database.execute(
            "INSERT INTO alarms (body) VALUES (?)", (json.dumps(body, ensure_ascii=False),)
        )

    def alarms(self, *, unsent: bool = False) -> list[tuple[int, dict[str, Any]]]:
        """Return alarms with their numbers, in their order."""
        where = "WHERE sent = 0 " if unsent else ""
        rows = self.database.execute(f"SELECT number, body FROM alarms {where}ORDER BY number")
        return [(number, parse_json(body, bounded=False)) for number, body in rows]

    def mark_sent(self, number: int) -> None:
        """Keep that an alarm has been sent."""
        self.database.execute("UPDATE alarms SET sent = 1 WHERE number = ?", (number,))

    def add_counts(self, counts: Counter[str]) -> None:
        """Add to the counts of lines by what became of them; `counts` is empty afterwards."""
        if counts:
            total = Counter(self.fact("lines", {}))
            total.update(counts)
            self.set_fact("lines", dict(total))
            counts.clear()
