"""What a result says of its stored predictions, and what is believed of it."""

import dataclasses
import json
from pathlib import Path

import pytest

from lushan.data.fields import Label, Number, Tags, Text, Value, Words
from lushan.data.record_schema import Entry, RecordSchema, of_fields
from lushan.errors import UserError
from lushan.run.result import RunResult
from lushan.study.records import read
from lushan.study.schemas import schema_of

TAGGED = RecordSchema(
    {
        "tokens": Entry(Words(), "input"),
        "gold": Entry(Tags(scores="entities"), "gold"),
        "predicted": Entry(Tags(scores="entities"), "predicted"),
        "score": Entry(Number(optional=True), "detail"),
    }
)


def result(records):
    return RunResult(Path("x"), "x", "0", 1, {"test/loss": 1.0}, "test/loss", {}, records=records)


def test_it_goes_through_json(tmp_path):
    content = json.loads(json.dumps(TAGGED.as_dict()))
    assert content["gold"] == {
        "role": "gold",
        "field": "lushan.data.fields.Tags",
        "options": {"scores": "entities"},
    }
    found = schema_of(result(content), tmp_path)
    assert found.entries == TAGGED.entries
    assert found.notes == []
    written = json.loads(json.dumps(result(content).to_dict()))
    again = RunResult.from_dict(written, file=tmp_path / "result.json")
    assert again.records == content


def test_entries_of_input_fields():
    found = of_fields({"text": Text(), "label": Label()})
    assert {name: entry.role for name, entry in found.items()} == {
        "text": "input",
        "gold": "gold",
        "predicted": "predicted",
    }
    assert found["gold"].field == Label()


def test_what_a_result_cannot_name_is_refused_before_training():
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Local(Text):
        pass

    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Odd(Text):
        option: object = None

    Odd.__qualname__ = "Odd"
    several = {"text": Text(), "one": Label(), "two": Label()}
    with pytest.raises(ValueError, match="several targets"):
        of_fields(several)
    assert set(of_fields({"text": Text()})) == {"text"}
    for field, printed in ((Local(), "at the top of a module"), (Odd(option={1}), "no JSON")):
        with pytest.raises(ValueError, match=printed):
            RecordSchema({"gold": Entry(field, "gold")}).as_dict()
        with pytest.raises(UserError, match=printed) as caught:
            Stating({"gold": Entry(field, "gold")}).require_record_fields()
        assert caught.value.key == "task"


class Stating:
    """As much of a task as says what its predictions hold."""

    def __init__(self, record_fields):
        self.record_fields = record_fields

    def require_record_fields(self):
        from lushan.tasks.base import Task

        Task.require_record_fields(self)


@pytest.mark.parametrize(
    ("record", "printed"),
    [
        ({"tokens": ["a"], "gold": ["O"], "predicted": ["O"]}, "it has no id"),
        ({"id": "1", "tokens": ["a"], "gold": ["O"]}, "'predicted' is missing"),
        (
            {"id": "1", "tokens": ["a"], "gold": ["O"], "predicted": []},
            "not have a tag for each word",
        ),
        ({"id": "1", "tokens": "a", "gold": ["O"], "predicted": ["O"]}, "'tokens': must be a list"),
        (
            {"id": "1", "tokens": ["a"], "gold": ["O"], "predicted": ["O"], "score": "x"},
            "'score': must be a number",
        ),
    ],
)
def test_records_are_checked(record, printed, tmp_path):
    with pytest.raises(ValueError, match=printed):
        TAGGED.check(record)
    (tmp_path / "predictions").mkdir()
    file = tmp_path / "predictions/test.jsonl"
    file.write_text(json.dumps(record) + "\n")
    with pytest.raises(UserError, match=printed) as caught:
        read(tmp_path, "test", TAGGED)
    assert (caught.value.file, caught.value.line) == (str(file), 1)


@pytest.mark.parametrize(
    "path",
    [
        "os.system",
        "evil.Field",
        "lushan.data.fields.Path",
        "lushan.data.record_schema.Entry",
        "lushan.data.fields.inputs",
        "lushan.data.fields.Gone",
        "lushan.__main__.main",
    ],
)
def test_a_class_that_may_not_be_imported_is_shown_as_json(path, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil.py").write_text("raise SystemExit('executed')")
    content = {"gold": {"role": "gold", "field": path, "options": {"x": 1}}}
    found = schema_of(result(content), tmp_path)
    assert found.entries == {"gold": Entry(Value(optional=True), "gold")}
    assert path in found.notes[0]


@pytest.mark.parametrize(
    "content",
    [
        {"gold": {"role": "golden", "field": "lushan.data.fields.Text"}},
        {"gold": {"role": "gold", "field": "lushan.data.fields.Text", "options": {"x": 1}}},
        {"gold": {"role": "gold", "field": "lushan.data.fields.Text", "options": [1]}},
        {n: {"role": "gold", "field": "lushan.data.fields.Text"} for n in "ab"},
    ],
)
def test_a_damaged_schema_is_reported(content, tmp_path):
    with pytest.raises(UserError) as caught:
        schema_of(result(content), tmp_path)
    assert caught.value.file == str(tmp_path / "result.json")


def test_a_result_that_does_not_tell(tmp_path):
    with pytest.raises(UserError, match="the fields of the stored predictions are unknown"):
        schema_of(result(None), tmp_path)
