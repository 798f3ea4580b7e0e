"""Files of the user's data: found, read, and refused with line and column where they are bad.

Text is UTF-8 and lines end in a line feed, never in a carriage return alone; what is gzip is
unpacked, whatever it is called. A line is bounded: a file without line ends is mostly not the file
that was meant, and a tokenizer would chew on it for long. `read_text` gives a file whole, `blocks`
piece by piece.
"""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from lushan.common.wording import plural
from lushan.data.unpacking import BLOCK, SUFFIXES, bounded, unpacked, with_names
from lushan.errors import UserError
from lushan.public_sets import SCHEME
from lushan.run import inside

LONGEST_LINE = 1_000_000
"""Bytes of a line (or a text) unless the config says otherwise."""

_UTF16 = (b"\xff\xfe", b"\xfe\xff")
MARK = "\ufeff"


def below(name: str, folder: str | None) -> Path:
    """Return where a name lies below `data.dir`, which may be `set://NAME`; see `lushan.sets`.

    Raises:
        UserError: The set is not here, and cannot be downloaded.
    """
    path = Path(name).expanduser()
    if not folder:
        return path
    if folder.startswith(SCHEME):
        from lushan.sets.store import folder_of

        return folder_of(folder, "data.dir") / path
    return Path(folder).expanduser() / path


def find(name: str, folder: str | None, *, key: str) -> Path:
    """The file that a config names.

    Args:
        name: Absolute, or below `folder`, or else in the working folder.
        folder: `data.dir`.
        key: The config key of `name`, for the error.

    Raises:
        UserError: There is none; says which names are near.
    """
    path, place = Path(name).expanduser(), below(name, folder)
    for candidate in (place, path):
        if candidate.is_file():
            return candidate
    if place.is_dir():
        hint = _listing(place, "It holds")
        if key == "--input":
            hint = f"{hint} Give a file: lines of text, JSON lines or a table."
        elif any(child.is_dir() for child in place.iterdir()):
            hint = f"{hint} For texts with a folder for each class, use data=text_folder."
        raise UserError("this is a folder, not a file", key=key, value=name, hint=hint)
    raise UserError(f"there is no file {place}", key=key, value=name, hint=_near(place))


def find_all(names: str | list[str], folder: str | None, *, key: str) -> list[Path]:
    """The files that a config names by names and patterns: those of a pattern sorted, none twice.

    Args:
        names: One or several, each a name or a pattern such as `corpus/*.txt.gz`.
        folder: `data.dir`.
        key: The config key of `names`, for the error.

    Raises:
        UserError: A name or a pattern finds nothing.
    """
    found: dict[Path, None] = {}
    for name in [names] if isinstance(names, str) else names:
        found.update(dict.fromkeys(_matching(name, folder, key)))
    if not found:
        raise UserError("no file is given", key=key, value=names, hint=f"Write {key}=FILE.")
    return list(found)


def _matching(name: str, folder: str | None, key: str) -> list[Path]:
    path, place = Path(name).expanduser(), below(name, folder)
    # A file may be called `a[1].txt`.
    if not glob.has_magic(name) or place.is_file() or path.is_file():
        if place.is_dir() and not path.is_file():
            problem = "this is a folder; name its files with a pattern"
            hint = f"{_listing(place, 'It holds')} Write '{key}={name.rstrip('/')}/*.txt'."
            raise UserError(problem, key=key, value=name, hint=hint)
        return [find(name, folder, key=key)]
    for pattern in (place, path):
        # Path.glob takes no pattern that begins at the root.
        matches = sorted(map(Path, glob.glob(str(pattern), recursive=True)))  # noqa: PTH207
        if files := [match for match in matches if match.is_file()]:
            _require_inside(files, pattern, key)
            return files
    raise UserError(f"no file matches {place}", key=key, value=name, hint=_near(place))


def _require_inside(files: list[Path], pattern: Path, key: str) -> None:
    """Refuse files that a link leads to outside of the folder of their pattern."""
    parts = pattern.parts
    first = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    folder = Path(*parts[:first])
    for path in files:
        if not inside.is_inside(path, folder):
            raise inside.leads_out(path, folder, key)


