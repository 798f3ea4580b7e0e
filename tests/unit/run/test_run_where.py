"""Choosing among runs: conditions, order, columns, and a table that fits the terminal."""

from __future__ import annotations

import json

import pytest

from lushan.common import units
from lushan.common.units import SHARE
from lushan.errors import UserError
from lushan.run import columns, listing, listing_table, where
from lushan.run.columns import display_width
from lushan.run.identity import ABSENT

LONG = "/a/very/long/path/to/some/data/of/mine/train.part.conll"


@pytest.fixture
def several(carried_out, tmp_path):
    """Six runs, the latest last."""
    for seed in (1, 2, 3):
        for lr in (1e-5, 3e-5):
            carried_out(seed / 10 + lr * 1e3, seed=seed, optimizer={"lr": lr})
    return tmp_path


def found(root, *conditions, **options):
    return listing.list_runs(root, where=where.parse(conditions), **options)


@pytest.mark.parametrize(
    ("conditions", "count"),
    [
        (["seed=1"], 2),
        (["seed!=1"], 4),
        (["seed=1", "optimizer.lr=3e-5"], 1),
        (["optimizer.lr=0.00003"], 3),
        (["optimizer.lr>1e-5"], 3),
        (["optimizer.lr >= 0.00001"], 6),
        (["seed<2"], 2),
        (["seed<=2"], 4),
        (["task.head=linear"], 6),
        (["task/head=lin*"], 6),
        (["task.head!=l?n*"], 0),
        (["state=complete"], 6),
        (["name=mine"], 6),
        (["test/entity_f1>0.2"], 4),
        (["entity_f1>0.2"], 4),
        (["val/entity_f1>0.3", "seed=2"], 2),
        (["value>=0.31"], 2),
        # A share as tables print it, and as files hold it.
        (["test/entity_f1>20%"], 4),
        (["test/entity_f1>20"], 4),
        (["test/entity_f1 >= 20 %"], 4),
        (["entity_f1>20%"], 4),
        (["val/entity_f1>30", "seed=2"], 2),
        (["value>=31%"], 2),
        (["value=11.00"], 1),
        (["value=11%"], 1),
        (["value!=11%"], 5),
        (["test/loss>0.5"], 6),
        (["test/loss>50"], 0),
        (["trainer.max_epochs=3"], 6),
        (["tags=[]"], 6),
    ],
)
def test_conditions(several, conditions, count):
    assert len(found(several, *conditions)) == count


@pytest.mark.parametrize(
    ("value", "condition", "holds"),
    [
        (None, "k=null", True),
        (None, "k!=null", False),
        (True, "k=true", True),
        (True, "k=True", True),
        (True, "k=1", False),
        (1, "k=1.0", True),
        ("a*b", "k=a*b", True),
        ("axb", "k=a*b", True),
        ("[1]", "k=[1]", True),
        ([1, "a"], 'k=[1, "a"]', True),
        ("a=b", "k=a=b", True),
        (ABSENT, "k=x", False),
        (ABSENT, "k!=x", True),
        (ABSENT, "k>1", False),
        (None, "k<1", False),
        (float("nan"), "k<1", False),
        (float("nan"), "k>=1", False),
        ("text", "k>1", False),
        ("3", "k>2", True),
    ],
)
def test_what_fits(value, condition, holds):
    (parsed,) = where.parse([condition])
    assert parsed.key == "k"
    assert parsed.holds(value) is holds


@pytest.mark.parametrize("condition", ["test/loss>50%", "seed>=1%"])
def test_percent_of_what_is_no_share(several, condition):
    with pytest.raises(UserError, match="is not a share") as caught:
        found(several, condition)
    assert caught.value.key == "--where"


@pytest.mark.parametrize("percent", [50, 57, 86.51, 0.29])
def test_a_value_is_not_less_than_itself_in_percent(percent):
    for condition in (f"f1>={percent}%", f"f1<={percent}%", f"f1={percent}%"):
        (parsed,) = where.parse([condition])
        assert parsed.holds(percent / 100, SHARE)


@pytest.mark.parametrize("text", ["seed", "", "=1", "seed>", "seed>=many", "a b=1", "f1>=%"])
def test_what_is_no_condition(text):
    with pytest.raises(UserError) as caught:
        where.parse([text])
    assert (caught.value.key, caught.value.value) == ("--where", text)
    assert "Write" in caught.value.hint


