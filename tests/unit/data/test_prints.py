"""The same rows are the same data, whatever file they stand in and however that was said."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.helpers.asked import made

from lushan.data.formats import Chat, Conll, Hub, Jsonl, Mixture, Stream, Table, Text
from lushan.data.prints import rows_hash
from lushan.data.source import Source

ROWS = [(f"text {i} , 庐山", f"other {i}", "ab"[i % 2]) for i in range(20)]
HEADER = ("sentence1", "sentence2", "label")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the same pairs of texts in many files, which is worked in."""
    monkeypatch.chdir(tmp_path)
    plain = "\n".join("\t".join(row) for row in ROWS) + "\n"
    named = "\t".join(HEADER) + "\n" + plain
    quoted = "\n".join(",".join(f'"{field}"' for field in row) for row in (HEADER, *ROWS)) + "\n"
    (tmp_path / "sub").mkdir()
    for name, text in {
        "a.tsv": named,
        "sub/b.tsv": named,
        "bare.tsv": plain,
        "a.csv": quoted,
        "marked.tsv": "\ufeff" + named.replace("\n", "\r\n"),
    }.items():
        (tmp_path / name).write_bytes(text.encode())
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(named.encode()))
    lines = [
        json.dumps({"more": i} | dict(zip(HEADER, row, strict=True))) for i, row in enumerate(ROWS)
    ]
    (tmp_path / "a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    columns = dict(zip(HEADER, zip(*ROWS, strict=True), strict=True))
    pq.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=3)
    return tmp_path


def prints(source: Source) -> dict[str, str]:
    return source.read().fingerprint()


SPELT: dict[str, Callable[[], Source]] = {
    "found": lambda: Table(train="a.tsv"),
    "written out": lambda: Table(train="a.tsv", text=["sentence1", "sentence2"], label="label"),
    "defaults written": lambda: Table(train="a.tsv", id="id", seed=1, header=True, separator="tab"),
    "absolute": lambda: Table(train=str(Path("a.tsv").resolve())),
    "below a folder": lambda: Table(train="a.tsv", dir="."),
    "roundabout": lambda: Table(train="sub/../a.tsv"),
    "another name": lambda: Table(train="b.tsv", dir="sub"),
    "packed": lambda: Table(train="a.tsv.gz"),
    "without a header": lambda: Table(train="bare.tsv", columns=list(HEADER)),
    "comma": lambda: Table(train="a.csv"),
    "marked, other line ends": lambda: Table(train="marked.tsv"),
    "parquet": lambda: Table(train="a.parquet"),
    "jsonl": lambda: Jsonl(train="a.jsonl", text=["sentence1", "sentence2"]),
    "by datasets": lambda: Hub(
        path="a.jsonl", validation=None, test=None, text=["sentence1", "sentence2"]
    ),
    "a limit beyond the file": lambda: Table(train="a.tsv", limit=1000),
    "a share of all": lambda: Table(train="a.tsv", train_share=1.0),
    "other batches": lambda: Table(train="a.tsv", batch_examples=3, max_length=9, packing=False),
    "a mixture of one": lambda: Mixture(sources={"one": Table(train="a.tsv")}),
}


@pytest.mark.parametrize("name", SPELT)
def test_spellings_of_the_same_rows(here: Path, name: str) -> None:
    assert prints(SPELT[name]()) == prints(Table(train="a.tsv"))


@pytest.mark.parametrize(
    "more",
    [
        {"text": "sentence1"},
        {"text": ["sentence2", "sentence1"]},
        {"label": "sentence2", "text": "sentence1"},
        {"limit": 10},
        {"train_share": 0.5},
        {"train_share": 0.5, "seed": 2},
        {"validation": 0.2},
        {"validation": 0.3},
        {"label_kind": "multilabel", "label_separator": ","},
    ],
)
def test_other_rows_are_other_data(here: Path, more: dict[str, Any]) -> None:
    found = prints(made(Table, train="a.tsv", **more))["train"]
    assert found != prints(Table(train="a.tsv"))["train"]


def test_a_share_is_the_same_share_however_its_columns_are_named(here: Path) -> None:
    found = prints(Table(train="a.tsv", validation=0.2, test=0.2))
    assert set(found) == {"train", "validation", "test"}
    assert found == prints(
        Table(train="a.tsv.gz", validation=0.2, test=0.2, text=["sentence1", "sentence2"])
    )


def test_columns_of_words_by_number_from_either_end(here: Path) -> None:
    Path("a.conll").write_text("a x O\nb y B-PER\n\nc z O\n", encoding="utf-8")
    Path("b.conll").write_text("a\tO\nb\tB-PER\n\nc\tO\n", encoding="utf-8")
    one = prints(Conll(train="a.conll"))
    assert one == prints(Conll(train="a.conll", token_column=-3, tag_column=2, scheme="iob2"))
    assert one == prints(Conll(train="b.conll", separator="tab"))
    assert one != prints(Conll(train="a.conll", token_column=1))
    rows = [{"tokens": ["a", "b"], "tags": ["O", "B-PER"]}, {"tokens": ["c"], "tags": ["O"]}]
    Path("a.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert one == prints(Jsonl(train="a.jsonl"))


def test_documents_dialogues_and_streams(here: Path, tmp_path: Path) -> None:
    def text(name: str, **more: Any) -> dict[str, str]:
        return prints(Text(train=name, text="sentence1", **more))

    assert text("a.jsonl") == text("a.parquet") == text("a.jsonl", cache_dir=tmp_path / "cache")
    assert text("a.jsonl") != prints(Text(train="a.jsonl", text="sentence2"))
    turns = [{"messages": [{"role": r, "content": r} for r in ("user", "assistant")]}]
    Path("chat.jsonl").write_text("\n".join(map(json.dumps, turns * 3)), encoding="utf-8")
    assert prints(Chat(train="chat.jsonl")) == prints(Chat(train="chat.jsonl", messages="messages"))

    def stream(**more: Any) -> dict[str, str]:
        return prints(Stream(path="a.jsonl", **more))

    assert stream(text="sentence1") == stream(text="sentence1", window_documents=5)
    assert stream(text="sentence1") != stream(text="sentence2")
    assert stream(text="sentence1") != stream(text="sentence1", limit=3)


def test_how_arrow_keeps_rows_does_not_count() -> None:
    values = {
        "text": ["a", "", "bc", None],
        "tokens": [["a", "b"], [], ["c"], None],
        "messages": [[{"role": "user", "content": "a"}], [], None, [{"role": "x", "content": ""}]],
        "label": [1.5, None, 0.0, 2.0],
        "flag": [True, False, None, True],
    }
    table = pa.table(values)
    same = [
        pa.concat_tables([table.slice(0, 1), table.slice(1, 2), table.slice(3)]),
        table.set_column(0, "text", table["text"].cast(pa.large_string())),
        table.set_column(0, "text", table["text"].dictionary_encode()),
        table.append_column("line", pa.array([1, 2, 3, 4])),
        table.select([4, 3, 2, 1, 0]),
    ]
    assert {rows_hash(other) for other in same} == {rows_hash(table)}
    changed = [{**values, name: [*found[:3], found[0]]} for name, found in values.items()]
    assert len({rows_hash(pa.table(v)) for v in [values, *changed]}) == 5  # flags are as they were
    assert rows_hash(table.slice(0, 2)) != rows_hash(table.slice(0, 3))
    moved = [{"text": ["ab", "c"]}, {"text": ["a", "bc"]}, {"text": ["", "abc"]}]
    assert len({rows_hash(pa.table(v)) for v in moved}) == 3
