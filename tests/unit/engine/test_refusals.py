"""Refusals say a value once, and ask for what the task reads."""

from __future__ import annotations

import pytest
from tests.helpers import command

from lushan.config.build import source_of
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.data.fields import DIALOGUES
from lushan.data.formats import Jsonl
from lushan.engine.components import build_components
from lushan.errors import UserError


@pytest.mark.parametrize(
    ("problem", "value", "shown"),
    [
        ("there is no 'sft' in the group task", "sft", False),
        ("prefix cannot be merged", "prefix", False),
        ("there is no file data/x.csv", "data/x.csv", False),
        ("the data holds text", "text", False),
        ("'B' after 'O'", "B", False),
        ("there is no file data/x.csv", "x.csv", True),
        ("contexts are read", "text", True),
        ("a tag is missing", "a", True),
        ("must be below 1", 1, True),
        ("there is no column 3: line 1 has 2", 3, True),
        ("must be a number", "many", True),
        ("the file has no rows", ["a"], True),
    ],
)
def test_a_value_is_said_once(problem, value, shown):
    error = UserError(problem, key="k", value=value)
    assert (f"(found {value!r})" in str(error)) is shown
    assert error.value == value


@pytest.mark.parametrize(
    ("task", "key", "wanted"),
    [
        ("seq2seq", "data.source", "data.source=NAME"),
        ("ner", "data.tokens", "data=conll"),
        ("chat", "data", "data.messages=NAME"),
        ("classification", "data.label", "data.label=NAME"),
    ],
)
def test_columns_that_a_task_reads_are_asked_for(task, key, wanted, tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("question,answer\na,b\n", encoding="utf-8")
    data = ["data=table", f"data.train={path}", f"paths.cache_dir={tmp_path}"]
    model = {"seq2seq": "t5_tiny", "chat": "gpt2_tiny"}.get(task, "bert_tiny")
    cfg = check(compose([*command.SMALL, f"task={task}", *data, f"model={model}"]))
    with pytest.raises(UserError) as caught:
        build_components(cfg, source_of(cfg))
    assert (caught.value.key, caught.value.file) == (key, str(path))
    assert wanted in caught.value.hint
    assert "s are: question, answer." in caught.value.hint


def test_a_source_that_holds_no_dialogues_says_which_one_does(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"messages": [{"role": "user", "content": "a"}]}\n', encoding="utf-8")
    with pytest.raises(UserError, match="this source does not have it") as caught:
        Jsonl(train=str(path)).read(DIALOGUES)
    assert (caught.value.key, caught.value.file) == ("data", str(path))
    assert "data=chat with data.messages=NAME" in caught.value.hint
