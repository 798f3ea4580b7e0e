"""Runs of the same rows, read in different ways: no difference in tables, comparisons, reports."""

import pytest
from tests.helpers.runs import finished

from lushan.errors import UserError
from lushan.report.groups import of_folders
from lushan.run.columns import display_width, distinguished
from lushan.study.compare import compare
from lushan.study.table import table

METRICS = {"test/accuracy": 0.5, "test/loss": 1.0}


@pytest.fixture
def write(tmp_path):
    """Write a run that read its rows in some way."""

    def write(seed, *, rows="a", choice="table", **data):
        config = {"seed": seed, "data": {"batch_tokens": 512, "label": "y", **data}}
        return finished(tmp_path / "outputs", config, METRICS, data=rows, choices={"data": choice})

    return write


@pytest.mark.parametrize(
    "other",
    [
        {"text": ["sentence1", "sentence2"]},
        {"text": "b", "train": "elsewhere.csv"},
        {"choice": "jsonl", "columns": ["x"], "_target_": "other"},
        {"limit": 1000},
    ],
)
def test_how_the_same_rows_were_read_is_no_difference(write, tmp_path, other):
    one, two = write(1, text=None), write(1, **{"text": None, **other})
    write(2, text=None)
    assert compare(one, two).config == {}
    assert "| mine |     50.00 ± 0.00 |   3 |" in table([tmp_path / "outputs"], rows=["name"]).text
    (group,) = of_folders([tmp_path / "outputs"]).groups
    assert len(group.runs) == 3


def test_what_is_done_with_the_rows_is_one(write, tmp_path):
    one, two = write(1), write(1, batch_tokens=64)
    assert compare(one, two).config == {"data.batch_tokens": (512, 64)}
    with pytest.raises(UserError, match=r"also differ in data\.batch_tokens"):
        table([tmp_path / "outputs"], rows=["seed"])
    assert len(of_folders([tmp_path / "outputs"]).groups) == 2


def test_other_rows_are_a_difference(write, tmp_path):
    write(1, text=None)
    write(1, text=["a", "b"])
    write(1, text="c", rows="b")
    found = of_folders([tmp_path / "outputs"]).groups
    assert [len(group.runs) for group in found] == [2, 1]


def test_only_keys_of_a_source_end_in_its_rows():
    import dataclasses

    from lushan.data.source import Source
    from lushan.study.same_rows import is_after_reading

    rows = {"train", "validation", "test", "train_share", "seed", "limit"}
    rows |= {"folds", "fold", "fold_split"}
    fields = {field.name for field in dataclasses.fields(Source)}
    assert {name for name in fields if not is_after_reading(name)} == rows


@pytest.mark.parametrize(
    "texts",
    [
        [f"head=crf, text={'x' * 40}{i}{'y' * 40}" for i in range(3)],
        ["short", "x" * 60, "x" * 59 + "y", "x" * 61],
        ["明" * 40 + c + "月" * 40 for c in "甲乙丙"],
        ["a" * 30 + "b" * 50 + c + "d" * 50 for c in "12"] + ["a" * 30 + "c" * 50 + "d" * 51],
    ],
)
def test_labels_that_are_cut_stay_different(texts):
    found = distinguished(texts, 38)
    assert len(set(found)) == len(texts)
    assert all(display_width(text) <= 38 for text in found)
