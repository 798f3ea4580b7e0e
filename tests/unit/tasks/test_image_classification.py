"""Images with labels, as they are encoded."""

from __future__ import annotations

import io

from lushan.models import heads
from lushan.tasks.base import Limits
from lushan.tasks.image_classification import ImageClassification
from lushan.vision import images, processors


def test_the_size_is_asked_of_the_processor_once(monkeypatch):
    task = ImageClassification(head=heads.Linear)
    processor = processors.fresh(size=40)
    task.use(processor)
    asked, pixels = [], processors.pixels_of

    def counted(processor, given):
        asked.append(len(given))
        return pixels(processor, given)

    monkeypatch.setattr(processors, "pixels_of", counted)
    sink = io.BytesIO()
    images.noise(1).save(sink, "PNG")
    rows = {"id": ["x"], "image": [{"path": "", "bytes": sink.getvalue()}]}
    found = [task.encode(rows, first, processor, Limits(9)) for first in range(3)]
    assert [features["length"] for features in found] == [[10]] * 3  # 3 x 3 patches, and the class
    assert not asked
