"""Images as files of folders or archives: with a folder for each class, or to predict on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from lushan.common.arrays import pa
from lushan.configurable import configurable
from lushan.data import class_folders, files
from lushan.data.encode import arrow
from lushan.data.fields import Fields, Image, Label, Text
from lushan.data.label_names import WithLabelNames
from lushan.data.media import ENDINGS, Media
from lushan.data.references import Reference, structs
from lushan.data.source import Format, Source, hash_json
from lushan.errors import UserError

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".zip")
CLASS = ".cls"
"""Ending of the file beside an image that holds its class, as in archives of WebDataset."""
TEXT = ".txt"
"""Ending of the one that holds its text."""


@configurable
@dataclasses.dataclass(kw_only=True)
class Folder(WithLabelNames, Source):
    """Images whose class is the name of the folder that they lie in.

    A split is a folder, or a tar or zip archive, below `dir`. A file `NAME.cls` beside `NAME.png`
    may hold the class instead, and `NAME.txt` the text of a task that reads one.

    Args:
        dir: Base folder of the splits.
        largest_file: Maximum size in bytes of an archive after decompression; null is 2 GiB.
    """

    dir: str | None = None
    largest_file: int | None = None
    input_format: ClassVar[Format | None] = "images"
    gives: ClassVar[Fields | None] = {"image": Image(), "text": Text(), "label": Label()}

    def load(
        self, split: str, name: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Read one split."""
        media = self._media(split, name)
        names = _images(media, f"data.{split}")
        class_folders.require_one_split(names, media.place, split, name)
        found = _table(media.place, names, [media.files[name] for name in names])
        if fields is not None and "text" in fields:
            texts = arrow.texts([_text(media, name, split) for name in names])
            found = found.add_column(2, "text", texts)
        if fields is not None and "label" not in fields:
            return found
        notes += class_folders.notes_on_empty(names, media.place, split, "image")
        labels = arrow.texts([_class(media, name, split) for name in names])
        return found.add_column(2, "label", labels)

    def images(self, place: Path) -> pa.Table:
        """Read the images of a folder or an archive, or one image, without classes.

        Raises:
            UserError: There are none, or the archive cannot be read.
        """
        if place.is_file() and place.suffix.lower() in ENDINGS:
            return _table(place, [place.name], [{"path": str(place), "bytes": b""}])
        media = Media(place, self.largest_file, "--input")
        names = _images(media, "--input")
        return _table(place, names, [media.files[name] for name in names])

    def hash_of(self, split: str, name: str) -> str:
        """Hash of all files of a split."""
        return hash_json(self._media(split, name).fingerprint())

    def _media(self, split: str, name: str) -> Media:
        below = files.below(name, self.dir)
        place = below if below.exists() else Path(name).expanduser()
        if not place.exists():
            raise UserError(
                f"there is no folder or archive {below}",
                key=f"data.{split}",
                value=name,
                hint="Give a folder with one folder for each class, or a .tar or .zip file of it.",
            )
        return Media(place, self.largest_file)


def _images(media: Media, key: str) -> list[str]:
    """Return the paths of the images of a folder or an archive, sorted."""
    names = sorted(name for name in media.files if name.lower().endswith(ENDINGS))
    if not names:
        hint = None
        if any(name.lower().endswith(TEXT) for name in media.files):
            hint = "For texts with a folder for each class, use data=text_folder."
        raise UserError("there is no image in this folder", key=key, file=media.place, hint=hint)
    return names


def _table(place: Path, names: Sequence[str], references: Sequence[Reference]) -> pa.Table:
    return pa.table(
        {
            "id": arrow.texts(names),
            "image": structs(references),
            "line": arrow.numbers(range(1, len(names) + 1), pa.int64()),
            "file": arrow.texts([str(place)] * len(names)),
        }
    )


def _text(media: Media, path: str, split: str) -> str:
    beside = path.rpartition(".")[0] + TEXT
    if (found := media.text(beside)) is None:
        raise UserError(
            f"{path} has no text: there is no {beside}",
            key=f"data.{split}",
            file=media.place,
            hint="For a table with a column of images and one of texts, use data=table or "
            "data=jsonl with data.media=FOLDER.",
        )
    return found


def _class(media: Media, path: str, split: str) -> str:
    beside = media.text(path.rpartition(".")[0] + CLASS)
    if beside is not None:
        return beside
    *_, folder = ("", *path.split("/")[:-1])
    if not folder:
        raise UserError(
            f"{path} is not in a folder, so it has no class",
            key=f"data.{split}",
            file=media.place,
            hint="Put the images of each class into one folder. For a table with a column of "
            "images, use data=table or data=jsonl with data.media=FOLDER.",
        )
    return folder
