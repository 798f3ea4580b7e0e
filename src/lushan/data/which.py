"""Errors that ask which column of a file holds what is read."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from lushan.common.wording import plural
from lushan.errors import UserError

HEADER = "data.columns=[...]"
"""What names the columns of a file without a header."""
SHOWN = 20
"""Names that are listed."""
LONGEST = 40
"""Characters of a name that are shown; one that has more is probably a value."""
WORDS = 4
"""Words of a name that is probably a value, too."""
_ENDS = (".", "!", "?", "。", "！", "？")


def first_usual(names: Iterable[str], known: Iterable[str]) -> str | None:
    """Return the column that has the first of some usual names, in any case; None without one."""
    by_lower = {name.lower(): name for name in names}
    return next((by_lower[k.lower()] for k in known if k.lower() in by_lower), None)


def which(
    what: str,
    key: str,
    names: Collection[str],
    file: str | Path,
    *,
    kind: str = "column",
    header: str = HEADER,
    more: str = "",
) -> UserError:
    """The error where no column is known to hold something.

    Args:
        what: Is looked for: `the labels`.
        key: The config key that names its column, with a + where no preset has it.
        names: The columns that there are.
        file: Their file.
        kind: What a column is called.
        header: What names the columns of a file without a header.
        more: What else may be done, after a blank.
    """
    known = f"the {kind}s are: {listed(names)}.{without_header(names, header)}"
    return UserError(
        f"it is unclear which {kind} contains {what}",
        key=key.removeprefix("+"),
        file=file,
        hint=f"Write {key}=NAME; {known}{more}",
    )


@contextlib.contextmanager
def of_one_column(columns: Collection[str]) -> Iterator[None]:
    """Add to an error about the columns of a table that it has one, where that may be several."""
    try:
        yield
    except UserError as error:
        if len(columns) == 1 and error.line is None and error.hint is not None:
            error.also(
                "If this column holds several, write data.separator=MARK with what stands between "
                "them."
            )
        raise


def listed(names: Collection[str]) -> str:
    """Return the first names, shortened, and how many there are where some are left out."""
    shown = [n if len(n) <= LONGEST else f"{n[: LONGEST - 3]}..." for n in list(names)[:SHOWN]]
    more = [f"... ({len(names):,} in all)"] if len(names) > SHOWN else []
    return ", ".join([*shown, *more])


def without_header(names: Collection[str], header: str = HEADER) -> str:
    """Return what to do where the names seem to be values of a first row; '' otherwise."""
    if not any(_is_value(name) for name in names):
        return ""
    return (
        " If these are values, the file has no header. Name its "
        f"{plural(len(names), 'column')} by {header}."
    )


def _is_value(name: str) -> bool:
    number = name.strip().lstrip("+-").replace(".", "", 1)
    sentence = len(name.split()) >= WORDS or name.rstrip().endswith(_ENDS)
    return len(name) > LONGEST or number.isdecimal() or sentence
