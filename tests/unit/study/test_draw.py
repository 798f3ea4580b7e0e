"""The study of drawing: its metric reads scenes, its captions are those of the questions."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

FOLDER = Path(__file__).parents[3] / "experiments" / "draw"


@pytest.fixture
def scenes(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("LUSHAN_TARGETS", "scenes")
    import scenes

    yield scenes
    sys.modules.pop("scenes")


def painted(shape, color, size=32):
    picture = Image.new("RGB", (size, size), (235, 245, 240))
    pen, box = ImageDraw.Draw(picture), (8, 6, 24, 22)
    if shape == "circle":
        pen.ellipse(box, color)
    elif shape == "rectangle":
        pen.rectangle(box, color)
    else:
        pen.polygon(((8, 22), (24, 22), (16, 6)), color)
    sink = io.BytesIO()
    picture.save(sink, "PNG")
    return sink.getvalue()


def test_colours_and_shapes_are_read_from_pixels(scenes):
    for color, value in scenes.COLORS.items():
        for shape in scenes.SHAPES:
            assert scenes.read(painted(shape, value)) == (color, shape)
    sink = io.BytesIO()
    Image.new("RGB", (8, 8), "white").save(sink, "PNG")
    assert scenes.read(sink.getvalue()) == ("", "")


def test_a_part_of_a_text_is_seen_or_not(scenes):
    row = {"text": "a red circle", "png": painted("circle", (0, 0, 255))}
    found = [scenes.Scene(part).statistics([row], [row])[0, 0] for part in ("color", "shape")]
    assert found == [0, 1]
    assert scenes.Scene().statistics([row], [row])[0].tolist() == [0, 1]


def test_a_classifier_sees_parts_of_a_text_in_what_was_drawn(scenes, monkeypatch):
    from lushan.inference import prediction

    def predict(run, table):
        assert run == "the run"
        return [{"predicted": "a red circle"} for _ in range(table.num_rows)]

    monkeypatch.setattr(scenes, "_loaded", lambda run: run)
    monkeypatch.setattr(prediction, "predict_rows", predict)
    rows = [
        {"text": text, "png": painted("circle", (255, 0, 0))}
        for text in ("a red circle", "a red triangle", "a blue circle")
    ]
    found = [
        scenes.Classified("the run", part).statistics(rows, rows)[:, 0].tolist()
        for part in ("color", "shape", "both")
    ]
    assert found == [[1, 1, 0], [1, 0, 1], [1, 0, 0]]


def test_captions_are_what_questions_tell(scenes, tmp_path):
    asked = [
        ("0.png", "what is the blue shape?", "rectangle"),
        ("1.png", "is there a red shape?", "yes"),
        ("1.png", "is no triangle present?", "yes"),
        ("1.png", "is a teal shape present?", "no"),
        ("1.png", "what shape is present?", "circle"),
        ("2.png", "does the image not contain a gray shape?", "yes"),
    ]
    file = tmp_path / "questions.jsonl"
    lines = [json.dumps(dict(zip(("image", "question", "answer"), q, strict=True))) for q in asked]
    file.write_text("\n".join(lines))
    assert scenes.captions(file, "train") == [
        {"image": "train/0.png", "text": "a blue rectangle"},
        {"image": "train/1.png", "text": "a red circle"},
    ]


@pytest.mark.slow(1)
def test_its_runs_compose(scenes, cli_inside):
    done = cli_inside("study", "status", FOLDER / "study.yaml")
    assert done.code == 0, done.err
    assert "9 runs: 9 missing" in done.out
