"""Errors of `datasets`: the file and the cause, which it logs, or keeps behind the first line."""

from __future__ import annotations

import collections
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lushan.data import files
from lushan.data.json_shapes import SUFFIXES
from lushan.errors import UserError, first_line

_FILE = re.compile(r"file '(.+?)' with error")
_USED = re.compile(r"generating data using\s+(.+?)(?:, \[| \(at |\n|$)")
_COLUMNS = re.compile(r"at some point there (?:are|is) ([^\n]+?)\.?(?:\n|$)")
_DIFFER = ("Schema at index", "Couldn't cast")
"""How errors begin about columns, where no file is named."""
_ONE = "To read one of the files, write data.path=FILE."


class Heard(logging.Handler):
    """Keeps what `datasets` logs of files that it cannot read, instead of printing it."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.said = collections.deque[str](maxlen=100)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self.said.append(record.getMessage())


@contextmanager
def heard() -> Iterator[Heard]:
    """Give what keeps the messages of `datasets` while it reads."""
    import datasets  # which sets its logger up when it is imported

    logger = logging.getLogger(datasets.__name__)
    kept, before, spread = Heard(), logger.handlers[:], logger.propagate
    logger.handlers, logger.propagate = [kept], False
    try:
        yield kept
    finally:
        logger.handlers, logger.propagate = before, spread


def about_file(error: Exception, heard: Heard) -> UserError | None:
    """Return the error about the file that could not be read; None where none is named."""
    text = str(error)
    if (columns := _COLUMNS.search(text)) and (used := _USED.search(text)):
        return UserError(
            f"the files differ in their columns: {columns[1]}",
            key="data.path",
            file=used[1],
            hint=_ONE,
        )
    cause: BaseException = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    if str(cause).startswith(_DIFFER):
        return UserError("the files differ in their columns", key="data.path", hint=_ONE)
    named = next(filter(None, map(_FILE.search, heard.said)), None)
    if named is None:
        return None
    path = Path(named[1])
    if isinstance(cause, UnicodeDecodeError) and path.is_file():
        try:
            for _ in files.blocks(path):
                pass
        except UserError as found:
            return found
    reader = "jsonl" if files.bare_suffix(path) in SUFFIXES else "table"
    return UserError(
        f"this file cannot be read: {first_line(cause)}",
        key="data.path",
        file=path,
        hint=f"data={reader} data.train=FILE names the line.",
    )
