"""Other spellings of tags, brought into `B-PER` before a scheme is looked for.

| spelling   | tags                     | where                             |
| ---------- | ------------------------ | --------------------------------- |
| underscore | `B_PER I_PER O`          | exports of annotation tools       |
| suffix     | `PER-B PER-I O`, `PER_B` | some Chinese and clinical corpora |
| brackets   | `(PER* *) *`, `(PER)`    | CoNLL-2005, 2011 and 2012         |
| io         | `PER PER O`              | Few-NERD                          |

The first three show in the tags: all of a corpus are spelt so, and none is a tag otherwise. `io`
has no letters, as a wrong column has none: it is read where the config says so.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Literal

from lushan.text.tags import is_tag

Spelling = Literal["underscore", "suffix", "brackets", "io"]
_PATTERNS: dict[Spelling, re.Pattern[str]] = {
    "underscore": re.compile(r"[BIESLUM]_(?P<type>.+)"),
    "suffix": re.compile(r"(?P<type>.+)[-_](?P<letter>[BIESLUM])"),
    "brackets": re.compile(r"(?:\((?P<type>[^()*]+))?\*?(?P<end>\)?)"),
}


def spelling_of(tags: Collection[str]) -> Spelling | None:
    """Return the spelling of a corpus's different tags; None where it is the usual one."""
    others = {tag for tag in tags if tag != "O"}
    if not others or any(map(is_tag, others)):
        return None
    found = (s for s, pattern in _PATTERNS.items() if all(map(pattern.fullmatch, others)))
    return next(found, None)


def respelt(tags: Sequence[str], spelling: Spelling) -> list[str]:
    """Return the tags of one sentence in the usual spelling; one of another stays as it is."""
    if spelling == "brackets":
        return _from_brackets(tags)
    return [tag if tag == "O" else _respelt(tag, spelling) for tag in tags]


def _respelt(tag: str, spelling: Spelling) -> str:
    if spelling == "io":
        return tag if tag.startswith("I-") else f"I-{tag}"
    found = _PATTERNS[spelling].fullmatch(tag)
    if found is None:
        return tag
    return f"{tag[0] if spelling == 'underscore' else found['letter']}-{found['type']}"


def _from_brackets(tags: Sequence[str]) -> list[str]:
    """Read `(PER*`, `*` and `*)` as IOB2."""
    found, within = [], ""
    for tag in tags:
        match = _PATTERNS["brackets"].fullmatch(tag)
        if match is None:
            found.append(tag)
            within = ""
            continue
        kind = match["type"]
        within = kind or within
        found.append(f"{'B' if kind else 'I'}-{within}" if within else "O")
        if match["end"]:
            within = ""
    return found
