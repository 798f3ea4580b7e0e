"""Fields of messages beside role and content: tool calls, reasoning, weights, tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lushan.data.formats import Chat, ChatHub, Mixture
from lushan.data.messages import dialogues_of
from lushan.data.source import Corpus

CALL = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
OTHER = {"type": "function", "function": {"name": "add", "arguments": {"a": 1, "b": None}}}
TOOL = {"name": "weather", "parameters": {"type": "object"}}
WRAPPED = {"type": "function", "function": TOOL}
USER = {"role": "user", "content": "hello"}
SAID = {"role": "assistant", "content": "hi"}


def plain(corpus: Corpus) -> tuple[list[Any], list[Any]]:
    """The messages of each row, and its tools."""
    return dialogues_of(corpus.splits["train"].to_pydict())


def test_fields_come_through_as_they_are(read_chat: Any) -> None:
    """Calls with other arguments get no keys of one another, nor nulls."""
    rows = [
        [USER, SAID | {"tool_calls": [call], "reasoning_content": "why", "mood": ["x"]}]
        for call in (CALL, OTHER)
    ]
    corpus = read_chat(*({"messages": row} for row in rows), {"messages": [USER, SAID]})
    assert plain(corpus) == ([*rows, [USER, SAID]], [None] * 3)
    assert corpus.notes == []


@pytest.mark.parametrize(
    "printed",
    [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "tool_calls": json.dumps([CALL])},
        {"role": "assistant", "content": None, "function_call": CALL["function"]},
        {
            "role": "assistant",
            "tool_calls": [{"name": "weather", "arguments": '{"city": "Oslo"}'}],
        },
        {"from": "function_call", "value": json.dumps(CALL["function"])},
        {"role": "tool_call", "content": json.dumps([CALL["function"]])},
    ],
)
def test_a_tool_call_in_many_forms(printed: dict[str, Any], read_chat: Any) -> None:
    ((messages,), _) = plain(
        read_chat({"messages": [USER, printed, {"role": "tool", "content": "3"}]})
    )
    called = {"role": "assistant", "content": None, "tool_calls": [CALL]}
    assert messages == [USER, called, {"role": "tool", "content": "3"}]


def test_sharegpt_with_calls_and_observations(read_chat: Any) -> None:
    row = [
        {"from": "human", "value": "hello"},
        {"from": "gpt", "value": "let me see"},
        {"from": "function_call", "value": json.dumps(CALL["function"])},
        {"from": "function_call", "value": json.dumps(OTHER["function"])},
        {"from": "observation", "value": '{"degrees": 3}'},
        {"from": "gpt", "value": "3"},
    ]
    corpus = read_chat({"conversations": row, "tools": json.dumps([TOOL])})
    ((messages,), (tools,)) = plain(corpus)
    assert tools == [WRAPPED]
    assert messages == [
        USER,
        {"role": "assistant", "content": "let me see", "tool_calls": [CALL, OTHER]},
        {"role": "tool", "content": '{"degrees": 3}'},
        {"role": "assistant", "content": "3"},
    ]
    assert corpus.notes == [
        "train: 2 messages were merged with the previous one, which has the same role"
    ]


def test_messages_that_differ_are_not_joined(read_chat: Any) -> None:
    row = [USER, SAID | {"weight": 0}, SAID, SAID | {"tool_calls": [CALL]}, SAID]
    corpus = read_chat({"messages": row})
    ((messages,), _) = plain(corpus)
    both = SAID | {"content": "hi\nhi", "tool_calls": [CALL]}
    assert messages == [USER, SAID | {"weight": 0}, both, SAID]
    assert corpus.notes == [
        "train: 1 messages were merged with the previous one, which has the same role",
        "train: 2 messages follow one of the same role but were not merged: their weights or "
        "other fields differ",
    ]


@pytest.mark.parametrize("tools", [[TOOL], [WRAPPED], TOOL, json.dumps([TOOL]), [json.dumps(TOOL)]])
@pytest.mark.parametrize("field", ["tools", "functions"])
def test_tools_in_many_forms(tools: Any, field: str, read_chat: Any) -> None:
    corpus = read_chat({"messages": [USER, SAID], field: tools}, {"messages": [USER, SAID]})
    assert plain(corpus)[1] == [[WRAPPED], None]


@pytest.mark.parametrize("empty", [None, "", [], "[]"])
def test_no_tools(empty: Any, read_chat: Any) -> None:
    corpus = read_chat({"messages": [USER, SAID], "tools": empty})
    assert corpus.splits["train"].column_names == ["id", "messages", "line", "file"]


@pytest.mark.parametrize(
    ("fields", "weight"),
    [
        ({"train": False}, 0),
        ({"train": True}, 1),
        ({"weight": 0}, 0),
        ({"weight": 0.5}, 0.5),
        ({"weight": 0.5, "train": True}, 0.5),
        ({"weight": 2, "train": False}, 0),
        ({"weight": None, "train": None}, 1),
    ],
)
def test_weights(fields: dict[str, Any], weight: float, read_chat: Any) -> None:
    ((messages,), _) = plain(read_chat({"messages": [USER, SAID | fields, USER, SAID]}))
    assert [m.get("weight", 1) for m in messages] == [1, weight, 1, 1]
    assert not any("train" in m for m in messages)


def test_what_is_not_learned_is_counted(read_chat: Any) -> None:
    unlearned = {"messages": [USER, SAID | {"train": False}]}
    asking = {"messages": [USER | {"weight": 1}, SAID]}
    corpus = read_chat(unlearned, asking, {"messages": [USER]})
    assert corpus.splits["train"].column("line").to_pylist() == [2]
    assert corpus.notes == [
        "train: 1 messages of other roles have a weight or train: true; only the assistant's "
        "messages are trained on",
        "train: 1 of 3 dialogues have no assistant turn and were dropped",
        "train: 1 of 3 dialogues have only turns of weight 0 and were dropped",
    ]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": [USER, SAID | {"weight": "much"}]}, "weight must be a number"),
        ({"messages": [USER, SAID | {"weight": -1}]}, "weight must be a number"),
        ({"messages": [USER, SAID | {"train": "no"}]}, "train must be true or false"),
        ({"messages": [USER, SAID | {"tool_calls": ["x"]}]}, "a tool call must have a name"),
        ({"messages": [USER, SAID | {"content": None}]}, "content of message 2 is missing"),
        ({"messages": [USER | {"content": None, "tool_calls": [CALL]}]}, "message 1 is missing"),
        (
            {"messages": [USER, {"from": "function_call", "value": "f(x)"}]},
            "a tool call must have a name",
        ),
        ({"messages": [USER, SAID], "tools": ["weather"]}, "a tool must be a mapping with a name"),
        (
            {"messages": {"role": ["user", "assistant"], "content": ["a"]}},
            "columns of messages differ in length: role has 2, content has 1",
        ),
        ({"messages": [USER, SAID | {"mood": "\ud83d"}]}, "half of a surrogate pair"),
    ],
)
def test_what_is_refused(row: Any, problem: str, read_chat: Any, refused: Any) -> None:
    error = refused(read_chat, {"messages": [USER, SAID]}, row)
    assert problem in error.problem
    assert error.line == 2


def test_a_call_that_is_no_json_can_be_read_as_text(read_chat: Any, refused: Any) -> None:
    row = {"messages": [USER, {"role": "function_call", "content": "f(x)"}]}
    assert "data.roles={function_call: assistant}" in refused(read_chat, row).hint
    ((messages,), _) = plain(read_chat(row, roles={"function_call": "assistant"}))
    assert messages[1] == {"role": "assistant", "content": "f(x)"}


def test_results_that_are_no_text_become_json(read_chat: Any) -> None:
    row = [USER, SAID | {"tool_calls": [CALL]}, {"role": "tool", "content": {"d": 3}}, SAID]
    assert plain(read_chat({"messages": row}))[0][0][2]["content"] == '{"d": 3}'


def test_typed_files_lose_the_nulls_of_other_rows(tmp_path: Path) -> None:
    bare = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    rows = [
        {"messages": [USER, SAID | {"tool_calls": [call]}], "tools": [WRAPPED]}
        for call in (CALL, bare)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    found = [
        Chat(train=str(tmp_path / "a.parquet")).read(),
        ChatHub(path=str(tmp_path / "a.parquet"), validation=None, test=None).read(),
    ]
    for corpus in found:
        dialogues, tools = plain(corpus)
        assert dialogues == [row["messages"] for row in rows]
        assert tools[0][0]["function"]["name"] == "weather"


def test_two_calls_are_no_copies(read_chat: Any) -> None:
    called = [{"role": "assistant", "content": None, "tool_calls": [c]} for c in (CALL, OTHER)]
    rows = [{"messages": [USER, call]} for call in (*called, called[0])]
    corpus = read_chat(*rows, validation=0.34)
    assert not any("also occur in train" in note for note in corpus.notes)
    sizes = {table.num_rows for table in corpus.splits.values()}
    assert sizes == {1, 2}  # the two that are copies are together


def test_a_mixture_of_dialogues_with_and_without(tmp_path: Path) -> None:
    rows = {
        "a": {"messages": [USER, SAID | {"tool_calls": [CALL]}], "tools": [TOOL]},
        "b": {"messages": [USER, SAID]},
    }
    sources = {}
    for name, row in rows.items():
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row), encoding="utf-8")
        sources[name] = Chat(train=str(tmp_path / f"{name}.jsonl"))
    dialogues, tools = plain(Mixture(sources=sources).read())
    assert sorted(map(len, dialogues)) == [2, 2]
    assert [bool(t) for t in tools] == [bool(d[1].get("tool_calls")) for d in dialogues]


def test_the_history_of_an_instruction(read_chat: Any, refused: Any) -> None:
    row = {"instruction": "again", "output": "ho", "history": [["hello", "hi"]]}
    ((messages, bare), _) = plain(read_chat(row, row | {"history": None}))
    last = [{"role": "user", "content": "again"}, {"role": "assistant", "content": "ho"}]
    assert messages == [USER, SAID, *last]
    assert bare == last
    assert "history must be a list of pairs" in refused(read_chat, row | {"history": "x"}).problem
    assert "history must be a list of pairs" in refused(read_chat, row | {"history": ["x"]}).problem


def test_glaive(data_root: Path) -> None:
    corpus = Chat(train=str(data_root / "tool_calls" / "glaive_en.jsonl")).read()
    dialogues, tools = plain(corpus)
    calls = [m for row in dialogues for m in row if m.get("tool_calls")]
    assert (len(dialogues), len(calls), sum(map(bool, tools))) == (300, 211, 191)
    assert sum(m["role"] == "tool" for row in dialogues for m in row) == 211
    assert corpus.notes == []
