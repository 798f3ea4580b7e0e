"""Connection to a Ray cluster: the one at `RAY_ADDRESS`, or one that is started on this machine."""

from __future__ import annotations

import importlib
import logging
import os
from typing import Any

from lushan.errors import UserError
from lushan.launch.empty_folder import empty_folder


def require(part: str, extras: str) -> None:
    """Make sure that a part of Ray is installed.

    Args:
        part: `ray`, `ray.data` or `ray.serve`.
        extras: Of lushan, which bring it.
    """
    try:
        importlib.import_module(part)
    except ImportError as error:
        hint = f"pip install 'lushan[{extras}]'"
        raise UserError(f"--ray needs {error.name}", key="--ray", hint=hint) from None


def require_workers(workers: int | None) -> None:
    """Make sure that a number of processes that was asked for is one."""
    if workers is not None and workers < 1:
        raise UserError("must be 1 or more", key="--workers", value=workers)


def started() -> Any:
    """Connect to the cluster, or start one here; return Ray, whose types say too little."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it warns of its own actors
    import ray

    if not ray.is_initialized():
        with empty_folder():
            ray.init(log_to_driver=False, logging_level=logging.ERROR, include_dashboard=False)
    return ray


def devices(ray: Any) -> tuple[int, dict[str, int]]:
    """Return how many devices a cluster has, or else processors, and what a worker asks for."""
    resources = ray.cluster_resources()
    if gpus := int(resources.get("GPU", 0)):
        return gpus, {"num_gpus": 1}
    return int(resources.get("CPU", 1)), {"num_cpus": 1}
