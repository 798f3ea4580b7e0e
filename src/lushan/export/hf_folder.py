"""A trained run as a folder that plain transformers reads, with the proof that it is the same.

What is written, and how it is proved, the task says (`Task.export_spec`). The folder is written
beside its final name, loaded by transformers alone, compared with the run's own model, and only
then renamed. `lushan.json` in it lets `lushan predict` use it without the run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor

from lushan.common import extras
from lushan.compat.transformers import saving
from lushan.config.code import targets_of
from lushan.errors import RunFailed, UserError
from lushan.export import gguf_file, upload
from lushan.export.adapters import write_adapter
from lushan.export.card import NO_TERMS, Terms, card_of
from lushan.export.graphs import write_graph
from lushan.export.specs import spec_of
from lushan.export.written import Written, write_processor
from lushan.inference import exported
from lushan.inference.generator import DTYPES
from lushan.inference.load import Loaded, load
from lushan.models.exported import ExportSpec, are_same, distance_of, merged
from lushan.run import remote_code
from lushan.run.artifacts import is_run
from lushan.run.files import write_page
from lushan.run.new_folder import replacing_folder

Format = Literal["transformers", "onnx", "torch_export", "gguf"]
MARKS = ("config.json", "adapter_config.json", gguf_file.FILE)
"""Files by which a folder may be replaced."""


@dataclasses.dataclass(frozen=True)
class Exported:
    """What was written for others to load.

    Attributes:
        folder: It is in.
        format: What loads it.
        proof: What was proved, a line each.
        uploaded: Address of the repository that it was uploaded to, if it was.
    """

    folder: Path
    format: str
    proof: Sequence[str]
    uploaded: str | None = None

    @property
    def lines(self) -> list[str]:
        """The same in words."""
        uploaded = [f"uploaded: {self.uploaded}"] if self.uploaded else []
        return [*self.proof, f"exported: {self.folder}", *uploaded]


def export(
    run: str | Path,
    folder: str | Path,
    *,
    format: Format = "transformers",
    dtype: Literal["float32", "bf16"] = "float32",
    adapter: bool = False,
    overwrite: bool = False,
    quantize: bool = False,
    terms: Terms = NO_TERMS,
    push: str | None = None,
    private: bool = False,
) -> Exported:
    """Write a run's model for others to load, prove that it is the same, and describe it.

    Args:
        run: A run folder.
        folder: Where to; it must not be there, or be empty.
        format: What is to load it.
        dtype: The type of the weights, in the format of transformers.
        adapter: Write the adapter alone; by default it is merged into its base.
        overwrite: Replace an exported folder that is there.
        quantize: Of ONNX: keep weights in 8 bits, and measure what is lost.
        terms: What the card says that the run does not know.
        push: Repository of the hub, `OWNER/NAME`, that the folder is uploaded to.
        private: Whether a new repository is seen by its owner alone.

    Returns:
        What was written.

    Raises:
        UserError: The run has no form that transformers knows, or the folder is there.
        RunFailed: What was written is not the same model; nothing is left of it.
    """
    folder = Path(folder).expanduser()
    _require_possible(format, adapter=adapter, dtype=dtype, quantize=quantize)
    if private and push is None:
        raise UserError("requires --push", key="--private", hint="Write --push OWNER/NAME.")
    token = "" if push is None else upload.require_access(push)
    _require_free(folder, overwrite=overwrite)
    loaded = load(run)
    if remote_code.is_stated(loaded.cfg):
        raise UserError(
            "a model with its own code cannot be exported",
            key="RUN",
            value=str(run),
            hint="Its weights are in checkpoints/best, its config and code in encoder/.",
        )
    with replacing_folder(folder) as temporary:
        if adapter:
            with torch.inference_mode():
                written = write_adapter(loaded, temporary)
        elif format == "transformers":
            with torch.inference_mode():
                written = _write_whole(loaded, temporary, dtype)
        elif format == "gguf":
            with torch.inference_mode():
                written = gguf_file.write(spec_of(loaded), temporary)
        else:
            written = write_graph(loaded, temporary, format, quantize=quantize)
        write_page(temporary / "README.md", card_of(loaded, written, terms))
    uploaded = None if push is None else upload.push(folder, push, token, private=private)
    return Exported(folder, format, written.proof, uploaded)


def _require_possible(format: Format, *, adapter: bool, dtype: str, quantize: bool) -> None:
    """Refuse what does not go together, and a format whose libraries are not installed."""
    if format != "transformers":
        for key, given in (("--adapter", adapter), ("--dtype", dtype != "float32")):
            if given:
                raise UserError(
                    f"--format {format} does not support this", key=key, hint="Remove it."
                )
    if quantize and format != "onnx":
        raise UserError("requires --format onnx", key="--quantize", hint="Write --format onnx.")
    if format == "gguf":
        extras.require("gguf", "gguf", what="the format", key="--format", value=format)
    elif format == "onnx":
        needed = ("onnx", "onnxruntime", "onnxscript")
        extras.require("onnx", *needed, what="the format", key="--format", value=format)


def _write_whole(loaded: Loaded, folder: Path, dtype: Literal["float32", "bf16"]) -> Written:
    """Write a run's whole model as transformers reads it, and prove it."""
    spec = spec_of(loaded)
    write(spec, folder, dtype)
    proof = [prove(spec, folder, dtype)]
    usage = spec.usage
    if spec.reloads:
        _write_task(loaded, spec, folder)
        usage += "\n\n# The run's own predictions: lushan predict DIR --input FILE"
    return Written(usage, spec.notes, proof, pipeline=spec.pipeline, dtype=dtype)


