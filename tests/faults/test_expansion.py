"""Configs whose interpolations expand to more than any machine holds, and that have no end."""

from __future__ import annotations

import pytest

from lushan.config import expansion
from lushan.errors import UserError

pytestmark = [pytest.mark.fault(66), pytest.mark.timeout(60)]

TEN = range(1, 11)
BOMBS = {
    "text": {"a0": "x" * 10, **{f"a{i}": f"${{a{i - 1}}}" * 10 for i in TEN}},
    "lists": {"a0": ["x"] * 10, **{f"a{i}": [f"${{a{i - 1}}}"] * 10 for i in TEN}},
    "mappings": {
        "a0": {"x": 1},
        **{f"a{i}": {f"k{j}": f"${{a{i - 1}}}" for j in range(10)} for i in TEN},
    },
    "relative": {"b": {"a0": "x", **{f"a{i}": f"${{.a{i - 1}}}" * 10 for i in TEN}}},
    "above": {
        "a0": {"b": "x" * 10},
        **{f"a{i}": {"b": f"${{..a{i - 1}.b}}" * 10} for i in TEN},
    },
    "resolvers": {"a0": "x" * 10, **{f"a{i}": f"${{oc.select:a{i - 1}}}" * 10 for i in TEN}},
    "defaults": {"a0": "x" * 10, **{f"a{i}": f"${{oc.env:NO,${{a{i - 1}}}}}" * 10 for i in TEN}},
    "dynamic": {
        "a0": "x" * 10,
        **{f"n{i}": str(i) for i in range(11)},
        **{f"a{i}": f"${{a${{n{i - 1}}}}}" * 10 for i in TEN},
    },
    "brackets": {"b": {"a0": "x" * 10, **{f"a{i}": f"${{b[a{i - 1}]}}" * 10 for i in TEN}}},
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_interpolations_stand_for_is_bounded(name):
    with pytest.raises(UserError, match="expand to more than 1,000,000 characters"):
        expansion.require_bounded(BOMBS[name])


def test_what_is_long_and_named_seldom_is_read():
    expansion.require_bounded({"a": "x" * 400_000, "b": "${a}", "c": "${a}", "d": ["x"] * 200_000})


def test_what_names_itself_is_left_to_the_resolver():
    expansion.require_bounded({"a": "${b}", "b": "${a}", "c": "${c}", "d": "${hydra:}"})


@pytest.mark.parametrize("where", ["a file", "an override"])
def test_such_a_config_is_refused(where, cli_inside, tmp_path):
    bomb = {f"a{i}": f"'{f'${{data.a{i - 1}}}' * 10}'" for i in TEN}
    if where == "a file":
        folder = tmp_path / "conf/experiment"
        folder.mkdir(parents=True)
        lines = ["# @package _global_", "defaults: [sample/ner]", "data:", "  a0: xxxxxxxxxx"]
        lines += [f"  {key}: {value}" for key, value in bomb.items()]
        (folder / "bomb.yaml").write_text("\n".join(lines))
        done = cli_inside("train", "experiment=bomb")
    else:
        more = ["+data.a0=xxxxxxxxxx"]
        more += [f"+data.a{i}='{f'${{data.a{i - 1}}}' * 10}'" for i in TEN]
        done = cli_inside("train", "experiment=sample/ner", *more)
    assert done.code == 2, done.err
    assert "its interpolations expand to more" in done.err


def test_defaults_that_name_themselves_are_refused(cli_inside, tmp_path):
    folder = tmp_path / "conf/experiment"
    folder.mkdir(parents=True)
    (folder / "loop.yaml").write_text("# @package _global_\ndefaults: [loop]\n")
    done = cli_inside("train", "experiment=loop")
    assert done.code == 2, done.err
    assert "includes itself in its defaults" in done.err
