"""Bounds on what the interpolations of a config expand to, before any of them is resolved.

Ten lines, each of which names the one before it ten times, stand for more text than a machine has
memory, and OmegaConf writes all of it out. Sizes are added up here from what each part names.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from lushan.errors import UserError

MOST = 1_000_000
"""Characters that all interpolations of a config may stand for; each counts `EACH` more."""
EACH = 20
"""Cost of resolving one, in characters."""

_INNERMOST = re.compile(r"\$\{([^${}]*)\}")
_ANY = "\0"
"""Stands for a part of a key that is itself interpolated."""


def require_bounded(config: object) -> None:
    """Refuse a config whose interpolations stand for too much."""
    sizes, total = _Sizes(config), 0
    for key, value in sizes.values.items():
        if isinstance(value, str) and "${" in value:
            total += sizes.of(key)
            if total > MOST:
                raise UserError(
                    f"its interpolations expand to more than {MOST:,} characters",
                    key=key,
                    value=value,
                )


class _Sizes:
    """The sizes of the parts of a config, each found once."""

    def __init__(self, config: object) -> None:
        self.values = dict(_flat(config, ""))
        self.children: dict[str, list[str]] = {}
        for key in self.values:
            if key:
                self.children.setdefault(key.rpartition(".")[0], []).append(key)
        self.known: dict[str, int] = {}

    def of(self, key: str) -> int:
        """Count the characters that the value at a key expands to, `MOST` + 1 at most."""
        if key not in self.known:
            self.known[key] = 0  # meanwhile: what names itself is refused by OmegaConf
            value = self.values[key]
            inner = self._of_text(value, key) if isinstance(value, str) else 1
            inner += sum(self.of(child) for child in self.children.get(key, ()))
            self.known[key] = min(inner, MOST + 1)
        return self.known[key]

    def _of_text(self, text: str, key: str) -> int:
        size = 0
        while found := _INNERMOST.search(text):
            names = re.split(r"[:,]", found[1])
            size += EACH + len(found[1]) + sum(self._of_name(name, key) for name in names)
            text = f"{text[: found.start()]}{_ANY}{text[found.end() :]}"
        return size + len(text)

    def _of_name(self, name: str, key: str) -> int:
        name = name.strip(" '\"")
        path = re.sub(r"\[([^\]]*)\]", r".\1", name)
        dots = len(path) - len(path.lstrip("."))
        if dots:  # relative to the mapping that the key stands in
            above = key.split(".")[:-dots]
            path = ".".join([*above, path.lstrip(".")])
        if _ANY not in path:
            return self.of(path) if path and path in self.values else 0
        pattern = re.compile("[^.]*".join(re.escape(part) for part in re.split(f"{_ANY}+", path)))
        return max((self.of(other) for other in self.values if pattern.fullmatch(other)), default=0)


def _flat(value: object, key: str) -> Iterator[tuple[str, Any]]:
    yield key, value
    items: Iterable[tuple[Any, Any]] = value.items() if isinstance(value, Mapping) else ()
    items = enumerate(value) if isinstance(value, list | tuple) else items
    for name, inner in items:
        yield from _flat(inner, f"{key}.{name}" if key else str(name))
