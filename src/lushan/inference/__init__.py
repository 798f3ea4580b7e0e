"""Use of trained models: evaluation, prediction and generation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lushan.inference.prediction import predict

__all__ = ["evaluate", "predict"]


def evaluate(
    run: str | Path, *, split: str = "test", overrides: Sequence[str] = ()
) -> dict[str, Any]:
    """Evaluate a run again; see `lushan.inference.reevaluate.evaluate`.

    What only predicts does not wait for Lightning and torchmetrics, which evaluation needs.
    """
    from lushan.inference import reevaluate

    return reevaluate.evaluate(run, split=split, overrides=overrides)
