"""Files of `conf/`: read, and merged, once for all jobs of a process that choose the same ones.

Hydra reads and merges some twenty files for a job, and again for the next, of which the command
line says only another seed. Nodes that were made before are brought back in a tenth of the time.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
import time
from collections.abc import Callable, Hashable
from typing import Any, cast

from hydra.core.default_element import ResultDefault
from hydra.plugins.config_source import ConfigResult, ConfigSource
from omegaconf import DictConfig, OmegaConf

from lushan.common import parsing
from lushan.compat.hydra import (
    CachingConfigRepository,
    ConfigRepository,
    FileConfigSource,
    file_of,
)
from lushan.config import expansion
from lushan.config.folders import built_in_conf
from lushan.errors import UserError

SETTLE_SECONDS = 2.0
"""Seconds after which one more change of a file has another time, on any file system."""


class Memory:
    """Cache of pickled objects, given out as copies.

    Args:
        most: Things it remembers; with one more it forgets them all.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._known: dict[Hashable, bytes] = {}

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """A copy of what belongs to a key, made if it is not known."""
        if key in self._known:
            return pickle.loads(self._known[key])  # only by this process
        made = make()
        if len(self._known) >= self._most:
            self._known.clear()
        self._known[key] = pickle.dumps(made)
        return made


_read = Memory(most=1000)
_merged = Memory(most=100)


class Repository(ConfigRepository):
    """Hydra's, which remembers what it has read of files that have not changed since."""

    def load_config(self, config_path: str) -> ConfigResult | None:
        """Load a config as Hydra's does: the result belongs to the caller, who may change it."""
        source = self.source_of(config_path)
        _require_bounded(source, config_path)
        load = super().load_config
        file = _file(source, config_path)  # before it is read: what changes meanwhile is read again
        if file is None:
            return load(config_path)
        return cast(ConfigResult, _read.get(file, lambda: load(config_path)))

    def file(self, config_path: str) -> Hashable:
        """Return a key of a file's content; None where its next change may not show."""
        return _file(self.source_of(config_path), config_path)

    def find_more(self) -> bool:
        """Let Hydra know the launchers of plugins, and ours instead of theirs."""
        found = super().find_more()
        replace_launchers()
        return found


def replace_launchers() -> None:
    """Let our launcher for Ray stand for the plugin's, an extra, once that is imported."""
    if "hydra_plugins.hydra_ray_launcher" in sys.modules:
        with contextlib.suppress(ImportError):
            from lushan.launch import ray

            ray.register()


def _file(source: ConfigSource | None, config_path: str) -> Hashable:
    stamp = None if source is None else _stamp(source, config_path)
    if source is None or stamp is None:
        return None
    return (source.provider, source.path, config_path, *stamp)


def _require_bounded(source: ConfigSource | None, config_path: str) -> None:
    """Refuse a file that Hydra, whose reader is OmegaConf's, could not read within bounds."""
    if not isinstance(source, FileConfigSource) or source.path == str(built_in_conf()):
        return
    path = file_of(source, config_path)
    try:
        parsing.require_bounded(parsing.read_bounded(path, parsing.MOST_YAML_BYTES))
    except parsing.OutOfBounds as error:
        raise UserError(f"not a config: {error}", file=path, line=error.line) from error
    except ValueError:
        return  # Hydra says what is wrong with it


def merged(
    defaults: list[ResultDefault],
    repo: CachingConfigRepository,
    merge: Callable[[list[ResultDefault], CachingConfigRepository], DictConfig],
) -> DictConfig:
    """The config of some files, merged only once."""
    files = [cast(Repository, repo.delegate).file(str(one.config_path)) for one in defaults]
    if None in files:
        return _bounded(merge(defaults, repo))
    places = [(one.package, one.primary) for one in defaults]
    key = (*zip(files, places, strict=True),)
    return cast(DictConfig, _merged.get(key, lambda: _bounded(merge(defaults, repo))))


def _bounded(cfg: DictConfig) -> DictConfig:
    """A config of which nothing has been resolved yet, and all can be."""
    expansion.require_bounded(OmegaConf.to_container(cfg, resolve=False))
    return cfg


def _stamp(source: ConfigSource, config_path: str) -> tuple[int, ...] | None:
    if not isinstance(source, FileConfigSource):
        return ()  # what is installed stays as it is
    status = file_of(source, config_path).stat()
    if time.time() - status.st_mtime < SETTLE_SECONDS:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
