"""What a study's file says, and what is refused of it with its line."""

import itertools

import pytest

from lushan.errors import UserError
from lushan.study.study import Plot, Table, number_in, read

TEXT = """\
title: CRF or linear?
base: [experiment=sample/ner]
axes:
  head: {linear: [task/head=linear], crf: [task/head=crf]}
  decay: {none: [], 0.90: [optimizer.layer_decay=0.9]}
exclude: [{head: crf, decay: none}]
seeds: [1, 2]
tables:
  - {rows: head, columns: decay, metrics: [val/entity_f1]}
claims:
  - crf beats linear on val/entity_f1
"""


def study(tmp_path, text=TEXT):
    path = tmp_path / "study.yaml"
    path.write_text(text, encoding="utf-8")
    return read(path)


def test_what_it_says(tmp_path):
    found = study(tmp_path)
    assert found.title == "CRF or linear?"
    # A level's name is what was written: 0.90 is no number.
    assert found.cells() == [
        {"head": "linear", "decay": "none"},
        {"head": "linear", "decay": "0.90"},
        {"head": "crf", "decay": "0.90"},
    ]
    lines = ["experiment=sample/ner", "task/head=crf", "optimizer.layer_decay=0.9", "seed=2"]
    assert found.overrides(found.cells()[-1], 2) == lines
    assert found.tables == (Table(("head",), ("decay",), metrics=("val/entity_f1",)),)


def test_what_need_not_be_said(tmp_path):
    found = study(tmp_path, "axes: {lr: {low: [optimizer.lr=1e-4], high: [optimizer.lr=1e-3]}}\n")
    assert found.title == tmp_path.name
    assert (found.seeds, found.base, found.claims) == ((1,), (), ())
    assert found.tables == (Table(("lr",)),)


@pytest.mark.parametrize(
    ("old", "new", "line", "printed"),
    [
        ("seeds: [1, 2]", "seeds: [1, 1]", 7, "is repeated"),
        ("seeds: [1, 2]", "seeds: [1, x]", 7, "not a whole number"),
        ("seeds: [1, 2]", "seeds: 1", 7, "must be a list"),
        ("seeds: [1, 2]", "sedes: [1, 2]", 7, "Did you mean 'seeds'"),
        ("[experiment=sample/ner]", "[experiment]", 2, "not an override"),
        ("[experiment=sample/ner]", "[seed=3]", 2, "their own key"),
        ("{head: crf, decay: none}", "{head: crv, decay: none}", 6, "Did you mean 'crf'"),
        ("{head: crf, decay: none}", "{haed: crf}", 6, "Did you mean 'head'"),
        ("columns: decay", "columns: dekay", 9, "Did you mean 'decay'"),
        ("columns: decay, ", "", 9, "is not in any of them"),
        ("columns: decay, ", "columns: decay, baseline: {decay: none}, ", 9, "not a row"),
        ("columns: decay, ", "columns: decay, test: welch, ", 9, "test needs a baseline"),
        ("columns: decay, ", "columns: decay, baseline: {head: crf}, test: welhc, ", 9, "'welch'"),
        ("columns: decay", "columns: [decay, head]", 9, "is repeated"),
        ("crf: [task/head=crf]", "linear: [task/head=crf]", 4, "already in line 4"),
        (
            "exclude: [{head: crf, decay: none}]",
            "exclude: [{head: crf}, {head: linear}]",
            6,
            "leaves no run",
        ),
        ("title: CRF or linear?", "title: [", 3, "not YAML"),
        ("seeds: [1, 2]", "seeds: [1, 2]\ntitle: B", 8, "already in line 1"),
        ("axes:", "axis:", 3, "Did you mean 'axes'"),
    ],
)
def test_mistakes_are_reported_with_their_line(tmp_path, old, new, line, printed):
    assert old in TEXT
    with pytest.raises(UserError, match=printed) as refused:
        study(tmp_path, TEXT.replace(old, new))
    assert refused.value.file == str(tmp_path / "study.yaml")
    assert refused.value.line == line


def test_an_empty_file_and_none(tmp_path):
    with pytest.raises(UserError, match="at least one axis"):
        study(tmp_path, "")
    with pytest.raises(UserError, match="unknown study"):
        read(tmp_path / "other.yaml")


BOMB = "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
    for a, b in itertools.pairwise("abcdefghi")
)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("!$", "not a value: could not determine a constructor"),
        ("title: !!int x", "title: not a value"),
        ("title: !!timestamp 2001-99-99", "title: not a value"),
        ("? ?", "a key must be a word"),
        ("axes:\n  ? [head]\n  : x", "axes: a key must be a word"),
        ("title: &a [*a]", "refers to itself"),
        ("[" * 50_000, "lists within lists"),
        ("[" * 350 + "]" * 350, "lists within lists"),
        ("a: &a [x, x]\n" + BOMB, "more than 100,000 values"),
    ],
)
def test_files_that_fuzzers_have_found(text, printed, tmp_path):
    with pytest.raises(UserError, match=printed):
        study(tmp_path, text)


# Plots

PLOTS = TEXT.replace("claims:", "plots:\n  - {x: head, metric: val/loss}\nclaims:")


def test_plots(tmp_path):
    assert study(tmp_path).plots == ()
    assert study(tmp_path, PLOTS).plots == (Plot("head", "val/loss"),)


@pytest.mark.parametrize(
    ("new", "printed"),
    [
        ("{x: haed}", "Did you mean 'head'"),
        ("{metric: val/loss}", "unknown axis"),
        ("{x: head, scale: lgo}", "Did you mean 'log'"),
        ("{x: head, scale: log}", "the level 'linear' of head has no position on this scale"),
        ("{x: head, over: seed}", "unknown key"),
    ],
)
def test_mistakes_of_plots(new, printed, tmp_path):
    with pytest.raises(UserError) as caught:
        study(tmp_path, PLOTS.replace("{x: head, metric: val/loss}", new))
    assert printed in str(caught.value)
    assert caught.value.line == 11


@pytest.mark.parametrize(
    ("level", "number"),
    [("0.1", 0.1), ("10 %", 10), ("8k", 8000), ("1e-3", 1e-3), ("-2", -2), ("bpe_8k", None)],
)
def test_levels_that_are_numbers(level, number):
    assert number_in(level) == number
