"""Targets that a config may name: the allow-list.

A config is data that names code, and code can do anything. So a name must begin with an allowed
prefix before anything is imported for it; and what it resolves to must be a class of the kind that
the rule names, defined where the rule says, whatever the name that led there:
`torch.optim.lr_scheduler.torch.load` begins well and is `torch.serialization.load`. Of lushan
itself only what is marked `@configurable` where it is defined may be named.

A user allows a package of their own by the environment, `LUSHAN_TARGETS=my_package`, or by
`targets.yaml` (a list) in their own configuration folder; a config or a working folder cannot.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from lushan.common import extras, parsing
from lushan.config.folders import is_there, personal_conf
from lushan.config.rules import (
    FIELD,
    FIELD_RULES,
    HYDRA_RULES,
    PLACES,
    RULES,
    SCORE,
    SCORE_RULES,
    Rule,
)
from lushan.configurable import is_configurable
from lushan.errors import UserError, did_you_mean
from lushan.run import inside

ENVIRONMENT = "LUSHAN_TARGETS"
FILE = "targets.yaml"
NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


@dataclass(frozen=True)
class Identity:
    """Identity of an object, whatever name led to it.

    Attributes:
        module: Where it is defined.
        qualname: Its name there.
        kind: `class`, `function` (written in Python at the top of a module), or else its type.
        bases: Full names of the classes it derives from, itself first.
        marked: Whether it is `@configurable`.
    """

    module: str
    qualname: str
    kind: str
    bases: tuple[str, ...] = ()
    marked: bool = False

    @property
    def full(self) -> str:
        """Module and qualified name in one."""
        return f"{self.module}.{self.qualname}"


def identify(thing: object) -> Identity:
    """Return the identity of an object."""
    module = str(getattr(thing, "__module__", None) or "")
    qualname = str(getattr(thing, "__qualname__", None) or "")
    if isinstance(thing, type):
        bases = tuple(f"{c.__module__}.{c.__qualname__}" for c in inspect.getmro(thing))
        return Identity(module, qualname, "class", bases, is_configurable(thing))
    if isinstance(thing, FunctionType):
        # A dot in the name: a method, or something made inside another function.
        kind = "method" if "." in qualname else "function"
        return Identity(module, qualname, kind, marked=is_configurable(thing))
    if isinstance(thing, ModuleType):
        return Identity(thing.__name__, "", "module")
    return Identity(module, qualname, type(thing).__name__)


def user_prefixes() -> tuple[str, ...]:
    """Return the prefixes that the user allows, from the environment and their own `targets.yaml`.

    Raises:
        UserError: The file is no list of dotted names.
    """
    return _user_prefixes(os.environ.get(ENVIRONMENT, ""), personal_conf() / FILE, Path.cwd())


@functools.cache
def _user_prefixes(environment: str, file: Path, folder: Path) -> tuple[str, ...]:
    entries: list[object] = [part for part in re.split(r"[,\s]+", environment) if part]
    if is_there(file):
        listed = parsing.read_yaml(file)
        if not isinstance(listed, list | None):
            raise UserError("must be a list of prefixes", file=file, hint="- my_package")
        entries += listed or []
    prefixes = []
    for entry in entries:
        name = entry.removesuffix("*").removesuffix(".") if isinstance(entry, str) else ""
        if not all(part.isidentifier() for part in name.split(".")):
            raise UserError(
                "an allowed target must be the dotted name of a package, module or class",
                value=entry,
                key=None if is_there(file) else ENVIRONMENT,
                file=file if is_there(file) else None,
                hint=f"Write {ENVIRONMENT}=my_package",
            )
        prefixes.append(name)
    if prefixes and str(folder) not in sys.path:
        # Their package may stand beside the command; last, so that it hides nothing installed.
        sys.path.append(str(folder))
    return tuple(prefixes)


def rules_for(key: str) -> tuple[Rule, ...]:
    """The rules for a target at a dotted key."""
    if key == "hydra" or key.startswith("hydra."):
        return HYDRA_RULES
    if key.startswith("trial."):  # what a search hands to its trials
        return tuple(rule for rule in HYDRA_RULES if rule.named == "optuna.pruners.")
    # `my_package` allows itself and what is in it, not `my_package_evil`.
    theirs = user_prefixes()
    lives = tuple(name for p in theirs for name in (p, f"{p}."))
    own = {SCORE: SCORE_RULES, FIELD: FIELD_RULES}.get(key, RULES)
    return own + tuple(Rule(name, lives, functions=True) for name in lives)


def rule_for(name: object, key: str) -> Rule:
    """Refuse a target by its name, before anything is imported for it.

    Returns:
        The rule that it begins well by.
    """
    at = f"{key}._target_" if key else "_target_"
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise UserError(
            "a target must be the dotted name of a class or function", key=at, value=name
        )
    rules = rules_for(key)
    rule = next((r for r in rules if _begins(name, r.named)), None)
    if rule is None:
        raise UserError(
            "this target is not allowed", key=at, value=name, hint=_how_to_allow(name, rules)
        )
    private = [part for part in name.removeprefix(rule.named).split(".") if part.startswith("_")]
    if private:
        raise UserError("a target must not be a private name", key=at, value=name)
    return rule


def require_allowed(name: str, what: Identity, key: str) -> None:
    """Refuse a target by what it really is."""
    rule = rule_for(name, key)
    at = f"{key}._target_" if key else "_target_"
    allowed_kind = what.kind == "class" or (what.kind == "function" and rule.functions)
    if rule.marked and allowed_kind and not what.marked:
        raise UserError(
            "this target is not allowed: only names of lushan marked @configurable are",
            key=at,
            value=name,
        )
    home = any(_begins(what.full, place) for place in rule.lives)
    if not home:
        raise UserError(
            f"this target is not allowed: it is an alias of {what.full or what.kind}",
            key=at,
            value=name,
            hint=_how_to_allow(what.full, rules_for(key)),
        )
    if not allowed_kind:
        sort = "classes and functions" if rule.functions else "classes"
        raise UserError(
            f"this target is not allowed: only {sort} of {rule.named} are, but this is a "
            f"{what.kind}",
            key=at,
            value=name,
        )
    if rule.bases and what.kind == "class" and not set(rule.bases) & set(what.bases):
        kinds = ", ".join(base.rsplit(".", 1)[1] for base in rule.bases)
        raise UserError(
            f"this target is not allowed: only subclasses of {kinds} in {rule.named} are",
            key=at,
            value=name,
        )


def require_arguments(node: Mapping[str, Any], key: str) -> None:
    """Refuse arguments that a config may not give to what it names."""
    rule = rule_for(node["_target_"], key)
    if rule.writes:
        _require_below(node, key)
    if rule.arguments is None:
        return
    given = [str(name) for name in node if not str(name).startswith("_")]
    given += ["_args_"] if node.get("_args_") else []
    for name in given:
        if name not in rule.arguments:
            raise UserError(
                "a config cannot set this argument",
                key=f"{key}.{name}" if key else name,
                value=node[name],
                hint=f"It can set {', '.join(rule.arguments)}. An address or a key for a server "
                "comes from the environment.",
            )


def _require_below(node: Mapping[str, Any], key: str) -> None:
    """Refuse what would have a library write outside of the working folder."""
    given = [(name, node.get(name)) for name in PLACES]
    given += [("_args_", value) for value in node.get("_args_") or ()]
    for name, value in given:
        if isinstance(value, str) and not (inside.is_bound(value) and inside.is_inside(value, ".")):
            raise UserError(
                "this is an output path outside the working folder",
                key=f"{key}.{name}" if key else name,
                value=value,
                hint="Write a path below the working folder, or remove it to use the run's folder.",
            )


def locate(name: str, key: str = "") -> Any:
    """Import what a target names, checking its name first and then what it is.

    Raises:
        UserError: It is not allowed, or there is no such thing.
    """
    rule_for(name, key)
    thing = _import(name, key)
    require_allowed(name, identify(thing), key)
    return thing


def _import(name: str, key: str) -> Any:
    at = f"{key}._target_" if key else "_target_"
    first, *rest = name.split(".")
    path = first
    try:
        thing: Any = importlib.import_module(first)
        for part in rest:
            path = f"{path}.{part}"
            try:
                thing = getattr(thing, part)
            except AttributeError:
                if not isinstance(thing, ModuleType):
                    raise
                thing = importlib.import_module(path)
    except ModuleNotFoundError as error:
        if error.name and not f"{path}.".startswith(f"{error.name}."):
            raise UserError(
                f"{path} needs the package {error.name!r}, which is not installed",
                key=at,
                value=name,
                hint=extras.installing(error.name),
            ) from error
        parent = path.rpartition(".")[0]
        raise UserError(
            f"there is no {path}", key=at, value=name, hint=_near(path, sys.modules.get(parent))
        ) from error
    except AttributeError as error:
        raise UserError(f"there is no {path}", key=at, value=name) from error
    return thing


def nodes(config: Any, key: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every mapping with a `_target_`, wherever it stands, outer ones first.

    Yields:
        (dotted key, the mapping)
    """
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield key, config
        for name, value in config.items():
            yield from nodes(value, f"{key}.{name}" if key else str(name))
    elif isinstance(config, list | tuple):
        for i, value in enumerate(config):
            yield from nodes(value, f"{key}.{i}" if key else str(i))


def _begins(name: str, prefix: str) -> bool:
    return name.startswith(prefix) if prefix.endswith(".") else name == prefix


def _near(path: str, parent: ModuleType | None) -> str | None:
    names = [n for n in dir(parent) if not n.startswith("_")] if parent else []
    return did_you_mean(path.rpartition(".")[2], names)


def _how_to_allow(name: str, rules: tuple[Rule, ...]) -> str:
    if rules is HYDRA_RULES:
        return "Under `hydra`, only targets of Hydra, its plugins and lushan are allowed."
    if name.split(".", maxsplit=1)[0] in {rule.named.split(".")[0] for rule in RULES}:
        near = did_you_mean(name, [rule.named for rule in RULES])
        return near or "Allowed: " + ", ".join(rule.named for rule in RULES) + "."
    package = name.partition(".")[0]
    return (
        f"If you trust that package, set {ENVIRONMENT}={package} in the environment, or add `- "
        f"{package}` to {personal_conf() / FILE}."
    )
