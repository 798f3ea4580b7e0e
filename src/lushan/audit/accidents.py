"""Characters that a text should not hold: what was lost or left behind by decoding and copying."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Iterable, Mapping

import pyarrow as pa

from lushan.audit import texts
from lushan.audit.texts import Place
from lushan.data.fields import Fields

KINDS: Mapping[str, tuple[str, str]] = {
    "replacement": ("characters lost in decoding (U+FFFD)", "\ufffd"),
    "bom": ("byte order marks inside texts (U+FEFF)", "\ufeff"),
    "control": ("control characters", r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"),
    "invisible": (
        "invisible characters (zero-width spaces, soft hyphens, marks of direction)",
        r"[\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u206f]",
    ),
    "private": (
        "private-use characters or code points that are none",
        r"[\ue000-\uf8ff\ufdd0-\ufdef\ufffe\uffff\U000f0000-\U0010ffff]",
    ),
    "mojibake": (
        "mojibake (UTF-8 decoded as Latin-1 or Windows-1252)",
        r"[\u00c2\u00c3][\u00a0-\u00bf]|\u00e2\u20ac[\u0080-\u00ff\u0152-\u02dc\u2018-\u2122]",
    ),
    "html": (
        "HTML entities (such as &amp;)",
        r"&(?:amp|lt|gt|quot|apos|nbsp|\#\d{1,7}|\#x[0-9a-fA-F]{1,6});",
    ),
}
"""Name to what it is and what it looks like. Joiners (U+200C, U+200D) are part of scripts and of
emoji, and are no accident."""
NOT_NFC = "decomposed"
MEANINGS = {name: meaning for name, (meaning, _) in KINDS.items()} | {
    NOT_NFC: "letters with separate accents (not Unicode NFC)"
}


def _one_of(names: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?P<{name}>{KINDS[name][1]})" for name in names))


_ANY = _one_of(KINDS)
_ASCII = _one_of(("control", "html"))
SHOWN = 5


@dataclasses.dataclass(frozen=True)
class Accident:
    """One kind of accident in one split.

    Attributes:
        split: Its name.
        kind: A key of `MEANINGS`.
        texts: Rows that have it.
        times: How often, in all.
        total: Rows of the split.
        examples: The first of them.
    """

    split: str
    kind: str
    texts: int
    times: int
    total: int
    examples: list[Place]


def accidents_of(
    splits: Mapping[str, pa.Table], fields: Fields, shown: int = SHOWN
) -> list[Accident]:
    """The accidents of each split; none is left out but for their examples."""
    found = []
    for split, table in splits.items():
        rows: dict[str, list[int]] = {}
        for row, parts in enumerate(texts.parts_of(table, fields)):
            for part in parts:
                for kind in kinds_of(part):
                    rows.setdefault(kind, []).append(row)
        for kind in (name for name in MEANINGS if name in rows):
            distinct = list(dict.fromkeys(rows[kind]))
            places = [texts.place(split, row, table, fields) for row in distinct[:shown]]
            found.append(
                Accident(split, kind, len(distinct), len(rows[kind]), table.num_rows, places)
            )
    return found


def kinds_of(text: str) -> list[str]:
    """The accidents of a text, each as often as it stands there."""
    plain = text.isascii()
    pattern = _ASCII if plain else _ANY
    found = [str(match.lastgroup) for match in pattern.finditer(text)]
    if not plain and not unicodedata.is_normalized("NFC", text):
        found.append(NOT_NFC)
    return found
