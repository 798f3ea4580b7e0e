"""A checkpoint folder, written whole under a temporary name and then renamed.

It holds `weights.safetensors`, `trainer.pt` (optimizer, schedule, loops, callbacks; only tensors
and plain values) and `checksums.json`. The one before it goes only afterwards.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from lushan.checkpoint.weights import RUN, SUMS, WEIGHTS, run_of, save_weights
from lushan.errors import RunFailed
from lushan.run.files import TEMPORARY, sha256_file, write_json

STATE = "trainer.pt"


def write_folder(folder: Path, files: dict[str, Any]) -> None:
    """Write a checkpoint folder whole: `files` maps a name to tensors (weights) or a state."""
    with writing(folder) as (temporary, _):
        for name, content in files.items():
            if name == WEIGHTS:
                save_weights(content, temporary)
            else:
                torch.save(content, temporary / name)


@contextlib.contextmanager
def writing(folder: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    """A folder to write into, which at the end takes the place of `folder`, all at once.

    Beside it stands a place for the SHA-256 of files, by name, where it is known already.

    Raises:
        RunFailed: It cannot be written; `folder` is as it was.
    """
    temporary = folder.with_name(f"{TEMPORARY}{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    sums: dict[str, str] = {}
    try:
        temporary.mkdir(parents=True)
        yield temporary, sums
        if (run := run_of(folder)) is not None:
            write_json(temporary / RUN, run)
        for path in sorted(temporary.iterdir()):
            _sync(path)
            if path.name not in sums:
                sums[path.name] = sha256_file(path)
        write_json(temporary / SUMS, sums)
        _sync(temporary)
        if folder.exists():  # the same step again, after a resume
            old = folder.with_name(f"{TEMPORARY}old-{folder.name}")
            shutil.rmtree(old, ignore_errors=True)
            folder.rename(old)
            temporary.rename(folder)
            shutil.rmtree(old)
        else:
            temporary.rename(folder)
        _sync(folder.parent)
    except (OSError, RuntimeError, SafetensorError) as error:
        # torch and safetensors wrap the operating system's error in their own.
        raise RunFailed(f"cannot save the checkpoint {folder}: {error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
