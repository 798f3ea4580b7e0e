"""Texts labelled by the processes of a Ray cluster, each of which holds the runs.

All processes see the folders of the runs under the same names. Counting stays in one process and
one transaction: of a batch nothing is counted before all of it is labelled, so a process that dies
costs time and no text, which another one labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lushan.errors import RunFailed, in_a_line
from lushan.launch import cluster
from lushan.monitor.classifier import Finding, Runs

RETRIES = 3
"""How often a process is started again, and texts are labelled again, until it is given up."""


class Spread(Runs):
    """Trained runs that label texts together, in several processes.

    Args:
        folders: See `Runs`.
        label: Likewise.
        workers: Processes; as many as there are devices, or processors, if None.

    Raises:
        UserError: See `Runs`; or there is no Ray.
    """

    def __init__(self, folders: Sequence[str | Path], label: str, workers: int | None) -> None:
        cluster.require_workers(workers)
        cluster.require("ray", "ray")
        super().__init__(folders, label)
        self._ray = cluster.started()
        there, resources = cluster.devices(self._ray)
        lasting = {"max_restarts": RETRIES, "max_task_retries": RETRIES}
        worker = self._ray.remote(**resources, **lasting)(_Worker)
        places = [str(one.folder.resolve()) for one in self.loaded]
        self.workers: list[Any] = [worker.remote(places, label) for _ in range(workers or there)]

    def _labelled(self, texts: Sequence[str]) -> list[Finding]:
        size = math.ceil(len(texts) / len(self.workers))
        parts = [texts[start : start + size] for start in range(0, len(texts), size)]
        given = zip(self.workers, parts, strict=False)  # of few texts some get none
        try:
            found = self._ray.get([worker.labelled.remote(part) for worker, part in given])
        except self._ray.exceptions.RayError as error:
            raise RunFailed(
                f"the cluster did not classify {len(texts):,} texts: {in_a_line(error)}\n"
                "  None of them was counted. Run the same command to continue with them."
            ) from error
        return [finding for several in found for finding in several]


class _Worker:
    """A process of the cluster, which holds the runs."""

    def __init__(self, folders: Sequence[str], label: str) -> None:
        self.runs = Runs(folders, label)

    def labelled(self, texts: Sequence[str]) -> list[Finding]:
        """Return what was found in each text."""
        return self.runs.classify(texts)
