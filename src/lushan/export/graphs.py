"""A task's whole model as a graph, of ONNX or of torch.export, proved on lengths and batch sizes.

transformers' own exporters make it (`transformers.exporters`). What is traced is the call of the
model by its task: encoder, pooling and head in one, whatever the head. What a task does with the
scores afterwards (a CRF's decoding, the best spans) stays its own.
"""

from __future__ import annotations

import contextlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from lushan.data import processing
from lushan.errors import UserError
from lushan.export import causal_graphs, quantized, tracing
from lushan.export.specs import spec_of
from lushan.export.written import Written
from lushan.inference.load import Loaded, in_float32
from lushan.inference.prediction import Encoded, predict_rows
from lushan.models import graph as graphs
from lushan.models.exported import TrainedModel, distance_of, merged
from lushan.models.graph import Function, Graph, Runtime
from lushan.tasks.exporting import tokenizer_for

if TYPE_CHECKING:
    from lushan.data.processing import Processor

_USAGE = """\
from transformers.exporters import ExportedModel
model = ExportedModel.from_pretrained("DIR")
print(model({inputs}))  # {outputs}"""
_LONGER = 4
"""Times that a proof repeats the tokens of a batch, where the model reads so many."""

Tensors = dict[str, Tensor]


def write_graph(
    loaded: Loaded, folder: Path, runtime: Runtime, *, quantize: bool = False
) -> Written:
    """Write the whole model of a run as a graph, and prove it.

    Raises:
        UserError: Its task calls more than one function of tensors, or it cannot be traced.
        RunFailed: The graph computes something else.
    """
    whole: Any = loaded.model
    loaded.cfg = in_float32(loaded.cfg)
    held = quantized.held(loaded) if quantize else None
    shown = predict_rows(loaded, loaded.task.sample_rows())
    with contextlib.suppress(UserError):  # what cannot be merged is traced with its adapter
        whole.encoder.model = merged(whole)
    recorded = _recorded(loaded)
    if not recorded:
        if loaded.task.auto_class != "AutoModelForCausalLM":
            raise UserError(
                f"{type(loaded.task).__name__} calls parts of its model, so there is no single "
                f"graph",
                key="--format",
                value=runtime,
                hint="Remove --format to export for transformers.",
            )
        with torch.no_grad():
            spec = spec_of(loaded)
        return causal_graphs.write(loaded, spec, folder, runtime, held)
    function = Function(loaded.model, recorded[-1])
    calls = [graphs.tensors_of(call, function.known) for call in recorded]
    calls += _longer(calls, whole.encoder.max_length)
    expected = [_outputs(function, call) for call in calls]
    inputs = {name: tensor.clone() for name, tensor in function.inputs.items()}
    tracing.trace(function, inputs, _dynamic(calls, inputs), folder, runtime, quantize=quantize)
    graph = Graph(
        runtime=runtime,
        width=int(whole.encoder.width),
        max_length=whole.encoder.max_length,
        inputs=list(function.inputs),
        outputs=list(expected[0]),
        returns=function.returns,
    )
    tracing.write_rest(loaded, _processor(loaded), folder, graph, None)
    run = graphs.opened(folder, runtime)
    distance = 0.0
    for call, ours in zip(calls, expected, strict=True):
        try:
            found = run(call)
        except Exception as error:  # of onnxruntime or torch, at an operation of the graph
            shape = _shape(call)
            raise UserError(
                f"the exported graph has fixed sizes and does not run on {shape}",
                key="--format",
                value=runtime,
                hint="Remove --format to export for transformers.",
            ) from error
        distance = max(distance, _distance(found, list(ours.values())))
    lines = tracing.proved(loaded, folder, shown, distance, held)
    sizes = ", ".join(sorted(set(map(_shape, calls))))
    return Written(
        usage=_USAGE.format(
            inputs=", ".join(f"{name}=..." for name in function.inputs),
            outputs=", ".join(graph["outputs"]),
        )
        + "\n\n# The run's own predictions: lushan predict DIR --input FILE",
        notes=[
            f"It is a graph ({runtime}) of the whole model: {', '.join(graph['inputs'])} to "
            f"{', '.join(graph['outputs'])}. The task interprets the outputs.",
            *(lines if quantize else ()),
        ],
        proof=[
            f"inputs of {sizes}: largest difference from the run's model {distance:.1e}",
            *lines,
        ],
        library=tracing.LIBRARIES[runtime],
    )


def _recorded(loaded: Loaded) -> list[inspect.BoundArguments]:
    """Return how the task calls the model for one, two and all examples of its sample."""
    task = loaded.task
    rows = task.transform(Encoded.of(loaded, task.sample_rows()).rows, 0)
    with torch.no_grad(), graphs.recorded(loaded.model) as calls:
        for count in dict.fromkeys((1, 2, len(rows))):
            task.predict(loaded.model, task.collate(rows[:count]))
    return calls


def _longer(calls: list[Tensors], most: int | None) -> list[Tensors]:
    """Return calls whose tokens are repeated, for a row alone and for all; none with images."""
    found = []
    for call in (calls[0], calls[-1]):
        width = max((t.shape[1] for t in call.values() if _of_tokens(t)), default=0)
        times = min(_LONGER, _LONGER if most is None or not width else most // width)
        if width and times > 1 and all(map(_of_tokens, call.values())):
            found.append(
                {n: torch.cat([t] * times, 1) if _of_tokens(t) else t for n, t in call.items()}
            )
    return found


def _shape(call: Tensors) -> str:
    """Return the shape of the first input, in words."""
    return "x".join(map(str, next(iter(call.values())).shape))


def _of_tokens(tensor: Tensor) -> bool:
    return tensor.ndim == 2 and not tensor.is_floating_point()


def _outputs(function: Function, call: Tensors) -> Tensors:
    with torch.no_grad():
        return function(**call)


def _dynamic(calls: list[Tensors], inputs: Tensors) -> dict[str, Any]:
    """Return which dimensions vary: batches, tokens, and what has varied among calls."""
    auto = torch.export.Dim.AUTO
    return {
        name: {
            place: auto
            for place in range(tensor.ndim)
            if place == 0
            or not tensor.is_floating_point()
            or len({call[name].shape[place] for call in calls}) > 1
        }
        for name, tensor in inputs.items()
    }


def _processor(loaded: Loaded) -> Processor:
    """Return the processor; a tokenizer as it is exported (`tokenizer_for`)."""
    processor, whole = loaded.processor, loaded.model
    if processing.tokenizer_of(processor) is not processor:
        return processor
    trained = TrainedModel(whole, merged(whole), processor, loaded.limits.max_length)
    return tokenizer_for(trained, loaded.limits.max_length)


def _distance(found: list[Tensor], expected: list[Tensor]) -> float:
    """Return the largest difference, as a share of the largest value; infinite of other shapes."""
    if [t.shape for t in found] != [t.shape for t in expected]:
        return float("inf")
    pairs = [pair for pair in zip(found, expected, strict=True) if pair[1].numel()]
    return max((distance_of([one], [other]) for one, other in pairs), default=0.0)
