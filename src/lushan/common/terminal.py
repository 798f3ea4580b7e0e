r"""The one place that prints: text that came from data cannot steer the terminal it is shown in.

A label, a file's name or a model's answer may hold escape sequences that hide lines, set the
window's title or write to the clipboard, and marks that turn the order of what is read around.
They are shown as what they are, `\u001b`, which JSON reads back as the same character.
"""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

_HIDDEN = re.compile(
    "["
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # controls, but line feed and tab
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # of the direction of writing
    "\u2028\u2029"  # ends of lines to some, not to others
    "\ud800-\udfff"  # halves of surrogate pairs, which no encoding can write
    "]"
)
QUIET = "--quiet"
"""The flag that goes with any command."""
_quiet = False
_FORMULA = re.compile(r"[=+\-@\t\r]")


def open_streams() -> None:
    """Have something open as standard input, output and error, in which anything can be written.

    Where one is closed (`>&-`), the next file that is opened gets its number, and what is printed
    would be written into that file. What the encoding of a stream lacks is printed as an escape.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            nothing = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            if nothing != number:
                os.dup2(nothing, number)
                os.close(nothing)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, encoding="utf-8", closefd=False))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def print_no_more() -> None:
    """Discard all further output: its reader has ended, or the disk is full."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def visible(text: str) -> str:
    """Return a text with what would steer a terminal as escapes; line feeds and tabs stay."""
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def in_line(text: str) -> str:
    """Return a text that also stays one line, and one cell of a table."""
    return visible(text).replace("\n", "\\u000a").replace("\t", "\\u0009")


def echo(text: object = "", *, err: bool = False, end: str = "\n") -> None:
    """Print a text, and have it seen at once."""
    stream = sys.stderr if err else sys.stdout
    stream.write(visible(str(text)) + end)
    stream.flush()


def echo_notes(notes: Iterable[str]) -> None:
    """Print notes to standard error, each once."""
    for note in dict.fromkeys(notes):
        echo(f"note: {note}", err=True)


def echo_in_handler(text: str) -> None:
    """Print a line to standard error from what handles a signal.

    The signal may have come while the main thread was printing, and a stream that is being written
    cannot be written (`RuntimeError: reentrant call`).

    Args:
        text: What is printed; none of it comes from data.
    """
    with contextlib.suppress(OSError):
        os.write(2, f"{text}\n".encode())


def set_quiet(*, wanted: bool) -> None:
    """Have this process, and those that it forks, show no progress and no hints, or show them."""
    global _quiet  # noqa: PLW0603 - a switch of the process, which has one command line
    _quiet = wanted


def is_quiet() -> bool:
    """Return whether neither progress nor hints are shown."""
    return _quiet


def hint(text: object) -> None:
    """Print to standard error what a person likes to know, and nobody misses with `--quiet`."""
    if not _quiet:
        echo(text, err=True)


class Output:
    """A stream for text from data, for what writes to a file or to standard output alike."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text, made visible."""
        return self.stream.write(visible(text))

    def flush(self) -> None:
        """Have what was written be seen."""
        self.stream.flush()


@functools.cache
def _console_class() -> type[Console]:
    from rich.console import Console
    from rich.segment import Segment

    class Visible(Console):
        def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
            for part in super().render(renderable, options):
                yield part if part.control else Segment(visible(part.text), part.style)

    return Visible


def console(**options: Any) -> Console:
    """Make a console of rich's: its own colours reach the terminal, escapes in texts do not."""
    return _console_class()(**options)


class Formatter(logging.Formatter):
    """Formats the records of a log, made visible."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        return visible(super().format(record))


def journal(file: IO[str]) -> logging.Handler:
    """Return what writes a log to an open file, with its times."""
    handler = logging.StreamHandler(file)
    handler.setFormatter(Formatter("%(asctime)s %(levelname)s %(name)s  %(message)s"))
    return handler


def screen() -> logging.Handler:
    """Return a handler that shows a log on standard error, without times and names."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter("%(message)s"))
    if _quiet:
        handler.addFilter(lambda record: record.levelno > logging.INFO or "note: " in record.msg)
    return handler


def guard_warnings() -> None:
    """Have the warnings of Python and libraries, which quote what they have read, shown visibly."""
    before = warnings.formatwarning
    if getattr(before, "guarded", False):
        return

    @functools.wraps(before)
    def formatted(*args: Any, **options: Any) -> str:
        return visible(before(*args, **options))

    formatted.guarded = True  # type: ignore[attr-defined]
    warnings.formatwarning = formatted


def csv_cell(value: object) -> object:
    """Return a cell of CSV that no spreadsheet takes for a formula.

    A text that begins as one gets an apostrophe before it, as OWASP advises; numbers, and texts
    that are numbers, stay.
    """
    if not isinstance(value, str) or not _FORMULA.match(value):
        return visible(value) if isinstance(value, str) else value
    try:
        float(value)
    except ValueError:
        return f"'{visible(value)}"
    return value
