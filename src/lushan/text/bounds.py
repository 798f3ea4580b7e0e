"""Bounds of the folder of a model or tokenizer: it may name only files of its own.

Its index of weights lists files, its settings have keys for files, an adapter's name its base, and
any file may be a link. transformers opens what is named, wherever it is.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from lushan.common.parsing import parse_json
from lushan.errors import UserError
from lushan.run import inside

CONFIG, ADAPTER, INDEX = "config.json", "adapter_config.json", ".index.json"
BASE = "base_model_name_or_path"
_FILES = ("_file", "_files", "_path", "_dir", "vocab", "merges")
"""Endings of keys that are for files."""
_SETTINGS = (
    *("config.json", "tokenizer_config.json", "generation_config.json", "processor_config.json"),
    *("preprocessor_config.json", "video_preprocessor_config.json", ADAPTER),
    *("special_tokens_map.json", "added_tokens.json"),
)
"""Files whose keys become arguments of transformers: under any key a text with a slash may be a
file's name."""
_PLAIN = ("tokenizer.json", "vocab.json")
"""Files of tokens, which name no files, and may be large."""


def require_own_files(folder: Path, key: str) -> None:
    """Make sure that a folder names no file outside of it.

    What is named and is not there counts in an index alone: settings hold paths of the machine
    that they were saved on.
    """
    files = inside.files_of(folder, key=key)
    for path in files.values():
        if path.suffix != ".json" or path.name in _PLAIN:
            continue
        with contextlib.suppress(ValueError, RecursionError, OSError):  # its reader will fail
            settings = parse_json(path.read_bytes())
            _require(settings, path, folder, key)
    if ADAPTER in files and CONFIG not in files:
        _require_base(files[ADAPTER], folder, key)


def _require(settings: object, path: Path, folder: Path, key: str) -> None:
    if path.name.endswith(INDEX):
        shards = settings.get("weight_map") if isinstance(settings, Mapping) else None
        for shard in shards.values() if isinstance(shards, Mapping) else ():
            place = path.parent / str(shard)
            if not inside.is_bound(str(shard)) or not inside.is_inside(place, folder):
                raise _outside(shard, path, folder, key)
        return
    for name in _named(settings, strict=path.name in _SETTINGS):
        # Read from the folder by some, from the working folder by others.
        for place in (path.parent / name, Path(name)):
            if _is_file(place) and not inside.is_inside(place, folder):
                raise _outside(name, path, folder, key)


def _is_file(place: Path) -> bool:
    try:
        return place.is_file()
    except (OSError, ValueError):  # too long for a name, or no text: the next one is looked at
        return False


def _named(node: object, key: str = "", *, strict: bool) -> Iterator[str]:
    """The texts that may name files, at any depth."""
    if isinstance(node, str):
        if key.endswith(_FILES) or (strict and "/" in node):
            yield node
    elif isinstance(node, Mapping):
        for name, inner in node.items():
            yield from _named(inner, str(name), strict=strict)
    elif isinstance(node, list):
        for inner in node:
            yield from _named(inner, key, strict=strict)


def _require_base(path: Path, folder: Path, key: str) -> None:
    with contextlib.suppress(ValueError, RecursionError, OSError):
        settings = parse_json(path.read_bytes())
        base = settings.get(BASE) if isinstance(settings, Mapping) else None
        if base is not None and not inside.is_inside(str(base), folder):
            raise UserError(
                "this is an adapter, but its base model is not in the folder",
                key=key,
                file=path,
                value=base,
                hint="Give the folder of the base model, or merge the adapter: "
                "lushan export RUN FOLDER.",
            )


def _outside(name: object, path: Path, folder: Path, key: str) -> UserError:
    return UserError(
        f"this refers to a file that is not in {folder}",
        key=key,
        file=path,
        value=name,
        hint="Put the file into the folder and use that path.",
    )
