"""The group `peft`: one option or none, and what may be set of it."""

import pytest
from tests.helpers.configs import refusal

from lushan.config.check import check
from lushan.config.compose import compose


def chosen(*overrides):
    return check(compose(overrides))["peft"]


def test_none_is_chosen_by_default():
    assert chosen() is None
    assert chosen("peft=null") is None
    assert chosen("peft=lora", "peft=null") is None


def test_a_preset_that_chooses_one_can_be_done_without(tmp_path, monkeypatch):
    folder = tmp_path / "conf" / "experiment"
    folder.mkdir(parents=True)
    text = "# @package _global_\ndefaults: [{override /peft: lora}]\nname: mine\n"
    (folder / "mine.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert chosen("experiment=mine")["config"]["_target_"] == "peft.LoraConfig"
    assert chosen("experiment=mine", "peft=null") is None
    assert chosen("experiment=mine", "peft=dora")["config"]["use_dora"] is True


def test_whatever_peft_takes_can_be_set():
    node = chosen("peft=lora", "peft.config.target_modules=[query,key]", "peft.config.bias=all")
    assert node["config"]["target_modules"] == ["query", "key"]
    assert chosen("peft=adalora", "peft.config.tinit=5")["config"]["tinit"] == 5
    assert chosen("peft=qlora", "peft.quantize.double=false")["quantize"]["double"] is False


@pytest.mark.parametrize(
    ("overrides", "key", "printed"),
    [
        (["peft=lorra"], "peft", "Did you mean peft=lora?"),
        (["peft=lora", "peft.config.rank=3"], "peft.config.rank", "unknown key"),
        (["peft=lora", "peft.config.r=x"], "peft.config.r", "a whole number"),
        (
            ["peft=lora", "peft.config.task_type=CAUSAL_LM"],
            "peft.config.task_type",
            "the run sets",
        ),
        (["peft=adalora", "peft.config.total_step=5"], "peft.config.total_step", "the run sets"),
        (["peft=bottleneck", "peft.config.activation=geluu"], "peft.config.activation", "'gelu'"),
        (["peft=lora", "peft.config=3"], "peft.config", "a mapping with a _target_"),
        (["peft=lora", "peft.encoder=3"], "peft.encoder", "the run sets"),
        (
            ["peft=lora", "peft.config._target_=torch.load"],
            "peft.config._target_",
            "not allowed",
        ),
    ],
)
def test_mistakes(overrides, key, printed):
    error = refusal(*overrides)
    assert error.key == key
    assert printed in str(error)
