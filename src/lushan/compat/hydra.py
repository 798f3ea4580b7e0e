"""Private names of Hydra.

Hydra's public API is a decorator for one program (`hydra.main`) and a function that composes
without plugins or flags (`hydra.compose`). Composition with checks of our own, inside our command
line, needs the classes behind them, all of which stand in `hydra._internal`.
"""

from __future__ import annotations

import argparse
import functools
import pkgutil
import types
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from hydra._internal import config_repository
from hydra._internal.callbacks import Callbacks
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository
from hydra._internal.core_plugins.bash_completion import BashCompletion
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.core_plugins.importlib_resources_config_source import (
    ImportlibResourcesConfigSource,
)
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path, get_args_parser
from hydra.core import plugins
from hydra.core.config_loader import ConfigLoader as PublicLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.default_element import ResultDefault
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.types import Override
from hydra.plugins.config_source import ConfigSource
from hydra.plugins.plugin import Plugin
from omegaconf import DictConfig

__all__ = ["BasicSweeper", "CachingConfigRepository", "FileConfigSource", "Hydra"]
# Hydra: `hydra.main` ends the process itself, and takes no loader.
# BasicSweeper: the sweeper over all combinations; only its interface is public.
# CachingConfigRepository, FileConfigSource: what a loader reads files by.


LAUNCHERS = {
    "hydra_joblib_launcher",
    "hydra_optuna_sweeper",
    "hydra_ray_launcher",
    "hydra_submitit_launcher",
}
"""Packages of launchers and sweepers alone, which only a config that chooses one of them needs."""
OF_LAUNCHERS = ("hydra/launcher/", "hydra/sweeper/")
"""Groups that they have options in."""
_scan = plugins.Plugins._scan_all_plugins
_waiting: list[types.ModuleType] = []


def _scan_quickly(
    modules: list[types.ModuleType],
) -> tuple[list[type[Plugin]], plugins.ScanStats]:
    """Import what has plugins, except launchers and sweepers: Ray's and Optuna's take 0.07 s."""
    for module in modules:
        names = {found.name for found in pkgutil.iter_modules(module.__path__)}
        if module.__name__ == "hydra_plugins" and names <= LAUNCHERS:
            _waiting.append(module)
    return _scan([module for module in modules if module not in _waiting])


def _other_entry_points(group: str) -> list[EntryPoint]:
    """Return the plugins that packages name, except those that wait."""
    waiting = tuple(f"hydra_plugins.{name}." for name in LAUNCHERS if _waiting)
    return [one for one in entry_points(group=group) if not one.value.startswith(waiting)]


plugins.Plugins._scan_all_plugins = staticmethod(_scan_quickly)  # type: ignore[method-assign]
vars(plugins)["entry_points"] = _other_entry_points


def find_launchers() -> bool:
    """Let Hydra know the launchers and sweepers that have waited; return whether some had."""
    if not _waiting:
        return False
    found, _ = _scan(_waiting)
    _waiting.clear()
    for plugin in found:
        plugins.Plugins.instance().register(plugin)
    return True


class ConfigLoader(ConfigLoaderImpl):
    """Hydra's loader, with a method for each step that is checked.

    The public `ConfigLoader` is an interface without hooks: files are merged, and the search path
    is read, in private methods.
    """

    def merge(self, defaults: list[ResultDefault], repo: CachingConfigRepository) -> DictConfig:
        """Merge the files of a defaults list."""
        return super()._compose_config_from_defaults_list(defaults, repo)

    def check_search_path(
        self,
        config_name: str | None,
        overrides: list[Override],
        repo: CachingConfigRepository,
    ) -> None:
        """Called before `hydra.searchpath` is followed; raises where it must not be."""

    def _compose_config_from_defaults_list(
        self, defaults: list[ResultDefault], repo: Any
    ) -> DictConfig:
        return self.merge(defaults, repo)

    def _process_config_searchpath(
        self,
        config_name: str | None,
        parsed_overrides: list[Override],
        repo: CachingConfigRepository,
    ) -> None:
        self.check_search_path(config_name, parsed_overrides, repo)
        super()._process_config_searchpath(config_name, parsed_overrides, repo)


class ConfigRepository(config_repository.ConfigRepository):
    """Hydra's files of all places, with the place that each config is read from.

    `ConfigLoader.get_sources` gives the places, not which of them holds a config.
    """

    def source_of(self, config_path: str) -> ConfigSource | None:
        """Return the first place that holds a config."""
        return self._find_object_source(config_path, ObjectType.CONFIG)

    def _find_object_source(
        self, config_path: str, object_type: ObjectType | None
    ) -> ConfigSource | None:
        """Find as Hydra's does, which asks its own package first, a fifth of a millisecond each."""
        is_group = object_type is ObjectType.GROUP
        found = next((s for s in self.sources if _holds(s, config_path, is_group)), None)
        if found is None and config_path.startswith(OF_LAUNCHERS) and self.find_more():
            return self._find_object_source(config_path, object_type)
        return found

    def get_group_options(
        self, group_name: str, results_filter: ObjectType | None = ObjectType.CONFIG
    ) -> list[str]:
        """Return the options of a group, with those of plugins that have waited."""
        if f"{group_name}/".startswith(OF_LAUNCHERS):
            self.find_more()
        return super().get_group_options(group_name, results_filter)

    def find_more(self) -> bool:
        """Let Hydra know more plugins; return whether there were any."""
        return find_launchers()


def _holds(source: ConfigSource, path: str, is_group: bool) -> bool:
    if source.provider == "hydra":
        return _is_hydras(source.path, path, is_group)
    return source.is_group(path) if is_group else source.is_config(path)


@functools.cache
def _is_hydras(package: str, path: str, is_group: bool) -> bool:
    source = ImportlibResourcesConfigSource("hydra", f"pkg://{package}")
    return source.is_group(path) if is_group else source.is_config(path)


def file_of(source: FileConfigSource, config_path: str) -> Path:
    """Return the file that a source reads a config from; the rule for its suffix is private."""
    named: Any = source._normalize_file_name(config_path)
    return Path(source.path, named)


def search_path(folder: str) -> ConfigSearchPath:
    """Return Hydra's search path with a folder of configs; `hydra.main` alone makes one."""
    return create_config_search_path(folder)


def args_parser() -> argparse.ArgumentParser:
    """Return the parser of Hydra's flags, which `hydra.main` reads `sys.argv` with."""
    return get_args_parser()


def callbacks(config: DictConfig) -> Callbacks:
    """Return the callbacks of a config, of which the public `HydraContext` consists."""
    return Callbacks(config)


def completions(loader: PublicLoader, config_name: str | None, line: str) -> list[str]:
    """Return completions of an override; the plugin's public method prints them for one shell."""
    return BashCompletion(loader)._query(config_name, line)
