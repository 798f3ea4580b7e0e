"""Every combination of a sweep's values: Hydra's sweeper, less what our launcher does anyway."""

from __future__ import annotations

from collections.abc import Sequence

from lushan.compat.hydra import BasicSweeper
from lushan.launch.fork import ForkLauncher


class Combinations(BasicSweeper):
    """Sweep over all combinations with Hydra's arguments: `max_batch_size` and `params`."""

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose each job once before any begins; `ForkLauncher` does so by itself."""
        if not isinstance(self.launcher, ForkLauncher):
            super().validate_batch_is_legal(batch)
