"""Errors, worded so that the user can correct the cause.

A mistake of the user is a `UserError`: it names the key or the file and line, the value found
there, and what to write instead. Everything else that fails is ours and keeps its traceback.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message; its class where it has none."""
    return next(iter(str(error).splitlines()), "") or type(error).__name__


def in_a_line(error: BaseException) -> str:
    """Return the class of an exception, and the first line of its message."""
    name, first = type(error).__name__, first_line(error)
    return name if first == name else f"{name}: {first}"


class UserError(Exception):
    """A refused input; the command line prints it without a traceback and exits with 2.

    Args:
        problem: What is wrong, in one sentence.
        key: The config key at fault, dotted: `optimizer.lr`.
        value: The value found there; shown as `repr`, shortened.
        file: The file at fault, or the file a wrong key came from.
        line: Its line, counted from 1.
        column: Its column, counted from 1.
        hint: What to write instead.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        key: str | None = None,
        value: object = None,
        file: str | Path | None = None,
        line: int | None = None,
        column: int | None = None,
        hint: str | None = None,
    ) -> None:
        shown = os.fspath(value) if isinstance(value, os.PathLike) else value
        self.problem, self.key, self.value, self.hint = problem, key, shown, hint
        self.file, self.line, self.column = (str(file) if file else None), line, column
        super().__init__(self._text())

    def _text(self) -> str:
        place = ":".join(str(p) for p in (self.file, self.line, self.column) if p is not None)
        where = [w for w in (place, self.key) if w]
        text = f"{', '.join(where)}: {self.problem}" if where else self.problem
        if self.value is not None and not _names(self.problem, self.value):
            text += f" (found {shorten(self.value)})"
        return f"{text}\n  {self.hint}" if self.hint else text

    def located(self, file: str | Path) -> UserError:
        """Name the file that it is about, where no file is named yet; return the same error."""
        if self.file is None:
            self.file = str(file)
            self.args = (self._text(),)
        return self

    def also(self, hint: str, *, problem: str | None = None) -> UserError:
        """Add to what is said of what to do, and perhaps of the problem; return the same error."""
        self.hint = f"{self.hint} {hint}" if self.hint else hint
        self.problem = f"{self.problem}; {problem}" if problem else self.problem
        self.args = (self._text(),)
        return self

    def moved(self, lines: int) -> UserError:
        """Count the line that it names from so many lines earlier; return the same error."""
        if self.line is not None and lines:
            self.line += lines
            self.args = (self._text(),)
        return self

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with keyword arguments do not survive pickling on their own, and a sweep's
        # jobs report theirs from other processes.
        return (_rebuild, (type(self), self.__dict__.copy()))


_OF_PATHS = {
    errno.EACCES,
    errno.EEXIST,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EPERM,
    errno.EROFS,
}


def of_path(error: BaseException) -> BaseException:
    """Return the mistake of the user that an error of the system's about a path stands for.

    A name that is too long, a folder in a file's place, a path without permission: any code
    that opens the path may fail, and the path is the user's. Any other error is returned as it is.
    """
    if not isinstance(error, OSError) or error.errno not in _OF_PATHS:
        return error
    if not isinstance(error.filename, str | bytes | os.PathLike):
        return error
    hint = "The limit of a file name is 255 bytes." if error.errno == errno.ENAMETOOLONG else None
    found = UserError(error.strerror or str(error), file=os.fsdecode(error.filename), hint=hint)
    return found.with_traceback(error.__traceback__)


def _names(problem: str, value: object) -> bool:
    """Return whether a sentence holds a text as a word of its own, and need not show it again."""
    # A number may stand there as something else: a bound, a line.
    if not isinstance(value, str) or len(value) < 3:
        return isinstance(value, str) and repr(value) in problem
    return re.search(rf"(?<![\w./-]){re.escape(value)}(?![\w/-]|\.\w)", problem) is not None


def _rebuild(kind: type[UserError], fields: dict[str, object]) -> UserError:
    error = kind.__new__(kind)
    error.__dict__.update(fields)
    Exception.__init__(error, error._text())
    return error


class UnknownKey(UserError):
    """A key that does not exist: the value that it was to have is not at fault, and not shown."""

    def _text(self) -> str:
        shown, self.value = self.value, None
        try:
            return super()._text()
        finally:
            self.value = shown


class RunFailed(Exception):
    """A run that cannot continue for a reason that is not a wrong input; exits with 1."""

    exit_code = 1


class Pruned(Exception):
    """A search has ended this run early: no failure, and its state is saved."""

    exit_code = 0


class Interrupted(BaseException):
    """A signal asked the run to stop; its state is saved. Exits with 128 + the signal's number.

    A `BaseException`, so that nothing between the training loop and the command line takes it
    for an ordinary failure.
    """

    def __init__(self, signum: int) -> None:
        self.signum = signum
        super().__init__(f"stopped by signal {signum}")

    @property
    def exit_code(self) -> int:
        """130 for SIGINT, 143 for SIGTERM, 138 for SIGUSR1."""
        return 128 + self.signum


def shorten(value: object, limit: int = 80) -> str:
    """`repr(value)`, cut in the middle when it is longer than `limit` characters."""
    text = repr(value)
    if len(text) <= limit:
        return text
    half = (limit - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def did_you_mean(word: str, known: Iterable[str], *, prefix: str = "") -> str | None:
    """The hint `Did you mean 'x'?`, or None where nothing known is near.

    Args:
        word: What was written.
        known: What could have been.
        prefix: What stands before the word, to be shown with it.
    """
    near = nearest(word, known)
    return None if near is None else f"Did you mean {prefix + near!r}?"


def one_of(
    word: str, known: Iterable[str], *, listed: Iterable[str] | None = None, colon: bool = False
) -> str:
    """Return the hint `Did you mean 'x'?`, or what there is where nothing known is near.

    Args:
        word: What was written.
        known: What could have been.
        listed: What is listed; all that is known when not given.
        colon: Whether a colon stands before the list.
    """
    known = list(known)
    there = ", ".join(known if listed is None else listed)
    return did_you_mean(word, known) or f"There are{':' * colon} {there}."


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that another is a misspelling of, where there is one.

    Only slips of the hand count: a letter too many, too few, another one, or two exchanged; one of
    them in a short part of a dotted name, two in a long one. A word that merely looks alike has
    another meaning: `batch_size` is no `batch_tokens`.
    """
    parts = word.split(".")
    best, found = None, None
    for other in known:
        others = other.split(".")
        if len(others) != len(parts):
            continue
        distances = [_slips(a, b) for a, b in zip(parts, others, strict=True)]
        total = sum(d for d in distances if d is not None)
        if None not in distances and (best is None or total < best):
            best, found = total, other
    return found


def _slips(one: str, other: str) -> int | None:
    """Return the number of typing slips between two words; None where there are too many."""
    longest = max(len(one), len(other))
    allowed = min(longest - 1, 1 if longest < 8 else 2)
    if one == other:
        return 0
    if abs(len(one) - len(other)) > allowed:
        return None
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one):
        earlier, before, row = before, row, [i + 1]
        for j, b in enumerate(other):
            steps = min(before[j] + (a != b), before[j + 1] + 1, row[j] + 1)
            if i and j and a == other[j - 1] and one[i - 1] == b:
                steps = min(steps, earlier[j - 1] + 1)
            row.append(steps)
    return row[-1] if row[-1] <= allowed else None
