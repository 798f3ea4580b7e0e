"""Overrides as a person types them: quoted for Hydra's grammar, and that for the shell."""

from __future__ import annotations

import os
import re
from pathlib import Path

from lushan.common import shell

_PLAIN = re.compile(r"(?!(?:null|true|false|nan|inf)\b)[a-z_./][\w./:@%-]*", re.ASCII | re.I)
"""Text that Hydra reads as it is, without quotation marks."""
_KEY = re.compile(r"[a-z_][\w.-]*(?: [\w.-]+)*", re.ASCII | re.I)
"""Text that Hydra reads as the key of a mapping, where it takes no quotation marks."""
_UNQUOTED = re.compile(r"""'(?:\\.|[^'])*'|"(?:\\.|[^"])*"|[^,\[\]{}():'"]+""")
"""Quoted text, or what stands between Hydra's own signs."""


def typed(key: str, value: object) -> str:
    """Return `key=value` as it is typed in a shell: `'data.comment="#"'`."""
    return shell.quote(f"{key}={value_text(value)}")


def can_be_key(text: str) -> bool:
    """Return whether Hydra's grammar can name a key of a mapping so."""
    return bool(_KEY.fullmatch(text))


def quoted(override: str) -> str:
    """Return an override with quotation marks around text that Hydra's grammar has no letters for.

    That is all text outside ASCII: `data.text=[标题,内容]` becomes `data.text=["标题","内容"]`. An
    override with interpolations or escapes stays as it is.
    """
    key, equals, value = override.partition("=")
    if value.isascii() or "${" in value or "\\" in value:
        return override

    def mark(found: re.Match[str]) -> str:
        text = found[0]
        inner = text.strip()
        return text if text.isascii() or inner[0] in "'\"" else text.replace(inner, f'"{inner}"')

    return f"{key}{equals}{_UNQUOTED.sub(mark, value)}"


def from_here(override: str) -> str:
    """Return an override whose absolute path, which no other machine has, is one from here."""
    key, equals, value = override.partition("=")
    there = Path(value).is_absolute() and Path(value).exists()
    return f"{key}{equals}{os.path.relpath(value)}" if there else override


def value_text(value: object) -> str:
    """Return a value as Hydra's grammar reads it, before any shell."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {value_text(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(value_text, value)) + "]"
    if not isinstance(value, str) or _PLAIN.fullmatch(value):
        return str(value)
    from hydra.core.override_parser.types import Quote, QuotedString

    return QuotedString(value, Quote.double).with_quotes()
