"""Packages that an extra of lushan brings."""

from __future__ import annotations

import functools
import re
from importlib import metadata
from importlib.util import find_spec
from typing import Any

from lushan.errors import UserError


@functools.cache
def packages() -> dict[str, list[str]]:
    """Return the packages of each extra, but of those for work on lushan itself (`dev`)."""
    found: dict[str, list[str]] = {}
    for line in metadata.requires("lushan") or ():
        match = re.search(r"extra == ['\"](?!dev\b)([\w-]+)['\"]", line)
        if match is not None:
            found.setdefault(match[1], []).append(re.split(r"[ ;<>=!~\[]", line)[0])
    return found


def missing(extra: str) -> list[str]:
    """Return the packages of an extra that are not installed."""
    return [name for name in packages().get(extra, ()) if version(name) is None]


def version(package: str) -> str | None:
    """Return the version of an installed package, by the name that pip knows; None of others."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def installing(module: str) -> str:
    """Return the command that installs a package: the first extra of lushan that brings it."""
    name = module.replace("_", "-").lower()
    extra = next((e for e, names in sorted(packages().items()) if name in names), None)
    return f"pip install {name}" if extra is None else f"pip install 'lushan[{extra}]'"


def require(extra: str, *modules: str, what: str, **place: Any) -> None:
    """Refuse what needs packages of an extra that are not installed; `place` is the error's."""
    absent = [name for name in modules if not _is_there(name)]
    if absent:
        raise UserError(
            f"{what} needs {' and '.join(absent)}, not installed here",
            hint=f"pip install 'lushan[{extra}]'",
            **place,
        )


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:  # nor is the package that it would be in
        return False
