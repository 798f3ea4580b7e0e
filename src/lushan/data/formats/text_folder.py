"""Texts as files of folders, with a folder for each class."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

from lushan.common.arrays import pa
from lushan.common.wording import plural
from lushan.configurable import configurable
from lushan.data import class_folders, files
from lushan.data.encode import arrow
from lushan.data.fields import LABELLED, Fields
from lushan.data.label_names import WithLabelNames
from lushan.data.source import Format, Source, hash_json
from lushan.data.which import listed
from lushan.errors import UserError
from lushan.run import hashes, inside

ENDINGS = (".txt", ".text", "")
"""Of files that hold a text."""
UNLABELLED = ("unsup", "unlabeled", "unlabelled")
"""Names of folders whose texts have no class."""


@configurable
@dataclasses.dataclass(kw_only=True)
class TextFolder(WithLabelNames, Source):
    """Texts, a file each, whose class is the name of the folder that they lie in.

    A split is a folder below `dir`, such as `train` with `train/pos/0.txt` and `train/neg/0.txt`.
    Files that lie in no class's folder are left out and counted.

    Args:
        dir: Base folder of the splits.
        classes: Names of the folders to use; null uses all.
        longest_line: Maximum size in bytes of a line.
        largest_file: Maximum size in bytes of a file after decompression; null is 2 GiB.
    """

    dir: str | None = None
    classes: list[str] | None = None
    longest_line: int = files.LONGEST_LINE
    largest_file: int | None = None

    input_format: ClassVar[Format | None] = None
    gives: ClassVar[Fields | None] = LABELLED

    def load(
        self, split: str, name: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Read one split."""
        del fields
        place, found = self._files(split, name)
        class_folders.require_one_split(found, place, split, name)
        notes += class_folders.notes_on_empty(found, place, split, "text")
        kept, labels = [], []
        for path in found:
            parents = PurePosixPath(path).parts[:-1]
            if parents and self._is_read(parents[-1], place, split):
                kept.append(path)
                labels.append(parents[-1])
        if len(kept) < len(found):
            left = plural(len(found) - len(kept), "file", "files")
            notes.append(f"{split}: {left} skipped: not in the folder of a class")
        if not kept:
            raise files.empty(place, "no text file is in the folder of a class")
        texts = [self._text(found[path]) for path in kept]
        return pa.table(
            {
                "id": arrow.texts(kept),
                "text": arrow.texts(texts),
                "label": arrow.texts(labels),
                "line": arrow.numbers([1] * len(kept), pa.int64()),
                "file": arrow.texts([str(found[path]) for path in kept]),
            }
        )

    def hash_of(self, split: str, name: str) -> str:
        """Hash of all files of a split."""
        _, found = self._files(split, name)
        return hash_json({path: hashes.sha256(place) for path, place in found.items()})

    def _text(self, path: Path) -> str:
        content = files.read_bytes(path, self.largest_file)
        return files.decode(content, path, longest=self.longest_line)

    def _files(self, split: str, name: str) -> tuple[Path, dict[str, Path]]:
        """Return a split's folder, and the texts in it by their paths."""
        below = files.below(name, self.dir)
        place = below if below.exists() else Path(name).expanduser()
        key = f"data.{split}"
        if not place.is_dir():
            hint = "Give a folder with one folder for each class: train/pos/0.txt, train/neg/0.txt."
            raise UserError(f"there is no folder {below}", key=key, value=name, hint=hint)
        found = inside.files_of(place, key=key)
        return place, {p: at for p, at in found.items() if at.suffix.lower() in ENDINGS}

    def _is_read(self, folder: str, place: Path, split: str) -> bool:
        if self.classes is not None:
            return folder in self.classes
        if folder.lower() in UNLABELLED:
            there = sorted(path.name for path in place.iterdir() if path.is_dir())
            classes: Sequence[str] = [name for name in there if name != folder]
            raise UserError(
                f"the folder {folder!r} seems to contain texts without a class",
                key=f"data.{split}",
                file=place,
                hint=f"Name the classes: data.classes=[{','.join(classes)}]. Folders: "
                f"{listed(there)}.",
            )
        return True
