"""A model traced by transformers' exporters, and what stands beside its graph."""

from __future__ import annotations

import contextlib
import io
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from lushan.config.code import targets_of
from lushan.errors import RunFailed, UserError
from lushan.export.quantized import Held
from lushan.export.written import write_processor
from lushan.inference import exported
from lushan.inference.load import Loaded, load
from lushan.inference.prediction import predict_rows
from lushan.models.graph import Graph, Runtime

if TYPE_CHECKING:
    from lushan.data.processing import Processor

CLOSE = 1e-4
"""By what share of the largest output a graph may differ from the model."""
LIBRARIES: Mapping[Runtime, str] = {"onnx": "onnx", "torch_export": "pytorch"}


def trace(
    model: nn.Module,
    inputs: Mapping[str, Any],
    shapes: Mapping[str, Any] | None,
    folder: Path,
    runtime: Runtime,
    *,
    quantize: bool = False,
) -> None:
    """Trace a model and write the graph, and a config beside it.

    Args:
        model: Takes the inputs by name.
        inputs: To call it with.
        shapes: Which of their dimensions vary; None lets all do.
        folder: Where to.
        runtime: What is to run it.
        quantize: Keep weights in 8 bits, and compute with 8 bits where they are multiplied.

    Raises:
        UserError: It cannot be traced.
    """
    import transformers.exporters

    library: Any = transformers.exporters
    options: dict[str, Any] = {"dynamic": True, "dynamic_shapes": shapes}
    given = dict(inputs)
    try:
        with quietly():
            if runtime == "onnx":
                if quantize:
                    dynamic = library.OnnxRuntimeDynamicConfig()
                    options["quantizer"] = library.OnnxRuntimeQuantizer(dynamic)
                config = library.OnnxConfig(**options)
                made = library.OnnxExporter().export(model, given, config)
            else:
                config = library.DynamoConfig(**options)
                made = library.DynamoExporter().export(model, given, config)
    except Exception as error:  # whatever tracing and the exporter's passes meet
        raise UserError(
            f"this model cannot be traced: {(str(error).strip() or repr(error)).splitlines()[0]}",
            key="--format",
            value=runtime,
            hint="Remove --format to export for transformers.",
        ) from error
    made.save_pretrained(folder)


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Keep what exporters print and log off the terminal."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def write_rest(
    loaded: Loaded, processor: Processor, folder: Path, graph: Graph, auto_class: str | None
) -> None:
    """Write the config, the processor, and what `lushan predict` needs.

    Args:
        loaded: The run.
        processor: As it is exported.
        folder: Where to.
        graph: What is kept of the graph.
        auto_class: See `exported.Stored`.
    """
    whole: Any = loaded.model
    whole.encoder.config.save_pretrained(folder)
    write_processor(processor, folder)
    exported.write(
        folder,
        cfg=loaded.cfg,
        auto_class=auto_class,
        task=loaded.task,
        limits=loaded.limits,
        columns=loaded.columns,
        code=targets_of(loaded.folder),
        model=loaded.model,
        graph=graph,
    )


def proved(
    loaded: Loaded,
    folder: Path,
    shown: list[dict[str, Any]],
    distance: float,
    held: Held | None,
) -> list[str]:
    """Return what was proved of the task's predictions with a graph.

    Args:
        loaded: The run.
        folder: Where the graph is.
        shown: The run's predictions of its task's sample.
        distance: By what share of the largest output the graph's outputs differ.
        held: Examples that the loss of 8-bit weights is measured on.

    Raises:
        RunFailed: Outputs or predictions differ, of a graph that is not quantised.
    """
    if held is not None:
        return [held.loss(load(folder))]
    if not distance <= CLOSE:
        raise RunFailed(
            f"the graph does not match the run's model: outputs differ by {distance:.2g} of the "
            "largest one; nothing was written"
        )
    try:
        found = predict_rows(load(folder), loaded.task.sample_rows())
    except AttributeError as error:  # of what stands where the model's parts stood
        raise UserError(
            f"{type(loaded.task).__name__} also calls parts of its model: {error}",
            key="--format",
            hint="Remove --format to export for transformers.",
        ) from error
    require_alike(found, shown)
    return [f"the same predictions for {len(shown)} examples"]


def require_alike(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    """Make sure that predictions are the same, but for rounding.

    Raises:
        RunFailed: They are not.
    """
    for one, other in zip(found, expected, strict=True):
        for name, value in other.items():
            if not alike(one.get(name), value):
                raise RunFailed(
                    f"the graph predicts {name}={one.get(name)!r}, but the run "
                    f"predicts {value!r}; nothing was written"
                )


def alike(found: Any, expected: Any) -> bool:
    """Return whether two parts of predictions are the same, but for the rounding of numbers."""
    if isinstance(expected, float):
        return math.isclose(found, expected, rel_tol=1e-3, abs_tol=1e-4)
    if isinstance(expected, Mapping):
        return found.keys() == expected.keys() and all(
            alike(found[name], value) for name, value in expected.items()
        )
    if isinstance(expected, list | tuple):
        return len(found) == len(expected) and all(map(alike, found, expected))
    return bool(found == expected)
