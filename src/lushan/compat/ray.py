"""Private names of Hydra's plugin for Ray, whose public launcher starts Ray where it stands."""

from __future__ import annotations

from typing import Any

from hydra_plugins.hydra_ray_launcher._config import RayLauncherConf


def settings() -> Any:
    """Return the plugin's settings with their defaults; the public config store holds no copy."""
    return RayLauncherConf()


def start(options: Any) -> None:
    """Start Ray as the plugin does: with its log level, its reuse and its address."""
    # Imports Ray, which all that a config is composed for would wait for.
    from hydra_plugins.hydra_ray_launcher._launcher_util import start_ray

    start_ray(options)
