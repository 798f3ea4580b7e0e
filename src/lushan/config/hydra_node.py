"""What a config may ask of Hydra itself.

Hydra instantiates its launcher, sweeper and callbacks from its own node, and searches config
files where `hydra.searchpath` says; both come from the config, and are judged before Hydra acts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from lushan.config.targets import HYDRA_RULES, locate, nodes
from lushan.errors import UserError

TRUSTED = [f"{rule.named}*" if rule.named.endswith(".") else rule.named for rule in HYDRA_RULES]
"""What Hydra may call, as its own whitelist has it; `judge_hydra` looks closer."""


def judge_hydra(node: DictConfig) -> None:
    """Refuse a target below `hydra` that did not come with Hydra, its plugins or us.

    Raises:
        UserError: There is one.
    """
    plain = OmegaConf.to_container(node, resolve=False)
    for key, call in nodes(plain, "hydra"):
        locate(call["_target_"], key)


def judge_search_path(loader: Any, primary: str | None, overrides: Sequence[Override]) -> None:
    """Refuse a search path that would import a package: `pkg://` runs its code.

    Args:
        loader: Hydra's config loader.
        primary: Name of the primary config.
        overrides: Of the command line.

    Raises:
        UserError: There is one.
    """
    for override in overrides:
        if override.key_or_group == "hydra.searchpath":
            _judge(override.value())
    if primary is not None and (found := loader.repository.load_config(primary)) is not None:
        _judge(OmegaConf.select(found.config, "hydra.searchpath", throw_on_missing=False))


def _judge(entries: Any) -> None:
    for entry in entries or []:
        if "://" in str(entry) and not str(entry).startswith("file://"):
            raise UserError(
                "config files are searched in folders only",
                key="hydra.searchpath",
                value=str(entry),
                hint="Write file://FOLDER.",
            )
