"""A task as a user writes it, whose predictions are of a form that lushan does not know."""

from __future__ import annotations

import dataclasses
import io
from typing import ClassVar

from PIL import Image as Pillow

from lushan.data import drawing
from lushan.data.drawing import Marks
from lushan.data.fields import Field, Image, Text
from lushan.data.record_schema import Entry
from lushan.data.stored import Tally
from lushan.tasks.classification import Classification


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mood(Field):
    """A mood and its colour: `{"mood": "good", "colour": "green"}`."""

    key_of_mood: str = "mood"
    what: ClassVar[str] = "mood"
    right_where: ClassVar[str] = "a text is right where its mood is felt"
    confusion: ClassVar[str] = "Texts by their mood."

    def check(self, value, record):
        if not isinstance(value, dict) or self.key_of_mood not in value:
            raise ValueError("must be a mood")

    def is_right(self, gold, predicted):
        return gold[self.key_of_mood] == predicted[self.key_of_mood]

    def tally(self, gold, predicted):
        one, other = (side[self.key_of_mood] for side in (gold, predicted))
        return Tally([one], [other], [one] if one == other else [], [(one, other)])

    def marks(self, gold, predicted, record):
        right = self.is_right(gold, predicted)
        return Marks([(True, "there")], [(right, "felt")])

    def draw(self, value, record):
        return drawing.chips([f"{value[self.key_of_mood]} in {value['colour']}"])

    def describe(self, value, record):
        return f"<{value[self.key_of_mood]}>"


class Moods(Classification):
    """Classify texts, and store what was found as moods, each with a picture."""

    @property
    def record_fields(self):
        mood = Mood(key_of_mood="name")
        return {
            "said": Entry(Text(), "input"),
            "asked": Entry(mood, "gold"),
            "felt": Entry(mood, "predicted"),
            "picture": Entry(Image(), "detail"),
        }

    def evaluate(self, table, records, *, full):
        found = super().evaluate(table, records, full=full)
        found.records = [
            {
                "id": row["id"],
                "said": row["text"],
                "asked": {"name": row["gold"], "colour": "grey"},
                "felt": {"name": row["predicted"], "colour": "blue"},
                "picture": found.add_file(_picture(self.labels.index(row["predicted"])), "png"),
            }
            for row in found.records
        ]
        return found


def _picture(number):
    file = io.BytesIO()
    Pillow.new("RGB", (640, 480), (40 * number, 80, 120)).save(file, "PNG")
    return file.getvalue()
