"""What `lushan runs` says."""

import datetime
import json

import pytest

from lushan.errors import UserError
from lushan.run import listing, listing_table, values, where
from lushan.run.folder import RunFolder
from lushan.run.identity import ABSENT


def test_states_differences_and_metrics(carried_out, config, tmp_path):
    carried_out(0.5)
    carried_out(0.75, seed=2)
    half = RunFolder.of(config | {"seed": 3})
    with half.locked():
        half.start(config | {"seed": 3}, choices={"task/head": "crf"})
    found = listing.list_runs(tmp_path)
    assert [run.state for run in found] == ["complete", "complete", "interrupted"]
    assert [dict(run.differs) for run in found] == [
        {"task/head": "linear", "seed": 1},
        {"task/head": "linear", "seed": 2},
        {"task/head": "crf", "seed": 3},
    ]
    assert (found[1].metric, found[1].value, found[1].interval) == (
        "test/entity_f1",
        0.75,
        [0.65, 0.85],
    )
    assert found[2].reason == "ended without a result"
    text = listing_table.to_text(found, tmp_path)
    assert "75.00 %  65.00 to 85.00" in text
    assert text.splitlines()[-1].endswith("interrupted, ended without a result")
    read = json.loads(listing.to_json(found))
    assert read[1]["differs"] == {"task/head": "linear", "seed": 2}
    assert read[1]["value"] == 0.75


def test_what_lies_inside_a_run_or_is_hidden_is_no_run(carried_out, tmp_path):
    folder = carried_out()
    for inner in (folder.path / "checkpoints", tmp_path / "outputs" / ".sweeps"):
        inner.mkdir()
        (inner / "run.json").write_text("{}")
    assert list(listing.folders(tmp_path)) == [folder.path]
    assert list(listing.folders(folder.path)) == [folder.path]


def test_a_run_that_lost_its_record_is_listed_by_its_result(carried_out, tmp_path):
    folder = carried_out()
    folder.run_json.unlink()
    (run,) = listing.list_runs(tmp_path)
    assert (run.state, run.name, run.value) == ("complete", "mine", 0.5)
    folder.result_json.write_text("{")
    (run,) = listing.list_runs(tmp_path)
    assert (run.state, run.value) == ("failed", None)
    assert "its result.json is damaged" in run.reason


def test_no_runs_and_no_folder(tmp_path):
    assert listing_table.to_text(listing.list_runs(tmp_path), tmp_path).startswith(
        "There are no runs"
    )
    assert listing.to_json([]) == "[]"
    with pytest.raises(UserError, match="the folder does not exist"):
        listing.list_runs(tmp_path / "not there")


def test_a_group_stands_for_the_keys_that_differ_with_it():
    configs = [
        {"model": {"size": 1, "name": "a"}, "lr": 1},
        {"model": {"size": 2, "name": "b"}, "lr": 1},
    ]
    choices = [{"model": "small"}, {"model": "big"}]
    assert listing.differing(configs, choices) == ["model"]
    configs.append({"model": {"size": 3, "name": "b"}, "lr": 1})
    assert listing.differing(configs, [*choices, {"model": "big"}]) == ["model", "model.size"]


KEYS = ("model", "task/head", "optimizer", "optimizer.lr", "lr", "seed")


def test_groups_come_before_keys_and_give_way_after_them():
    found = []
    for number, model in enumerate(("pretrained_bert", "llama_tiny", "qwen2_tiny")):
        differs = {"seed": number, "optimizer": f"o{number}", "optimizer.lr": number / 10}
        differs |= {"task/head": "crf" if number else "linear", "model": model}
        choices = {"optimizer": f"o{number}", "task/head": differs["task/head"], "model": model}
        facts = where.Facts({"state": "complete", "run": f"run{number}"}, {}, choices)
        found.append(listing.Listed(f"run{number}", "n", "complete", differs=differs, facts=facts))
    shown = []
    for width in range(120, 40, -1):
        lines = listing_table.to_text(found, ".", width=width).splitlines()
        heads = [head for head in lines[0].split() if head in KEYS]
        if heads not in shown:
            shown.append(heads)
    groups = ["model", "task/head"]
    assert shown == [
        [*groups, "optimizer", "optimizer.lr", "seed"],
        [*groups, "optimizer", "lr", "seed"],
        [*groups, "lr", "seed"],
        [*groups, "lr"],
        groups,
        ["model", "lr"],
        ["model"],
        ["task/head", "lr"],  # the models are too wide
        ["task/head"],
    ]


def test_a_key_and_a_group_have_one_value():
    config = {"task": {"head": {"_target_": "lushan.models.heads.CRF"}}, "model": {"a": 1}}
    choices = {"task/head": "crf", "debug": None}
    for name in ("task/head", "task.head"):
        assert values.value_of(name, config, choices) == "crf"
    assert values.value_of("model.a", config, choices) == 1
    assert values.value_of("debug", config, choices) is ABSENT


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (ABSENT, "-"),
        (None, "-"),
        (True, "true"),
        (3e-5, "3e-05"),
        (0.1, "0.1"),
        ("bert", "bert"),
        ([1, "a"], '[1, "a"]'),
        ({"_target_": "lushan.optim.linear"}, "linear"),
        ({"a": 1}, '{"a": 1}'),
    ],
)
def test_values_as_a_person_writes_them(value, text):
    assert values.show(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(5, "5 s"), (125, "2 min"), (7300, "2 h"), (200_000, "2 d"), (-3, "0 s")]
)
def test_age(seconds, text):
    now = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    started = (now - datetime.timedelta(seconds=seconds)).isoformat()
    assert listing.age(started, now) == text
    assert listing.age(None) == ""
