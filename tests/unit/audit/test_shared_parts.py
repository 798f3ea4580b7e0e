"""Parts of examples that train has too: images, videos, contexts, whatever a task reads."""

from __future__ import annotations

import csv
import functools
import json
from pathlib import Path

import pyarrow as pa
import pytest

from lushan.audit.parts import shared_parts
from lushan.audit.shared import notes_of
from lushan.cli.audit import audited
from lushan.config.build import build, source_of
from lushan.config.check import check
from lushan.config.compose import built_in_conf, compose
from lushan.data.field_roles import inputs
from lushan.data.field_tables import present
from lushan.data.fields import DIALOGUES, Fields, Image, Messages, Text
from lushan.data.groups import keeping
from lushan.data.item_fields import HISTORIES
from lushan.data.media_fields import Content, Video, structs
from lushan.data.messages import Message, message_lists
from lushan.data.references import structs as references
from lushan.data.source import Corpus
from lushan.engine.components import build_components
from lushan.text import parts
from lushan.vision import images

TASKS = sorted(path.stem for path in (built_in_conf() / "task").glob("*.yaml"))


@functools.cache
def demo(task: str) -> Corpus:
    cfg = check(compose([f"task={task}"]))
    return build(cfg["task"]).demo()


def readable(task: str) -> dict:
    """The inputs of a task that someone reads, with their columns."""
    corpus = demo(task)
    there = present(inputs(corpus.fields), corpus.splits["train"])
    return {name: field for name, field in there.items() if not field.is_name}


@pytest.mark.parametrize("task", TASKS)
def test_each_input_of_each_task_is_compared_by_itself(task: str) -> None:
    table = demo(task).splits["train"]
    several = [n for n, f in readable(task).items() if any(map(f.key, table[n].to_pylist()))]
    for name in several if len(several) > 1 else ():
        field = readable(task)[name]
        column = table[name].to_pylist()
        # A row of evaluation with this value of a training row, and all others of another one.
        other = next(r for r, v in enumerate(column) if field.key(v) != field.key(column[0]))
        train = table.slice(0, 1)
        mixed = table.slice(other, 1)
        mixed = mixed.set_column(mixed.column_names.index(name), name, train[name])
        others = [n for n in several if n != name]
        if any(mixed[n].to_pylist() == train[n].to_pylist() for n in others):
            continue
        found = shared_parts({"train": train, "validation": mixed}, demo(task).fields)
        assert [(part.field, part.shared, part.total) for part in found] == [(name, 1, 1)]


def image(color: str) -> dict:
    return {"path": "", "bytes": images.encoded(color)}


def dialogue(text: str, color: str) -> list[Message]:
    content = [parts.image(image(color)), parts.text(text)]
    return [Message("user", text, parts=content), Message("assistant", text)]


COLUMNS = {
    "image": lambda rows: (Image(), references([image(c) for _, c in rows])),
    "video": lambda rows: (Video(), references([image(c) for _, c in rows])),
    "content": lambda rows: (
        Content(),
        structs([[parts.text(t), parts.image(image(c))] for t, c in rows]),
    ),
    "messages": lambda rows: (Messages(), message_lists([dialogue(*row) for row in rows])),
    "context": lambda rows: (Text(), pa.array([f"on {c}" for _, c in rows])),
}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("image", "images"),
        ("video", "videos"),
        ("content", "images"),
        ("messages", "images"),
        ("context", "contexts"),
    ],
)
def test_each_kind_of_field_is_compared_by_what_it_holds(name: str, what: str) -> None:
    def split(*rows: tuple[str, str]) -> pa.Table:
        asked = pa.array([text for text, _ in rows])
        return pa.table({"question": asked, name: COLUMNS[name](rows)[1]})

    fields: Fields = {"question": Text(), name: COLUMNS[name]([("a", "red")])[0]}
    splits = {
        "train": split(("a", "red"), ("b", "green")),
        "validation": split(("c", "red"), ("d", "blue"), ("e", "red")),
        "test": split(("f", "white")),
    }
    assert notes_of(splits, fields, []) == [f"1 of 2 validation {what} are also in train"]


def test_what_is_said_of_whole_examples_is_not_said_again_of_their_parts() -> None:
    def split(*rows: tuple[str, str]) -> pa.Table:
        return pa.table({"question": [q for q, _ in rows], "context": [c for _, c in rows]})

    fields: Fields = {"question": Text(), "context": Text()}
    splits = {"train": split(("a", "x"), ("b", "y")), "test": split(("a", "x"), ("c", "z"))}
    assert notes_of(splits, fields, []) == ["1 of 2 test texts also in train"]


