"""An exported folder as lushan reads it: what `lushan.json` holds beside the files of transformers.

It says which task the model is for, what the task learned of its data, and how new data is read.
The head as the task has it is a file of its own: a class of transformers may hold it in another
form (`lushan.models.transformers_heads`).
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lushan.common import parsing
from lushan.compat.transformers import loading
from lushan.data import processing
from lushan.errors import UserError
from lushan.inference.early import EXPORTED
from lushan.models import causal_graph
from lushan.models import graph as graphs
from lushan.models.architectures import class_of
from lushan.models.graph import Graph
from lushan.run import inside
from lushan.run.artifacts import is_run
from lushan.run.files import intact, proved, sha256_file, write_json
from lushan.tasks.base import Task
from lushan.tasks.batches import Limits
from lushan.text import hub

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel

    from lushan.data.processing import Processor

FILE, HEAD = EXPORTED, "lushan_head.safetensors"
PRIVATE = ("paths", "logger", "tags", "optimized_metric", "trial", "show")
"""Parts of a config that do not describe the model, and may reveal much of the machine."""
CHANGED = (
    "Export the run again. transformers can still load the folder, but without the task and its "
    "labels."
)
_ENCODER = "encoder."
_READ = (
    ".json",
    ".safetensors",
    ".bin",
    ".jinja",
    ".txt",
    ".model",
    ".py",
    ".onnx",
    ".data",
    ".pt2",
)
"""Endings of files that transformers may read beside those that it must."""


class Stored(TypedDict):
    """Content of `lushan.json`.

    Attributes:
        config: The run's, without its private parts.
        auto_class: Name of the Auto class that loads the model; None where a graph is all of it.
        graph: The graph that the model is, or that its `forward` is; None where there is none.
        state: What the task learned.
        limits: How long a feature may be.
        columns: Option of the data to the column, or columns, that training has read.
        code: Module behind a target of the user's to the hash of its code.
        files: Name of each file that an answer depends on to its SHA-256.
        sha256: Of all of this.
    """

    config: dict[str, Any]
    auto_class: str | None
    graph: Graph | None
    state: dict[str, Any]
    limits: Limits
    columns: dict[str, Any]
    code: dict[str, str]
    files: dict[str, str]
    sha256: str


def is_exported(folder: Path) -> bool:
    """Return whether a folder is one that `lushan export` wrote with a whole model."""
    return (folder / FILE).is_file() and not is_run(folder)


def graph_of(folder: Path) -> Graph | None:
    """Return the graph that the model of a folder is; None of a run, and of other formats."""
    return read(folder)["graph"] if is_exported(folder) else None


# Writing


def write(
    folder: Path,
    *,
    cfg: Mapping[str, Any],
    auto_class: str | None,
    task: Task,
    limits: Limits,
    columns: Mapping[str, Any],
    code: Mapping[str, str],
    model: torch.nn.Module,
    graph: Graph | None = None,
) -> None:
    """Write what lushan needs to predict with an exported folder that transformers can load.

    Args:
        folder: Holds the model and its processor.
        cfg: The run's config.
        auto_class: See `Stored`.
        task: The run's, with its labels.
        limits: How long a feature may be.
        columns: See `Stored`.
        code: See `Stored`.
        model: The run's, as the task built it.
        graph: See `Stored`.
    """
    head = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in model.state_dict().items()
        if not name.startswith(_ENCODER)
    }
    if head:
        save_file(head, folder / HEAD)
    stored = Stored(
        config={key: value for key, value in cfg.items() if key not in PRIVATE},
        auto_class=auto_class,
        graph=graph,
        state=task.state(),
        limits=limits,
        columns=dict(columns),
        code=dict(code),
        files={path.name: sha256_file(path) for path in sorted(folder.iterdir())},
        sha256="",
    )
    write_json(folder / FILE, proved({**stored, "limits": dataclasses.asdict(limits)}))


# Reading


def read(folder: Path) -> Stored:
    """Read what lushan knows of an exported folder.

    Raises:
        UserError: It is damaged.
    """
    with intact(folder / FILE) as path:
        content = parsing.read_json(path)
        parsing.require_shape(content, Stored)
        if content != proved(content):
            raise UserError("this file was changed after the export", hint=CHANGED)
        content["limits"] = Limits(**content["limits"])
    stored: Stored = content
    return stored


def config_of(folder: Path) -> dict[str, Any]:
    """Return the config of the run that was exported, with the places that are the user's here."""
    from omegaconf import OmegaConf

    from lushan.config.compose import compose

    places = OmegaConf.to_container(compose([]).paths, resolve=True)
    given = {"paths": places, "tags": [], "optimized_metric": None}
    return {**read(folder)["config"], **given}


