"""A trained run as a folder that plain transformers reads, with the proof that it is the same.

What is written, and how it is proved, the task says (`Task.export_spec`). The folder is written
beside its final name, loaded by transformers alone, compared with the run's own model, and only
then renamed. `lushan.json` in it lets `lushan predict` use it without the run.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor

from lushan.config.code import targets_of
from lushan.errors import RunFailed, UserError
from lushan.export.adapters import write_adapter
from lushan.export.card import card_of
from lushan.inference import exported
from lushan.inference.generator import DTYPES
from lushan.inference.load import Loaded, load
from lushan.models.exported import ExportSpec, TrainedModel, are_same, distance_of, merged
from lushan.run import remote_code
from lushan.run.artifacts import is_run
from lushan.run.files import TEMPORARY, follow_umask, read_json, write_json, write_page

MARKS = ("config.json", "adapter_config.json")
"""Files by which a folder may be replaced."""


def export(
    run: str | Path,
    folder: str | Path,
    *,
    dtype: Literal["float32", "bf16"] = "float32",
    adapter: bool = False,
    overwrite: bool = False,
) -> list[str]:
    """Write a run's model in Hugging Face format.

    Args:
        run: A run folder.
        folder: Where to; it must not be there, or be empty.
        dtype: The type of the weights.
        adapter: Write the adapter alone; by default it is merged into its base.
        overwrite: Replace an exported folder that is there.

    Returns:
        What was proved, and where it is, a line each.

    Raises:
        UserError: The run has no form that transformers knows, or the folder is there.
        RunFailed: What was written is not the same model; nothing is left of it.
    """
    folder = Path(folder).expanduser()
    _require_free(folder, overwrite=overwrite)
    loaded = load(run)
    if remote_code.is_stated(loaded.cfg):
        raise UserError(
            "a model that is code of its own is not exported",
            key="RUN",
            value=str(run),
            hint="Its weights are in checkpoints/best, its config and code in encoder/.",
        )
    with _appearing(folder) as temporary, torch.inference_mode():
        if adapter:
            facts = write_adapter(loaded, temporary)
            card = card_of(loaded, facts.usage, facts.notes)
            lines = [facts.proof]
        else:
            spec = spec_of(loaded)
            write(spec, temporary, dtype)
            lines = [prove(spec, temporary, dtype)]
            usage = spec.usage
            if spec.reloads:
                _write_task(loaded, spec, temporary)
                usage += "\n\n# The run's own predictions: lushan predict DIR --input FILE"
            card = card_of(loaded, usage, spec.notes, pipeline=spec.pipeline, dtype=dtype)
        write_page(temporary / "README.md", card)
    return [*lines, f"exported: {folder}"]


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


def _require_free(folder: Path, *, overwrite: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    if not folder.is_dir():
        raise UserError("this is a file", key="FOLDER", value=str(folder))
    if is_run(folder):
        raise UserError(
            "this is the folder of a run", key="FOLDER", value=str(folder), hint="Name a new one."
        )
    if not overwrite:
        raise UserError(
            "there is something in this folder",
            key="FOLDER",
            value=str(folder),
            hint="Name a new one, or write --overwrite.",
        )
    if not any((folder / name).is_file() for name in MARKS):
        raise UserError(
            "this folder holds no model that was exported, and is not replaced",
            key="FOLDER",
            value=str(folder),
        )


@contextlib.contextmanager
def _appearing(folder: Path) -> Iterator[Path]:
    """A folder to write into, which takes its place when it is whole."""
    temporary = folder.with_name(f"{TEMPORARY}{os.getpid()}-{folder.name}")
    old = folder.with_name(f"{TEMPORARY}{os.getpid()}-old-{folder.name}")
    try:
        temporary.mkdir(parents=True)
        yield temporary
        follow_umask(*temporary.rglob("*"))
        if folder.exists():
            folder.rename(old)
        temporary.rename(folder)
    except OSError as error:
        raise RunFailed(f"{folder}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write(spec: ExportSpec, folder: Path, dtype: str = "float32") -> None:
    """Write a model and its processor as transformers does.

    Raises:
        RunFailed: The model cannot be written.
    """
    spec.model.to(DTYPES[dtype])
    spec.model.config.dtype = DTYPES[dtype]
    try:
        spec.model.save_pretrained(folder)
    except (ValueError, OSError, RuntimeError, SafetensorError) as error:
        raise RunFailed(f"the model cannot be written: {error}") from error
    spec.processor.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return
    settings = read_json(path)
    for name in ("is_local", "local_files_only"):  # of how it was read here
        settings.pop(name, None)
    if settings.get("tokenizer_class") == "TokenizersBackend":
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # its name before transformers 5
    write_json(path, settings)


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
            "the exported processor makes other inputs than the run's; nothing was written"
        )
    distance = distance_of(found, spec.expected)
    if dtype == "float32":
        if not are_same(found, spec.expected):
            raise RunFailed(
                f"the exported model is not the run's: its outputs differ by {distance:.2g} of the "
                "largest one; nothing was written"
            )
        return f"the same as the run's own model: {_count(found)} outputs, apart by {distance:.1e}"
    # Both hold rounded weights; operations that are fused here round otherwise in few bits.
    written = spec.outputs(spec.model.float(), spec.processor)
    read = spec.outputs(again.float(), exported.processor_of(folder))
    if not are_same(read, written):
        raise RunFailed(
            "the exported model is not what was written: its outputs differ by "
            f"{distance_of(read, written):.2g} of the largest one; nothing was written"
        )
    return f"read again as it was written; {dtype} moves outputs by {distance:.1%} of the largest"


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
            f"`lushan predict` would use other weights than the run's: {name}; nothing was written"
        )


def _count(tensors: Sequence[Tensor]) -> str:
    return f"{sum(t.numel() for t in tensors):,}"
