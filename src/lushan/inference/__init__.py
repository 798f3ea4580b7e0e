"""Use of trained models: evaluation, prediction and generation.

A function here looks first whether there is what it is given, and then imports what it needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lushan.inference import early

__all__ = ["evaluate", "predict", "predict_pieces"]


def predict(
    run: str | Path, *, input: str | Path, runtime: str | None = None, **options: Any
) -> int:
    """Predict on an input; see `lushan.inference.prediction.predict`.

    Args:
        run: A run folder, or an exported one.
        input: See there.
        runtime: What is to compute the model; see `early.require_runtime`.
        options: See there.
    """
    early.require_run(run)
    early.require_runtime(run, runtime)
    early.require_input(input)
    from lushan.inference import prediction

    return prediction.predict(run, input=input, **options)


def predict_pieces(
    run: str | Path, *, input: str | Path, workers: int | None = None, **options: Any
) -> int:
    """Predict with the processes of a Ray cluster; see `lushan.inference.pieces.predict`."""
    early.require_run(run)
    early.require_input(input)
    from lushan.launch.cluster import require

    require("ray.data", "ray")
    from lushan.inference import cluster, pieces
    from lushan.run.progress import Bar

    with Bar("pieces") as observe:
        spread = cluster.Cluster(workers)
        return pieces.predict(run, input=input, spread=spread, observe=observe, **options)


def evaluate(
    run: str | Path, *, split: str = "test", overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Evaluate a run again; see `lushan.inference.reevaluate.evaluate`."""
    early.require_run(run)
    from lushan.inference import reevaluate
    from lushan.run.progress import Bar

    with Bar("batches") as observe:
        return reevaluate.evaluate(run, split=split, overrides=overrides, observe=observe)
