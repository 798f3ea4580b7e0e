"""The one reader of JSON and YAML, bounded so that no file can hang or end a command.

A few lines of YAML whose aliases name one another stand for billions of values, brackets that are
never closed end the parser's stack (in C: the process), and a number of a million digits takes
hours. What is refused is a `ValueError`; what reads a file makes a `UserError` of it.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from collections.abc import Iterator, Mapping
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from lushan.errors import UserError

if TYPE_CHECKING:
    import yaml

MOST_BYTES = 64 << 20
"""Bytes of a JSON file: a result of a hundred thousand classes has 20 MB."""
MOST_YAML_BYTES = 8 << 20
MOST_VALUES = 100_000
"""Values in a YAML file, those of an alias counted each time; conf/ has 10,000, by OmegaConf."""
MOST_DEPTH = 100
"""Lists and mappings within one another."""
MOST_DIGITS = 1000
"""Digits of a number in YAML, whose conversion takes time quadratic in its length."""

_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_DECODER = json.JSONDecoder()


class Unreadable(ValueError):
    """Text that is not JSON or YAML, or beyond the bounds.

    Args:
        problem: What is wrong.
        line: Where, from 1, if known.
    """

    def __init__(self, problem: str, line: int | None = None) -> None:
        super().__init__(problem)
        self.line = line


class OutOfBounds(Unreadable):
    """Text beyond the bounds."""


# JSON


def parse_json(content: bytes | str, *, bounded: bool = True) -> Any:
    """Return what JSON stands for, in half the time of `json`: tables read thousands of files.

    What the quick parser refuses, Python's own parses: it reads the escapes for file names that are
    not UTF-8, and names the place of a mistake.

    Args:
        content: The text.
        bounded: Whether its size and depth are bounded. Of what this process has made itself, or
            has measured before (a line of data), only the depth that the parser can hold is.

    Raises:
        ValueError: It is not JSON, or beyond the bounds; see `Unreadable`.
    """
    if bounded and len(content) > MOST_BYTES:
        raise OutOfBounds(_too_large(len(content), MOST_BYTES))
    try:
        value = msgspec.json.decode(content)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        try:
            value = json.loads(content)
        except RecursionError as error:
            raise OutOfBounds("it is nested too deeply") from error
    if bounded:
        _require_shallow(value)
    return value


def require_shape(value: object, shape: object) -> None:
    """Make sure that a value has the parts that its readers take for granted.

    Args:
        value: In plain values.
        shape: What it must be, as a type; keys that a `TypedDict` does not name may hold anything.

    Raises:
        Unreadable: It has another shape; names what is where.
    """
    try:
        msgspec.convert(value, type=shape)
    except msgspec.ValidationError as error:
        raise Unreadable(str(error)) from error


def parse_json_at(text: str, place: int) -> tuple[Any, int]:
    """Return the value that begins at a place of a text, and where it ends.

    Raises:
        ValueError: There is none, or it is nested too deeply.
    """
    try:
        return _DECODER.raw_decode(text, place)
    except RecursionError as error:
        raise OutOfBounds("it is nested too deeply") from error


def read_json(path: str | Path, *, hint: str | None = None) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: There is no such file.
        UserError: It is not JSON, or beyond the bounds.
    """
    try:
        return parse_json(read_bounded(path, MOST_BYTES))
    except ValueError as error:  # also a UnicodeDecodeError
        raise UserError(
            f"not a JSON file: {error}", file=path, line=getattr(error, "line", None), hint=hint
        ) from error


def is_text(value: str) -> bool:
    """Return whether UTF-8 can write a text: JSON can name half of a surrogate pair alone."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def texts_in(value: object) -> Iterator[str]:
    """Yield all texts in a value of JSON or YAML, keys left out."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from texts_in(inner)


def _require_shallow(value: object) -> None:
    level: list[Any] = [[value]]
    for _ in range(MOST_DEPTH + 1):
        inside = (x for v in level for x in (v.values() if isinstance(v, dict) else v))
        level = [x for x in inside if isinstance(x, dict | list)]
        if not level:
            return
    raise OutOfBounds(_TOO_DEEP)


# YAML


def parse_yaml(content: bytes | str) -> Any:
    """Return what a YAML document stands for, in plain values.

    Raises:
        Unreadable: It is not YAML, or beyond the bounds.
    """
    import yaml

    require_bounded(content)
    try:
        return yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError as error:
        raise _not_yaml(error) from error
    except (ValueError, OverflowError, RecursionError) as error:  # `!!timestamp 2001-99-99`
        raise Unreadable(f"it contains an invalid value: {error}") from error


