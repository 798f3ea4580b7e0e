"""The exported form of a run's model, as its task describes it."""

from __future__ import annotations

from lushan.inference.load import Loaded
from lushan.models.exported import ExportSpec, TrainedModel, merged


def spec_of(loaded: Loaded) -> ExportSpec:
    """Return the exported form of a run's model, as its task describes it.

    Raises:
        UserError: transformers has none that is the same.
    """
    trained = TrainedModel(
        whole=loaded.model,
        plain=merged(loaded.model),
        processor=loaded.processor,
        max_length=loaded.limits.max_length,
        stride=loaded.limits.stride,
    )
    return loaded.task.export_spec(trained)
