"""A small built-in set of images: shapes of any colour, size and place."""

from __future__ import annotations

import dataclasses
import io
from typing import ClassVar

import pyarrow as pa

from lushan.configurable import configurable
from lushan.data.encode import arrow
from lushan.data.fields import Fields, Image, Label
from lushan.data.formats.samples import SIZES, Chance, Sample
from lushan.data.references import structs
from lushan.data.source import hash_json

SIDE = 32
"""Pixels of a side."""
SHAPES = ("circle", "square", "triangle")


@configurable
@dataclasses.dataclass(kw_only=True)
class SampleImages(Sample):
    """Circles, squares and triangles of any colour on any ground."""

    gives: ClassVar[Fields | None] = {"image": Image(), "label": Label()}
    name: ClassVar[str] = "sample_images"

    def load(
        self, split: str, name: str, notes: list[str], fields: Fields | None = None
    ) -> pa.Table:
        """Make one split."""
        del name, notes, fields
        chance = Chance(51 + list(SIZES).index(split))
        labels = [chance.pick(SHAPES) for _ in range(SIZES[split])]
        images = [{"path": "", "bytes": _drawn(label, chance)} for label in labels]
        columns = {"image": structs(images), "label": arrow.texts(labels)}
        return pa.table({"id": self._ids(split), **columns, **self._places(split)})

    def hash_of(self, split: str, name: str) -> str:
        """Return a hash of the version of this set; its images follow from it."""
        del name
        return hash_json([self.name, split, SIZES[split], SIDE])


def _drawn(shape: str, chance: Chance) -> bytes:
    """Return an image as BMP, whose bytes do not depend on a library for compression."""
    from PIL import Image as Pictures
    from PIL import ImageDraw

    ground, color = (tuple(chance.pick(range(256)) for _ in range(3)) for _ in range(2))
    while sum(abs(a - b) for a, b in zip(ground, color, strict=True)) < 200:  # to be seen
        color = tuple(chance.pick(range(256)) for _ in range(3))
    picture = Pictures.new("RGB", (SIDE, SIDE), ground)
    size = chance.pick(range(10, 24))
    left, top = chance.pick(range(SIDE - size)), chance.pick(range(SIDE - size))
    right, bottom = left + size, top + size
    draw = ImageDraw.Draw(picture)
    if shape == "circle":
        draw.ellipse((left, top, right, bottom), fill=color)
    elif shape == "square":
        draw.rectangle((left, top, right, bottom), fill=color)
    else:
        draw.polygon(((left, bottom), (right, bottom), ((left + right) // 2, top)), fill=color)
    sink = io.BytesIO()
    picture.save(sink, "BMP")
    return sink.getvalue()
