"""JSON files as people ship them: lines, arrays, and arrays inside one object."""

from __future__ import annotations

import contextlib
import gzip
import io
import itertools
import json
import random
import shutil
import subprocess
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.helpers.asked import KINDS

from lushan.data import files, unpacking
from lushan.data.fields import DOCUMENTS
from lushan.data.formats import Chat, Hub, Jsonl, Stream, Table, Text
from lushan.data.json_rows import Row, columns_of, rows_of
from lushan.data.unlabelled import read_unlabelled
from lushan.errors import UserError
from lushan.inference.prompt_files import read_prompts

ROWS = [{"id": f"r{i}", "text": f'text {i} 庐山 "[{{', "label": "ab"[i % 2]} for i in range(4)]


def minified(rows: Any) -> str:
    return json.dumps(rows, ensure_ascii=False)


def pretty(rows: Any) -> str:
    return json.dumps(rows, ensure_ascii=False, indent=2).replace("\n", "\r\n") + "\n"


def by_line(rows: list[Any]) -> str:
    return "[\n" + ",\n".join(minified(row) for row in rows) + "\n]"


def wrapped(rows: list[Any]) -> str:
    return minified({"version": "1.1", "count": 4, "data": rows, "split": "train"})


FORMS = {
    "minified": minified,
    "pretty": pretty,
    "by_line": by_line,
    "wrapped": wrapped,
    "wrapped_pretty": lambda rows: pretty({"data": rows}),
    "mark": lambda rows: "\ufeff \n" + minified(rows),
    "lines": lambda rows: "\n".join(minified(row) for row in rows),
}
every_form = pytest.mark.parametrize("form", FORMS)


def packed(text: str, name: str) -> bytes:
    return gzip.compress(text.encode()) if name.endswith(".gz") else text.encode()


@every_form
@pytest.mark.parametrize("name", ["x.json", "x.json.gz"])
def test_every_source_reads_every_form(form: str, name: str, write) -> None:
    path = write(name, packed(FORMS[form](ROWS), name))
    texts = [row["text"] for row in ROWS]
    for kind in (Jsonl, Table):
        part = kind(train=path).read().splits["train"]
        assert part["text"].to_pylist() == texts
        assert part["label"].to_pylist() == ["a", "b", "a", "b"]
        assert part["id"].to_pylist() == ["r0", "r1", "r2", "r3"]
    documents = Text(train=path).read().splits["train"]
    assert documents["text"].to_pylist() == texts
    assert len(set(documents["id"].to_pylist())) == 4
    assert read_unlabelled(path, KINDS["text"])["text"].to_pylist() == texts
    assert [prompt.value for prompt in read_prompts(path, DOCUMENTS)] == texts


@every_form
def test_streams_read_every_form(form: str, write, monkeypatch) -> None:
    path = write("x.json", FORMS[form](ROWS))
    source = Stream(path=path, window_documents=3)
    assert source.window(0)["text"].to_pylist() == [row["text"] for row in ROWS[:3]]
    assert source.window(1)["text"].to_pylist() == [ROWS[3]["text"]]
    again = Stream(path=path, window_documents=3)
    assert again.window(1)["text"].to_pylist() == [ROWS[3]["text"]]


@pytest.mark.parametrize("form", [form for form in FORMS if form != "mark"])
def test_sets_of_the_hub_read_every_form(form: str, write, monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "cache"))
    path = write("x.json", FORMS[form](ROWS))
    part = Hub(path=path, validation=None, test=None).read().splits["train"]
    assert part["text"].to_pylist() == [row["text"] for row in ROWS]


def test_texts_of_an_array(write) -> None:
    path = write("x.json", '["one", "two"]')
    assert Text(train=path).read().splits["train"]["text"].to_pylist() == ["one", "two"]
    assert read_unlabelled(path, KINDS["text"])["text"].to_pylist() == ["one", "two"]


SHAREGPT = [
    {
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "hello"},
            {"from": "gpt", "value": "hi"},
        ]
    }
]
ALPACA = [
    {"instruction": "add", "input": "1, 2", "output": "3"},
    {
        "instruction": "again",
        "input": "",
        "output": "yes",
        "system": "Be brief.",
        "history": [["hello", "hi"], ["and", "then"]],
    },
]


def printed(path: str, **options: Any) -> list[list[tuple[str, str]]]:
    rows = Chat(train=path, **options).read().splits["train"]["messages"].to_pylist()
    return [[(m["role"], m["content"]) for m in row] for row in rows]


@every_form
def test_sharegpt_and_alpaca(form: str, write) -> None:
    assert printed(write("s.json", FORMS[form](SHAREGPT))) == [
        [("system", "Be brief."), ("user", "hello"), ("assistant", "hi")]
    ]
    turns = ["hello", "hi", "and", "then", "again", "yes"]
    assert printed(write("a.json", FORMS[form](ALPACA))) == [
        [("user", "add\n\n1, 2"), ("assistant", "3")],
        [("system", "Be brief."), *zip(itertools.cycle(("user", "assistant")), turns)],
    ]


