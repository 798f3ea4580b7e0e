"""Packages that an extra of lushan brings."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

from lushan.errors import UserError


def require(extra: str, *packages: str, what: str, **place: Any) -> None:
    """Refuse what needs packages of an extra that are not installed; `place` is the error's."""
    missing = [name for name in packages if not _is_there(name)]
    if missing:
        raise UserError(
            f"{what} needs {' and '.join(missing)}, not installed here",
            hint=f"pip install 'lushan[{extra}]'",
            **place,
        )


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # nor is the package that it would be in
        return False