def compose_yaml(content: bytes | str) -> yaml.Node | None:
    """Return a YAML document as nodes, which know their lines; None where it is empty.

    Raises:
        Unreadable: It is not YAML, or beyond the bounds.
    """
    import yaml

    require_bounded(content)
    try:
        return yaml.compose(content, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise _not_yaml(error) from error


def value_of(node: yaml.ScalarNode) -> Any:
    """Return what a node without others stands for.

    Raises:
        Unreadable: It stands for none.
    """
    import yaml

    try:
        return yaml.SafeLoader("").construct_object(node)
    except (yaml.YAMLError, ValueError, OverflowError) as error:
        raise Unreadable(getattr(error, "problem", None) or str(error)) from error


def read_yaml(path: str | Path) -> Any:
    """Read a YAML file in plain values.

    Raises:
        FileNotFoundError: There is no such file.
        UserError: It is not YAML, or beyond the bounds.
    """
    try:
        return parse_yaml(read_bounded(path, MOST_YAML_BYTES))
    except ValueError as error:
        raise UserError(
            f"not a YAML file: {error}", file=path, line=getattr(error, "line", None)
        ) from error


def require_bounded(content: bytes | str) -> None:
    """Refuse a YAML document beyond the bounds; nothing of it is kept or expanded.

    Raises:
        Unreadable: It is, or it is not YAML.
    """
    import yaml

    if len(content) > MOST_YAML_BYTES:
        raise OutOfBounds(_too_large(len(content), MOST_YAML_BYTES))
    seen = _Seen()
    try:
        for event in yaml.parse(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            if isinstance(event, yaml.CollectionEndEvent):
                seen.close()
            elif isinstance(event, yaml.NodeEvent):
                seen.add(event)
    except yaml.YAMLError as error:
        found = _not_yaml(error)
        if "nesting depth" in str(error):  # libyaml has a bound of its own
            raise OutOfBounds(_TOO_DEEP, found.line) from error
        raise found from error


class _Seen:
    """Sizes of a document so far, in which aliases count as all that they stand for."""

    def __init__(self) -> None:
        self.total = 0
        self.sizes: dict[str | None, int] = {}  # of what an anchor names
        self.around: list[tuple[str | None, int]] = []  # anchor, and the values before it

    def close(self) -> None:
        """End a list or mapping."""
        anchor, before = self.around.pop()
        self.sizes[anchor] = self.total - before

    def add(self, event: Any) -> None:
        """Count a value, or begin a list or mapping."""
        import yaml

        line = event.start_mark.line + 1
        size = 1
        if isinstance(event, yaml.CollectionStartEvent):
            self.around.append((event.anchor, self.total))
            if len(self.around) > MOST_DEPTH:
                raise OutOfBounds(_TOO_DEEP, line)
        elif isinstance(event, yaml.ScalarEvent):
            _require_short_number(event, line)
            self.sizes[event.anchor] = 1
        elif any(event.anchor == anchor for anchor, _ in self.around):
            raise OutOfBounds("it refers to itself without end", line)
        else:  # an unknown anchor is left for the parser to name
            size = self.sizes.get(event.anchor, 1)
        self.total += size
        if self.total > MOST_VALUES:
            raise OutOfBounds(_TOO_MANY.format(MOST_VALUES), line)


def _require_short_number(event: Any, line: int) -> None:
    # YAML 1.1 counts in sixties too: 190:20:30.
    value = event.value
    if len(value) <= MOST_DIGITS or not (event.implicit[0] or event.tag in _NUMBERS):
        return
    if not value.strip("+-.:_0123456789abcdefABCDEFxo"):
        raise OutOfBounds(f"a number of {len(value):,} digits", line)


def _not_yaml(error: object) -> Unreadable:
    mark = getattr(error, "problem_mark", None)
    text = str(error)
    for name in ("<unicode string>", "<byte string>"):
        text = text.replace(f'in "{name}", ', "")
    return Unreadable(text.replace(":\n", "\n"), None if mark is None else mark.line + 1)


# Files


def open_file(path: str | Path) -> BufferedReader:
    """Open a file to read it, and nothing that stands in a file's place.

    A pipe without a writer would be waited for forever, and a device has no end.

    Raises:
        OSError: It cannot be opened.
        UserError: It is no regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise not_regular(path)


def not_regular(path: str | Path) -> UserError:
    """Return the error for what stands in a file's place."""
    return UserError(
        "this is a pipe, a socket or a device", file=path, hint="Put a file in its place."
    )


def read_bounded(path: str | Path, most: int) -> bytes:
    """Read a file that may have so many bytes.

    Raises:
        OSError: It cannot be read.
        Unreadable: It has more.
    """
    with open_file(path) as file:
        # Room for all that is asked for is made first: here a byte more than the file has.
        first = min(os.fstat(file.fileno()).st_size, most) + 1
        content = file.read(first)
        if first == len(content) <= most:  # it has grown since, or is one that has no size
            content += file.read(most + 1 - first)
        if len(content) > most:
            raise OutOfBounds(_too_large(max(len(content), os.fstat(file.fileno()).st_size), most))
    return content


_TOO_MANY = "there are more than {:,} values in it, those of an alias counted each time"
_TOO_DEEP = f"lists within lists, more than {MOST_DEPTH} deep"


def _too_large(size: int, most: int) -> str:
    return f"it has {size:,} bytes, but the limit is {most:,}"
