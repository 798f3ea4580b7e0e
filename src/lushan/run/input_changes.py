"""Inputs of a run, then and now: which of them have changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from lushan.errors import UserError

INPUTS = "inputs.json"
"""In the run folder: hashes of what the run was begun with."""

KINDS = ("data", "files", "targets")
_SHOWN = 4


class Change(NamedTuple):
    """An input that has changed.

    Attributes:
        kind: One of `KINDS`.
        name: The split, the key (and the file below it), or the module.
        how: `changed`, `gone` or `new`.
        written: What was written for it: of a split, its file. None where that is not known.
    """

    kind: str
    name: str
    how: str
    written: str | None = None

    @property
    def key(self) -> str | None:
        """The config key that names it; None of a module, which many may lead to."""
        if self.kind == "targets":
            return None
        return f"data.{self.name}" if self.kind == "data" else self.name.partition("/")[0]

    @property
    def what(self) -> str:
        """The input, in words."""
        key, _, file = self.name.partition("/")
        named = {
            "data": self.written or f"the data of {self.name}",
            "files": f"{file} of {key}" if file else f"the file of {key}",
            "targets": f"the code of {self.name}",
        }[self.kind]
        return named if self.how == "changed" else f"{named} ({self.how})"

    @property
    def label(self) -> str:
        """The input as a row of a table names it: `model.path/model.safetensors`."""
        return {"data": "data of ", "files": "", "targets": "code of "}[self.kind] + self.name

    def called(self, names: Mapping[str, str]) -> Change:
        """Return the same change as it was written.

        Args:
            names: Key of the config to what was written for it: `model.path` to `init_from`,
                `data.train` to its file.
        """
        key, slash, file = self.name.partition("/")
        if self.kind == "data":
            return self._replace(written=names.get(f"data.{self.name}"))
        if self.kind != "files" or key not in names:
            return self
        return self._replace(name=f"{names[key]}{slash}{file}")


def changes(
    before: Mapping[str, Mapping[str, str]], now: Mapping[str, Mapping[str, str]]
) -> list[Change]:
    """Return what has changed of what was recorded; what was not recorded is not known."""
    found = []
    for kind in (k for k in KINDS if k in before):
        old, new = before[kind], now.get(kind) or {}
        keys = {name.partition("/")[0] for name in old}
        for name in sorted(old.keys() | new.keys()):
            if name not in new:
                found.append(Change(kind, name, "gone"))
            elif name not in old:
                # A new file in a folder that was read would be read too; and code imports it.
                if kind != "files" or name.partition("/")[0] in keys:
                    found.append(Change(kind, name, "new"))
            elif old[name] != new[name]:
                found.append(Change(kind, name, "changed"))
    return found


def in_words(found: list[Change]) -> str:
    """Return changes as the subject and verb of a sentence: `the data of train has changed`."""
    every = list(dict.fromkeys(change.what for change in found))  # splits may share a file
    names = every[:_SHOWN]
    if more := len(every) - len(names):
        names.append(f"{more} more")
    listed = ", ".join(names[:-1]) + (" and " if len(names) > 1 else "") + names[-1]
    return f"{listed} {'has' if len(names) == 1 else 'have'} changed"


def require_unchanged(
    before: Mapping[str, Mapping[str, str]],
    now: Mapping[str, Mapping[str, str]],
    folder: Path,
    names: Mapping[str, str] | None = None,
) -> None:
    """Refuse to take a run for one of other inputs than it was begun with."""
    if not (found := [change.called(names or {}) for change in changes(before, now)]):
        return
    raise UserError(
        f"{in_words(found)} since {folder} started",
        key=found[0].key,
        hint=f"To train on the current inputs, set name=NAME, or delete {folder}.",
    )
