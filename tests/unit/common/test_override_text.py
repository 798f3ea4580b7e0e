"""Overrides in any script: what Hydra's grammar has no letters for is quoted."""

import pytest
from omegaconf import OmegaConf

from lushan.common.override_text import quoted
from lushan.config.compose import Composer, compose
from lushan.config.override import overridden


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("data.train=工单.csv", "工单.csv"),
        ("data.train=我的 项目/数据.csv", "我的 项目/数据.csv"),
        ("data.text=[标题,内容, b]", ["标题", "内容", "b"]),
        ("data.text=[ 标题 , \"a,b\", 'ü']", ["标题", "a,b", "ü"]),
        ("x={a: 标题, b: [é, 1, null]}", {"a": "标题", "b": ["é", 1, None]}),
        ('x="工单, {a}"', "工单, {a}"),
        ("x='它''", None),
        ("x=“引号”", "“引号”"),
        ("x=plain", "plain"),
        ("x=工\\,单", None),
        ("x=${工}", None),
    ],
)
def test_text_outside_ascii_needs_no_quotation_marks(line, value):
    if value is None:  # Hydra's own affair
        assert quoted(line) == line
    else:
        (parsed,) = Composer.parse([line])
        assert parsed.value() == value


def test_several_are_a_sweep():
    (parsed,) = Composer.parse(["name=甲,乙 丙"])
    assert parsed.is_sweep_override()
    assert list(parsed.sweep_string_iterator()) == ['"甲"', '"乙 丙"']


def test_a_preset_has_a_name_in_any_script(tmp_path):
    (tmp_path / "experiment").mkdir()
    (tmp_path / "experiment" / "测试.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /task: ner\nname: 山\n", encoding="utf-8"
    )
    assert compose(["experiment=测试"], config_dir=str(tmp_path)).name == "山"


def test_a_trained_run_reads_another_file():
    cfg = compose(["experiment=sample/ner", "data=conll", "data.train=训练.conll"])
    whole = OmegaConf.to_container(cfg, resolve=True)
    assert (
        overridden(whole, ["data.test=测试.conll"], groups=["data"])["data"]["test"] == "测试.conll"
    )
