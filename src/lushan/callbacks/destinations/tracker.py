"""What a tracker is and what it is given, without Lightning: a run is sent later without it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lushan.run.redaction import redact_config

if TYPE_CHECKING:
    from lushan.data.record_schema import RecordSchema
    from lushan.run.result import RunResult


@dataclasses.dataclass(frozen=True)
class About:
    """Facts of a run that a tracker gets before training begins; secrets are redacted.

    Attributes:
        folder: The run folder.
        name: Of the experiment.
        run_id: Of the run, and so of its copy: a resumed run continues it.
        config: Resolved.
        tags: Of the config.
    """

    folder: Path
    name: str
    run_id: str
    config: Mapping[str, Any]
    tags: tuple[str, ...]

    @classmethod
    def of(cls, cfg: Mapping[str, Any], folder: Path) -> About:
        """Describe the run of a config."""
        redacted = redact_config(cfg)
        tags = tuple(str(tag) for tag in redacted.get("tags") or ())
        return cls(folder, str(redacted["name"]), folder.name, redacted, tags)


@dataclasses.dataclass(frozen=True)
class Completed:
    """A complete run, for its trackers.

    Attributes:
        result: What it reports.
        schema: What its stored predictions hold.
    """

    result: RunResult
    schema: RecordSchema


class Tracker(Protocol):
    """Destination of a copy of a run's numbers; each method is called from one thread."""

    def start(self, about: About) -> None:
        """Begin the copy, or continue it if the run was resumed."""

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Take some numbers of one step."""

    def finish(self, done: Completed | None, folder: Path) -> None:
        """End; of a complete run take numbers, tables and plots."""
