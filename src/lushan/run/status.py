"""The state of a run, and what else its folder says of it.

States: `new` (nothing begun), `running`, `complete`, `interrupted` (stopped or killed; resumes when
started again), `pruned` (ended by a search that had better trials; resumes likewise) and `failed`
(an error; starts again from its last checkpoint). A killed process cannot write that it was killed,
so `running` with a dead owner reads as `interrupted`. `result.json` is what makes a run complete:
it is written, whole, before the state.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from lushan.run.result import RunResult

NEW, RUNNING, COMPLETE, INTERRUPTED, FAILED = "new", "running", "complete", "interrupted", "failed"
PRUNED = "pruned"
STATES = (NEW, RUNNING, COMPLETE, INTERRUPTED, PRUNED, FAILED)


@dataclasses.dataclass(frozen=True)
class Status:
    """Status of a run as its folder alone shows it."""

    state: str = NEW
    reason: str | None = None
    """Why it failed or was interrupted, in one line."""
    error: str | None = None
    """Type of the error it failed with."""
    started: str | None = None
    """Start of the last attempt: date and time with offset."""
    ended: str | None = None
    seconds: float | None = None
    """Time of all attempts together, as far as it was recorded."""
    attempts: int = 0
    record: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """All of `run.json`."""
    result: RunResult | None = None
    """Result of a complete run."""
    is_damaged: bool = False
    """True if there is a result that cannot be read."""

    @property
    def missing(self) -> str:
        """Return why there is no result, as a part of a sentence."""
        if self.is_damaged:
            return str(self.reason)
        return f"{self.state}, {self.reason}" if self.reason else self.state
