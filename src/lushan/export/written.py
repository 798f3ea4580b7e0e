"""What was written of a run, whatever the format: how it is used, and what was proved of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lushan.run.files import read_json, write_json

if TYPE_CHECKING:
    from lushan.data.processing import Processor


@dataclasses.dataclass(frozen=True)
class Written:
    """An exported form of a run.

    Attributes:
        usage: Lines of Python that use it; DIR is the folder.
        notes: What its user must know.
        proof: What was proved, a line each.
        library: Name of the library that reads it, as the hub knows it.
        pipeline: transformers' pipeline for it; None where there is none.
        dtype: The type of the weights.
    """

    usage: str
    notes: Sequence[str]
    proof: Sequence[str]
    library: str = "transformers"
    pipeline: str | None = None
    dtype: str = "float32"


def write_processor(processor: Processor, folder: Path) -> None:
    """Write a processor as transformers does, for versions before 5, too."""
    processor.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    if not path.is_file():
        return
    settings = read_json(path)
    for name in ("is_local", "local_files_only"):  # of how it was read here
        settings.pop(name, None)
    if settings.get("tokenizer_class") == "TokenizersBackend":
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"  # its name before transformers 5
    write_json(path, settings)
