"""Anything at all in the files that people name: an answer or a refusal, soon, in little memory.

`LUSHAN_FUZZ=5000` looks longer. What was found once stands in `FOUND`, and is tried each time.
"""

import contextlib
import os
import resource
import string
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lushan.data.formats import Chat, Conll, Jsonl, Table, Text
from lushan.errors import UserError
from lushan.study import claims, study

MOST = int(os.environ.get("LUSHAN_FUZZ", "60"))
MEMORY = 200 * 2**20
"""Bytes that reading some hundred bytes may take at most."""
careful = settings(
    max_examples=MOST,
    deadline=10_000,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PARTS = [
    *("\n", "\r\n", "\t", " ", ",", ";", '"', "'", "\\", "{", "}", "[", "]", ":", "#", "\0"),
    *("B-PER", "I-LOC", "O", "-DOCSTART-", "text", "label", "tokens", "tags", "messages", "role"),
    *("content", "user", "assistant", "null", "NaN", "1e999", "-0", "true", "\ufeff", "\u2028"),
    *(
        "source",
        "target",
        "明月",
        "é",
        "\ud7ff",
        "🙂",
        "!!python/object:os.system",
        "&a",
        "*a",
        "<<",
    ),
    *("axes", "seeds", "base", "tables", "claims", "rows", "beats", "on", "p < 0.05", "±", "=="),
]
pieces = st.lists(st.sampled_from(PARTS) | st.text(string.printable, max_size=4), max_size=30).map(
    "".join
)
content = st.binary(max_size=200) | pieces.map(lambda text: text.encode("utf-8", "surrogatepass"))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(PARTS) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)

READERS = {
    "words.conll": lambda path: Conll(train=path),
    "share.conll": lambda path: Conll(train=path, validation=0.3),
    "rows.jsonl": lambda path: Jsonl(train=path),
    "rows.csv": lambda path: Table(train=path),
    "rows.tsv": lambda path: Table(train=path, test=0.5),
    "text.txt": lambda path: Text(train=path, document="paragraph"),
    "text.jsonl": lambda path: Text(train=path),
    "text.txt.gz": lambda path: Text(train=path),
    "table.parquet": lambda path: Table(train=path),
    "chat.jsonl": lambda path: Chat(train=path),
    "pairs.jsonl": lambda path: Jsonl(train=path, source="source", target="target"),
}
FOUND = [
    *(b"", b"\n", b"\0", b"\xff\xfe", b"O\n\nO", b"!$", b"&a [*a]", b"[" * 5_000),
    *(b'{"tokens": ["a"], "tags": [{"a": 1}]}', b'{"tokens": ["a"], "tags": [["O"]]}'),
    *(b'{"text": 1e999}', b'text,label\n"', b'{"text": ' + b"[" * 5_000),
]


def read_or_refuse(make):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with contextlib.suppress(UserError):
        make()
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < MEMORY


def examples(test):
    for found in FOUND:
        test = example(content=found)(test)
    return test


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
@careful
@examples
@given(content=content)
def test_readers(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    read_or_refuse(lambda: READERS[name](str(path)).read())


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in READERS if name.endswith(".jsonl")])
@careful
@given(rows=st.lists(json_values, max_size=4))
def test_rows_of_json(name, rows, tmp_path):
    import json

    path = tmp_path / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    read_or_refuse(lambda: READERS[name](str(path)).read())


STUDY = {"axes": {"head": {"linear": ["a=1"], "crf": []}, "decay": {"0.9": []}}}


@pytest.mark.slow
@careful
@examples
@given(content=content)
def test_study_files(content, tmp_path):
    path = tmp_path / "study.yaml"
    path.write_bytes(content)
    read_or_refuse(lambda: claims.read(study.read(path)))


@pytest.mark.slow
@careful
@given(
    parts=st.dictionaries(
        st.sampled_from(["title", "base", "axes", "exclude", "seeds", "tables", "plots", "claims"]),
        json_values,
    )
)
def test_studies_of_odd_parts(parts, tmp_path):
    import yaml

    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY | parts, allow_unicode=True), encoding="utf-8")
    read_or_refuse(lambda: claims.read(study.read(path)))


@pytest.mark.slow
@careful
@given(text=pieces)
def test_claims(text, tmp_path):
    import yaml

    path = Path(tmp_path) / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY | {"claims": [text]}, allow_unicode=True))
    read_or_refuse(lambda: claims.read(study.read(path)))
