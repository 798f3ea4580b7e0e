"""Dialogues in all the forms in which people keep them."""

from __future__ import annotations

import csv
import gzip
import json
import re
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from lushan.data.formats import Chat, ChatHub
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.serve.schemas import Message

SAID = [("user", "hello"), ("assistant", "hi")]


def printed(corpus: Corpus, split: str = "train") -> list[list[tuple[str, str]]]:
    dialogues = corpus.splits[split].column("messages").to_pylist()
    return [[(m["role"], m["content"]) for m in row] for row in dialogues]


@pytest.mark.parametrize(
    "row",
    [
        {
            "messages": [
                {"role": "user", "content": "hello"},
                {"role": "assistant", "content": "hi"},
            ]
        },
        {"conversations": [{"from": "human", "value": "hello"}, {"from": "gpt", "value": "hi"}]},
        {"dialog": [{"speaker": "USER", "text": "hello"}, {"speaker": "BOT", "text": "hi"}]},
        {"messages": [{"role": "usr", "content": "hello"}, {"role": "sys", "content": "hi"}]},
        {"turns": ["hello", "hi"]},
        {"instruction": "hello", "input": "", "output": "hi"},
        {"prompt": "hello", "response": "hi"},
        {"messages": {"role": ["user", "assistant"], "content": ["hello", "hi"]}},
        {
            "messages": [
                {"role": "user", "content": [{"type": "text", "text": "hello"}]},
                {"role": "assistant", "content": "hi"},
            ]
        },
    ],
    ids=[
        "openai",
        "sharegpt",
        "speakers",
        "crosswoz",
        "turns",
        "alpaca",
        "prompt",
        "columns",
        "parts",
    ],
)
def test_one_dialogue_in_many_forms(row: dict[str, Any], read_chat: Any) -> None:
    corpus = read_chat(row)
    assert next(iter(corpus.fields)) == "messages"
    assert printed(corpus) == [SAID]
    assert corpus.notes == []
    assert corpus.splits["train"].column_names == ["id", "messages", "line", "file"]


def test_names_of_fields_and_keys_may_be_given(read_chat: Any) -> None:
    row = {
        "messages": "no list",
        "talk": [{"who": "user", "what": "hello"}, {"who": "assistant", "what": "hi"}],
    }
    corpus = read_chat(row, messages="talk", role="who", content="what")
    assert printed(corpus) == [SAID]


def test_an_instruction_with_its_input(read_chat: Any) -> None:
    row = {
        "instruction": "Sum up.",
        "input": "A long text.",
        "output": "A text.",
        "system": "Be brief.",
    }
    assert printed(read_chat(row)) == [
        [("system", "Be brief."), ("user", "Sum up.\n\nA long text."), ("assistant", "A text.")]
    ]


def test_who_begins_may_be_the_assistant(read_chat: Any) -> None:
    corpus = read_chat({"turns": ["hi", "hello", "so ?"]}, first_role="assistant")
    assert printed(corpus) == [[("assistant", "hi"), ("user", "hello"), ("assistant", "so ?")]]


def test_messages_of_one_role_are_joined_and_counted(read_chat: Any) -> None:
    messages = [("user", "a"), ("user", "b"), ("assistant", "c"), ("assistant", ""), ("user", "d")]
    corpus = read_chat({"messages": [{"role": r, "content": c} for r, c in messages]})
    assert printed(corpus) == [[("user", "a\nb"), ("assistant", "c"), ("user", "d")]]
    assert corpus.notes == [
        "train: 1 messages are empty",
        "train: 2 messages were merged with the previous one, which has the same role",
    ]


def test_dialogues_without_an_answer_are_left_out_and_counted(read_chat: Any) -> None:
    corpus = read_chat({"turns": ["hello", "hi"]}, {"turns": ["hello"]}, {"turns": []})
    assert printed(corpus) == [SAID]
    assert corpus.splits["train"].column("line").to_pylist() == [1]
    assert corpus.notes == ["train: 2 of 3 dialogues have no assistant turn and were dropped"]


def test_no_answer_at_all_is_refused(read_chat: Any, refused: Any) -> None:
    error = refused(read_chat, {"turns": ["hello"]})
    assert "nothing to train on" in error.problem


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"messages": "hello"}, "which field contains the messages"),
        ({"messages": ["hello", 1]}, "message 1 is not a mapping"),
        ({"messages": [{"role": "user"}]}, "message 1 has no content"),
        ({"messages": [{"content": "hello"}]}, "message 1 has no role"),
        ({"messages": [{"role": "user", "content": None}]}, "the content of message 1 is missing"),
        ({"messages": [{"role": "user", "content": 3}]}, "the content of message 1 is not text"),
        ({"messages": [{"role": "usr", "content": "\ud83d"}]}, "half of a surrogate pair"),
        ({"instruction": "hello", "output": None}, "the output is missing"),
        ({"a": "b"}, "which field contains the messages"),
    ],
)
def test_what_is_no_dialogue_is_refused(
    row: Any, problem: str, read_chat: Any, refused: Any
) -> None:
    error = refused(read_chat, {"turns": None, "messages": None} | row)
    assert problem in error.problem
    assert error.file.endswith("rows.jsonl")


