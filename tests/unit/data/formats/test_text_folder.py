"""Texts in folders of their classes, as IMDB is distributed."""

from __future__ import annotations

import pytest

from lushan.data.fields import DOCUMENTS, LABELLED
from lushan.data.formats import Table, Text, TextFolder


@pytest.fixture
def imdb(tmp_path):
    for name in ("pos/0_9.txt", "pos/1_8.txt", "neg/0_1.txt", "urls_pos.txt"):
        path = tmp_path / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{name}\nsecond line")
    return tmp_path


def test_folders_of_texts(imdb, refused):
    read = TextFolder(dir=str(imdb), train="train").read(LABELLED)
    table = read.splits["train"]
    assert table["label"].to_pylist() == ["neg", "pos", "pos"]
    assert table["text"].to_pylist()[0] == "neg/0_1.txt\nsecond line"
    assert read.notes[0] == "train: 1 file skipped: not in the folder of a class"
    before = TextFolder(dir=str(imdb), train="train").fingerprint()
    (imdb / "train/pos/0_9.txt").write_text("other")
    assert TextFolder(dir=str(imdb), train="train").fingerprint() != before


def test_texts_without_a_class(imdb, refused):
    (imdb / "train/unsup").mkdir()
    (imdb / "train/unsup/0.txt").write_text("a")
    error = refused(TextFolder(dir=str(imdb), train="train").read, LABELLED)
    assert "data.classes=[neg,pos]" in error.hint
    read = TextFolder(dir=str(imdb), train="train", classes=["neg", "pos"]).read(LABELLED)
    assert read.splits["train"].num_rows == 3


def test_folders_that_are_taken_for_files_say_what_reads_them(imdb, refused):
    assert "data=text_folder" in refused(Table(train=str(imdb / "train")).read).hint
    assert "/*.txt" in refused(Text(train=str(imdb / "train/pos")).read, DOCUMENTS).hint