def require_unchanged(folder: Path, stored: Stored) -> None:
    """Make sure that the files are those that were exported.

    Raises:
        UserError: One was changed, is gone, or was added and may be read.
    """
    for name, expected in stored["files"].items():
        path = folder / name
        if Path(name).name != name:
            raise UserError("it refers to a file in another folder", file=folder / FILE, value=name)
        if not path.is_file():
            raise UserError("a file of the exported model is missing", file=path, hint=CHANGED)
        if sha256_file(path) != expected:
            raise UserError("this file was changed after the export", file=path, hint=CHANGED)
    for name, path in inside.files_of(folder, key="FOLDER").items():
        if name not in (FILE, *stored["files"]) and path.suffix in _READ:
            raise UserError(
                "this file is not part of the export, but transformers could load it as an "
                "adapter or a template",
                file=path,
                hint="Remove it. Notes can be in a file that ends in .md.",
            )


def processor_of(folder: Path) -> Processor:
    """Read the processor of an exported folder: a tokenizer, an image processor, or both.

    Raises:
        UserError: There is none, or it cannot be read.
    """
    if not any((folder / name).is_file() for name in processing.FILES):
        raise UserError("it contains no processor", file=folder, hint=CHANGED)
    place = hub.local(folder, key="FOLDER")
    with intact(folder), hub.explained(place, key="FOLDER", what="processor"):
        return processing.read(place)


def plain_model_of(folder: Path, auto_class: str, dtype: object = torch.float32) -> PreTrainedModel:
    """Read the model of an exported folder as transformers alone does, in evaluation mode.

    Args:
        folder: Of the model.
        auto_class: Name of the Auto class that loads it.
        dtype: Of its weights; `auto` for that of the files.

    Raises:
        UserError: It cannot be read.
    """
    import transformers

    if not re.fullmatch(r"AutoModel\w*", auto_class) or not hasattr(transformers, auto_class):
        raise UserError("unknown Auto class of transformers", file=folder / FILE, value=auto_class)
    place = hub.local(folder, key="FOLDER")
    with intact(folder), hub.explained(place, key="FOLDER", what="model"):
        auto = getattr(transformers, auto_class)
        with loading():
            model = auto.from_pretrained(place.path, dtype=dtype, **place.options, **hub.NO_PICKLE)
        return model.eval()


def _config(folder: Path) -> PreTrainedConfig:
    from transformers import AutoConfig

    place = hub.local(folder, key="FOLDER")
    with intact(folder / "config.json"), hub.explained(place, key="FOLDER", what="model"):
        return AutoConfig.from_pretrained(place.path, **place.options)


def model_of(folder: Path, task: Task, stored: Stored) -> torch.nn.Module:
    """Read the model of an exported folder as the task builds it, in float32.

    Raises:
        UserError: It cannot be read, or its head is not that of the task.
    """
    graph, auto_class = stored["graph"], stored["auto_class"]
    if graph is not None and auto_class is not None:
        model = task.build(task.wrap(causal_graph.opened(folder, auto_class)))
    elif graph is not None:
        model = task.build(graphs.Shape(graph["width"], graph["max_length"], _config(folder)))
        run = graphs.opened(folder, graph["runtime"])
        graphs.replace(model, graph, run)
    else:
        made = plain_model_of(folder, str(auto_class))
        own = class_of(made.config, task.auto_class)
        # The task's model comes without the head that another class of transformers has put on it.
        plain: Any = made if isinstance(made, own) else made.base_model
        model = task.build(task.wrap(plain))
    head: dict[str, Tensor] = {}
    if (folder / HEAD).is_file():
        with intact(folder / HEAD) as path:
            head = load_file(path)
    with intact(folder / HEAD):
        lacks, extra = model.load_state_dict(head, strict=False)
        if wrong := [*extra, *(name for name in lacks if not name.startswith(_ENCODER))]:
            raise UserError(f"it does not fit the task: {wrong[0]}")
    return model
