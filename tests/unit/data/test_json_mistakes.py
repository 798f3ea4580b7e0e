"""JSON that is not an object a line: what it is is said, and the command that makes it one."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lushan.data.fields import LABELLED
from lushan.data.formats import Chat, Jsonl

ROWS = [{"text": f"it's {n} 好", "label": "ab"[n % 2], "more": None} for n in range(30)]
LINES = [json.dumps(row, ensure_ascii=False) for row in ROWS]
PRETTY = [json.dumps(row, ensure_ascii=False, indent=2) for row in ROWS]
PYTHON = [str(row) for row in ROWS]
MISTAKES: dict[str, tuple[str, str]] = {
    "pretty": ("\n".join(PRETTY), "spread over several lines"),
    "pretty with blank lines": ("\n\n".join(PRETTY) + "\n", "spread over several lines"),
    "pretty after a blank line": ("\n \n" + "\n".join(PRETTY), "spread over several lines"),
    "pretty with commas": (",\n".join(PRETTY), "commas stand between the objects"),
    "pretty with commas, one last": (",\n".join(PRETTY) + ",\n", "commas stand between"),
    "one line": (" ".join(LINES), "several objects in one line"),
    "one line without blanks": ("".join(LINES), "several objects in one line"),
    "two a line": ("\n".join(map("".join, zip(LINES[::2], LINES[1::2], strict=True))), "several"),
    "commas": (",\n".join(LINES), "a comma follows the object"),
    "commas and a blank": (" ,\r\n".join(LINES), "a comma follows the object"),
    "a comma late": ("\n".join([*LINES[:7], f"{LINES[7]},", *LINES[8:]]), "a comma follows"),
    "Python": ("\n".join(PYTHON) + "\n\n", "Python, not JSON"),
    "Python late": (
        "\n".join([*(line.replace(', "more": null', "") for line in LINES[:3]), *PYTHON[3:]]),
        "Python, not JSON",
    ),
    "a list in Python": (str(ROWS), "Python, not JSON"),
    "a list in Python over lines": ("[" + ",\n ".join(PYTHON) + "]", "Python, not JSON"),
    "rows below a key, over lines": (
        json.dumps({"info": {}, "rows": ROWS}, indent=1, ensure_ascii=False),
        "one object over several lines",
    ),
    "rows by name, over lines": (
        json.dumps({f"r{n}": row for n, row in enumerate(ROWS)}, indent=1, ensure_ascii=False),
        "one object over several lines",
    ),
}
COMMANDS = r"(?:jq|sed|python|gzip) .*?> (?:'[^']*'|[^\s;]+?(?=\.?(?:[\s;]|$)))"

needs_jq = pytest.mark.skipif(shutil.which("jq") is None, reason="jq is not installed")


def converted(hint: str) -> Path:
    """Run the one command of a hint and return the file that it writes."""
    found = re.search(COMMANDS, hint)
    assert found is not None, hint
    subprocess.run(["bash", "-c", f"set -o pipefail; {found[0]}"], check=True)
    return Path(found[0].rpartition("> ")[2].strip("'"))


@needs_jq
@pytest.mark.parametrize("name", ["x.jsonl", "x.json", "my rows.json.gz"])
@pytest.mark.parametrize("kind", MISTAKES)
def test_the_hint_makes_rows(kind: str, name: str, write: Any, refused: Any) -> None:
    content, said = MISTAKES[kind]
    data = content.encode()
    path = write(name, gzip.compress(data) if name.endswith(".gz") else data)
    error = refused(Jsonl(train=path).read, LABELLED)
    assert said in error.problem
    assert "incomplete" not in error.problem
    read = Jsonl(train=str(converted(error.hint))).read(LABELLED).splits["train"]
    assert read["text"].to_pylist() == [row["text"] for row in ROWS]
    assert read["label"].to_pylist() == [row["label"] for row in ROWS]


def test_python_over_several_lines(write: Any, refused: Any) -> None:
    path = write("x.jsonl", "{'text': 'a',\n 'label': None}\n")
    error = refused(Jsonl(train=path).read)
    assert error.problem == "this is Python, not JSON"
    assert "json.dumps" in error.hint


@needs_jq
def test_many_objects_in_a_line_that_is_too_long(write: Any, refused: Any) -> None:
    path = write("x.jsonl", " ".join(LINES * 700))
    error = refused(Jsonl(train=path).read)
    assert "the limit is" in error.problem
    read = Jsonl(train=str(converted(error.hint.rpartition("in one line: ")[2]))).read()
    assert read.splits["train"].num_rows == 700 * len(ROWS)


@pytest.mark.parametrize("source", [Jsonl, Chat])
@pytest.mark.parametrize(
    "content",
    [
        "<|im_start|>user\nSay 0<|im_end|>\n",
        "<doc id=0>\n <summary>\n",
        "text,label\na,b\n",
        "1\t2\n",
        "1,2\n",
        '"a","b"\n',
        "- text: a\n",
        "null and void\n",
    ],
)
def test_what_is_no_json_is_not_called_json(
    content: str, source: Callable[..., Any], write: Any, refused: Any
) -> None:
    error = refused(source(train=write("x.txt", content)).read)
    assert error.problem.startswith("this is not JSON")
    assert "jq" not in error.hint
    assert "data=table" in error.hint
    assert (error.line, error.value) == (1, content.splitlines()[0])


@pytest.mark.parametrize("cut", ["{", '{"text": "a', '{"text": "a", "label"', '{"text": "a",'])
@pytest.mark.parametrize("before", [0, 3])
def test_a_cut_line_is_incomplete(cut: str, before: int, write: Any, refused: Any) -> None:
    path = write("x.jsonl", "".join(f"{line}\n" for line in LINES[:before]) + cut)
    error = refused(Jsonl(train=path).read)
    assert "this JSON is incomplete" in error.problem
    assert error.line == before + 1


@pytest.mark.parametrize("bad", ['{"text" "a"}', '{"text": a}', '{"a": 1} # one', '{"a": 1}\tx'])
def test_other_mistakes_are_named(bad: str, write: Any, refused: Any) -> None:
    error = refused(Jsonl(train=write("x.jsonl", f"{LINES[0]}\n{bad}\n")).read)
    assert "incomplete" not in error.problem
    assert error.line == 2
