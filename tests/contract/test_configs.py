"""What every file of `conf/` owes: a new one falls under this by itself."""

import functools

import pytest
from omegaconf import OmegaConf

from lushan.config.allow_list import locate, nodes
from lushan.config.check import check
from lushan.config.compose import Composer, compose
from lushan.config.folders import PRIMARY, built_in_conf
from lushan.config.provenance import groups_of, options_of
from lushan.config.usage import options_by_group
from lushan.errors import UserError
from tests.helpers import quick

CONF = built_in_conf()
FILES = sorted(path.relative_to(CONF).as_posix() for path in CONF.rglob("*.yaml"))
OPTIONS = [(g, o) for g, options in options_by_group([CONF]).items() for o in options]

IDS = ["/".join(pair) for pair in OPTIONS]
FIRST = {group: (group, option) for group, option in reversed(OPTIONS)}.values()
"""An option of each group."""


def tasks_of(part):
    """The tasks that choose an option of a group below theirs."""
    for path in sorted((CONF / "task").glob("*.yaml")):
        if any(part in default for default in OmegaConf.load(path).get("defaults", [])):
            yield path.stem


@functools.cache
def composed(group, option):
    """The config with one option, and what must be set for it."""
    overrides = [f"{group}={option}"]
    if group == "hydra/launcher":
        if option not in options_of(Composer(), group):
            pytest.skip(f"the plugin of {group}={option} is not installed")
        if option != "fork":
            pytest.importorskip(f"hydra_plugins.hydra_{option.partition('_')[0]}_launcher")
    if group.startswith("hydra/sweeper") or group == "hparams_search":
        pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    if group.startswith("hydra/sweeper/"):
        overrides.insert(0, "hydra/sweeper=search")
    part = group.removeprefix("task/")
    if group.startswith("task/") and part not in compose()["task"]:
        overrides.insert(0, f"task={next(task for task in tasks_of(part))}")
    if group == "processor":
        of_model = option if option in ("pretrained", "e5_small") else "bert_tiny"
        overrides += [f"model={of_model}"]
        overrides.sort()  # the tokenizer after the model, which chooses one
    cfg = compose(overrides)
    # What a user must write: `data.dir=FOLDER`, `model.path=FOLDER`.
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        with pytest.raises(UserError, match="this must be set") as caught:
            check(cfg)
        assert caught.value.key in missing
        cfg = compose([*overrides, *(f"{key}=somewhere" for key in missing)])
    return cfg, check(cfg)


@pytest.mark.parametrize("file", FILES)
def test_a_file_says_first_what_it_is(file):
    first, second, *_ = [*(CONF / file).read_text(encoding="utf-8").splitlines(), ""]
    printed = second if first.startswith("# @package") else first
    assert printed.startswith("# ")
    assert len(printed) > len("# a")


@pytest.mark.parametrize("file", FILES)
def test_a_file_can_be_chosen(file):
    path = file.removesuffix(".yaml")
    assert path == PRIMARY or path in {f"{g}/{o}" for g, o in OPTIONS}


ELSEWHERE = ("experiment", "hparams_search", "debug", "paths")
"""Groups whose keys stand elsewhere than at their name, or are more than one file's."""


@pytest.mark.parametrize(("group", "option"), quick.only(FIRST, OPTIONS), ids=IDS)
def test_an_option_composes_and_fits(group, option):
    """And a group that another one chooses, too, has the option that was named last."""
    cfg, plain = composed(group, option)
    for key, node in nodes(plain):
        assert callable(locate(node["_target_"], key))
    if group in ELSEWHERE or group.startswith("hydra/"):
        return
    written = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{option}.yaml"))
    node = functools.reduce(lambda part, name: part[name], group.split("/"), cfg)
    for key, value in written.items():
        if key != "defaults" and not isinstance(value, dict) and "$" not in str(value):
            assert node[key] == ("somewhere" if value == "???" else value)


def test_every_group_has_a_default():
    cfg = compose()
    top = {group.partition("/")[0] for group in groups_of(Composer())} - set(ELSEWHERE)
    assert top <= set(cfg)


@pytest.mark.slow(6)
def test_a_preset_has_a_name_of_its_own():
    presets = [option for group, option in OPTIONS if group == "experiment"]
    names = [composed("experiment", preset)[1]["name"] for preset in presets]
    assert len({*names, compose()["name"]}) == len(presets) + 1