def test_keys_that_no_run_has(several):
    for options, key in (
        ({"conditions": ["optimiser.lr=1"]}, "--where"),
        ({"sort": "optimiser.lr"}, "--sort"),
    ):
        with pytest.raises(UserError) as caught:
            found(several, *options.pop("conditions", []), **options)
        assert caught.value.key == key
        assert "optimizer.lr" in caught.value.hint
    with pytest.raises(UserError) as caught:
        found(several, "lr=1")
    assert "'optimizer.lr'" in caught.value.hint
    with pytest.raises(UserError) as caught:
        found(several, columns=["age", "optimiser.lr"])
    assert caught.value.key == "--columns"


def test_order_and_end(several, config):
    assert [run.facts.get("seed") for run in found(several)] == [1, 1, 2, 2, 3, 3]
    best = found(several, sort="-value", last=6)
    assert [run.value for run in best] == sorted((run.value for run in best), reverse=True)
    assert [run.facts.get("seed") for run in found(several, sort="-seed", last=2)] == [1, 1]
    assert [run.facts.get("seed") for run in found(several, sort="entity_f1", last=1)] == [3]
    assert len(found(several, last=100)) == 6
    half = listing.RunFolder.of(config | {"seed": 9})
    with half.locked():
        half.start(config | {"seed": 9})
    for sort in ("value", "-value"):
        assert found(several, sort=sort)[0].state == "interrupted"
    (alone,) = found(several, "seed=9", columns=["test/loss"])
    assert listing_table.to_text([alone], several, columns=["test/loss", "seed"]).split()[2:4] == [
        "-",
        "9",
    ]


def test_only_those_chosen_say_what_differs(several):
    assert list(found(several)[0].differs) == ["seed", "optimizer.lr"]
    assert list(found(several, "seed=1")[0].differs) == ["optimizer.lr"]


def test_columns(several):
    runs = found(several, "seed=1")
    text = listing_table.to_text(
        runs, several, columns=["id", "optimizer.lr", "test/loss", "value"]
    )
    head, first, _ = text.splitlines()
    assert head.split() == ["id", "optimizer.lr", "test/loss", "value"]
    assert first.split() == [runs[0].facts.get("id"), "1e-05", "0.8900", "11.00", "%"]
    read = json.loads(listing.to_json(runs, ["optimizer.lr", "test/loss"]))
    assert read[0]["columns"] == {"optimizer.lr": 1e-05, "test/loss": 0.89}
    assert "facts" not in read[0]


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_a_table_as_wide_as_the_terminal(carried_out, config, tmp_path, width):
    for seed in range(1, 7):
        many = {f"option_{i}": i * seed if i < seed else 0 for i in range(20)}
        data = config["data"] | {"train": f"{LONG}{seed}", "note": "长" * 40 * seed}
        carried_out(seed / 10, seed=seed, data=data, optimizer=many)
    half = listing.RunFolder.of(config)
    with half.locked():
        half.start(config)
        half.interrupt("a reason of many words " * 20)
    runs = listing.list_runs(tmp_path)
    for run in runs:  # as they are named from a working folder
        object.__setattr__(run, "folder", f"outputs/mine/{run.folder[-10:]}")
        run.facts.own["run"] = run.folder
    lines = listing_table.to_text(runs, tmp_path, width=width).splitlines()
    assert max(map(display_width, lines)) <= width
    shown = " ".join(line.strip() for line in lines)
    assert "not shown: " in shown
    assert "--columns all" in shown
    assert "seed" in lines[0].split()  # in it every run differs
    assert "test/entity_f1" in lines[0] + lines[1]  # no value without its name
    assert all(units.text(run.value, run.measure) in shown for run in runs if run.value is not None)
    assert all(run.folder in shown for run in runs)
    assert max(map(display_width, listing_table.to_text(runs, tmp_path).splitlines())) > 499


def test_what_fits_is_shown_whole(several):
    runs = found(several)
    assert listing_table.to_text(runs, several, width=1000) == listing_table.to_text(runs, several)
    narrow = listing_table.to_text(runs, several, width=30).splitlines()
    assert len({line.split()[1] for line in narrow[1:7]}) == 6


@pytest.mark.parametrize(
    ("text", "longest", "short"),
    [
        ("abcdef", 6, "abcdef"),
        ("abcdefg", 5, "ab…fg"),
        ("长长长长", 5, "长…长"),
        ("/a/b/c.conll", 8, "/a/b…nll"),
    ],
)
def test_the_middle_gives_way(text, longest, short):
    assert columns.shortened(text, longest) == short
    assert display_width(columns.shortened(text, longest)) <= longest