def test_a_wrong_row_is_named_by_its_line(read_chat: Any, refused: Any) -> None:
    error = refused(read_chat, {"turns": ["hello", "hi"]}, {"turns": None})
    assert error.line == 2


# Roles


def talk(*messages: tuple[str, str]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": content} for role, content in messages]}


def test_an_unknown_role_is_refused(read_chat: Any, refused: Any) -> None:
    error = refused(read_chat, talk(("user", "a"), ("asistant", "b")))
    assert error.line == 1
    assert "unknown role" in error.problem
    assert "Did you mean 'assistant'?" in error.hint
    assert "data.roles={asistant: assistant}" in error.hint
    corpus = read_chat(
        talk(("Anna", "a"), ("Ben", "b")), roles={"Anna": "user", "Ben": "assistant"}
    )
    assert printed(corpus) == [[("user", "a"), ("assistant", "b")]]


@pytest.mark.parametrize("role", get_args(Message.model_fields["role"].annotation))
def test_roles_of_requests_are_roles_of_data(role: str, read_chat: Any) -> None:
    rows = (("user", "a"), ("assistant", "b"), (role, "c"), ("assistant", "d"))
    [messages] = printed(read_chat(talk(*rows)))
    expected = "system" if role == "developer" else role
    assert expected in [name for name, content in messages if "c" in content]


@pytest.mark.parametrize(
    "name", ["narrator", "Anna", "Bob", "Gigi", "instruction", "甲", "x" * 50, "SPEAKER 1"]
)
def test_the_hint_for_an_unknown_role_chooses_none(name: str, read_chat: Any, refused: Any) -> None:
    hint = refused(read_chat, talk((name, "be short"), ("user", "a"), ("assistant", "b"))).hint
    assert "ROLE" in hint
    assert ": assistant" not in hint
    for role in ("user", "assistant", "system", "tool"):
        assert re.search(rf"\b{role}\b", hint)


def test_the_role_that_a_name_is_given_must_be_one(read_chat: Any, refused: Any) -> None:
    error = refused(read_chat, talk(("user", "a")), roles={"Ben": "asistant"})
    assert error.key == "data.roles.Ben"
    assert error.hint == "Did you mean 'assistant'?"


def test_system_is_the_system_message_where_somebody_else_answers(read_chat: Any) -> None:
    corpus = read_chat(talk(("SYSTEM", "x"), ("user", "a"), ("assistant", "b")))
    assert printed(corpus) == [[("system", "x"), ("user", "a"), ("assistant", "b")]]


def test_a_system_that_answers_must_be_said_to_be_the_assistant(
    read_chat: Any, refused: Any
) -> None:
    row = talk(("USER", "a"), ("SYSTEM", "b"))
    error = refused(read_chat, row)
    assert error.line == 1
    assert "data.roles={SYSTEM: assistant}" in error.hint
    assert printed(read_chat(row, roles={"SYSTEM": "assistant"})) == [
        [("user", "a"), ("assistant", "b")]
    ]


def test_sys_beside_an_assistant_must_be_explained(read_chat: Any, refused: Any) -> None:
    row = talk(("sys", "x"), ("human", "a"), ("gpt", "b"))
    error = refused(read_chat, row)
    assert "'sys'" in error.problem
    assert "'gpt'" in error.problem
    found = printed(read_chat(row, roles={"sys": "system"}))
    assert found == [[("system", "x"), ("user", "a"), ("assistant", "b")]]


# Files, splits


def test_gzip_parquet_and_the_hub(tmp_path: Path) -> None:
    rows = [talk(("user", "hello"), ("assistant", "hi")), talk(("user", "a"), ("assistant", "b"))]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines.encode()))
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet")
    (tmp_path / "a.jsonl").write_text(lines, encoding="utf-8")
    found = [
        Chat(dir=str(tmp_path), train="a.jsonl.gz").read(),
        Chat(dir=str(tmp_path), train="a.parquet").read(),
        ChatHub(path=str(tmp_path / "a.jsonl"), validation=None, test=None).read(),
    ]
    assert [printed(corpus)[0] for corpus in found] == [SAID] * 3
    assert [corpus.splits["train"].num_rows for corpus in found] == [2] * 3


