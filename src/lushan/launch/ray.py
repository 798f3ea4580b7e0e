"""Ray's launcher, whose workers import nothing from the working folder.

A job goes to the folder where the command was typed by itself.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra_plugins.hydra_ray_launcher import ray_launcher

from lushan.compat.ray import settings, start
from lushan.launch.empty_folder import empty_folder


class RayLauncher(ray_launcher.RayLauncher):
    """Hydra's launcher of Ray's jobs, with Ray started in an empty folder."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Start Ray where it is not running yet, then the jobs."""
        import ray

        if not ray.is_initialized():
            with empty_folder():
                start(self.ray_cfg.init)
        return super().launch(job_overrides, initial_job_idx)


@functools.cache
def register() -> None:
    """Let `hydra/launcher=ray` name this launcher instead of the plugin's."""
    target = f"{RayLauncher.__module__}.{RayLauncher.__qualname__}"
    node = dataclasses.replace(settings(), _target_=target)
    Plugins.instance().register(RayLauncher)
    ConfigStore.instance().store(
        "ray", node, group="hydra/launcher", provider="lushan", replace=True
    )
