"""A task's model as one function of named tensors, and the graph that takes its place.

A graph is made of what a task calls its model with, whatever the task: nothing here knows one.
"""

from __future__ import annotations

import contextlib
import inspect
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

import torch
from torch import Tensor, nn

from lushan.common import extras
from lushan.models.backbone import accepted

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Runtime = Literal["onnx", "torch_export"]
Returns = Literal["tensor", "tuple", "mapping"]
Run = Callable[[Mapping[str, Tensor]], list[Tensor]]
"""From inputs by name to the outputs of a graph, in its order."""
FILES: Mapping[Runtime, str] = {"onnx": "model.onnx", "torch_export": "model.pt2"}
SEGMENTS = "token_type_ids"
"""An input that batches leave out where it is all zeros."""


class Graph(TypedDict):
    """What is kept of a graph beside its file.

    Attributes:
        runtime: What runs it.
        width: Of the hidden states.
        max_length: Tokens it can read; None where positions set no bound.
        inputs: Names of its inputs.
        outputs: Names of its outputs.
        returns: Whether the model's result is a tensor, a tuple of them, or has them by name.
    """

    runtime: Runtime
    width: int
    max_length: int | None
    inputs: list[str]
    outputs: list[str]
    returns: Returns


class Function(nn.Module):
    """A model called as it was once, with other tensors."""

    def __init__(self, model: nn.Module, call: inspect.BoundArguments) -> None:
        super().__init__()
        self.model = model
        self._call = call
        whole: Any = model
        self.known = accepted(whole.encoder.model)
        self.inputs = tensors_of(call, self.known)
        with torch.no_grad():
            found = model(*call.args, **call.kwargs)
        self.returns: Returns = "tuple" if isinstance(found, tuple) else "mapping"
        if isinstance(found, Tensor):
            self.returns = "tensor"

    def forward(self, **tensors: Tensor) -> dict[str, Tensor]:
        """Return the outputs by name."""
        call = inspect.BoundArguments(self._call.signature, self._call.arguments.copy())
        for name, value in call.arguments.items():
            if isinstance(value, Mapping):
                call.arguments[name] = {key: tensors[key] for key in self.known if key in tensors}
            else:
                call.arguments[name] = tensors[name]
        return outputs_of(self.model(*call.args, **call.kwargs))


def tensors_of(call: inspect.BoundArguments, known: frozenset[str]) -> dict[str, Tensor]:
    """Return the tensors of a call by name; of a batch those that a model of transformers takes.

    Args:
        call: The arguments.
        known: Names of a batch's entries that count.
    """
    found: dict[str, Tensor] = {}
    for name, value in call.arguments.items():
        if isinstance(value, Mapping):
            found |= {key: tensor for key, tensor in value.items() if key in known}
            if SEGMENTS in known and "input_ids" in found:
                found.setdefault(SEGMENTS, torch.zeros_like(found["input_ids"]))
        else:
            found[name] = value
    return found


def outputs_of(found: Any) -> dict[str, Tensor]:
    """Return a model's result as tensors by name; only `Tensor`, a tuple or a mapping has them."""
    if isinstance(found, Tensor):
        return {"scores": found}
    if isinstance(found, Mapping):
        return {name: value for name, value in found.items() if isinstance(value, Tensor)}
    return {f"output_{n}": value for n, value in enumerate(found)}


@contextlib.contextmanager
def recorded(model: nn.Module) -> Iterator[list[inspect.BoundArguments]]:
    """Record the calls of a model in this context."""
    calls: list[inspect.BoundArguments] = []
    original = model.forward
    signature = inspect.signature(original)

    def forward(*args: object, **kwargs: object) -> object:
        calls.append(signature.bind(*args, **kwargs))
        return original(*args, **kwargs)

    with _called(model, forward):
        yield calls


@contextlib.contextmanager
def _called(model: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    model.forward = forward
    try:
        yield
    finally:
        del model.forward


class Shape(nn.Module):
    """The backbone of a model that is a graph: its sizes, no weights, and never called.

    Args:
        width: See `Graph`.
        max_length: See `Graph`.
        config: Of the model.
    """

    new_weights: Sequence[str] = ()

    def __init__(self, width: int, max_length: int | None, config: PreTrainedConfig) -> None:
        super().__init__()
        self.width, self.max_length, self.config = width, max_length, config
        self.model: Any = types.SimpleNamespace(config=config)

    def forward(self, **batch: Tensor) -> Tensor:
        """Fail: the graph computes what the whole model is called for."""
        raise AssertionError(f"a graph has no encoder: {list(batch)}")


def replace(model: nn.Module, graph: Graph, run: Run) -> None:
    """Let a graph compute what a task's model is called for."""
    signature = inspect.signature(model.forward)
    names = frozenset(graph["inputs"])

    def forward(*args: object, **kwargs: object) -> object:
        given = tensors_of(signature.bind(*args, **kwargs), names)
        inputs = {name: given[name] for name in graph["inputs"]}
        device = next(iter(inputs.values())).device
        found = [value.to(device) for value in run({n: t.cpu() for n, t in inputs.items()})]
        if graph["returns"] == "tensor":
            return found[0]
        if graph["returns"] == "tuple":
            return tuple(found)
        from transformers.utils.generic import ModelOutput

        return ModelOutput(zip(graph["outputs"], found, strict=True))

    model.forward = forward


def opened(folder: Path, runtime: Runtime) -> Run:
    """Read the graph of an exported folder.

    Raises:
        UserError: What runs it is not installed.
    """
    path = folder / FILES[runtime]
    return _onnx(path) if runtime == "onnx" else _exported(path)


def _onnx(path: Path) -> Run:
    extras.require("onnx", "onnxruntime", what="this graph", file=path)
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    wanted = [one.name for one in session.get_inputs()]

    def run(inputs: Mapping[str, Tensor]) -> list[Tensor]:
        # transformers' exporter renames an input whose name an output has, too.
        given = {name: inputs[name.removeprefix("input.")].numpy() for name in wanted}
        found = session.run(None, given)
        return [torch.from_numpy(value) for value in found]

    return run


def _exported(path: Path) -> Run:
    module = torch.export.load(path).module()

    def run(inputs: Mapping[str, Tensor]) -> list[Tensor]:
        with torch.no_grad():
            return list(module(**inputs).values())

    return run
