"""Errors of Hydra and OmegaConf as mistakes with key, value, repair and file.

Nothing here decides whether a config is right; it only looks up, once something is wrong, what the
right name is and which file or override the wrong one came from.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Sequence
from typing import TypeVar

import yaml
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from lushan.compat.omegaconf import node_at
from lushan.config import choices, hints, provenance
from lushan.config.provenance import Composer
from lushan.config.wrong_choices import no_such_group, no_such_option, not_an_option, value_of
from lushan.errors import UnknownKey, UserError, nearest

_THEIRS = ("hydra", "omegaconf", "antlr4", "yaml")
E = TypeVar("E", bound=BaseException)

_PLAIN = ValueError | TypeError | LookupError | AssertionError | OSError | RecursionError
_GENERAL = ("lushan.config", "lushan.compat", "lushan.cli.app", "lushan.cli.train")


def is_of_composition(error: BaseException) -> bool:
    """Return whether composing raised it: no job's own code, nor ours, was on the way.

    A sweeper or launcher may have asked for the composing of a job.
    """
    modules = [
        str(frame.f_globals.get("__name__", ""))
        for frame, _ in traceback.walk_tb(error.__traceback__)
    ]
    named = [module for module in modules if module.startswith("lushan.")]
    if named and not named[-1].startswith(_GENERAL):
        return False
    if isinstance(error, HydraException | OmegaConfBaseException | yaml.YAMLError):
        return True
    if not all(module.startswith(_GENERAL) for module in named):
        return False
    ours = [i for i, m in enumerate(modules) if m.startswith("lushan.")]
    after = modules[ours[-1] + 1 :] if ours else modules
    return isinstance(error, _PLAIN) and bool(after) and after[0].split(".")[0] in _THEIRS


def explain(
    error: Exception, composer: Composer, config_name: str | None, overrides: list[str]
) -> UserError:
    """Return the mistake behind what composing raised."""
    if isinstance(error, OverrideParseException):
        return _unreadable(error)
    if isinstance(error, MissingConfigException):
        return no_such_option(error, composer, config_name, overrides)
    if (in_yaml := _chained(error, yaml.MarkedYAMLError)) is not None:
        return _bad_yaml(in_yaml)
    text = str(error)
    if key := _unknown_key(text, overrides):
        return _no_such_key(key, composer, config_name, overrides)
    if (misplaced := _misplaced(text)) is not None:
        return misplaced
    if found := re.match(r"(?:In '[^']*': )?You must specify '([^']*)'", text):
        options = ", ".join(provenance.options_of(composer, found[1]))
        hint = f"Write {found[1]}=NAME. There are: {options}."
        return UserError("this must be set", key=found[1], hint=hint)
    if re.match(r"Config group override must be a string or a list", text):
        return _no_name(composer, overrides)
    if found := re.search(r"Invalid Defaults List override '/?([^:@']*)[^:']*: (.*)'", text):
        return no_such_group(found[1], found[2], composer, config_name, overrides)
    if found := re.search(r"\b[Ii]n '([^']+)'", text.partition("\n")[0]):
        return _other(error, None, provenance.path_of(composer, found[1]))
    return _other(error, _override_at_fault(text, composer, overrides))


def _misplaced(text: str) -> UserError | None:
    """Return the mistake of an override that is right elsewhere: without +, or in a sweep."""
    if found := re.match(r"Could not append to config\. An item is already at '([^']*)'", text):
        return UserError(
            "this key exists already",
            key=found[1],
            file=provenance.COMMAND_LINE,
            hint="Remove the +.",
        )
    if found := (
        re.match(r"Ambiguous value for argument '([^'=]*)=(.*)'\n", text)
        or re.match(r"Sweep parameters '([^'=]*)=(.*)' requires --multirun", text)
    ):
        return UserError(
            "several values need a sweep",
            key=found[1],
            value=found[2],
            file=provenance.COMMAND_LINE,
            hint=f"Write lushan train -m, or {found[1]}=[{found[2]}] for a list.",
        )
    if found := re.match(r"'(hydra\.[^']*)' must be configured before the sweep starts", text):
        return UserError(
            "a job of a sweep cannot set this",
            key=found[1],
            hint="Set it on the command line for the whole sweep.",
        )
    return None


def of_resolving(error: OmegaConfBaseException) -> UserError:
    """The mistake of an interpolation that leads nowhere."""
    key = error.full_key or None
    first = str(error).splitlines()[0]
    if isinstance(error, InterpolationKeyError):
        found = re.search(r"'([^']*)'", first)
        target = found[1] if found else "?"
        return UserError(
            f"it refers to {target}, which does not exist",
            key=key,
            hint=f"Set {key}=VALUE." if key else None,
        )
    return UserError(first, key=key)


def with_provenance(error: UserError) -> UserError:
    """Return a mistake with the file that its key came from."""
    if error.file is not None or error.key is None:
        return error
    place = provenance.place_of_key(error.key)
    if place is None:
        return error
    return type(error)(
        error.problem,
        key=error.key,
        value=error.value,
        file=place.file,
        line=place.line,
        hint=error.hint or _slash_instead_of_a_dot(error),
    )


def with_suggestion(error: UnknownKey, cfg: DictConfig) -> UnknownKey:
    """Return the same mistake, with what was meant by the key where the config shows it."""
    wrong = str(error.key)
    keys = [k for k in provenance.keys_of(cfg) if k != wrong and not k.startswith(f"{wrong}.")]
    value = error.value
    hint = choices.instead_of_key(
        wrong,
        str(value) if isinstance(value, str) else None,
        provenance.known_groups(),
        provenance.known_options,
    ) or hints.hint_for(wrong, value, keys, provenance.known_groups(), provenance.values_of(cfg))
    if hint is not None and hint.startswith(choices.ONLY) and error.hint:
        hint = f"{hint} {error.hint}"
    return UnknownKey(error.problem, key=wrong, value=value, hint=hint or error.hint)


def _slash_instead_of_a_dot(error: UserError) -> str | None:
    """A hint for `task.head=crf`: an option of a group inside another is chosen with a slash."""
    group = str(error.key).replace(".", "/")
    if group == error.key or not isinstance(error.value, str):
        return None
    return (
        f"Write {group}={error.value}." if error.value in provenance.known_options(group) else None
    )


def _unreadable(error: OverrideParseException) -> UserError:
    return _unreadable_line(str(error.override), str(error))


def _unreadable_line(line: str, text: str) -> UserError:
    reasons = [part for part in text.splitlines() if part and not part.startswith("See ")]
    if line.startswith("-"):
        return UserError(
            "unknown flag",
            value=line,
            file=provenance.COMMAND_LINE,
            hint="Run `lushan train --help` for usage.",
        )
    key, equals, value = line.partition("=")
    if not equals or not key:
        hint = f"{line}=VALUE?" if line and key else "Write KEY=VALUE."
        return UserError(
            "an override must be key=value", value=line, file=provenance.COMMAND_LINE, hint=hint
        )
    quoted = f'"{value}"'
    if value[:1] == "[" and value[-1:] == "]":
        quoted = "[" + ",".join(f'"{part.strip()}"' for part in value[1:-1].split(",")) + "]"
    return UserError(
        f"the value cannot be read: {(reasons[-1].strip(' ^') if reasons else '') or 'syntax'}",
        key=key,
        value=value,
        file=provenance.COMMAND_LINE,
        hint=f"Quote it for the shell and for Hydra: '{key}={quoted}'.",
    )


def _no_name(composer: Composer, overrides: Sequence[str]) -> UserError:
    """A group was given a number, or nothing: `callbacks=null`."""
    for override in composer.parse_quietly(overrides):
        line = str(override.input_line)
        if not override.key_or_group:
            return _unreadable_line(line, "")
        if composer.is_group(override) and not isinstance(override.value(), str | list):
            return not_an_option(override, composer)
    return UserError(
        "the value of a group must be the name of an option", value=" ".join(overrides)
    )


def _override_at_fault(text: str, composer: Composer, overrides: Sequence[str]) -> Override | None:
    """The override that a message speaks of."""
    for override in composer.parse_quietly(overrides):
        key, value = override.key_or_group, value_of(override)
        ways = [override.input_line, f"'{key}'", f"'{key}=", f" for {key}.", value and f"'{value}'"]
        if text.startswith(f"{key} ") or any(way in text for way in ways if way):
            return override
    return None


def _unknown_key(text: str, overrides: Sequence[str]) -> str | None:
    """Return the key that a message names as missing; `~` before it where it was to be removed."""
    if found := re.match(r"Could not override '([^']*)'", text):
        return found[1]
    if found := re.match(r"Could not delete from config\. '([^']*)' does not exist", text):
        return f"~{found[1]}"
    # The launcher and the sweeper are made while it is composed.
    if found := re.search(r"got an unexpected keyword argument '([^']*)'", text):
        keys = [override.lstrip("+").partition("=")[0] for override in overrides]
        ours = (k for k in keys if k.startswith("hydra.") and k.endswith(f".{found[1]}"))
        return next(ours, None)
    return None


def _no_such_key(
    key: str, composer: Composer, config_name: str | None, overrides: list[str]
) -> UserError:
    name = key.removeprefix("~")
    sign = "~" if key.startswith("~") else ""
    parsed = composer.parse_quietly(overrides)
    value = next((o for o in parsed if o.key_or_group == name.partition("@")[0]), None)
    if value is not None and composer.is_group(value) and not value.is_delete():
        return not_an_option(value, composer)
    given = None if value is None or value.is_delete() else value.get_value_string()
    return UnknownKey(
        "unknown key",
        key=name,
        value=given,
        file=provenance.COMMAND_LINE,
        hint=_key_hint(sign, name, given, composer, config_name, parsed),
    )


def _key_hint(
    sign: str,
    name: str,
    value: str | None,
    composer: Composer,
    config_name: str | None,
    parsed: list[Override],
) -> str:
    if name.partition(".")[0] == "hydra":
        return "`lushan train --cfg hydra` shows all keys."
    base = composer.without_values(config_name, parsed)
    keys = [] if base is None else list(provenance.keys_of(base))
    groups = provenance.groups_of(composer)
    if sign:
        near = nearest(name, [*groups, *keys])
        hint = f"Did you mean {sign}{near}?" if near else None
    else:
        values = {} if base is None else provenance.values_of(base)
        values |= {o.key_or_group: o.value() for o in parsed if not o.is_delete()}
        hint = choices.instead_of_key(
            name, value, groups, provenance.options_by(composer)
        ) or hints.hint_for(name, value, keys, groups, values)
    if hint is not None and not hint.startswith(choices.ONLY):
        return hint
    inside = None if base is None else _deepest(base, name)
    names = map(str, inside) if inside is not None else (k for k in keys if "." not in k)
    listed = f"There are: {', '.join(names)}."
    return listed if hint is None else f"{hint} {listed}"


def _deepest(base: DictConfig, key: str) -> DictConfig | None:
    """The innermost group on the way to a key; None where there is none."""
    node = base
    for part in key.split("."):
        inner = node_at(node, part) if isinstance(node, DictConfig) and part in node else None
        if not isinstance(inner, DictConfig):
            break
        node = inner
    return None if node is base else node


def _bad_yaml(error: yaml.MarkedYAMLError) -> UserError:
    mark = error.problem_mark or error.context_mark
    problem = " ".join(part for part in (error.context, error.problem) if part)
    if mark is None:
        return UserError(f"not YAML: {problem}")
    return UserError(
        f"not YAML: {problem}", file=mark.name, line=mark.line + 1, column=mark.column + 1
    )


def _chained(error: BaseException | None, kind: type[E]) -> E | None:
    while error is not None:
        if isinstance(error, kind):
            return error
        error = error.__cause__ or error.__context__
    return None


def _other(error: Exception, at_fault: Override | None, file: str | None = None) -> UserError:
    cause: BaseException = error
    while cause.__cause__ is not None and re.match(r"(Error merging override|$)", str(cause)):
        cause = cause.__cause__
    key = getattr(cause, "full_key", None) or getattr(error, "full_key", None)
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    beside = ("full_key:", "object_type", "reference_type")
    lines = [line for line in lines if not line.startswith(beside)]
    problem = lines[0] if lines else type(cause).__name__
    if isinstance(error, RecursionError):
        problem = "a config file includes itself in its defaults, directly or through others"
    hint = "\n  ".join(lines[1:]) or None
    if at_fault is None:
        return UserError(problem, key=key or None, file=file, hint=hint)
    return UserError(
        problem,
        key=at_fault.key_or_group,
        value=value_of(at_fault),
        file=provenance.COMMAND_LINE,
        hint=hint,
    )
