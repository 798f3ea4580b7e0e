"""Pieces predicted by the processes of a Ray cluster, through Ray Data.

All processes see the folders of the run, the input and the output under the same names. The
cluster is the one at `RAY_ADDRESS`, or this machine.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

from lushan.data.pieces import Piece
from lushan.errors import UserError
from lushan.inference.pieces import Job, Predictor, Written
from lushan.launch.cluster import devices, require_workers, started


class Cluster:
    """Predicts pieces with the processes of a cluster.

    Args:
        workers: How many hold the model; as many as there are devices, or processors, if None.
    """

    def __init__(self, workers: int | None = None) -> None:
        require_workers(workers)
        self.workers = workers

    def __call__(self, job: Job, pieces: Sequence[Piece]) -> Iterator[Written]:
        """Predict pieces; yield what was written, in the order in which it is ready.

        Raises:
            UserError: An example cannot be read; names file and line. What was written stays.
        """
        cluster = _quiet()
        rows = [{"piece": pickle.dumps((job, piece))} for piece in pieces]
        there, resources = devices(cluster)
        workers = min(self.workers or there, len(pieces))
        found = cluster.data.from_items(rows, override_num_blocks=len(rows)).map(
            _Worker,
            compute=cluster.data.ActorPoolStrategy(size=workers),
            **resources,
        )
        for row in found.iter_rows():
            answer = pickle.loads(row["written"])
            if isinstance(answer, UserError):
                raise answer
            yield answer


class _Worker:
    """A process of the cluster, which holds the model."""

    def __init__(self) -> None:
        self._predict: Predictor | None = None

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        job, piece = pickle.loads(row["piece"])
        answer: Written | UserError
        try:
            if self._predict is None:
                self._predict = Predictor(job)
            answer = self._predict(piece)
        except UserError as error:  # Ray would wrap it, and try again
            answer = error
        return {"written": pickle.dumps(answer)}


def _quiet() -> Any:
    """Return Ray, connected, without Ray Data's own bars and lines."""
    ray = started()
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray
