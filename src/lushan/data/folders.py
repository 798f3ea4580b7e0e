"""Folders that `datasets` reads, bounded to themselves: no file outside, and no network.

A folder's README.md names its files, by patterns that may be absolute, lead upwards or be URLs; a
folder that was saved lists its parts; links and archives name others. What is read must lie inside
the folder and be among the files whose hashes stand for it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lushan.common import parsing
from lushan.errors import UserError, first_line
from lushan.run import hashes, inside
from lushan.run.files import read_json

if TYPE_CHECKING:
    from types import ModuleType

    from datasets import Dataset, DatasetBuilder, DatasetDict

KEY = "data.path"
CARDS = ("README.md", ".huggingface.yaml")
"""Files that may say which files a folder's splits are."""
SAVED, STATE = "dataset_dict.json", "state.json"
FORMATS = ("csv", "json", "parquet", "arrow", "text", "conll")
"""Builders of `datasets` whose files hold all of their rows; those of others (Lance, HDF5, media)
name further files."""


def content(place: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a data set's folder, by its path inside.

    Raises:
        UserError: A link, or what a file of the folder names, leads out of it.
    """
    found = _files(place)
    cards = {name: place / name for name in CARDS if (place / name).is_file()}
    return {name: hashes.sha256(path) for name, path in sorted((found | cards).items())}


def load(place: Path, config: str | None, **options: Any) -> Dataset | DatasetDict:
    """Load a data set's folder: split to rows.

    Raises:
        UserError: It names files outside of it, or ones that are not supported.
    """
    listed = {os.path.realpath(path) for path in _files(place).values()}
    with asking_nobody() as datasets:
        builder = datasets.load_dataset_builder(str(place), config)
        _require_format(place, builder)
        for name in _used(builder):
            if os.path.realpath(name) not in listed:
                raise _outside(place, name, None)
        return datasets.load_dataset(str(place), config, **options)


def is_saved(place: Path) -> bool:
    """Return whether `save_to_disk` wrote a folder, with splits or without."""
    return (place / SAVED).is_file() or (place / STATE).is_file()


def load_saved(place: Path) -> DatasetDict:
    """Load a folder that `save_to_disk` wrote; what has no splits is `train`.

    Raises:
        UserError: It names files outside of it.
    """
    _files(place)
    with asking_nobody() as datasets:
        found = datasets.load_from_disk(str(place))
        single = isinstance(found, datasets.Dataset)
        return datasets.DatasetDict(train=found) if single else found


class asking_nobody:  # noqa: N801 - used like a function
    """Context with `datasets` offline: it would report reads of local files to the hub."""

    def __enter__(self) -> ModuleType:
        import datasets

        self._config = datasets.config
        self._before = self._config.HF_HUB_OFFLINE
        self._config.HF_HUB_OFFLINE = True
        return datasets

    def __exit__(self, *_: object) -> None:
        self._config.HF_HUB_OFFLINE = self._before


def require_own(builder: DatasetBuilder, hub_id: str) -> None:
    """Make sure that a set of the hub names no file of this machine, and of no other host."""
    for name in _used(builder):
        if not name.startswith(f"hf://datasets/{hub_id}@"):
            raise UserError(
                "the data set refers to a file outside of it",
                key=KEY,
                file=hub_id,
                value=name,
                hint="Ask its owner, or download the files that you want and give their folder.",
            )


def is_media(feature: Any) -> bool:
    """Return whether a column holds images or the like that are decoded, at any depth.

    To read one is to open what its rows name, which may be any file or URL.
    """
    if is_image(feature) and not feature.decode:
        return False
    if isinstance(feature, Mapping | list | tuple):
        return any(map(is_media, feature.values() if isinstance(feature, Mapping) else feature))
    return hasattr(feature, "embed_storage") or is_media(getattr(feature, "feature", ()))


def is_image(feature: object) -> bool:
    """Return whether a column holds images."""
    import datasets

    return isinstance(feature, datasets.Image)


def _used(builder: DatasetBuilder) -> list[str]:
    """The files that a builder of `datasets` would read."""
    found = builder.config.data_files
    lists = found.values() if isinstance(found, Mapping) else [found or []]
    return [str(name) for names in lists for name in names]


def _require_format(place: Path, builder: DatasetBuilder) -> None:
    kind = type(builder).__module__.rpartition(".")[2]
    if kind not in FORMATS:
        raise UserError(
            f"files of this format ({kind}) are not supported",
            key=KEY,
            value=str(place),
            hint="Write them as Parquet, JSON lines or CSV.",
        )


def _files(place: Path) -> dict[str, Path]:
    """The files of a folder that names none outside of it."""
    found = inside.files_of(place, key=KEY)
    if is_saved(place):
        for file, name in _parts(place):
            if not inside.is_bound(name) or not inside.is_inside(file.parent / name, place):
                raise _outside(place, name, file)
    else:
        _require_card(place)
    return found


def _require_card(place: Path) -> None:
    """Refuse the files outside that the head of a folder's README.md names."""
    for name in CARDS:
        path = place / name
        if not path.is_file():
            continue
        if not inside.is_inside(path, place):
            raise inside.leads_out(path, place, KEY)
        for pattern in _patterns(path):
            if not inside.is_bound(pattern):
                raise _outside(place, pattern, path)


def _patterns(card: Path) -> Iterator[str]:
    """The files and folders that a card names, as it writes them."""
    try:
        head = _head(card)
    except Exception as error:  # (of YAML, of Unicode, of the hub's own checks)
        raise UserError(
            f"its header cannot be read: {first_line(error)}", key=KEY, file=card
        ) from error
    configs = head.get("configs")
    for entry in configs if isinstance(configs, list) else ():
        if isinstance(entry, Mapping):
            for key in ("data_files", "data_dir"):
                yield from _texts(entry.get(key))


def _head(card: Path) -> dict[str, Any]:
    if card.suffix == ".md":
        text = parsing.read_bounded(card, parsing.MOST_YAML_BYTES).decode("utf-8-sig")
        # Between two lines of dashes at the very beginning.
        framed = re.match(r"\s*---\s*\r?\n(.*?)\r?\n---\s*(?:\r?\n|$)", text, re.DOTALL)
        found = parsing.parse_yaml(framed[1]) if framed else {}
    else:
        found = parsing.read_yaml(card)
    return found if isinstance(found, dict) else {}


def _texts(node: object) -> Iterator[str]:
    """The paths in an entry; the name of a split is none."""
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        yield from _texts(node.get("path"))
    elif isinstance(node, list):
        for inner in node:
            yield from _texts(inner)


def _parts(place: Path) -> Iterator[tuple[Path, str]]:
    """Yield each name in a saved folder with the file that has it: its splits, and their files."""
    index = place / SAVED
    try:
        splits = [str(name) for name in read_json(index)["splits"]] if index.is_file() else ["."]
        yield from ((index, name) for name in splits if index.is_file())
        for split in splits:  # which were found to lie inside before the generator resumes
            state = place / split / STATE
            yield from ((state, str(part["filename"])) for part in read_json(state)["_data_files"])
    except (KeyError, TypeError, OSError) as error:
        raise UserError(
            f"this is not a saved data set: {first_line(error)}", key=KEY, value=str(place)
        ) from error


def _outside(place: Path, name: str, file: Path | None) -> UserError:
    return UserError(
        f"this data set refers to a file that is not in {place}",
        key=KEY,
        file=file,
        value=name,
        hint="Files must be in the folder itself and not hidden. Move the file there, or give its "
        "path with data.path.",
    )
