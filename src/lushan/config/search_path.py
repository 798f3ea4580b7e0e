"""The folders that are searched for config files, with those of packages that the user allows.

An allowed package brings the presets of its tasks, data and metrics in a folder `conf/` of its own.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from lushan.config.allow_list import user_prefixes
from lushan.config.folders import built_in_conf, is_there, personal_conf, user_conf


def package_confs() -> dict[str, Path]:
    """Return the `conf/` of each allowed package that has one; nothing is imported to find it."""
    found = {}
    for name in user_prefixes():
        spec = importlib.util.find_spec(name) if "." not in name else None
        for place in (spec.submodule_search_locations if spec else None) or ():
            if (folder := Path(place) / "conf") != built_in_conf() and is_there(folder):
                found[name] = folder
    return found


def before_ours() -> dict[str, Path]:
    """Return the folders that are searched before the built-in one, by what they are called."""
    named = {"user": user_conf(), "personal": personal_conf(), **package_confs()}
    return {name: folder for name, folder in named.items() if folder and is_there(folder)}


def conf_folders() -> list[Path]:
    """Return all that exist, in the order in which they are searched."""
    return [*before_ours().values(), built_in_conf()]
