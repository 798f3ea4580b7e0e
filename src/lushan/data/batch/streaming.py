"""Stream of rows of a set, from any row on.

`datasets` gives the state of a stream, and continues from it without reading the earlier files
again. States are kept on the way, so that a resumed run need not skip through all that it has seen.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from lushan.common.parsing import parse_json
from lushan.errors import RunFailed
from lushan.run.caches import read_note, write_note

log = logging.getLogger(__name__)

WAITS = (1.0, 5.0, 25.0)
"""Seconds to wait before a broken stream is opened again; `datasets` has tried for minutes then."""
_NETWORK = ("aiohttp", "httpx", "httpcore", "requests", "urllib3", "fsspec", "huggingface_hub")


class Stream:
    """Rows of an iterable dataset.

    Args:
        opened: Gives the dataset, from its beginning.
        name: Of the set, for errors.
        memory: Folder where places are remembered; None remembers them in this process.

    Attributes:
        end: The number of all rows, once it was seen.
    """

    def __init__(self, opened: Callable[[], Any], name: str, memory: Path | None = None) -> None:
        self.opened, self.name, self.memory = opened, name, memory
        self.places: dict[int, dict[str, Any]] = {}
        self.end: int | None = None
        self._data: Any = None
        self._rows: Iterator[dict[str, Any]] = iter(())
        self._next = -1  # the row that `_rows` gives next

    def rows(self, start: int, count: int) -> list[dict[str, Any]]:
        """Some rows, fewer where the set ends.

        Raises:
            RunFailed: The set cannot be reached any more.
        """
        for wait in (*WAITS, None):
            try:
                return self._read(start, count)
            except Exception as error:
                self._next = -1
                if not _is_the_network(error):
                    raise
                if wait is None:
                    raise RunFailed(
                        f"{self.name} cannot be read from row {start + 1:,} on: {error}\n"
                        "  Run the same command to resume here once the source is reachable."
                    ) from error
                log.warning("%s: the connection broke (%s); retrying", self.name, error)
                time.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _read(self, start: int, count: int) -> list[dict[str, Any]]:
        if self._next != start and not self._opened_at(start):
            return []
        rows = list(islice(self._rows, count))
        self._next = start + len(rows)
        if len(rows) < count:
            self.end = self._next
        else:
            self._remember(self._next)
        return rows

    def _opened_at(self, row: int) -> bool:
        """Open the stream at a row; return whether there is such a row, or the stream's end."""
        place, state = self._known(row)
        self._data = self.opened()
        if state is not None:
            self._data.load_state_dict(state)
        self._rows = iter(self._data)
        if row > place:
            log.info("skipping to row %s of %s", f"{row + 1:,}", self.name)
            skipped = sum(1 for _ in islice(self._rows, row - place))
            if skipped < row - place:
                self.end, self._next = place + skipped, -1
                return False
        return True

    def _known(self, row: int) -> tuple[int, dict[str, Any] | None]:
        """The last remembered place that is not behind a row."""
        if self.memory is None:
            place = max((p for p in self.places if p <= row), default=0)
            return place, self.places.get(place)
        noted = {int(p.stem): p for p in self.memory.glob("*.json") if p.stem.isdigit()}
        for place in sorted((p for p in noted if p <= row), reverse=True):
            if (note := read_note(noted[place])) is not None:
                return place, parse_json(note)
            log.warning("the cache file %s is damaged and is ignored", noted[place])
            noted[place].unlink(missing_ok=True)
        return 0, None

    def _remember(self, row: int) -> None:
        if self.memory is None:
            self.places[row] = self._data.state_dict()
        elif not (place := self.memory / f"{row}.json").exists():
            write_note(place, json.dumps(self._data.state_dict()))


def _is_the_network(error: Exception) -> bool:
    """Return whether trying again may help: also libraries' errors that are no OSError."""
    causes = [error, *filter(None, [error.__cause__])]
    kinds = [kind for cause in causes for kind in type(cause).__mro__]
    named = any(kind.__module__.partition(".")[0] in _NETWORK for kind in kinds)
    return named or any(issubclass(kind, ConnectionError | TimeoutError) for kind in kinds)
