"""Protocol between a launcher and the function that it calls for each job."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from lushan.errors import UserError
from lushan.launch.job_status import JobStatus
from lushan.run.result import RunResult

if TYPE_CHECKING:
    from omegaconf import DictConfig


@dataclasses.dataclass(frozen=True)
class CheckedConfig:
    """Config of a job after its check, which need not be repeated.

    Attributes:
        config: Resolved, in plain values.
        stored: The result of a run that was complete at the check.
    """

    config: dict[str, Any]
    stored: RunResult | None = None


class Job(Protocol):
    """The function that a launcher calls for each job."""

    def __call__(self, cfg: DictConfig) -> JobStatus:
        """Check a composed config and carry it out; return its status, and never raise."""
        ...

    def check(self, cfg: DictConfig) -> CheckedConfig:
        """Check a composed config; Hydra's own part is that of the job.

        Raises:
            UserError: It cannot be used.
        """
        ...

    def execute(self, cfg: DictConfig, checked: CheckedConfig | UserError) -> JobStatus:
        """Do as `__call__` with a config that was checked, or report why it was refused."""
        ...

    def preload(self, configs: Iterable[Mapping[str, Any]]) -> None:
        """Import what these jobs need, without starting a thread."""
        ...

    def limit_threads(self, count: int) -> None:
        """Let this process compute with so many threads."""
        ...
