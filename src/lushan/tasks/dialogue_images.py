"""Images of dialogues as features: kept by reference or encoded, decoded when they are drawn."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch

from lushan.data import references
from lushan.data.encode.encoding import Encoded
from lushan.data.processing import fingerprint
from lushan.errors import UserError
from lushan.models.image_states import ImageStates, is_random, provide_states, tower_of
from lushan.tasks.batches import Batch, Features
from lushan.text import parts
from lushan.text.parts import TOKENS, Part
from lushan.text.rendering import Messages
from lushan.text.windows import Window
from lushan.vision import images
from lushan.vision.reader import ImageReader, Recent, Seen, joined

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

COLUMNS = [
    ("images", pa.list_(pa.uint8())),
    ("image_sizes", pa.list_(pa.int32())),
    ("image_is_path", pa.list_(pa.int8())),
    ("image_ends", pa.list_(pa.int32())),
]
"""Columns of a feature's images: paths or encoded bytes end to end, and where their tokens end."""
NAMES = frozenset(name for name, _ in COLUMNS)
OF_IMAGES = ("image_counts", "image_rows", "images_asked")
"""Entries of a batch that say whose its images are, beside what the model reads of them."""
SEEN = "seen:"
"""With what the names of a batch's entries begin that the model reads of images."""
REPAIRED = "repaired"
"""Counts of what was changed to read images: not stored, only reported."""


MOST_DECODED = 256 << 20
"""Bytes of decoded images that are held, those that were asked for last."""


