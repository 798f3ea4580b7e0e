"""Small built-in sets of images: shapes of any colour, size and place, and questions on them."""

from __future__ import annotations

import dataclasses
import io
from typing import TYPE_CHECKING, ClassVar

from lushan.common.arrays import pa
from lushan.configurable import configurable
from lushan.data.encode import arrow
from lushan.data.fields import DIALOGUES, Fields, Image, Label, Text
from lushan.data.formats.samples import SIZES, Chance, SampleTable
from lushan.data.media_fields import Content, Video
from lushan.data.media_fields import structs as contents
from lushan.data.messages import Message, message_lists
from lushan.data.references import structs
from lushan.data.source import hash_json
from lushan.text import parts
from lushan.vision import clips

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SIDE = 32
"""Pixels of a side."""
SHAPES = ("circle", "square", "triangle")
WAYS = {"right": (1, 0), "left": (-1, 0), "down": (0, 1), "up": (0, -1)}
"""Where a shape moves, across and down."""
COLORS = {"red": (220, 30, 30), "green": (30, 160, 60), "blue": (40, 60, 220)}


class _Drawn(SampleTable):
    """A set whose images are drawn."""

    def hash_of(self, split: str, name: str) -> str:
        """Return a hash of the version of this set; its images follow from it."""
        return hash_json([self.name, split, SIZES[split], SIDE])


@configurable
@dataclasses.dataclass(kw_only=True)
class SampleImages(_Drawn):
    """Circles, squares and triangles of any colour on any ground."""

    gives: ClassVar[Fields | None] = {"image": Image(), "label": Label()}
    name: ClassVar[str] = "sample_images"

    def _columns(self, split: str) -> dict[str, pa.Array]:
        chance = Chance(51 + list(SIZES).index(split))
        labels = [chance.pick(SHAPES) for _ in range(SIZES[split])]
        images = [{"path": "", "bytes": _drawn(label, chance)} for label in labels]
        return {"image": structs(images), "label": arrow.texts(labels)}


@configurable
@dataclasses.dataclass(kw_only=True)
class SampleVQA(_Drawn):
    """Questions on images of one shape: which it is, which colour it has, and whether it is one."""

    gives: ClassVar[Fields | None] = DIALOGUES
    name: ClassVar[str] = "sample_vqa"

    def _columns(self, split: str) -> dict[str, pa.Array]:
        chance = Chance(71 + list(SIZES).index(split))
        return {"messages": message_lists([_asked(chance) for _ in range(SIZES[split])])}


@configurable
@dataclasses.dataclass(kw_only=True)
class SampleQuestions(_Drawn):
    """The questions of `SampleVQA`, with their answers as classes."""

    gives: ClassVar[Fields | None] = {"image": Image(), "question": Text(), "label": Label()}
    name: ClassVar[str] = "sample_questions"

    def _columns(self, split: str) -> dict[str, pa.Array]:
        chance = Chance(71 + list(SIZES).index(split))
        asked = [_asked(chance) for _ in range(SIZES[split])]
        return {
            "image": structs([parts.images_of(message.parts)[0] for message, _ in asked]),
            "question": arrow.texts([message.content for message, _ in asked]),
            "label": arrow.texts([answer.content for _, answer in asked]),
        }


@configurable
@dataclasses.dataclass(kw_only=True)
class SampleScenes(SampleImages):
    """Circles, squares and triangles of a few colours, each with its text: "a red circle"."""

    gives: ClassVar[Fields | None] = {"text": Text(), "image": Image()}
    name: ClassVar[str] = "sample_scenes"

    def _columns(self, split: str) -> dict[str, pa.Array]:
        chance = Chance(61 + list(SIZES).index(split))
        things = [(chance.pick(sorted(COLORS)), chance.pick(SHAPES)) for _ in range(SIZES[split])]
        images = [
            {"path": "", "bytes": _drawn(shape, chance, COLORS[color], (250,) * 3)}
            for color, shape in things
        ]
        texts = arrow.texts([f"a {color} {shape}" for color, shape in things])
        return {"text": texts, "image": structs(images)}


@configurable
@dataclasses.dataclass(kw_only=True)
class SampleStories(_Drawn):
    """Two scenes of `SampleScenes` in a row, of which each text is before or after its image."""

    gives: ClassVar[Fields | None] = {"content": Content()}
    name: ClassVar[str] = "sample_stories"

    def _columns(self, split: str) -> dict[str, pa.Array]:
        chance = Chance(81 + list(SIZES).index(split))
        return {"content": contents([_story(chance) for _ in range(SIZES[split])])}