def _require_free(folder: Path, *, overwrite: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir():
        raise UserError("this is a file", key="FOLDER", value=str(folder))
    if is_run(folder):
        raise UserError(
            "this is a run folder", key="FOLDER", value=str(folder), hint="Choose a new folder."
        )
    if not overwrite:
        raise UserError(
            "this folder is not empty",
            key="FOLDER",
            value=str(folder),
            hint="Choose a new folder, or add --yes.",
        )
    if not any((folder / name).is_file() for name in MARKS):
        raise UserError(
            "this folder is not an exported model, so it is not replaced",
            key="FOLDER",
            value=str(folder),
        )


def write(spec: ExportSpec, folder: Path, dtype: str = "float32") -> None:
    """Write a model and its processor as transformers does.

    Raises:
        RunFailed: The model cannot be written.
    """
    spec.model.to(DTYPES[dtype])
    spec.model.config.dtype = DTYPES[dtype]
    try:
        with saving():
            spec.model.save_pretrained(folder)
    except (ValueError, OSError, RuntimeError, SafetensorError) as error:
        raise RunFailed(f"the model cannot be saved: {error}") from error
    write_processor(spec.processor, folder)


def prove(spec: ExportSpec, folder: Path, dtype: str = "float32") -> str:
    """Compare the model in a folder, loaded by transformers alone, with the run's own model.

    Returns:
        What was proved, in a line.

    Raises:
        RunFailed: It computes something else.
    """
    again = exported.plain_model_of(folder, spec.auto_class, "auto")
    found = spec.outputs(again, exported.processor_of(folder))
    if [t.shape for t in found] != [t.shape for t in spec.expected]:
        raise RunFailed(
            "the exported processor returns other inputs than the run's; nothing was written"
        )
    distance = distance_of(found, spec.expected)
    if dtype == "float32":
        if not are_same(found, spec.expected):
            raise RunFailed(
                f"the exported model does not match the run's: outputs differ by {distance:.2g} "
                f"of the "
                "largest one; nothing was written"
            )
        return (
            f"matches the run's model: {_count(found)} outputs, largest difference {distance:.1e}"
        )
    # Both hold rounded weights; operations that are fused here round otherwise in few bits.
    written = spec.outputs(spec.model.float(), spec.processor)
    read = spec.outputs(again.float(), exported.processor_of(folder))
    if not are_same(read, written):
        raise RunFailed(
            "the saved model does not match after loading: outputs differ by "
            f"{distance_of(read, written):.2g} of the largest one; nothing was written"
        )
    return f"the same after loading; {dtype} changes outputs by {distance:.1%} of the largest"


def _write_task(loaded: Loaded, spec: ExportSpec, folder: Path) -> None:
    """Write what `lushan predict` needs of the run, and load the folder as it does.

    Raises:
        RunFailed: The model that is loaded has other weights.
    """
    exported.write(
        folder,
        cfg=loaded.cfg,
        auto_class=spec.auto_class,
        task=loaded.task,
        limits=loaded.limits,
        columns=loaded.columns,
        code=targets_of(loaded.folder),
        model=loaded.model,
    )
    again: Any = load(folder).model
    own, dtype = merged(loaded.model).state_dict(), spec.model.dtype
    found = again.encoder.model.state_dict()
    wrong = (
        name
        for name, weight in own.items()
        if name not in found or not torch.equal(found[name].to(dtype), weight.to(dtype))
    )
    if (name := next(wrong, None)) is not None:
        raise RunFailed(
            f"`lushan predict` would use different weights: {name}; nothing was written"
        )


def _count(tensors: Sequence[Tensor]) -> str:
    return f"{sum(t.numel() for t in tensors):,}"
