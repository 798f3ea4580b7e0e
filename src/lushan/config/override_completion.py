"""Completion of overrides of `lushan train`; see `lushan.cli.completion` for the shells."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lushan.compat.hydra import completions
from lushan.config import provenance, usage
from lushan.config.folders import conf_folders

if TYPE_CHECKING:
    from lushan.config.compose import Composer


def query(composer: Composer, config_name: str | None, line: str) -> list[str]:
    """Complete the last word of a command line."""
    line = re.sub(r"^\s*\S+\s+train\s?", "", line, count=1).lstrip()
    found = completions(composer.config_loader, config_name, line)
    word = "" if line.endswith(" ") else (line.split() or [""])[-1]
    if "." in word and "=" not in word:
        # Keys that no file holds, but that what a group calls would take.
        base = composer.without_values(config_name, composer.parse_quietly(line.split()[:-1]))
        keys = provenance.known_keys_of(base) if base is not None else ()
        known = {match.rstrip("=.") for match in found}
        depth = word.count(".")
        found += [
            f"{key}="
            for key in keys
            if key.startswith(word) and key.count(".") == depth and key not in known
        ]
    return sorted(_with_presets(found, word))


def _with_presets(found: list[str], word: str) -> set[str]:
    """Hydra's matches, and `experiment=ner/wnut17`: it sees folders in a group as groups only."""
    options = usage.options_by_group(conf_folders())
    ways = {f"{group}=" for group in options}
    if "=" in word:
        ways = {f"{group}={name}" for group, names in options.items() for name in names}
    # `experiment/` leads nowhere; `task/` does, to `task/head=`.
    dead = {f"{group}/" for group in options} - {
        f"{g.partition('/')[0]}/" for g in options if "/" in g
    }
    return {way for way in ways if way.startswith(word)} | (set(found) - dead)
