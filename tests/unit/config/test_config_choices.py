"""What is written where a group's option is meant leads to that option."""

from __future__ import annotations

import re
import shlex

import pytest

from lushan.config import provenance, usage
from lushan.config.check import check
from lushan.config.choices import OTHERS, suggested_for
from lushan.config.compose import Composer, compose
from lushan.config.search_path import conf_folders
from lushan.errors import UserError

GROUPS = usage.options_by_group(conf_folders())
CHOSEN = ["optimizer", "scheduler", "model", "task", "processor", "trainer", "data"]


def hint(*overrides):
    with pytest.raises(UserError) as caught:
        check(compose(overrides))
    return caught.value.hint


@pytest.mark.parametrize("group", CHOSEN)
@pytest.mark.parametrize("key", ["name", "type"])
def test_a_key_that_only_names_an_option(group, key):
    option = GROUPS[group][0]
    assert hint(f"{group}.{key}={option}") == f"Write {group}={option}."
    assert f"Did you mean {group}={option}?" in hint(f"{group}.{key}={option.upper()}")


@pytest.mark.parametrize("group", [*CHOSEN, "callbacks", "logger", "peft", "task/head"])
def test_an_option_spelt_otherwise(group):
    for option in GROUPS[group]:
        changed = option.upper().replace("_", "-"), option.title().replace("_", "")
        for name in {*changed} - set(GROUPS[group]):
            assert suggested_for(group, name, GROUPS[group], lambda _: ()) == f"{group}={option}"
    assert f"Did you mean {group}={option}?" in hint(f"{group}={option.upper()}")


@pytest.mark.slow
def test_what_others_call_an_option():
    for group, ways in OTHERS.items():
        for written, names in ways.items():
            first, *rest = written.split()
            assert first.partition("=")[2] in (*GROUPS[group], "null")
            compose([first, *rest])
            for name in names:
                assert suggested_for(group, name, GROUPS[group], lambda _: ()) == written
            assert f"Did you mean {written}?" in hint(f"{group}={names[0]}")


@pytest.mark.parametrize(
    ("overrides", "written"),
    [
        (["model=bert_base", "model.path=some/model"], "model=pretrained model.path=some/model"),
        (["model.path=a b"], "model=pretrained 'model.path=a b'"),
        (["processor=bpe", "processor.path=x"], "processor=pretrained processor.path=x"),
        (["model.name=bert-base-uncased"], "model=pretrained model.path=bert-base-uncased"),
        (["task=crf"], "task/head=crf"),
        (["task.head.name=crf"], "task/head=crf"),
        (["optimizer=adamw_torch"], "optimizer=adamw"),
        (["scheduler=warmup_stable_decay"], "scheduler=wsd"),
    ],
)
def test_what_is_meant(overrides, written):
    found = hint(*overrides)
    assert written in found
    compose(shlex.split(written))


@pytest.mark.parametrize("override", ["task=", "task=xx", "task=null"])
def test_heads_are_not_listed_as_tasks(override):
    listed = re.search(r"There are: (.*)\.", hint(override))[1].split(", ")
    assert listed == GROUPS["task"]
    assert provenance.own_options_of(Composer(), "experiment") == provenance.options_of(
        Composer(), "experiment"
    )
