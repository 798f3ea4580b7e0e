"""A causal language model as a graph with a cache, proved on prompts, steps and padded rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lushan.errors import UserError
from lushan.export import tracing
from lushan.export.quantized import Held
from lushan.export.written import Written
from lushan.inference.load import Loaded, load
from lushan.inference.prediction import predict_rows
from lushan.models import causal_graph
from lushan.models.backbone import accepted, cache_name
from lushan.models.exported import ExportSpec, distance_of
from lushan.models.graph import Graph, Runtime

_USAGE = """\
# lushan predict DIR --input FILE
# lushan generate DIR --prompt TEXT"""
_STEPS = 3


def write(
    loaded: Loaded, spec: ExportSpec, folder: Path, runtime: Runtime, held: Held | None
) -> Written:
    """Write a causal model as one graph for prompts and for the steps behind them.

    Args:
        loaded: The run.
        spec: Its exported form.
        folder: Where to.
        runtime: What is to run it.
        held: Examples that the loss of 8-bit weights is measured on; None leaves weights as they
            are.

    Raises:
        UserError: Its cache is of another kind, or it cannot be traced.
        RunFailed: The graph computes something else.
    """
    if runtime != "onnx":
        raise UserError(
            "torch.export would fix the lengths of a model with a cache",
            key="--format",
            value=runtime,
            hint="Write --format onnx. Remove --format to export for transformers.",
        )
    shown = predict_rows(loaded, loaded.task.sample_rows())
    inputs = causal_graph.traced(spec.model)
    tracing.trace(spec.model, inputs, None, folder, runtime, quantize=held is not None)
    spec.model.generation_config.save_pretrained(folder)
    whole: Any = loaded.model
    graph = Graph(
        runtime=runtime,
        width=int(whole.encoder.width),
        max_length=whole.encoder.max_length,
        inputs=[],
        outputs=[],
        returns="mapping",
    )
    tracing.write_rest(loaded, spec.processor, folder, graph, spec.auto_class)
    made: Any = load(folder).model
    found = spec.outputs(made.encoder.model, spec.processor)
    ours = _stepwise(spec.model)
    distance = max(
        distance_of(found, spec.expected), distance_of(_stepwise(made.encoder.model), ours)
    )
    proof = [
        f"{len(found)} prompts, and {_STEPS} steps with a cache after prompts of 1 and 2 rows: "
        f"largest difference from the run's model {distance:.1e}",
        *tracing.proved(loaded, folder, shown, distance, held),
    ]
    return Written(
        usage=_USAGE,
        notes=[
            f"It is a graph ({runtime}) for prompts (with an empty cache) and generation. It "
            f"takes input_ids, attention_mask, position_ids and past_key_values, and returns "
            f"logits and all keys and values.",
            *spec.notes,
            *(() if held is None else proof[1:]),
        ],
        proof=proof,
        library=tracing.LIBRARIES[runtime],
        pipeline=spec.pipeline,
    )


@torch.no_grad()
def _stepwise(model: Any) -> list[Tensor]:
    """Return the logits of prompts, one row and two of which one is padded, and of steps behind."""
    found = []
    vocabulary = int(model.config.get_text_config().vocab_size)
    for rows, length in ((1, 4), (2, 3)):
        ids = (torch.arange(rows * (length + _STEPS)) * 7 % vocabulary).view(rows, -1)
        mask = torch.ones_like(ids)
        mask[1:, 0] = 0
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        names = accepted(model)
        cache, end = None, length
        for start in (0, *range(length, length + _STEPS)):
            given = {"input_ids": ids[:, start:end], "attention_mask": mask[:, :end]}
            if "position_ids" in names:
                given["position_ids"] = places[:, start:end]
            out = model(**given, **{cache_name(names): cache}, use_cache=True)
            cache, end = next(out[n] for n in ("cache", "past_key_values") if n in out), end + 1
            found.append(out.logits[:, -1])
    return found