@dataclasses.dataclass
class Sight:
    """What a language model is shown of the images in messages.

    Args:
        reader: Of the processor; None where it makes texts alone.
        blind: Whether images are left out.
    """

    reader: ImageReader | None = None
    blind: bool = False
    repairs: Counter[str] = dataclasses.field(default_factory=Counter)
    states: ImageStates | None = None
    _known: dict[str, list[int]] = dataclasses.field(default_factory=dict)
    _decoded: Recent = dataclasses.field(default_factory=lambda: Recent(MOST_DECODED))

    @property
    def sees(self) -> bool:
        """Return whether the model is shown images."""
        return self.reader is not None and not self.blind

    def anew(self) -> Sight:
        """Return the same without what was counted."""
        return Sight(self.reader, self.blind)

    def shown(self, messages: Messages, place: Mapping[str, Any] | None = None) -> Messages:
        """Return messages whose images have their tokens (`TOKENS`), or none in the blind.

        Raises:
            UserError: An image cannot be read, or the model sees none.
        """
        if not any(parts.images_of(message.get("content")) for message in messages):
            return messages
        try:
            return [{**m, "content": self._content(m.get("content"))} for m in messages]
        except UserError as error:
            if place is None or error.file is not None:
                raise
            raise UserError(
                error.problem, key=error.key, value=error.value, hint=error.hint, **place
            ) from error

    def _content(self, content: Any) -> Any:
        if not parts.images_of(content):
            return content
        if self.blind:
            return parts.text_of(content).strip()
        return [self._measured(part) if parts.is_image(part) else part for part in content]

    def _measured(self, part: Part) -> Part:
        if self.reader is None:
            raise UserError(
                "this dialogue has an image, but the processor only supports text",
                key="processor",
                hint="Write model=llava_tiny, or model=pretrained with the path of a "
                "vision-language model. task.blind=true removes images.",
            )
        key = references.content_hash(part) if part["bytes"] else part["path"]
        if key not in self._known:
            self._known[key] = self.reader.tokens_of(_decoded(part, self.repairs))
        return {**part, TOKENS: self._known[key]}

    def drawn(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return a dialogue's feature with `seen`, what the model reads of each of its images.

        `images_asked` is how many of them stand before the turn that is generated.
        """
        asked = np.array([np.sum(row["image_ends"] <= row["asked"])])
        kept = {k: v for k, v in row.items() if k not in NAMES}
        return {**kept, "seen": self.of_row(row), "images_asked": asked}

    def of_row(self, row: Mapping[str, Any]) -> list[Seen]:
        """Return what the model reads of each image of a feature, from `COLUMNS`.

        Those that a frozen tower has encoded are states of it; see `remember`.
        """
        return [self._seen(content, is_path=is_path) for content, is_path in _stored(row)]

    def _seen(self, content: bytes, *, is_path: bool) -> Seen:
        key = references.key_of(content, is_path=is_path)
        if self.states is not None:
            return self.states[key]
        if (found := self._decoded.get(key)) is None:
            found = self.inputs_of([parts.image(references.restored(content, is_path=is_path))])
            self._decoded.put(key, found)
        return found

    def remember(
        self, model: Any, encoded: Mapping[str, Encoded], folder: Path, device: torch.device
    ) -> list[str]:
        """Have a frozen vision tower encode each image of a run once, and return a note.

        Args:
            model: Of transformers.
            encoded: Features of all splits.
            folder: Where what it makes of images is kept.
            device: Where it is computed.
        """
        places = {split: _different(features) for split, features in encoded.items()}
        known = {key: place for found in places.values() for key, place in found.items()}
        if self.reader is None or not known:
            return []

        def decode(key: str) -> Seen:
            content, is_path = known[key]
            return self.inputs_of([parts.image(references.restored(content, is_path=is_path))])

        tower = tower_of(model, decode(next(iter(known))))
        if tower is None:
            return []
        if tower.states is None or not tower.is_frozen:
            if not is_random(tower.module):
                tower.encode_once()
            return []
        self.states, note = provide_states(
            tower,
            {split: sorted(found) for split, found in places.items()},
            decode,
            processor=fingerprint(self.reader.processor.image_processor),
            folder=folder,
            device=device,
        )
        if self.states is not None:
            tower.recall()
        return [note]

    def inputs_of(self, several: Sequence[Part]) -> Seen:
        """Return what the model reads of some images; nothing of none."""
        if self.reader is None or not several:
            return {}
        return joined([self.reader.inputs_of(_decoded(part)) for part in several])


def _decoded(part: Part, repairs: Counter[str] | None = None) -> Picture:
    path = part["path"]
    data = part["bytes"] or images.read_bytes(path)
    return images.decode(data, path or "of a message", repairs)


def columns_of(window: Window) -> dict[str, Any]:
    """Return the entries of `COLUMNS` of a window."""
    contents = [references.kept(image) for image in window.images]
    return {
        "images": np.frombuffer(b"".join(contents), np.uint8),
        "image_sizes": [len(content) for content in contents],
        "image_is_path": [int(bool(image["path"])) for image in window.images],
        "image_ends": [end for _, end in window.places],
    }


def _stored(row: Mapping[str, Any]) -> Iterator[tuple[bytes, bool]]:
    """Yield what stands for each image of a feature, as `references.kept`, and whether by path."""
    content = row["images"].tobytes()
    ends = np.cumsum(row["image_sizes"]).tolist()
    pieces = [content[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    yield from zip(pieces, map(bool, row["image_is_path"].tolist()), strict=True)


def _different(encoded: Encoded) -> dict[str, tuple[bytes, bool]]:
    """Return the different images of a split by their keys."""
    columns = {name: encoded.columns[name] for name in NAMES if name in encoded.columns}
    if len(columns) < len(NAMES):
        return {}
    found = {}
    for number in range(len(encoded)):
        for content, is_path in _stored({name: values[number] for name, values in columns.items()}):
            found[references.key_of(content, is_path=is_path)] = content, is_path
    return found


def count(features: Features) -> dict[str, int]:
    """Return numbers of images, and of those that were changed to be read."""
    found = {"images": sum(map(len, features.get("image_sizes", ())))}
    repairs = sum(features.get(REPAIRED, ()), Counter[str]())
    found |= {f"{REPAIRED} {what}": n for what, n in sorted(repairs.items())}
    return {name: n for name, n in found.items() if n}


def notes(split: str, counts: Mapping[str, int]) -> Iterator[str]:
    """Yield what `count` has found, for the reader of the numbers."""
    for name, number in counts.items():
        if name.startswith(f"{REPAIRED} "):
            yield f"{split}: {number} images {name.removeprefix(f'{REPAIRED} ')}"


# Batches


def images_in_batch(rows: Sequence[Sequence[Seen]]) -> Batch:
    """Return what a model reads of the images of some rows, and whose they are.

    Beside the model's entries (`SEEN`), over all N images, these are `image_counts`, the images of
    each row (B,), and `image_rows`, how long each of them is in each entry, by name (N, K).
    """
    several = [seen for row in rows for seen in row]
    found: Batch = {"image_counts": torch.tensor([len(row) for row in rows])}
    if not several:
        return found
    whole = joined(several)
    sizes = [[len(seen[name]) for name in sorted(whole)] for seen in several]
    entries = {f"{SEEN}{name}": value for name, value in whole.items()}
    return found | entries | {"image_rows": torch.tensor(sizes)}


def separate(batch: Batch) -> list[Seen]:
    """Return what a model reads of each row's first `images_asked` images; [] without images."""
    if "image_rows" not in batch:
        return []
    sizes = batch["image_rows"]
    ends = torch.cat([sizes.new_zeros((1, sizes.shape[1])), sizes.cumsum(0)]).tolist()
    names = sorted(name for name in batch if name.startswith(SEEN))
    found, first = [], 0
    for count, asked in zip(
        batch["image_counts"].tolist(), batch["images_asked"].tolist(), strict=True
    ):
        last = first + int(asked)
        seen = {
            name.removeprefix(SEEN): batch[name][ends[first][k] : ends[last][k]]
            for k, name in enumerate(names)
        }
        found.append(seen if asked else {})
        first += int(count)
    return found
