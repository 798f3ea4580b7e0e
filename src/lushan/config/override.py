"""Single keys of a resolved config changed, as `lushan eval RUN data.test=FILE` does."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import OmegaConf

from lushan.config import hints, provenance
from lushan.config.check import check
from lushan.errors import UserError, did_you_mean


def overridden(
    cfg: Mapping[str, Any], overrides: Sequence[str], *, groups: Sequence[str]
) -> dict[str, Any]:
    """Return a copy of a config with some keys changed, checked.

    Args:
        cfg: Resolved, in plain values.
        overrides: `key=value`, by Hydra's grammar; no choices of groups and no sweeps.
        groups: Top-level names below which keys may be changed.

    Raises:
        UserError: An override cannot be read or is not of those groups, or the result is wrong.
    """
    changed = OmegaConf.create(copy.deepcopy(dict(cfg)))
    for line in overrides:
        try:
            parsed = OverridesParser.create().parse_override(line)
        except HydraException as error:
            first = str(error).splitlines()[0]
            raise UserError(first, value=line, hint="Write key=value.") from error
        group, _, rest = parsed.key_or_group.partition(".")
        if group not in groups or not rest:
            raise UserError(
                "a trained run has this settled; only keys below "
                f"{', '.join(groups)} can be changed",
                key=parsed.key_or_group,
                hint=_meant(cfg, parsed, groups)
                or did_you_mean(group, groups)
                or f"As in {groups[0]}.KEY=VALUE.",
            )
        if parsed.is_sweep_override() or parsed.is_delete():
            raise UserError("only key=value can be written here", value=line)
        OmegaConf.update(changed, parsed.key_or_group, parsed.value(), force_add=True)
    provenance.forget()
    return check(changed)


def _meant(cfg: Mapping[str, Any], override: Override, groups: Sequence[str]) -> str | None:
    """What was meant by a key that is not below `groups`: one that is."""
    base = OmegaConf.create({name: cfg[name] for name in groups if name in cfg})
    keys = list(provenance.keys_of(base))
    given = override.get_value_string()
    return hints.hint_for(override.key_or_group, given, keys, (), provenance.values_of(base))
