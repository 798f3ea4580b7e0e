"""Labels that only evaluation has: refused with a way on, which each format of labels has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from lushan.config.build import build, source_of
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.data.labels import labels_of
from lushan.data.source import Corpus
from lushan.vision import images

TINY = ("model=bert_tiny", "processor=chars")


def lines(*rows: dict) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def tagged(*types: str) -> str:
    return "".join(f"Anna B-{t}\nLee I-{t}\nsat O\n\n" for t in types)


def spans(*types: str) -> str:
    return lines(*({"text": "Anna sat", "entities": [[0, 4, t]]} for t in types))


FORMATS = {
    "conll": ("ner", ".conll", tagged, ["LOC", "ORG"], "PER"),
    "conll, types with a hyphen": ("ner", ".conll", tagged, ["B-cell", "LOC"], "T-cell"),
    "spans": ("ner", ".jsonl", spans, ["LOC", "ORG"], "PER"),
    "table of numbers": (
        "classification",
        ".csv",
        lambda *labels: "".join(["text,label\n", *(f"on {x},{x}\n" for x in labels)]),
        ["0", "1"],
        "2",
    ),
    "table of names": (
        "classification",
        ".csv",
        lambda *labels: "".join(["text,label\n", *(f"on {x},{x}\n" for x in labels)]),
        ["good", "so so"],
        "bad",
    ),
    "lists": (
        "classification task.kind=multilabel",
        ".jsonl",
        lambda *labels: lines(*({"text": f"on {x}", "label": [x]} for x in labels)),
        ["joy", "rage"],
        "fear",
    ),
}
SOURCES = {".conll": "conll", ".jsonl": "jsonl", ".csv": "table"}


def given(task: str, data: str, folder: Path, *more: str) -> dict:
    options = (f"data.train={folder}/train", f"data.validation={folder}/dev")
    return check(compose([*f"task={task}".split(), f"data={data}", *options, *TINY, *more]))


def read(cfg: dict) -> Corpus:
    return source_of(cfg).read(build(cfg["task"]).fields)


def written(hint: str) -> str:
    """The option that a hint names, as a shell passes it."""
    (found,) = re.findall(r"'?(data\.label_names=\[[^]]*\])'?", hint)
    return found


@pytest.mark.slow(1)
@pytest.mark.parametrize("name", FORMATS)
def test_the_way_on_is_named_and_works(name: str, tmp_path: Path, refused) -> None:
    task, ending, write, known, strange = FORMATS[name]
    (tmp_path / "train").with_suffix(ending).write_text(write(*known, *known))
    (tmp_path / "dev").with_suffix(ending).write_text(write(known[0], strange, strange))
    files = [f"data.train={tmp_path}/train{ending}", f"data.validation={tmp_path}/dev{ending}"]
    cfg = given(task, SOURCES[ending], tmp_path, *files)
    error = refused(labels_of, read(cfg))
    assert "never occurs in train" in error.problem
    cfg = given(task, SOURCES[ending], tmp_path, *files, written(error.hint))
    corpus = read(cfg)
    assert labels_of(corpus) == sorted([*known, strange])
    assert corpus.splits["validation"].num_rows == 3
    assert corpus.notes[-1] == (
        f"validation: 2 of 3 examples have a label that train never has ({strange}): the model "
        "cannot learn it, but it is evaluated"
    )
    prepared = build(cfg["task"])
    prepared.prepare(corpus)
    assert strange in prepared.labels


@pytest.mark.slow(1)
def test_folders_name_labels_too(tmp_path: Path, refused) -> None:
    for place in ("train/a/0", "train/b/0", "dev/a/0", "dev/c/0"):
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).with_suffix(".png").write_bytes(images.encoded("red"))
        (tmp_path / place).with_suffix(".txt").write_text(place)
    for task, data in (("image_classification", "folder"), ("classification", "text_folder")):
        error = refused(labels_of, read(given(task, data, tmp_path)))
        assert labels_of(read(given(task, data, tmp_path, written(error.hint)))) == ["a", "b", "c"]


@pytest.mark.slow(1)
def test_tags_name_their_types(tmp_path: Path) -> None:
    (tmp_path / "train").write_text(tagged("LOC", "ORG"))
    (tmp_path / "dev").write_text(tagged("PER"))
    for names in ("[O,B-PER,I-PER]", "[PER]", "[PER,GPE]"):
        corpus = read(given("ner", "conll", tmp_path, f"data.label_names={names}"))
        assert labels_of(corpus) == ["LOC", "ORG", "PER"]  # what no split has gets no output


def test_balanced_weights_are_finite_for_a_label_without_examples(tmp_path: Path) -> None:
    (tmp_path / "train").with_suffix(".csv").write_text("text,label\na,x\nb,x\nc,y\n")
    (tmp_path / "dev").with_suffix(".csv").write_text("text,label\na,z\n")
    files = [f"data.train={tmp_path}/train.csv", f"data.validation={tmp_path}/dev.csv"]
    more = ("data.label_names=[x,y,z]", "task.class_weights=balanced")
    cfg = given("classification", "table", tmp_path, *files, *more)
    prepared = build(cfg["task"])
    prepared.prepare(read(cfg))
    assert prepared.weights.tolist() == pytest.approx([0.75, 1.5, 1.0])


def test_many_labels_are_not_all_listed(tmp_path: Path, refused) -> None:
    rows = "".join(f"on {i},label {i}\n" for i in range(80))
    (tmp_path / "train").with_suffix(".csv").write_text(f"text,label\n{rows}")
    (tmp_path / "dev").with_suffix(".csv").write_text("text,label\na,other\n")
    files = [f"data.train={tmp_path}/train.csv", f"data.validation={tmp_path}/dev.csv"]
    error = refused(labels_of, read(given("classification", "table", tmp_path, *files)))
    assert "data.label_names=[...], with all 81 labels" in error.hint


@pytest.mark.slow
def test_such_examples_are_evaluated(tmp_path: Path) -> None:
    from tests.conftest import trained

    (tmp_path / "train.conll").write_text(tagged("LOC", "ORG") * 4)
    (tmp_path / "dev.conll").write_text(tagged("LOC", "PER", "PER", "PER"))
    files = [f"data.train={tmp_path}/train.conll", f"data.validation={tmp_path}/dev.conll"]
    options = ("data.label_names=[PER]", "trainer.max_epochs=2", *TINY)
    run = trained(tmp_path, "task=ner", "data=conll", *files, *options)
    result = json.loads((run / "result.json").read_text())
    assert any("(PER)" in note for note in result["notes"])
    assert result["reports"]["val"]["entity"]["PER"]["support"] == 3
    records = [json.loads(x) for x in (run / "predictions" / "validation.jsonl").open()]
    assert [r["gold"][0] for r in records] == ["B-LOC", "B-PER", "B-PER", "B-PER"]