def test_one_field_is_named_that_rows_are_kept_together_by() -> None:
    def split(*rows: tuple[str, str, str]) -> pa.Table:
        columns = dict(zip(("question", "context", "image"), zip(*rows, strict=True), strict=True))
        return pa.table({**columns, "image": references(list(map(image, columns["image"])))})

    fields: Fields = {"question": Text(), "context": Text(), "image": Image()}
    train = split(("a", "x", "red"), ("b", "y", "green"))
    test = split(("a", "y", "red"), ("c", "z", "blue"), ("d", "z", "white"))

    def kept(fields: Fields) -> list[str]:
        found = shared_parts({"train": train, "test": test}, fields, None, lambda _, name: name)
        return [part.field for part in found if part.keeping]

    assert kept(fields) == ["image"]  # although a third of the images is shared
    del fields["image"]
    assert kept(fields) == ["context"]  # a half, and a third of the questions


def test_names_of_users_and_items_are_no_parts_and_no_tools_are() -> None:
    table = pa.table({"user": ["u1"], "history": [["a", "b"]], "target": [["c"]]})
    later = table.set_column(1, "history", [[["a", "b", "c"]]])
    assert shared_parts({"train": table, "test": later}, HISTORIES) == []
    assert readable("chat").keys() <= DIALOGUES.keys()


# Shares of a file: what leaks is counted, and what holds it together


def captions(folder: Path) -> list[str]:
    (folder / "images").mkdir()
    colors = ["red", "green", "blue", "white", "black", "yellow"]
    rows = []
    for number, color in enumerate(colors):
        (folder / "images" / f"{number}.png").write_bytes(images.encoded(color))
        rows += [(f"{number}.png", f"seen {n} as {color}") for n in range(5)]
    with (folder / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image_name", "caption"), *rows])
    task = ["task=contrastive", "model=clip_tiny", "data=table", "data.media=images"]
    return [*task, "data.train=captions.csv"]


def questions(folder: Path) -> list[str]:
    paragraphs = [
        {
            "context": f"Anna{c} lives in Paris{c}.",
            "qas": [
                {
                    "id": f"{c}-{q}",
                    "question": f"who is it {c} {q}?",
                    "answers": [{"text": f"Anna{c}", "answer_start": 0}],
                }
                for q in range(5)
            ],
        }
        for c in range(6)
    ]
    (folder / "squad.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    return ["task=qa", "model=bert_tiny", "processor=chars", "data=squad", "data.train=squad.json"]


SETS = {"image": (captions, "images", "image_name"), "context": (questions, "contexts", "context")}


@pytest.mark.slow(1)
@pytest.mark.parametrize("name", SETS)
def test_a_share_that_leaks_is_noted_with_what_keeps_it_together(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, what, column = SETS[name]
    monkeypatch.chdir(tmp_path)
    given = [*make(tmp_path), "data.validation=0.2"]
    cfg = check(compose(given))
    corpus = source_of(cfg).read(build(cfg["task"]).fields)
    sides = {s: set(map(repr, t[name].to_pylist())) for s, t in corpus.splits.items()}
    shared = len(sides["train"] & sides["validation"])
    assert shared  # otherwise there is nothing to say
    said = f"{shared} of {len(sides['validation'])} validation {what} are also in train"
    note = f"{said}; data.group={column} keeps them together"
    assert note in build_components(cfg, source_of(cfg)).notes
    found = audited(cfg, 0.8)
    assert note in found.to_dict()["findings"]
    together = check(compose([*given, f"data.group={column}"]))
    assert not [n for n in build_components(together, source_of(together)).notes if what in n]
    assert not [n for n in audited(together, 0.8).to_dict()["findings"] if f"{what} are" in n]


def test_the_column_of_whole_dialogues_keeps_no_image_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    captions(tmp_path)
    rows = [
        {"image": f"{n}.png", "conversations": [*said(f"<image>\nwhat {n} {q}?", f"{q}")]}
        for n in range(6)
        for q in range(5)
    ]
    (tmp_path / "llava.json").write_text(json.dumps(rows))
    given = ("data=chat", "data.train=llava.json", "data.media=images", "data.validation=0.2")
    cfg = check(compose(["task=chat", *given]))
    source = source_of(cfg)
    corpus = source.read(build(cfg["task"]).fields)
    (note,) = notes_of(corpus.splits, corpus.fields, [], keeping(source))
    assert note.endswith(
        "validation images are also in train; data.group=COLUMN keeps them together"
    )
    assert source_of(check(compose(["task=chat", *given, "data.group=image"]))).read(DIALOGUES)


def said(*texts: str) -> list[dict]:
    return [{"from": who, "value": t} for who, t in zip(("human", "gpt"), texts, strict=True)]


def test_splits_that_are_files_are_noted_without_an_option_that_could_not_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = captions(tmp_path)
    (tmp_path / "test.csv").write_text("image_name,caption\n0.png,other words\n")
    cfg = check(compose([*given, "data.test=test.csv"]))
    notes = build_components(cfg, source_of(cfg)).notes
    assert "1 of 1 test images are also in train" in notes