def test_history(write, refused) -> None:
    rows = [dict(ALPACA[1], history=None), dict(ALPACA[1], past=[["a", "b"]], history=[])]
    path = write("a.json", minified(rows))
    assert [len(messages) for messages in printed(path)] == [3, 3]
    assert [len(messages) for messages in printed(path, history="past")] == [3, 5]
    for bad in ([["a"]], [["a", None]], ["a", "b"], "a"):
        path = write("b.json", minified([ALPACA[0], dict(ALPACA[1], history=bad)]))
        error = refused(Chat(train=path).read)
        assert "history" in error.problem
        assert "(element 2)" in error.problem


def test_a_line_with_a_field_called_data_is_a_row(write) -> None:
    rows = [{"data": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}] * 2
    path = write("x.jsonl", "\n".join(map(minified, rows)))
    assert len(printed(path, messages="data")) == 2


# Errors


def test_where_a_row_is(write, refused) -> None:
    rows = [dict(row) for row in ROWS]
    del rows[2]["label"]
    error = refused(Jsonl(train=write("x.json", minified(rows))).read)
    assert error.line == 1
    assert "(element 3)" in error.problem
    error = refused(Jsonl(train=write("x.json", by_line(rows))).read)
    assert (error.line, "(element 3)" in error.problem) == (4, True)
    rows = [dict(row, id="same") for row in ROWS]
    error = refused(Jsonl(train=write("x.json", minified(rows))).read)
    assert "is already in element 1" in error.problem
    ids = Jsonl(train=write("x.json", minified(ROWS)), id=None).read().splits["train"]["id"]
    assert ids.to_pylist() == ["x.json:1", "x.json:2", "x.json:3", "x.json:4"]


@pytest.mark.parametrize(
    ("text", "line", "column", "printed"),
    [
        ('[{"a": 1},\n {"a" 2}]', 2, 7, "element 2 is incomplete JSON"),
        ('[{"a": 1},\n {"a": "', 2, 8, "element 2 is incomplete JSON"),
        ('[{"a": 1}', 1, 10, "the file ends where a comma"),
        ('[{"a": 1} {"a": 2}]', 1, 11, "a comma or the end of the array after element 1"),
        ('[{"a": 1},]', 1, 11, "element 2 is incomplete JSON"),
        ('[{"a": 1}]\n[{"a": 1}]', 2, 1, "after the end of the array"),
        ('[{"a": 1},\n 5]', 2, None, "element 2 of the array is not an object"),
        ('[[{"a": 1}, 5]]', 1, None, "element 1 of the array is not an object"),
        ('["a", {"a": 1}, 3]', 1, None, "element 3 of the array is not an object"),
        pytest.param("[" * 100_000, 1, 2, "nested too deeply", id="deep"),
        ('{"data": [{"a": 1}], "more": [{"b": 1}]}', 1, None, "'data' and 'more'"),
        ('{"data": [{"a": 1}]} x', 1, 22, "after the end of the object"),
        ('{"data": [{"a": 1}], "x": ', 1, None, "incomplete"),
        ('{\n "rows": [\n  {"a": 1}\n ]\n}', 1, 2, "one object over several lines"),
        ("[]", None, None, "the file is empty"),
        ('{"data": []}', None, None, "the file is empty"),
    ],
)
def test_files_that_cannot_be_read(
    text: str, line: int | None, column: int | None, printed: str, refused
) -> None:
    for size in (1, 7, 1 << 20):
        pieces = [text.encode()[i : i + size] for i in range(0, len(text), size)]
        if len(pieces) > 1000 or (size < 20 and text[0] == "{"):
            continue  # what a file is shows in its first piece, a mebibyte
        error = refused(columns_of, pieces, "x.json", longest=1000)
        assert printed in error.problem
        assert (error.file, error.line) == ("x.json", line)
        assert column in (None, error.column)


@pytest.mark.slow(1)
@pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")
def test_the_hint_for_one_object(write, refused) -> None:
    many = ",".join(['{"a": 1}'] * 200_000)
    for rows in ('\n{"a": 1}\n', f"\n{many}\n", many):
        path = write("x.json", f'{{"info": "", "a\'b": [{rows}]}}')
        command = refused(Jsonl(train=path).read).hint.rpartition("are the rows: ")[2]
        subprocess.run(command, shell=True, check=True)
        assert Path(f"{path}l").read_text().startswith('{"a":1}\n')
        Path(f"{path}l").unlink()


def test_text_that_is_not_utf8(refused) -> None:
    data = b'[{"a": 1},\n{"a": "' + "é".encode("latin1") + b'"}]'
    for pieces in ([data], [data[:5], data[5:]]):
        error = refused(columns_of, pieces, "x.json")
        assert (error.line, "0xe9" in error.problem) == (2, True)
    assert "UTF-16" in refused(columns_of, ["[]".encode("utf-16")], "x.json").problem


