"""Mistakes in choosing options of config groups, and what was meant."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.override_parser.types import Override
from hydra.errors import MissingConfigException

from lushan.common import extras
from lushan.config import choices, provenance
from lushan.config.provenance import Composer
from lushan.errors import UserError, nearest

_PLUGINS = {"hydra/launcher": ("joblib", "ray", "slurm"), "hydra/sweeper/sampler": ("search",)}
"""Extras whose plugins add options to a group."""


def no_such_option(
    error: MissingConfigException,
    composer: Composer,
    config_name: str | None,
    overrides: Sequence[str],
) -> UserError:
    """Return the mistake of an option, or a config, that there is none of."""
    missing = error.missing_cfg_file or ""
    if not missing or missing == config_name:
        return UserError("unknown config", key="--config-name", value=missing or config_name)
    missing = missing.lstrip("/").removesuffix(".yaml")  # `model=` asks for "model/"
    group, _, name = missing.rpartition("/")
    # `experiment=ner/wnut7`: the group that was chosen from is `experiment`.
    place: provenance.Place | None = None
    for parsed in composer.parse_quietly(overrides):
        chosen = parsed.key_or_group
        if missing in (f"{chosen}/", *_chosen_by(parsed)):
            group, name = chosen, missing.removeprefix(f"{chosen}/")
            place = provenance.Place(provenance.COMMAND_LINE)
    if place is None:
        place = _choice_in_a_file(missing, composer, config_name, overrides)
    return UserError(
        f"the group {group} has no option {name!r}" if group else "unknown config",
        key=group or None,
        value=name,
        file=place.file if place else None,
        line=place.line if place else None,
        hint=choices.options_near(
            group, name, provenance.own_options_of(composer, group), provenance.options_by(composer)
        )
        + _in_extras(group),
    )


def _in_extras(group: str) -> str:
    """Return how options of a group are installed that plugins of Hydra add to it."""
    absent = [extra for extra in _PLUGINS.get(group, ()) if extras.missing(extra)]
    return f" More come with pip install 'lushan[{','.join(absent)}]'." if absent else ""


def _chosen_by(override: Override) -> list[str]:
    value = override.value()
    return [f"{override.key_or_group}/{v}" for v in (value if isinstance(value, list) else [value])]


def _choice_in_a_file(
    choice: str, composer: Composer, config_name: str | None, overrides: Sequence[str]
) -> provenance.Place | None:
    begin = [c for parsed in composer.parse_quietly(overrides) for c in _chosen_by(parsed)]
    return provenance.place_of_choice(composer, [*begin, config_name or ""], choice)


def no_such_group(
    group: str, value: str, composer: Composer, config_name: str | None, overrides: Sequence[str]
) -> UserError:
    """Return the mistake of a file that overrides what none before it chose: `override /modle`."""
    place = _choice_in_a_file(f"{group}/{value}", composer, config_name, overrides)
    groups = provenance.groups_of(composer)
    if group in groups:
        problem, hint = (
            "no option of this group is selected, so it cannot be overridden",
            f"Write `- {group}: {value}`.",
        )
    else:
        near = nearest(group, groups)
        problem = "unknown group"
        hint = f"Did you mean {near}?" if near else f"There are: {', '.join(groups)}."
    return UserError(
        problem,
        key=group,
        value=value,
        file=place.file if place else None,
        line=place.line if place else None,
        hint=hint,
    )


def not_an_option(override: Override, composer: Composer) -> UserError:
    """Return the mistake of a group that was given what is no name."""
    group = override.key_or_group
    return UserError(
        "the value of a group must be the name of an option",
        key=group,
        value=value_of(override),
        file=provenance.COMMAND_LINE,
        hint=f"There are: {', '.join(provenance.own_options_of(composer, group))}.",
    )


def value_of(override: Override) -> str | None:
    """Return what an override sets, as it was written."""
    return str(override.input_line).partition("=")[2] or None