@configurable
@dataclasses.dataclass(kw_only=True)
class SampleClips(_Drawn):
    """Moving shapes of three frames, each with its text: "a red circle moves right"."""

    gives: ClassVar[Fields | None] = {"text": Text(), "video": Video()}
    name: ClassVar[str] = "sample_clips"

    def _columns(self, split: str) -> dict[str, pa.Array]:
        chance = Chance(91 + list(SIZES).index(split))
        made = [_moving(chance) for _ in range(SIZES[split])]
        videos = structs([{"path": "", "bytes": video} for _, video in made])
        return {"text": arrow.texts([text for text, _ in made]), "video": videos}


def _moving(chance: Chance) -> tuple[str, bytes]:
    """Return the text of a moving shape, and its video."""
    from PIL import Image as Pictures

    color, shape = chance.pick(sorted(COLORS)), chance.pick(SHAPES)
    way = chance.pick(tuple(WAYS))
    across, down = WAYS[way]
    other, size = chance.pick(range(SIDE - 14)), 14
    frames = []
    for number in range(3):
        along = 9 * (number if across + down > 0 else 2 - number)
        left, top = (along, other) if across else (other, along)
        picture = Pictures.new("RGB", (SIDE, SIDE), (250,) * 3)
        _put(picture, shape, (left, top, size), COLORS[color])
        frames.append(picture)
    return f"a {color} {shape} moves {way}", clips.encoded(frames, level=0)


def _story(chance: Chance) -> list[parts.Part]:
    """Return texts and images of two scenes."""
    found: list[parts.Part] = []
    for before in ("a", "then a"):
        color, shape = chance.pick(sorted(COLORS)), chance.pick(SHAPES)
        drawn = {"path": "", "bytes": _drawn(shape, chance, COLORS[color], (250,) * 3)}
        both = [parts.text(f"{before} {color} {shape}"), parts.image(drawn)]
        found += both if chance.pick((True, False)) else both[::-1]
    return found


def _asked(chance: Chance) -> list[Message]:
    """Return a question on an image, and its answer."""
    shape, color = chance.pick(SHAPES), chance.pick(tuple(COLORS))
    other = chance.pick((shape, chance.pick(SHAPES)))
    question, answer = chance.pick(
        (
            ("what shape is it?", shape),
            ("what color is it?", color),
            (f"is it a {other}?", "yes" if shape == other else "no"),
        )
    )
    image = parts.image({"path": "", "bytes": _drawn(shape, chance, COLORS[color], (250,) * 3)})
    content = (image, parts.text(question))
    return [Message("user", question, {}, content), Message("assistant", answer)]


def _drawn(
    shape: str,
    chance: Chance,
    color: tuple[int, ...] | None = None,
    ground: tuple[int, ...] | None = None,
) -> bytes:
    """Return an image as BMP, whose bytes do not depend on a library for compression."""
    from PIL import Image as Pictures

    if color is None or ground is None:
        ground, color = (tuple(chance.pick(range(256)) for _ in range(3)) for _ in range(2))
    while sum(abs(a - b) for a, b in zip(ground, color, strict=True)) < 200:  # to be seen
        color = tuple(chance.pick(range(256)) for _ in range(3))
    picture = Pictures.new("RGB", (SIDE, SIDE), ground)
    size = chance.pick(range(10, 24))
    left, top = chance.pick(range(SIDE - size)), chance.pick(range(SIDE - size))
    _put(picture, shape, (left, top, size), color)
    sink = io.BytesIO()
    picture.save(sink, "BMP")
    return sink.getvalue()


def _put(picture: Picture, shape: str, place: tuple[int, int, int], color: tuple[int, ...]) -> None:
    """Draw a shape."""
    from PIL import ImageDraw

    left, top, size = place
    right, bottom = left + size, top + size
    draw = ImageDraw.Draw(picture)
    if shape == "circle":
        draw.ellipse((left, top, right, bottom), fill=color)
    elif shape == "square":
        draw.rectangle((left, top, right, bottom), fill=color)
    else:
        draw.polygon(((left, bottom), (right, bottom), ((left + right) // 2, top)), fill=color)