def test_splits_by_share_keep_copies_together(read_chat: Any) -> None:
    rows = [{"turns": ["hello", f"hi {number // 2}"]} for number in range(40)]
    corpus = read_chat(*rows, validation=0.25, limit=8)
    assert {split: table.num_rows for split, table in corpus.splits.items()} == {
        "train": 8,
        "validation": 8,
    }
    assert corpus.notes == []


def test_copies_in_two_splits_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"turns": ["hello", "hi"]}), encoding="utf-8")
    corpus = Chat(train=str(path), validation=str(path)).read()
    assert corpus.notes == ["validation: 1 of 1 texts also occur in train"]


def test_a_message_beyond_the_bound(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist([talk(("user", "a" * 50), ("assistant", "b"))]), path)
    with pytest.raises(UserError, match="50 bytes"):
        Chat(train=str(path), longest_line=20).read()


# Published sets


def sizes(corpus: Corpus) -> dict[str, tuple[int, int]]:
    """Split to dialogues and messages."""
    return {
        split: (table.num_rows, sum(map(len, printed(corpus, split))))
        for split, table in corpus.splits.items()
    }


def roles(corpus: Corpus, split: str) -> set[str]:
    return {role for row in printed(corpus, split) for role, _ in row}


@pytest.mark.slow
def test_sgd(data_root: Path) -> None:
    corpus = Chat(
        dir=str(data_root / "sgd"),
        train="dev.jsonl.gz",
        test="test.jsonl.gz",
        messages="turns",
        roles={"SYSTEM": "assistant"},
    ).read()
    assert sizes(corpus) == {"train": (2098, 38768), "test": (2921, 49726)}
    assert corpus.notes == ["test: 2 messages are empty"]
    assert roles(corpus, "train") == {"user", "assistant"}
    assert corpus.splits["train"].column("id")[0].as_py() == "1_00000"


@pytest.mark.slow
@pytest.mark.long
def test_sgd_train(data_root: Path) -> None:
    corpus = Chat(
        dir=str(data_root / "sgd"),
        train="train.jsonl.gz",
        messages="turns",
        roles={"SYSTEM": "assistant"},
    ).read()
    assert sizes(corpus) == {"train": (12174, 223756)}
    assert corpus.notes == []


@pytest.mark.slow
def test_crosswoz(data_root: Path) -> None:
    corpus = Chat(
        dir=str(data_root / "crosswoz"), train="val.jsonl.gz", validation=0.1, test="test.jsonl.gz"
    ).read()
    found = sizes(corpus)
    assert found["test"] == (500, 8476)
    assert found["train"][0] + found["validation"][0] == 500
    assert found["train"][1] + found["validation"][1] == 8458
    assert found["validation"][0] == 50
    assert corpus.notes == []
    assert printed(corpus, "test")[0][0][0] == "user"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_dailydialog(language: str, data_root: Path) -> None:
    corpus = Chat(
        dir=str(data_root / "dailydialog"),
        train=f"{language}.part1k.jsonl",
        validation=f"{language}.dev.jsonl",
        test=f"{language}.test.jsonl",
    ).read()
    assert {split: size for split, (size, _) in sizes(corpus).items()} == {
        "train": 1000,
        "validation": 995,
        "test": 996,
    }
    assert corpus.notes[0] == "validation: 8 of 995 texts also occur in train"
    assert all(row[0][0] == "user" and row[1][0] == "assistant" for row in printed(corpus, "test"))


# Messages as text in a cell

EXCHANGE = [{"from": "human", "value": "it's “a”\n"}, {"from": "gpt", "value": "b"}]
WRITTEN = {
    "JSON": json.dumps(EXCHANGE),
    "JSON over lines": json.dumps(EXCHANGE, indent=1, ensure_ascii=False),
    "Python": str(EXCHANGE),
    "texts": json.dumps([turn["value"] for turn in EXCHANGE]),
}


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
@pytest.mark.parametrize("kind", WRITTEN)
def test_messages_that_are_text(kind: str, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{ending}"
    rows = [{"conversations": WRITTEN[kind], "n": n} for n in range(3)]
    if ending == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    for options in ({}, {"messages": "conversations"}):
        read = printed(Chat(train=str(path), **options).read())
        assert read == [[("user", "it's “a”\n"), ("assistant", "b")]] * 3


def test_text_that_is_no_list_of_messages(tmp_path: Path, refused: Any) -> None:
    path = tmp_path / "x.csv"
    path.write_text('messages,other\n"User: a Assistant: b",1\n')
    error = refused(Chat(train=str(path), messages="messages").read)
    assert "is text" in error.problem
    assert "data.instruction=NAME data.output=NAME" in error.hint
    path.write_text('instruction,output\nas JSON,"[""a"", ""b""]"\n')
    assert printed(Chat(train=str(path)).read()) == [
        [("user", "as JSON"), ("assistant", '["a", "b"]')]
    ]
