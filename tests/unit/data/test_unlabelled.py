"""Text to predict on, and the words of raw text."""

from __future__ import annotations

import gzip
import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.helpers.asked import KINDS

from lushan.data.formats import Jsonl
from lushan.data.unlabelled import read_unlabelled
from lushan.text.words import join_words, locate_words, split_words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" \t ", []),
        ("Li Bai went.", ["Li", "Bai", "went", "."]),
        (
            '"Don\'t", she said (twice)...',
            ['"', "Don't", '"', ",", "she", "said", "(", "twice", ")", ".", ".", "."],
        ),
        ("@who #what 3.5 $5 50%", ["@who", "#what", "3.5", "$", "5", "50", "%"]),
        ("李白登上庐山。", list("李白登上庐山。")),
        ("我在Beijing，住了3.5年", ["我", "在", "Beijing", "，", "住", "了", "3.5", "年"]),
        ("ｗｉｄｅ「かな」", ["ｗｉｄｅ", "「", "か", "な", "」"]),
        ("naïve “café”—été", ["naïve", "“", "café”—été"]),
        ("Zürich's «Straße»", ["Zürich's", "«", "Straße", "»"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("서울은 크다.", ["서울은", "크다", "."]),
        ("!!!", ["!", "!", "!"]),
        ("😀😀 ok", ["😀", "😀", "ok"]),
        ("#é", ["#é"]),
        ("\u00a0a\u3000b\u2028c", ["a", "b", "c"]),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    found, offsets = split_words(text)
    assert found == words
    assert [text[start:end] for start, end in offsets] == words


@given(st.text())
def test_words_lose_nothing_but_blanks(text: str) -> None:
    words, offsets = split_words(text)
    assert [text[start:end] for start, end in offsets] == words
    assert all(words)
    assert "".join(words) == "".join(text.split())


@given(st.lists(st.text(min_size=1).filter(str.strip)))
def test_joined_words_are_where_they_say(words: list[str]) -> None:
    text, offsets = join_words(words)
    assert [text[start:end] for start, end in offsets] == words


def test_joined_and_located() -> None:
    assert join_words(["科", "技", "is", "fun"])[0] == "科技 is fun"
    assert locate_words(["a", "b"], "  a  b ") == [(2, 3), (5, 6)]
    assert locate_words(["a", "b"], "a x b") is None


def test_lines(write) -> None:
    path = write("x.txt", "Li Bai\n\n庐山\n")
    table = read_unlabelled(path, KINDS["tokens"])
    assert table.to_pylist() == [
        {
            "id": "x.txt:1",
            "text": "Li Bai",
            "line": 1,
            "file": path,
            "tokens": ["Li", "Bai"],
            "offsets": [[0, 2], [3, 6]],
        },
        {"id": "x.txt:2", "text": "", "line": 2, "file": path, "tokens": [], "offsets": []},
        {
            "id": "x.txt:3",
            "text": "庐山",
            "line": 3,
            "file": path,
            "tokens": ["庐", "山"],
            "offsets": [[0, 1], [1, 2]],
        },
    ]
    assert read_unlabelled(path, KINDS["text"]).column_names == ["id", "text", "line", "file"]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    def given_bytes(data: bytes) -> None:
        stream = io.TextIOWrapper(io.BytesIO(data))
        monkeypatch.setattr(sys, "stdin", stream)

    given_bytes("山水\n".encode())
    assert read_unlabelled("-", KINDS["text"])["text"].to_pylist() == ["山水"]
    given_bytes(gzip.compress(b'{"text": "a"}\n'))
    assert read_unlabelled("-", KINDS["text"], format="jsonl")["text"].to_pylist() == ["a"]


def test_standard_input_that_is_bad(monkeypatch: pytest.MonkeyPatch, refused) -> None:
    for data, line in ((b"a\n\xff\n", 2), (b"", None)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        error = refused(read_unlabelled, "-", KINDS["text"])
        assert (error.file, error.line) == ("<stdin>", line)


def test_jsonl_texts(write) -> None:
    path = write("x.jsonl", '{"id": 7, "text": "a b", "label": "x"}\n{"id": 7, "text": "c"}\n')
    table = read_unlabelled(path, KINDS["tokens"])
    assert table["id"].to_pylist() == ["7", "7"]
    assert table["tokens"].to_pylist() == [["a", "b"], ["c"]]
    other = write("y.jsonl", '{"sentence": "a"}\n')
    assert read_unlabelled(other, KINDS["text"])["text"].to_pylist() == ["a"]
    odd = write("z.jsonl", '{"x": "a", "y": "b"}\n')
    assert read_unlabelled(odd, KINDS["text"], source=Jsonl(text="y"))["text"].to_pylist() == ["b"]


def test_jsonl_pairs(write) -> None:
    path = write("x.jsonl", '{"premise": "a", "hypothesis": "b"}\n')
    assert read_unlabelled(path, KINDS["text"])["text_pair"].to_pylist() == ["b"]


@pytest.mark.parametrize(
    ("row", "text", "offsets"),
    [
        ('{"tokens": ["a", "."]}', "a .", [[0, 1], [2, 3]]),
        ('{"words": ["a", "."], "text": "a."}', "a.", [[0, 1], [1, 2]]),
        ('{"tokens": ["a", "."], "text": "b"}', "a .", [[0, 1], [2, 3]]),
    ],
)
def test_jsonl_words(row: str, text: str, offsets: object, write) -> None:
    table = read_unlabelled(write("x.jsonl", row + "\n"), KINDS["tokens"])
    assert table["tokens"].to_pylist() == [["a", "."]]
    assert table["text"].to_pylist() == [text]
    assert table["offsets"].to_pylist() == [offsets]


def test_columns(write) -> None:
    path = write("x.conll", "李 B-PER\n白 I-PER\n\nsaw O\nit O\n")
    table = read_unlabelled(path, KINDS["tokens"])
    assert table["tokens"].to_pylist() == [["李", "白"], ["saw", "it"]]
    assert table["text"].to_pylist() == ["李白", "saw it"]
    assert table["line"].to_pylist() == [1, 4]
    assert read_unlabelled(path, KINDS["text"])["text"].to_pylist() == ["李白", "saw it"]


def test_columns_with_words_only(write) -> None:
    path = write("x.conll", "a\nb\n\nc\n")
    assert read_unlabelled(path, KINDS["tokens"])["tokens"].to_pylist() == [["a", "b"], ["c"]]


def test_tables(write) -> None:
    path = write("x.tsv", "label\tsentence\n0\ta b\n")
    assert read_unlabelled(path, KINDS["tokens"])["tokens"].to_pylist() == [["a", "b"]]


def test_bad_input(write, refused) -> None:
    assert refused(read_unlabelled, "no.txt", KINDS["text"]).key == "--input"
    assert "--format" in refused(read_unlabelled, write("x.pdf", "a"), KINDS["text"]).hint
    path = write("x.jsonl", '{"text": "a"}\n{"text": 1}\n')
    error = refused(read_unlabelled, path, KINDS["text"])
    assert (error.file, error.line) == (path, 2)
    path = write("y.jsonl", '{"tokens": ["a"]}\n{"tokens": "b"}\n')
    assert refused(read_unlabelled, path, KINDS["tokens"]).line == 2
    assert "no text" in refused(read_unlabelled, write("z.txt", "\n \n"), KINDS["text"]).problem
