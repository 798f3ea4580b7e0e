"""What an option of a config group calls, argument by argument: type, value, default, meaning.

Types come from signatures, meanings from docstrings, both as `lushan.config.signatures` keeps them:
what was read once is imported no more. Values come from the composed config.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from lushan.config import provenance, types
from lushan.config.build import TARGET
from lushan.config.compose import compose, composed
from lushan.config.search_path import conf_folders
from lushan.config.signatures import signature
from lushan.config.usage import option_file, options_by_group, summary
from lushan.errors import UserError, did_you_mean, one_of

_EXAMPLES: Mapping[str, str] = {
    types.words(["int"]): "10",
    types.words(["float"]): "0.1",
    types.words(["str"]): "NAME",
    types.words(["list", ["str"]]): "[A,B]",
}
NOTHING = inspect.Parameter.empty
"""Value or default that is not there."""


@dataclasses.dataclass(frozen=True)
class Argument:
    """One argument of a target, as a key of a config.

    Attributes:
        key: Dotted.
        type: In words.
        value: In the composed config; `NOTHING` where no file sets it.
        default: Of the signature; `NOTHING` where there is none.
        meaning: From the docstring; empty where that says nothing.
        options: The values that there are, where they can be counted.
    """

    key: str
    type: str
    value: Any
    default: Any
    meaning: str
    options: Sequence[Any] = ()

    @property
    def current(self) -> Any:
        """The value that holds: the config's, else the default."""
        return self.default if self.value is NOTHING else self.value

    @property
    def example(self) -> str:
        """An override that sets it."""
        others = [o for o in self.options if o not in (self.current, None)]
        if others:
            return f"{self.key}={written(others[0])}"
        if isinstance(self.current, int | float) and self.current:
            return f"{self.key}={2 * self.current}"
        first = re.split(r",| or ", self.type)[0]
        return f"{self.key}={_EXAMPLES.get(first, 'VALUE')}"

    def as_dict(self) -> dict[str, Any]:
        """Return it in JSON's types."""
        found = dataclasses.asdict(self) | {"example": self.example, "options": list(self.options)}
        return {name: None if value is NOTHING else value for name, value in found.items()} | {
            "required": self.current is NOTHING or self.current == "???"
        }


@dataclasses.dataclass(frozen=True)
class Option:
    """An option of a config group.

    Attributes:
        choice: How it is chosen: `optimizer=adamw`.
        file: Where it is written.
        summary: The comment at its head.
        target: What it calls; None where it calls nothing itself.
        arguments: Of what it calls, and of what is made for that.
    """

    choice: str
    file: Path
    summary: str
    target: str | None
    arguments: Sequence[Argument]


def option(group: str, name: str, overrides: Sequence[str] = ()) -> Option:
    """Describe an option.

    Args:
        group: Such as `task` or `task/head`.
        name: Of the option.
        overrides: Others, without which it cannot be composed.

    Raises:
        UserError: There is no such group or option.
    """
    file = file_of(group, name)
    cfg = compose([f"{group}={name}", *overrides])
    key = group.replace("/", ".")
    found = OmegaConf.select(cfg, key)
    node: Any = OmegaConf.to_container(found, resolve=False) if OmegaConf.is_config(found) else None
    target = node.get(TARGET) if isinstance(node, dict) else None
    return Option(f"{group}={name}", file, summary(file), target, list(_arguments(node, key)))


def file_of(group: str, name: str) -> Path:
    """Return the file of an option: of several folders with one, that which is searched first.

    Raises:
        UserError: There is no such group or option.
    """
    folders = conf_folders()
    known = options_by_group(folders)
    if group not in known:
        raise UserError(
            "unknown group",
            value=group,
            hint=one_of(group, known, colon=True),
        )
    if name not in known[group]:
        raise UserError(
            "the group does not have this option",
            key=group,
            value=name,
            hint=one_of(name, known[group], colon=True),
        )
    return option_file(folders, group, name)


def argument(key: str, overrides: Sequence[str] = ()) -> tuple[Argument, provenance.Place | None]:
    """Describe a key of the config that some overrides compose, and say where it is set.

    Raises:
        UserError: There is no such key; names those that are near.
    """
    cfg, choices = composed(list(overrides))
    whole: Any = OmegaConf.to_container(cfg, resolve=False)
    known = {one.key: one for one in _arguments(whole, "")}
    group = key.replace(".", "/")
    if group in choices:
        place = provenance.place_of_key(key)
        return _of_group(group, choices[group], place), place
    plain = OmegaConf.select(cfg, key, default=NOTHING, throw_on_missing=False)
    if not key or (key not in known and plain is NOTHING):
        nodes = {above.replace("/", ".") for above in choices}
        raise UserError(
            "unknown key",
            value=key,
            hint=did_you_mean(key, [*known, *nodes])
            or "`lushan options GROUP/NAME` lists the keys of an option.",
        )
    if OmegaConf.is_config(plain):
        value = OmegaConf.to_container(plain, resolve=False)
        found = known.get(key) or Argument(key, "a mapping or list", value, NOTHING, "")
        return dataclasses.replace(found, value=value), provenance.place_of_key(key)
    place = provenance.place_of_key(key)
    found = known.get(key) or Argument(key, _type_of(plain), plain, NOTHING, _comment(place))
    is_set = found.value is not NOTHING
    return found, place if is_set else None


def _of_group(group: str, choice: str | None, place: provenance.Place | None) -> Argument:
    """Describe a key whose value is an option of a group, or null."""
    several = options_by_group(conf_folders())[group]
    kind = (
        f"an option of the group {group}; `lushan options {group}/{choice or 'NAME'}` lists its "
        f"keys"
    )
    meaning = _comment(place) if choice is None else summary(file_of(group, choice))
    return Argument(group, kind, choice, NOTHING, meaning, several)


def _type_of(value: object) -> str:
    kinds = {bool: "bool", int: "int", float: "float", str: "str"}
    return types.words([kinds[type(value)]]) if type(value) in kinds else "anything"


def _comment(place: provenance.Place | None) -> str:
    """Return the comment behind or before the line of a key."""
    if place is None or place.line is None:
        return ""
    lines = Path(place.file).read_text(encoding="utf-8", errors="replace").splitlines()
    behind = lines[place.line - 1].partition(" #")[2].strip()
    above = lines[place.line - 2].strip() if place.line > 1 else ""
    return behind or (above.lstrip("# ") if above.startswith("#") else "")


def _arguments(node: object, key: str) -> Iterator[Argument]:
    """Give the arguments of all targets of a node, outer ones first."""
    if not isinstance(node, Mapping):
        return
    target = node.get(TARGET)
    inner = {name: value for name, value in node.items() if isinstance(value, Mapping)}
    if isinstance(target, str):
        for name, one in signature(target, key).parameters.items():
            given_by_code = one.late or (one.required and node.get("_partial_"))
            if given_by_code and name not in node:
                continue
            value = node.get(name, NOTHING)
            if isinstance(value, Mapping) and TARGET in value:
                continue
            yield Argument(
                _joined(key, name),
                types.words(one.kind),
                value,
                one.default[0] if one.default else NOTHING,
                one.meaning,
                types.options(one.kind),
            )
    for name, value in inner.items():
        yield from _arguments(value, _joined(key, name))


def _joined(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def written(value: object) -> str:
    """Return a value as YAML writes it in a line."""
    if value is NOTHING:
        return ""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{k}: {written(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(written, value)) + "]"
    return value if isinstance(value, str) else repr(value)
