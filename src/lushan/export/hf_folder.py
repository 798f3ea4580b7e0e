"""A trained run as a folder that plain transformers reads, with the proof that it is the same.

The folder is written beside its final name, read again by transformers alone, asked the same as the
run's own model, and only then renamed.
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

from lushan.errors import RunFailed, UserError
from lushan.export.adapters import write_adapter
from lushan.export.card import card_of
from lushan.export.forms import Form
from lushan.export.heads import classifier_form, tagger_form
from lushan.export.language import causal_form, masked_form, seq2seq_form
from lushan.inference.generator import DTYPES
from lushan.inference.load import Loaded, load
from lushan.run import remote_code
from lushan.run.artifacts import is_run
from lushan.run.files import TEMPORARY, follow_umask, read_json, write_json, write_page
from lushan.tasks.classification import Classification
from lushan.tasks.ner import NER
from lushan.text.hub import NO_PICKLE, Place

CLOSE = 1e-3
"""Logits may differ by so much of the largest one: merging adapters rounds."""
MARKS = ("config.json", "adapter_config.json")
"""What a folder has that may be replaced."""


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
            said = write_adapter(loaded, temporary)
            card = card_of(loaded, said.usage, said.notes)
            lines = [said.proof]
        else:
            form = form_of(loaded)
            _write(form, temporary, dtype)
            lines = [_prove(form, temporary, dtype)]
            card = card_of(loaded, form.usage, form.notes, pipeline=form.pipeline, dtype=dtype)
        write_page(temporary / "README.md", card)
    return [*lines, f"exported: {folder}"]


def form_of(loaded: Loaded) -> Form:
    """The form of a run's model.

    Raises:
        UserError: transformers has none that is the same.
    """
    task = loaded.task
    if isinstance(task, NER):
        return tagger_form(loaded, task)
    if isinstance(task, Classification):
        return classifier_form(loaded, task)
    lingual = {
        "AutoModelForCausalLM": causal_form,
        "AutoModelForMaskedLM": masked_form,
        "AutoModelForSeq2SeqLM": seq2seq_form,
    }
    if task.auto_class in lingual:
        return lingual[task.auto_class](loaded)
    raise UserError(
        f"transformers has no form for {type(task).__name__}",
        file=loaded.folder,
        hint="`lushan predict` uses the run as it is.",
    )


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


def _write(form: Form, folder: Path, dtype: str) -> None:
    form.model.to(DTYPES[dtype])
    form.model.config.dtype = DTYPES[dtype]
    try:
        form.model.save_pretrained(folder)
    except (ValueError, OSError, RuntimeError, SafetensorError) as error:
        raise RunFailed(f"the model cannot be written: {error}") from error
    form.tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    settings = read_json(path)
    for name in ("is_local", "local_files_only"):  # of how it was read here
        settings.pop(name, None)
    if settings.get("tokenizer_class") == "TokenizersBackend":
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # its name before transformers 5
    write_json(path, settings)


def _prove(form: Form, folder: Path, dtype: str) -> str:
    """Ask the folder, read by transformers alone, what the run's own model is asked.

    Raises:
        RunFailed: It answers otherwise.
    """
    import transformers

    auto: Any = getattr(transformers, form.auto)
    place = Place(str(folder))
    again = auto.from_pretrained(place.path, dtype="auto", **place.options, **NO_PICKLE)
    again.eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(place.path, **place.options)
    found = form.ask(again, tokenizer)
    if [t.shape for t in found] != [t.shape for t in form.expected]:
        raise RunFailed(
            "the exported tokenizer gives other tokens than the run's; nothing was written"
        )
    if dtype == "float32":
        distance = distance_of(found, form.expected)
        agree = labels_agree(found, form.expected, CLOSE)
        if distance > CLOSE or not agree:
            raise RunFailed(
                f"the exported model is not the run's: its logits differ by {distance:.2g} of the "
                "largest one; nothing was written"
            )
        return f"the same as the run's own model: {_count(found)} logits, apart by {distance:.1e}"
    distance = distance_of(found, form.ask(form.model, form.tokenizer))
    if distance > 1e-6:
        raise RunFailed(
            f"the exported model is not what was written: its logits differ by {distance:.2g} of "
            "the largest one; nothing was written"
        )
    rounded = distance_of(found, form.expected)
    return f"read again as it was written; {dtype} moves logits by {rounded:.1%} of the largest"


def distance_of(found: Sequence[Tensor], expected: Sequence[Tensor]) -> float:
    """The largest difference, as a share of the largest expected value."""
    pairs = zip(found, expected, strict=True)
    apart = max(float((a.float() - b.float()).abs().max()) for a, b in pairs)
    largest = max(float(b.float().abs().max()) for b in expected)
    return apart / max(largest, 1e-6)


def labels_agree(found: Sequence[Tensor], expected: Sequence[Tensor], close: float) -> bool:
    """Whether the likeliest is the same everywhere, but where two are as likely."""
    for a, b in zip(found, expected, strict=True):
        if b.shape[-1] < 2:
            continue
        best = b.float().topk(2, dim=-1).values
        sure = best[..., 0] - best[..., 1] > 2 * close * float(b.float().abs().max())
        if bool(((a.argmax(-1) != b.argmax(-1)) & sure).any()):
            return False
    return True


def _count(tensors: Sequence[Tensor]) -> str:
    return f"{sum(t.numel() for t in tensors):,}"
