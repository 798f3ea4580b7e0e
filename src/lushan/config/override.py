"""Single keys of a resolved config changed, as `lushan eval RUN data.test=FILE` does."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from lushan.common.override_text import quoted
from lushan.config import hints, provenance
from lushan.config.build import TARGET
from lushan.config.check import check
from lushan.errors import UserError, did_you_mean
from lushan.run.identity import PATHS


def overridden(
    cfg: Mapping[str, Any],
    overrides: Sequence[str],
    *,
    groups: Sequence[str],
    reads_anew: bool = False,
) -> dict[str, Any]:
    """Return a copy of a config with some keys changed, checked.

    Args:
        cfg: Resolved, in plain values.
        overrides: `key=value`, by Hydra's grammar; no choices of groups and no sweeps.
        groups: Names below which keys may be changed, and whole keys: `data`, `trainer.devices`.
        reads_anew: Whether another format of data may be chosen as well: `data=conll`.

    Raises:
        UserError: An override cannot be read or is not of those groups, or the result is wrong.
    """
    changed = OmegaConf.create(copy.deepcopy(dict(cfg)))
    parsed_lines = [(line, _parsed(line)) for line in overrides]
    for line, parsed in sorted(parsed_lines, key=lambda pair: pair[1].key_or_group != "data"):
        if reads_anew and parsed.key_or_group == "data" and isinstance(parsed.value(), str):
            changed.data = _format(changed.data, line)
            continue
        if not _may_change(parsed.key_or_group, groups):
            raise UserError(
                "this cannot be changed after training; only keys below "
                f"{', '.join(groups)} can be changed",
                key=parsed.key_or_group,
                hint=_suggestion(cfg, parsed, groups),
            )
        if parsed.is_sweep_override() or parsed.is_delete():
            raise UserError("only key=value is supported here", value=line)
        OmegaConf.update(changed, parsed.key_or_group, parsed.value(), force_add=True)
    provenance.forget()
    return check(changed)


def _parsed(line: str) -> Override:
    try:
        return OverridesParser.create().parse_override(quoted(line))
    except HydraException as error:
        first = str(error).splitlines()[0]
        raise UserError(first, value=line, hint="Write key=value.") from error


def _format(own: DictConfig, line: str) -> dict[str, Any]:
    """Return the node of another format, without files, with what the run's own data share."""
    from lushan.config.compose import compose
    from lushan.config.signatures import signature

    composed = OmegaConf.to_container(compose([line]), resolve=False)
    assert isinstance(composed, dict)
    node: dict[str, Any] = composed["data"]
    known = signature(node[TARGET], "data").parameters
    files = {key.removeprefix("data.") for key in PATHS} & known.keys()
    kept = {str(k): v for k, v in own.items() if k in known and k != TARGET and v is not None}
    return {**node, **kept, **dict.fromkeys(files)}


def _may_change(key: str, groups: Sequence[str]) -> bool:
    """Return whether a key is one that may be changed, or below one."""
    return ("." in key and key in groups) or key.startswith(tuple(f"{name}." for name in groups))


def _suggestion(cfg: Mapping[str, Any], override: Override, groups: Sequence[str]) -> str:
    """Suggest a key that may be changed instead of one that may not."""
    name = override.key_or_group
    if name in groups:
        return f"For example, {name}.KEY=VALUE."
    whole = OmegaConf.create(dict(cfg))
    keys = [key for key in provenance.keys_of(whole) if _may_change(key, groups)]
    given = override.get_value_string()
    found = hints.hint_for(name, given, keys, (), provenance.values_of(whole))
    return found or did_you_mean(name, groups) or f"For example, {groups[0]}.KEY=VALUE."
