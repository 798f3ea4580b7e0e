"""Help and completion list what there is, the user's own included."""

import pytest

from lushan.config import usage
from lushan.config.compose import Composer
from lushan.config.folders import built_in_conf
from lushan.config.override_completion import query

MINE = "# mine\n_target_: lushan.models.encoders.pretrained\npath: x\n"
CONF = built_in_conf()


def listed(text):
    """Group to options, as the help has them."""
    groups, last = {}, None
    for line in text.partition("Groups")[2].splitlines()[1:]:
        names = line.strip()
        if not line.startswith("    "):
            last, _, names = names.partition(" ")
            groups[last] = []
        groups[last] += [name.strip() for name in names.split(",") if name.strip()]
    return groups


def test_help_lists_every_file_as_an_option():
    groups = listed(usage.text())
    for file in CONF.glob("*/**/*.yaml"):
        path = file.relative_to(CONF).with_suffix("").as_posix()
        assert any(f"{g}/{o}" == path for g, options in groups.items() for o in options), path
    every = [f"{group}/{option}" for group, options in groups.items() for option in options]
    assert [path for path in every if not (CONF / f"{path}.yaml").is_file()] == []
    assert groups["task/head"] == ["crf", "linear", "mlp"]
    assert "ner/wnut17" in groups["experiment"]
    assert "targets" not in str(groups)
    assert all(len(line) <= 100 for line in usage.text().splitlines())


def test_help_lists_the_users_own(write):
    write("model/zz_mine.yaml", MINE)
    write("experiment/paper/table1.yaml", "# @package _global_\n# the table\n")
    write("ablation/off.yaml", "# nothing\n{}\n")
    write("targets.yaml", "- mine.\n")
    groups = listed(usage.text())
    assert {"zz_mine", "bert_tiny"} <= set(groups["model"])
    assert {"paper/table1", "sample/ner"} <= set(groups["experiment"])
    assert groups["ablation"] == ["off"]


def queried(line):
    return query(Composer(), "train", line)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lushan train model=bert_t", ["model=bert_tiny"]),
        ("lushan train task/he", ["task/head="]),
        ("lushan train task/head=c", ["task/head=crf"]),
        ("lushan train model=minilm task/head=l", ["task/head=linear"]),
        ("lushan train hydra/launcher=f", ["hydra/launcher=fork"]),
        ("  lushan   train   model=bert_t", ["model=bert_tiny"]),
        ("lushan train exp", ["experiment="]),
        ("lushan train experiment=", ["experiment=ner/wnut17", "experiment=sample/ner"]),
        ("lushan train experiment=ner/wn", ["experiment=ner/wnut17"]),
        ("lushan train optimizer.layer", ["optimizer.layer_decay="]),
        ("lushan train optimizer.lr", ["optimizer.lr="]),
        ("lushan train no_such_thing=x model=bert_t", ["model=bert_tiny"]),
        ("lushan train model=nope opt", []),
    ],
)
def test_how_a_word_goes_on(line, expected):
    found = queried(line)
    assert set(expected) <= set(found)
    assert all(way.startswith(line.split()[-1]) for way in found)


def test_an_empty_word_has_all_groups():
    found = set(queried("lushan train "))
    assert {"model=", "experiment=", "task/head=", "optimizer.", "seed="} <= found
    assert "experiment/" not in found


def test_completion_knows_the_users_own(write):
    write("model/zz_mine.yaml", MINE)
    assert queried("lushan train model=zz") == ["model=zz_mine"]
