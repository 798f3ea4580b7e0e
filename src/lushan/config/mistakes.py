"""What Hydra and OmegaConf complain of, said in the words of the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import yaml
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from lushan.config.signatures import signature
from lushan.errors import UserError, did_you_mean, nearest

if TYPE_CHECKING:
    from lushan.config.compose import Composer

_COULD_NOT_OVERRIDE = re.compile(r"Could not override '([^']+)'")
_COULD_NOT_DELETE = re.compile(r"Could not delete from config\. '([^']+)'")
_NOT_FOUND = re.compile(r"In '([^']+)': Could not find '([^']+)'")


def is_of_composition(error: BaseException) -> bool:
    """Whether an exception tells of a config or an override, not of the program."""
    return isinstance(error, HydraException | OmegaConfBaseException | yaml.YAMLError)


def explain(
    error: Exception, composer: Composer, config_name: str | None, overrides: Sequence[str]
) -> UserError:
    """The `UserError` that says what to write instead.

    Args:
        error: From composing.
        composer: What composed.
        config_name: The primary config.
        overrides: Of the command line.
    """
    text = str(error)
    if isinstance(error, OverrideParseException):
        return _unreadable(error, overrides)
    if isinstance(error, MissingConfigException):
        return _no_such_option(error, text, composer)
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        problem = f"this is not YAML: {error.problem}"
        return UserError(problem, file=mark.name, line=mark.line + 1, column=mark.column + 1)
    if match := _COULD_NOT_OVERRIDE.search(text) or _COULD_NOT_DELETE.search(text):
        return _no_such_key(match[1], composer, config_name, overrides)
    first = next(iter(text.strip().splitlines()), type(error).__name__)
    key = getattr(error, "full_key", None) or None
    return UserError(first, key=key)


def _unreadable(error: OverrideParseException, overrides: Sequence[str]) -> UserError:
    wrong = str(getattr(error, "override", "") or "") or next(iter(overrides), "")
    hint = "Write key=value; text with spaces, commas or brackets stands in quotes: 'key=\"a, b\"'."
    if "=" not in wrong:
        hint = "Write key=value, or ~key to take one away."
    return UserError("this override cannot be read", value=wrong, hint=hint)


def _no_such_option(error: MissingConfigException, text: str, composer: Composer) -> UserError:
    match = _NOT_FOUND.search(text)
    path = error.missing_cfg_file or (match[2] if match else "")
    group, _, option = str(path).rpartition("/")
    known = composer.options(group)
    near = did_you_mean(option, known)
    listed = f"There are {', '.join(known)}." if known else None
    return UserError(
        "there is no such option",
        key=group or None,
        value=option,
        hint=" ".join(part for part in (near, listed) if part) or None,
    )


def _no_such_key(
    key: str, composer: Composer, config_name: str | None, overrides: Sequence[str]
) -> UserError:
    line = next((o for o in overrides if o.lstrip("+~").startswith(key)), None)
    value = line.partition("=")[2] if line and "=" in line else None
    base = composer.without_values(config_name, composer.parse(overrides))
    known = known_keys(base) if base is not None else []
    groups = composer.groups()
    near = did_you_mean(key, [*known, *groups]) or _near_in_parts(key, known)
    return UserError(
        "there is no such key",
        key=key,
        value=value,
        file="command line",
        hint=near or "`lushan train --cfg job` shows the keys; `lushan train --help` the groups.",
    )


def _near_in_parts(key: str, known: Sequence[str]) -> str | None:
    """`optimiser.lr`: the group is wrong and the rest is right, or the other way round."""
    first, _, rest = key.partition(".")
    group = nearest(first, {name.partition(".")[0] for name in known})
    if group is None or not rest:
        return did_you_mean(first, [group] if group else [])
    inside = [name for name in known if name.startswith(f"{group}.")]
    return did_you_mean(f"{group}.{rest}", inside) or did_you_mean(first, [group])


def known_keys(cfg: DictConfig) -> list[str]:
    """Every dotted key that may be set: those of the files, and those of the signatures."""
    plain = OmegaConf.to_container(cfg, resolve=False)
    assert isinstance(plain, dict)
    plain.pop("hydra", None)
    return list(_keys(plain, ""))


def _keys(node: dict[Any, Any], prefix: str) -> Any:
    if isinstance(target := node.get("_target_"), str):
        try:
            found = signature(target, prefix[:-1])
        except UserError:
            found = None
        for name, parameter in (found.parameters if found else {}).items():
            if not parameter.late:
                yield f"{prefix}{name}"
    for name, value in node.items():
        if not str(name).startswith("_"):
            yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{name}.")
