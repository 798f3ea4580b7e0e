"""What can be configured, and what is there: `options`, `explain`, `train ... --help`, `doctor`."""

import json
import re

import pytest

import lushan
from lushan.cli import doctor
from lushan.common import extras
from lushan.config import reference
from lushan.config.search_path import conf_folders
from lushan.config.signatures import signature
from lushan.config.usage import options_by_group

OPTIONS = [
    (group, name)
    for group, names in options_by_group(conf_folders()).items()
    for name in names
    if not group.startswith("hydra")
]
THEIRS = ("transformers.", "peft.")
"""Classes of configs whose arguments are partly documented there, or nowhere."""
TARGET = re.compile(r"^ *_target_: (lushan\.\S+)", re.MULTILINE)


@pytest.mark.slow(1)
def test_each_option_has_a_summary():
    assert not [f"{g}/{n}" for g, n in OPTIONS if not reference.summary(reference.file_of(g, n))]


@pytest.mark.slow(1)
def test_each_argument_of_ours_is_documented():
    files = [reference.file_of(group, name) for group, name in OPTIONS]
    targets = {name for file in files for name in TARGET.findall(file.read_text("utf-8"))}
    assert "lushan.tasks.ner.NER" in targets
    lacking = []
    for name in sorted(targets):
        if any(base.startswith(THEIRS) for base in signature(name).identity.bases):
            continue
        parameters = signature(name).parameters.values()
        lacking += [f"{name}({p.name})" for p in parameters if not p.late and not p.meaning]
    assert lacking == []


def test_groups_their_options_and_their_arguments(cli_inside):
    assert "task/head: crf, linear, mlp" in cli_inside("options").out
    listed = cli_inside("options", "scheduler")
    assert re.search(r"^cosine +Warm-up, then cosine decay\.$", listed.out, re.M)
    shown = cli_inside("options", "optimizer/adamw").out
    assert (
        "optimizer.lr  = 5e-05  (a number, 0 or more)\n    Learning rate of the encoder's" in shown
    )
    assert cli_inside("train", "optimizer=adamw", "--help").out == shown
    inner = cli_inside("options", "task/head/crf", "--json")
    assert json.loads(inner.out)["arguments"][0]["key"] == "task.head.dropout"
    assert "override /model: bert_tiny" in cli_inside("options", "experiment/sample/ner").out


@pytest.mark.slow(1)
def test_every_key_of_a_config_is_explained_also_those_that_hold_others(cli_inside):
    config = lushan.compose(["experiment=sample/ner", "model=bert_tiny"])
    holders = [name for name in config if name != "resolved"]
    holders += ["task.head", "task/head", "model.config", "paths"]
    for key in holders:
        done = cli_inside("explain", key, "experiment=sample/ner", "model=bert_tiny", "--json")
        assert done.code == 0, (key, done.err)
        found = json.loads(done.out)
        group = key.replace(".", "/")
        if group in config.choices:
            chosen = config.choices[group]
            assert (found["key"], found["value"]) == (group, chosen)
            assert chosen in [*found["options"], None]
            assert found["options"]
    assert "task/head=crf" in cli_inside("explain", "task.head", "experiment=sample/ner").out


def test_a_key_is_explained(cli_inside):
    lines = cli_inside("explain", "optimizer.lr").out.splitlines()
    assert lines[0] == "optimizer.lr"
    assert lines[1].startswith("  value    5e-05   ")
    assert "adamw.yaml:6" in lines[1]
    assert lines[-1] == "  example  lushan train optimizer.lr=0.0001"
    chosen = json.loads(cli_inside("explain", "seed", "seed=3", "--json").out)
    assert (chosen["value"], chosen["place"]) == (3, "command line")
    assert "of all chance" in cli_inside("explain", "seed").out
    limit = cli_inside("explain", "data.max_length").out
    assert "by default" in limit
    assert "a whole number" in limit


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["options", "optimiser"], "unknown group"),
        (["options", "optimizer/adamww"], "Did you mean 'adamw'?"),
        (["explain", "optimizer.lrr"], "Did you mean 'optimizer.lr'?"),
        (["explain", "task.hed", "task=ner"], "Did you mean 'task.head'?"),
        (["explain", "optimizer.lr=3"], "this is an override, not a key"),
        (["explain", "optimizer.lr", "optimizer=adamm"], "adamm"),
    ],
)
def test_a_wrong_name_is_an_error(cli_inside, arguments, says):
    done = cli_inside(*arguments)
    assert done.code == 2
    assert says in done.err


@pytest.mark.slow(1)
def test_examples_of_keys_compose():
    from lushan.config.check import check
    from lushan.config.compose import compose

    for key in ("optimizer.lr", "trainer.max_epochs", "seed", "task.scheme", "data.max_length"):
        one, _ = reference.argument(key)
        if "VALUE" not in one.example:
            assert check(compose([one.example]))


def test_the_doctor_names_what_is_there(cli_inside):
    found = json.loads(cli_inside("doctor", "--offline", "--json").out)
    assert found["hosts"] == {}
    assert "torch" in found["versions"]
    assert found["extras"]["serve"] == "there"
    assert "precision" in found["machine"]


def test_the_doctor_misses_nothing_that_only_developers_of_the_package_need(monkeypatch):
    lines = ["torch", *(f'nothing; extra == "{name}"' for name in ("dev", "dev-docs", "devices"))]
    monkeypatch.setattr(extras.metadata, "requires", lambda _: lines)
    extras.packages.cache_clear()
    monkeypatch.setattr(extras, "packages", extras.packages.__wrapped__)
    assert doctor.extras() == {"devices": "pip install 'lushan[devices]': nothing missing"}


def test_the_doctor_waits_for_no_network(cli_inside, monkeypatch):
    import socket

    def refused(*_args, **_kwargs):
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refused)
    assert "not reached: Network is unreachable" in cli_inside("doctor").out