def _near(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        missing = next((p for p in reversed(folder.parents) if not p.exists()), folder)
        return f"There is no folder {missing}."
    names = [p.name for p in folder.iterdir() if p.is_file()]
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    if near:
        return f"Did you mean {' or '.join(map(repr, near))}?"
    return _listing(folder, f"{folder} holds")


def _listing(folder: Path, intro: str) -> str:
    names = sorted(p.name for p in folder.iterdir() if p.is_file() and p.name[0] != ".")
    shown = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
    return f"{intro}: {shown}." if names else f"{intro} no files."


def read_bytes(path: Path, largest: int | None = None) -> bytes:
    """A file's content, unpacked where it is gzip.

    Raises:
        UserError: It cannot be read or unpacked, or is larger than `bounded` reads.
    """
    return b"".join(bounded(path, largest))


def decode(data: bytes, name: str | Path, *, longest: int = LONGEST_LINE) -> str:
    """Bytes as text, without a byte order mark at the start.

    Raises:
        UserError: A line is longer than `longest` bytes, or not UTF-8.
    """
    require_utf8_marks(data[:BLOCK], name)
    check_lines(data, name, longest)
    return _decoded(data, name, 1).removeprefix(MARK)


def require_utf8_marks(start: bytes, name: str | Path) -> None:
    """Refuse what by its beginning is UTF-16, or no text at all."""
    if start.startswith(_UTF16):
        raise UserError(
            "the file is UTF-16",
            file=name,
            hint=with_names("Convert it: iconv -f utf-16 -t utf-8 IN > OUT", name),
        )
    # ASCII in UTF-16 without a mark is valid UTF-8, every other character being NUL.
    if start.count(0) * 10 > len(start):
        raise UserError(
            f"the file is not text: {start.count(0):,} of its first {len(start):,} bytes are NUL",
            file=name,
            hint=with_names(
                "If it is UTF-16 without a byte order mark, convert it: iconv -f utf-16le -t utf-8 "
                "IN > OUT",
                name,
            ),
        )


def _decoded(data: bytes, name: str | Path, first: int) -> str:
    """Bytes as text; `first` is the number of their first line."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(error, name, first) from error


def not_utf8(error: UnicodeDecodeError, name: str | Path, first: int) -> UserError:
    """The error for bytes that are no text; `first` is the number of their first line."""
    data, place = error.object, error.start
    start = data.rfind(b"\n", 0, place) + 1
    return UserError(
        f"this is not UTF-8: byte 0x{data[place]:02x}",
        file=name,
        line=data.count(b"\n", 0, place) + first,
        column=len(data[start:place].decode("utf-8", "replace").removeprefix(MARK)) + 1,
        hint=with_names(_how_to_decode(data, place), name),
    )


def check_lines(data: bytes, name: str | Path, longest: int, *, first: int = 1) -> None:
    """Refuse a line beyond the bound before anything works on it.

    Args:
        data: Whole lines.
        name: The file, for the error.
        longest: Bytes of the longest line.
        first: Number of the first line.
    """
    start = 0
    # Most files are far shorter than they have lines; only a leap beyond the bound is looked into.
    while len(data) - start > longest:
        end = data.rfind(b"\n", start, start + longest + 1)
        if end < 0:
            stop = data.find(b"\n", start)
            length = (stop if stop >= 0 else len(data)) - start
            raise too_long(name, data.count(b"\n", 0, start) + first, length, longest)
        start = end + 1


def blocks(path: Path, *, longest: int = LONGEST_LINE) -> Iterator[tuple[int, str]]:
    """A file's text in whole lines, about `BLOCK` bytes at a time, with line feeds alone.

    No more than a block and a line is ever in memory.

    Args:
        path: The file, gzip or not.
        longest: Bytes of the longest line.

    Yields:
        (number of the first line, text)

    Raises:
        UserError: See `decode`; or the file cannot be read, or is gzip and cut off.
    """
    return blocks_of(unpacked(path), path, longest=longest)


def blocks_of(
    source: Iterable[bytes], name: str | Path, *, longest: int = LONGEST_LINE
) -> Iterator[tuple[int, str]]:
    """Yield blocks of bytes that are unpacked already, given in pieces of any size."""
    for first, data in _whole_lines(iter(source), name, longest):
        text = _decoded(data, name, first)
        text = text.removeprefix(MARK) if first == 1 else text
        yield first, text.replace("\r\n", "\n") if "\r" in text else text


def _whole_lines(
    source: Iterator[bytes], name: str | Path, longest: int
) -> Iterator[tuple[int, bytes]]:
    first = 1
    held = b""  # the beginning of a line that a later block ends
    for number, data in enumerate(source):
        if number == 0:
            require_utf8_marks(data[:BLOCK], name)
        end = data.rfind(b"\n") + 1
        if not end and len(held) + len(data) > longest:
            raise too_long(name, first, len(held) + len(data) + _rest_of_line(source), longest)
        whole, held = (held + data[:end], data[end:]) if end else (b"", held + data)
        if whole:
            check_lines(whole, name, longest, first=first)
            yield first, whole
            first += whole.count(b"\n")
    if held:
        check_lines(held, name, longest, first=first)
        yield first, held


def _rest_of_line(source: Iterator[bytes]) -> int:
    """Bytes to the end of the line, none of which are kept."""
    length = 0
    for data in source:
        end = data.find(b"\n")
        if end >= 0:
            return length + end
        length += len(data)
    return length


class TooLong(UserError):
    """A line or text beyond the bound."""


def too_long(name: str | Path, line: int, length: int, longest: int) -> TooLong:
    """The error for a line or text beyond the bound."""
    return TooLong(
        f"this line has {length:,} bytes; the limit is {longest:,}",
        file=name,
        line=line,
        hint=f"Check line ends and closing quotes. If the texts are really this long, write "
        f"data.longest_line={length}.",
    )


def _how_to_decode(data: bytes, start: int) -> str:
    near = data[max(0, start - 100_000) : start + 100_000].decode("utf-8", "replace")
    bad = near.count("\ufffd")
    if bad < sum(not c.isascii() for c in near) - bad:  # UTF-8, and only some bytes are damaged
        return "If only a few bytes are damaged: iconv -c -f utf-8 -t utf-8 IN > OUT removes them."
    return f"Convert the file: iconv -f {_likely_encoding(data)} -t utf-8 IN > OUT"


def _likely_encoding(data: bytes) -> str:
    """Guess among what is met most: Chinese in GB18030, and Western European in one of its two.

    Chinese characters have two bytes, of which common ones begin with 0xB0 to 0xD7, punctuation
    with 0xA1 to 0xA3. Accents stand alone, and 0x80 to 0x9F are signs in Windows' encoding only.
    """
    part = data[:200_000]
    high = sum(byte > 0x7F for byte in part)
    common = 2 * len(re.findall(rb"[\xa1-\xa3\xb0-\xd7][\xa1-\xfe]", part))
    if common > 0.7 * high:
        return "gb18030"
    return "cp1252" if re.search(rb"[\x80-\x9f]", part) else "latin1"


def lines_of(text: str, name: str | Path, first: int = 1) -> list[str]:
    """Return lines without their ends: a line feed, perhaps after a carriage return.

    Args:
        text: Whole lines.
        name: The file, for the error.
        first: Number of the first line.

    Raises:
        UserError: A carriage return stands alone: it may be meant as a line's end.
    """
    lines = fields_of(text)
    if "\r" in text:
        for number, line in enumerate(lines, first):
            if (place := line.find("\r")) >= 0:
                raise lone_return(name, number, place + 1)
    return lines


def fields_of(text: str) -> list[str]:
    """Return lines as a reader of quoted fields needs them: a carriage return may be quoted."""
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    if "\r" in text:
        lines = [line.removesuffix("\r") for line in lines]
    return lines


def lone_return(name: str | Path, line: int, column: int | None = None) -> UserError:
    """The error for a carriage return that no line feed follows."""
    return UserError(
        "a carriage return is inside this line",
        file=name,
        line=line,
        column=column,
        hint=with_names(
            r"If it ends the lines, convert the file: tr '\r' '\n' < IN > OUT; else remove it.",
            name,
        ),
    )


def without_marks(lines: list[str], path: str | Path, notes: list[str]) -> list[str]:
    """Remove the byte order marks that joining files leaves at the start of lines; count them."""
    marked = [number for number, line in enumerate(lines, 1) if line.startswith(MARK)]
    if not marked:
        return lines
    marks = "{} at the start of a line, as in concatenated files, {} removed; the first in "
    notes.append(
        plural(
            len(marked),
            marks.format("byte order mark", "was"),
            marks.format("byte order marks", "were"),
        )
        + f"{path}:{marked[0]}"
    )
    return [line.removeprefix(MARK) for line in lines]


def read_text(path: Path, *, longest: int = LONGEST_LINE, largest: int | None = None) -> str:
    """A whole file as text.

    Args:
        path: The file, gzip or not.
        longest: Bytes of the longest line.
        largest: Of the file; see `bounded`.

    Raises:
        UserError: It is empty, or no such text.
    """
    text = decode(read_bytes(path, largest), path, longest=longest)
    if not text.strip():
        raise empty(path)
    return text


def empty(path: str | Path, what: str = "the file is empty") -> UserError:
    """The error for a file that holds no examples."""
    return UserError(what, file=path, hint="Give a file with at least one example.")


def bare_suffix(name: str | Path) -> str:
    """Return the ending that determines the format: `.csv` for `x.csv.gz`."""
    path = Path(name)
    return (path.with_suffix("") if path.suffix.lower() in SUFFIXES else path).suffix.lower()
