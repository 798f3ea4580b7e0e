"""Lines that should be JSON objects and are none: what they are, and what makes them objects."""

from __future__ import annotations

import ast
import json
import warnings
from pathlib import Path

from lushan.common.parsing import parse_json_at
from lushan.data.json_shapes import ENDING, begun, where_rows_are
from lushan.data.unpacking import with_names
from lushan.errors import UserError

_OBJECTS = "jq -c . IN > OUT"
_NO_COMMAS = "sed 's/[[:space:]]*,[[:space:]]*$//' IN > OUT"
_COMMAS = "sed -e '1s/^/[/' -e '$s/,*[[:space:]]*$/]/' IN > OUT"
_PYTHON = (
    "python -c 'import ast, json, sys; [print(json.dumps(ast.literal_eval(row))) for row in "
    "map(str.strip, sys.stdin) if row]' < IN > OUT"
)
_PYTHON_LIST = (
    "python -c 'import ast, json, sys; print(json.dumps(ast.literal_eval(sys.stdin.read())))' "
    "< IN > OUT"
)
PYTHON = "this is Python, not JSON"
_FORMS = (
    "For a table, write data=table; for words with tags in lines, data=conll; for plain text, "
    "data=text."
)
_LINES = "Each object needs its own line."
_CUT = f"{_LINES} Was this one truncated?"
_FIRST_CUT = (
    "Each object needs its own line, or the file must be one array. Was it truncated? If not, jq "
    "writes an object a line: jq -c . IN > OUT"
)


def no_object(
    line: str, number: int, name: str | Path, error: json.JSONDecodeError, head: str = ""
) -> UserError:
    """Return the error for a line that is no JSON.

    Args:
        line: The line.
        number: Its number, from 1.
        name: Of its file.
        error: Of the parser.
        head: The beginning of the file, as much as is known.
    """
    problem, hint = _diagnosis(line, error, head)
    return UserError(
        problem,
        file=name,
        line=number,
        column=error.colno,
        value=None if line.lstrip().startswith(("{", "[")) else line,
        hint=with_names(hint, name, ENDING),
    )


def python_list(name: str | Path) -> str:
    """Return what makes JSON of a file that is a list of Python."""
    return with_names(f"Convert it: {_PYTHON_LIST}", name, ".json")


def _diagnosis(line: str, error: json.JSONDecodeError, head: str) -> tuple[str, str]:
    start = line.lstrip()
    if not start.startswith(("{", "[")):
        return "this is not JSON", _FORMS
    if error.msg == "Extra data":
        return _more_than_one(line[error.pos :].strip())
    if _is_python(line):
        return PYTHON, f"Convert it: {_PYTHON}"
    is_open = error.msg.startswith("Unterminated string") or error.pos >= len(line.rstrip())
    if line[error.pos : error.pos + 1] == "'":
        return PYTHON, "In Python, json.dumps writes an object as JSON in one line."
    if not is_open:
        return f"this JSON is malformed: {error.msg}", f"{_LINES} Check quotes and commas."
    first, _, rest = head.partition("\n")
    if rest.strip() and first.strip() == line.strip():
        return _over_lines(head)
    return f"this JSON is incomplete: {error.msg}", _CUT


def _more_than_one(rest: str) -> tuple[str, str]:
    """Return problem and hint for a line that goes on behind its object."""
    if rest == ",":
        return "a comma follows the object", f"To remove commas at line ends: {_NO_COMMAS}"
    if rest.startswith("{"):
        return "there are several objects in one line", f"To write one a line: {_OBJECTS}"
    return f"there is more text after the object: {rest[:40]!r}", _LINES


def _over_lines(head: str) -> tuple[str, str]:
    """Return problem and hint for a file whose first object does not end in its line."""
    start = head.lstrip()
    try:
        value, end = parse_json_at(start, 0)
    except ValueError:
        where = where_rows_are(begun(start), whole=False)
        hint = f"{_CUT} If not: {where[0].lower()}{where[1:]}" if where else _FIRST_CUT
        return "the first object does not end in its line", hint
    rest = start[end:].lstrip()
    if rest.startswith(","):
        problem = "an object is spread over several lines, and commas stand between the objects"
        return problem, f"To write one array: {_COMMAS}"
    if rest or (where := where_rows_are(value)) is None:
        return "an object is spread over several lines", f"To write one a line: {_OBJECTS}"
    return "the file is one object over several lines", where


def too_long(error: UserError, head: str, name: str | Path) -> UserError:
    """Return the error for a first line beyond the bound, which may be all of a file's rows."""
    if not head.startswith("{"):
        return error
    try:
        parse_json_at(head, 0)
        hint = f"If there are several objects in one line: {_OBJECTS}"
    except ValueError:
        where = where_rows_are(begun(head), whole=False)
        if where is None:
            return error
        hint = f"If the file is one object: {where[0].lower()}{where[1:]}"
    hint = f"{error.hint} {with_names(hint, name, ENDING)}"
    return UserError(error.problem, file=name, line=1, hint=hint)


def _is_python(line: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return isinstance(ast.literal_eval(line.strip()), dict | list)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return False
