"""Words and tags as public corpora write them: other letters, marks and columns."""

from __future__ import annotations

import json

import pytest
from tests.helpers.asked import KINDS

from lushan.data.formats import Conll, Jsonl, Table
from lushan.data.unlabelled import read_unlabelled

WORDS = [["Li", "Bai", "saw", "Lu"], ["Du", ",", "Fu", "x"]]
USUAL = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "O", "B-PER", "O"]]
SPELT = {
    "underscore": [["B_PER", "I_PER", "O", "B_LOC"], ["O", "O", "B_PER", "O"]],
    "suffix": [["PER-B", "PER-I", "O", "LOC-B"], ["O", "O", "PER-B", "O"]],
    "brackets": [["(PER*", "*)", "*", "(LOC)"], ["*", "*", "(PER*)", "*"]],
    "io": [["PER", "PER", "O", "LOC"], ["O", "O", "PER", "O"]],
}


def conll(tags: list[list[str]], mark: str = " ") -> str:
    pairs = [zip(*row, strict=True) for row in zip(WORDS, tags, strict=True)]
    return "\n".join("".join(f"{w}{mark}{t}\n" for w, t in row) for row in pairs)


@pytest.mark.parametrize("spelling", SPELT)
def test_spellings(spelling: str, write, refused) -> None:
    path = write("x.conll", conll(SPELT[spelling]))
    options = {"scheme": "io"} if spelling == "io" else {}
    read = Conll(train=path, **options).read()
    assert read.splits["train"]["tags"].to_pylist() == USUAL
    assert f"another spelling ({spelling}" in read.notes[0]
    if options:
        assert "data.scheme=io" in refused(Conll(train=path).read).hint


@pytest.mark.parametrize("mark", [",", "|", " ||| "])
def test_columns_that_other_marks_separate(mark: str, write, refused) -> None:
    path = write("x.txt", "#begin document (a);\n" + conll(USUAL, mark) + "#end document\n")
    read = Conll(train=path, separator=mark).read().splits["train"]
    assert read["tokens"].to_pylist() == WORDS
    assert read["tags"].to_pylist() == USUAL
    if mark == "|":
        assert "data.separator" in refused(Conll(train=path).read).hint


@pytest.mark.parametrize("form", ["blanks", "commas", "json", "python"])
def test_lists_that_are_written_as_text(form: str, write, refused) -> None:
    write_list = {
        "blanks": " ".join,
        "commas": lambda x: (", " if x[0][0] in "BO" else " ").join(x),
        "json": json.dumps,
        "python": repr,
    }[form]
    rows = [
        {"sentence": write_list(words), "word_labels": write_list(tags)}
        for words, tags in zip(WORDS, USUAL, strict=True)
    ]
    path = write("x.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    source = Jsonl(train=path, tokens="sentence", tags="word_labels")
    table = source.read().splits["train"]
    assert (table["tokens"].to_pylist(), table["tags"].to_pylist()) == (WORDS, USUAL)
    usual = write("y.csv", "tokens,tags\na b,O O\n")
    assert Table(train=usual).read().splits["train"]["tokens"].to_pylist() == [["a", "b"]]
    assert refused(Table(train=write("z.csv", "tokens,tags\na b,O\n")).read).line == 2
    new = write("new.jsonl", json.dumps({"sentence": write_list(WORDS[0])}) + "\n")
    assert read_unlabelled(new, KINDS["tokens"], source=source)["tokens"].to_pylist() == WORDS[:1]


def test_new_words_and_texts_for_a_run_of_such_columns(write, refused) -> None:
    source = Conll(train=write("x.txt", conll(USUAL, ",")), separator=",")
    source.read()
    words = write("new.conll", "a\n,\nb\n")
    found = read_unlabelled(words, KINDS["tokens"], source=source, format="conll")
    assert found["tokens"].to_pylist() == [["a", ",", "b"]]
    texts = write("new.txt", "a, b\nwith no mark\n")
    error = refused(read_unlabelled, texts, KINDS["tokens"], source=source, format="conll")
    assert "--format txt" in error.hint