@pytest.mark.parametrize("end", ['"}]', '"}, {"a": 1}]', ""])
def test_an_element_that_is_too_long(end: str, refused) -> None:
    data = ('[{"a": 1}, {"a": "' + "x" * 5000 + end).encode()
    for size in (100, 1 << 20):
        pieces = [data[i : i + size] for i in range(0, len(data), size)]
        error = refused(columns_of, pieces, "x.json", longest=2000)
        assert "element 2 has" in error.problem
        assert "data.longest_line" in error.hint
    if end:
        assert len(columns_of([data], "x.json", longest=6000).lines) == end.count("{") + 2


# Pieces


def _anything(rng: random.Random, depth: int = 0) -> Any:
    kinds = 8 if depth < 3 else 6
    match rng.randrange(kinds):
        case 0:
            return rng.choice([None, True, False])
        case 1:
            return rng.randint(-(10**9), 10**9)
        case 2:
            return rng.uniform(-1e9, 1e9)
        case 6:
            return [_anything(rng, depth + 1) for _ in range(rng.randrange(4))]
        case 7:
            return {_text(rng): _anything(rng, depth + 1) for _ in range(rng.randrange(4))}
    return _text(rng)


def _text(rng: random.Random) -> str:
    return "".join(rng.choices('a庐😀é"\\/[]{},: \n\t\u2028', k=rng.randrange(8)))


def _cut(data: bytes, rng: random.Random, first: int) -> Iterator[bytes]:
    yield data[:first]
    place = first
    while place < len(data):
        size = rng.choice([1, 2, 3, 5, 17, 64])
        yield data[place : place + size]
        place += size


def test_any_values_in_pieces_of_any_size() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        rows = [{_text(rng): _anything(rng) for _ in range(rng.randrange(5))} for _ in range(9)]
        indent = rng.choice([None, 0, 1, 2])
        outer = rng.random() < 0.3
        text = json.dumps(
            {"data": rows} if outer else rows, indent=indent, ensure_ascii=rng.random() < 0.5
        )
        # An object shows as a wrapper by its beginning, which is never cut as short as here.
        pieces = _cut(text.encode(), rng, 40 if outer else 1)
        found = list(rows_of(pieces, "x", longest=10**6))
        assert [row.value for row in found] == rows
        assert [row.element for row in found] == list(range(1, 10))
        if indent is not None:
            lines = text.split("\n")
            assert all(lines[row.line - 1].strip()[0] == "{" for row in found)


def test_damage_is_refused_and_never_misread() -> None:
    for seed in range(100):
        rng = random.Random(seed)
        rows = [{"a": _text(rng), "b": _anything(rng)} for _ in range(5)]
        text = json.dumps(rows, indent=rng.choice([None, 1]))
        place = rng.randrange(1, len(text))
        text = text[:place] + rng.choice(["", *'{}[],:"x']) + text[place + rng.randrange(2) :]
        text = text if rng.random() < 0.7 else text[:place]
        wanted = found = None
        with contextlib.suppress(ValueError):
            wanted = json.loads(text)
        with contextlib.suppress(UserError):
            found = [row.value for row in rows_of(_cut(text.encode(), rng, 1), "x", longest=10**6)]
        readable = wanted is not None and all(isinstance(row, dict) for row in wanted)
        assert found == (wanted if readable else None), text


def test_a_long_array_is_never_whole_in_memory() -> None:
    element = json.dumps({"text": "x" * 1000}).encode() + b","
    count = 12_000  # 12 MB in one line
    block = element * 1000
    source = itertools.chain([b"["], itertools.repeat(block, count // 1000), [element[:-1], b"]"])
    tracemalloc.start()
    try:
        seen = sum(1 for _ in rows_of(source, "x", longest=files.LONGEST_LINE))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert seen == count + 1
    assert peak < 6 * 2**20


def test_a_row_says_where_it_is() -> None:
    assert list(rows_of([b'\n{"a": 1}\n\n{"a": 2}\n'], "x", longest=100)) == [
        Row(2, {"a": 1}),
        Row(4, {"a": 2}),
    ]


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    class Input:
        buffer = io.BytesIO(gzip.compress(minified(ROWS).encode()))

    monkeypatch.setattr("sys.stdin", Input)
    assert len(read_unlabelled("-", KINDS["text"], format="jsonl")) == 4


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_published_dialogues(suffix: str, tmp_path: Path, write) -> None:
    shared = Path(__file__).parents[5] / "shared" / "data" / "tool_calls" / "glaive_en.jsonl"
    if not shared.exists():
        pytest.skip("the real data is not here")
    text = shared.read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    path = write(f"x.json{suffix}", packed(minified(rows), suffix))
    found = list(rows_of(unpacking.unpacked(Path(path)), path, longest=files.LONGEST_LINE))
    assert [row.value for row in found] == rows
