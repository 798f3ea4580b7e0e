"""A column for each label, as the sets of several labels mostly have them."""

from __future__ import annotations

from tests.helpers.asked import KINDS

from lushan.data.fields import LABELLED, Labels
from lushan.data.formats import Table
from lushan.data.unlabelled import read_unlabelled

HEAD = "id,comment_text,toxic,obscene\n"
SEVERAL = {**LABELLED, "label": Labels()}


def test_columns_of_labels(write, refused) -> None:
    path = write("x.csv", HEAD + '1,"a\nb",0,1\n2,c,1.0,True\n3,d,0,0\n')
    source = Table(train=path, label=["toxic", "obscene"])
    table = source.read(SEVERAL).splits["train"]
    assert table["text"].to_pylist() == ["a\nb", "c", "d"]
    assert table["label"].to_pylist() == [["obscene"], ["toxic", "obscene"], []]
    # What is predicted on needs no labels.
    new = write("new.csv", "id,comment_text\n1,new\n")
    assert read_unlabelled(new, KINDS["text"], source=source)["text"].to_pylist() == ["new"]
    assert "data.label" in str(refused(Table(train=path, label=["toxic", "x"]).read, SEVERAL))
    assert refused(source.read, LABELLED).hint.startswith("For several labels")
    error = refused(
        Table(train=write("y.csv", HEAD + "1,a,0,x\n"), label=["obscene"]).read, SEVERAL
    )
    assert (error.line, error.value) == (2, "x")


def test_rows_that_nobody_has_labelled(write, refused) -> None:
    path = write("x.csv", HEAD + "1,a,-1,-1\n2,c,1,0\n")
    source = Table(train=path, label=["toxic", "obscene"])
    assert refused(source.read, SEVERAL).line == 2
    source.unlabelled = "drop"
    assert source.read(SEVERAL).splits["train"].num_rows == 1
