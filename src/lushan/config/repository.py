"""Files of `conf/`, each of which is read once by a process, however many jobs it composes.

Hydra reads some twenty files for a job. Most of the time that this takes goes into making nodes of
them, sixteen times as much as into bringing nodes back that were made before.
"""

from __future__ import annotations

import pickle
import time
from pathlib import Path
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra._internal.core_plugins.importlib_resources_config_source import (
    ImportlibResourcesConfigSource,
)
from hydra.core.object_type import ObjectType
from hydra.plugins.config_source import ConfigResult, ConfigSource

SETTLED = 2.0
"""Seconds after which one more change has another time, on any file system."""

_Stamp = tuple[int, ...]
_read: dict[tuple[str, str, str], tuple[_Stamp, bytes]] = {}
"""Provider, folder and name of a file to when it was changed and what was in it."""


class Repository(ConfigRepository):
    """Hydra's, which remembers what it has read of files that have not changed since."""

    def load_config(self, config_path: str) -> ConfigResult | None:
        """As Hydra's: a result that belongs to the caller, whatever becomes of it there."""
        source = self._find_object_source(config_path, ObjectType.CONFIG)
        # Before it is read: what changes meanwhile is read again.
        stamp = None if source is None else _stamp(source, config_path)
        if source is None or stamp is None:
            return super().load_config(config_path)
        key = (source.provider, source.path, config_path)
        known, content = _read.get(key, (None, b""))
        if known != stamp:
            content = pickle.dumps(super().load_config(config_path))
            _read[key] = (stamp, content)
        result: ConfigResult = pickle.loads(content)  # pickled by this process itself
        return result


def _stamp(source: ConfigSource, config_path: str) -> _Stamp | None:
    """What changes when a file does; None where its next change may not show."""
    if isinstance(source, ImportlibResourcesConfigSource):
        return ()  # what is installed stays as it is
    if not isinstance(source, FileConfigSource):
        return None
    named: Any = source._normalize_file_name(config_path)
    status = Path(source.path, named).stat()
    if time.time() - status.st_mtime < SETTLED:
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino
