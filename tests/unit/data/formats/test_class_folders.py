"""A folder for each class: roots of several splits are refused, and empty classes are counted."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from lushan.config.build import build
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.data.fields import LABELLED, Fields, Image, Label
from lushan.data.formats import Folder, TextFolder
from lushan.data.source import Source
from lushan.errors import UserError
from lushan.vision import images

PICTURES: Fields = {"image": Image(), "label": Label()}
KINDS = {
    "images": (Folder, PICTURES, ".png", images.encoded("red")),
    "texts": (TextFolder, LABELLED, ".txt", b"a text"),
}


@pytest.fixture(params=KINDS)
def made(request: pytest.FixtureRequest, tmp_path: Path):
    """Write files below a folder, and read splits of it."""
    kind, fields, ending, content = KINDS[request.param]

    class Made:
        folder = tmp_path
        suffix = ending

        def write(self, *names: str) -> None:
            for name in names:
                path = tmp_path / f"{name}{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

        def source(self, **options: object) -> Source:
            return kind(dir=str(tmp_path), **options)

        def read(self, **options: object):
            return self.source(**options).read(fields)

    return Made()


@pytest.mark.parametrize(
    ("names", "hint"),
    [
        (("train", "val"), "data.train={0}/train data.validation={0}/val"),
        (("training", "validation"), "data.train={0}/training data.validation={0}/validation"),
        (
            ("Train", "dev", "TEST"),
            "data.train={0}/Train data.validation={0}/dev data.test={0}/TEST",
        ),
        (("train", "test"), "data.train={0}/train data.test={0}/test"),
        (("valid", "test"), "data.validation={0}/valid data.test={0}/test"),
    ],
)
@pytest.mark.parametrize("above", ["", "images/"])
def test_a_root_of_several_splits_is_no_split(made, refused, names, hint, above) -> None:
    made.write(*(f"root/{above}{n}/{c}/{i}" for n in names for c in ("cat", "dog") for i in "01"))
    error = refused(made.read, train="root", validation=0.2)
    assert error.key == "data.train"
    assert error.hint == f"Write {hint.format(f'root/{above}'.rstrip('/'))}."
    options = dict(pair.removeprefix("data.").split("=") for pair in error.hint[6:-1].split())
    found = made.read(**options)
    assert {split: table.num_rows for split, table in found.splits.items()} == dict.fromkeys(
        options, 4
    )


def test_a_test_folder_without_classes_is_a_split_too(made, refused) -> None:
    made.write("root/train/cat/0", "root/train/dog/0", "root/test/0", "root/test/1")
    assert refused(made.read, train="root").hint == "Write data.train=root/train."
    (made.folder / "root").rename(made.folder / "other")
    assert refused(made.read, train="other").hint == "Write data.train=other/train."


def test_classes_may_have_the_names_of_splits(made) -> None:
    made.write("root/train/0", "root/car/0", "root/test/0", "root/more/train/1")
    assert set(made.read(train="root").splits["train"]["label"].to_pylist()) == {
        "train",
        "car",
        "test",
    }


def test_the_folder_that_is_worked_in(made, refused) -> None:
    made.write("train/cat/0", "val/cat/0")
    hint = refused(made.read, train=".").hint
    assert hint == "Write data.train=train data.validation=val."


def test_an_archive_of_several_splits(tmp_path: Path, refused) -> None:
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for name in ("train", "val"):
            archive.writestr(f"{name}/cat/0.png", images.encoded("red"))
    error = refused(Folder(dir=str(tmp_path), train="all.zip").read, PICTURES)
    assert "train" in error.problem
    assert "archive" in error.hint


def test_a_class_without_a_file_is_noted(made) -> None:
    made.write("train/cat/0", "train/dog/0", "train/.hidden/0")
    assert not any("folder" in note for note in made.read(train="train").notes)
    for name in ("bird", "fish/deeper", ".cache"):
        (made.folder / "train" / name).mkdir(parents=True)
    (made.folder / "train" / "fish" / "notes.xyz").write_text("none")
    notes = [note for note in made.read(train="train").notes if "folder" in note]
    what = "image" if made.suffix == ".png" else "text"
    assert notes == [f"train: 2 folders hold no {what}, so they are no class: bird, fish"]


def test_one_label_cannot_be_learned(made, refused) -> None:
    made.write("some/train/0", "some/train/1")
    task = "classification" if made.suffix == ".txt" else "image_classification"
    prepared = build(check(compose([f"task={task}"]))["task"])
    corpus = made.read(train="some")
    error = refused(prepared.prepare, corpus)
    assert "'train'" in error.problem
    assert "a folder for each class" in error.hint
    several = build(check(compose([f"task={task}", "task.kind=multilabel"]))["task"])
    assert several.kind == "multilabel"  # for which one label is a question of yes or no


def test_one_label_of_a_table_cannot_be_learned(tmp_path: Path, refused) -> None:
    from lushan.data.formats import Table

    (tmp_path / "train.csv").write_text("text,label\na,x\nb,x\n")
    corpus = Table(train=str(tmp_path / "train.csv")).read(LABELLED)
    task = build(check(compose(["task=classification"]))["task"])
    error: UserError = refused(task.prepare, corpus)
    assert "data.label" in error.hint
    assert error.file == str(tmp_path / "train.csv")
