"""A study's runs have the configs of the commands that would train each alone."""

import json

import pytest

from lushan.config.check import check
from lushan.config.compose import compose
from lushan.errors import UserError
from lushan.study import plan
from lushan.study.study import read

SMALL = ["experiment=sample/ner", "model=bert_tiny", "trainer=cpu"]
BASE = [*SMALL, "name='x${seed}'"]


def study(folder, seeds, base=BASE, limit="${seed}"):
    rates = {"low": ["optimizer.lr=1e-4"], "high": [f"data.limit={limit}"]}
    lines = {"title": "Rates", "base": base, "axes": {"rate": rates}, "seeds": seeds}
    file = folder / "study.yaml"
    file.write_text(json.dumps(lines | {"tables": [{"rows": ["rate"]}]}))
    return read(file)


@pytest.mark.slow(1)
def test_each_config_is_as_if_composed_alone_and_a_cell_is_composed_once(tmp_path, monkeypatch):
    composed = []

    def watched(lines, **options):
        composed.append(lines[-1])
        return compose(lines, **options)

    monkeypatch.setattr(plan, "compose", watched)
    runs = plan.plan(study(tmp_path, [3, 1, 2])).runs
    assert composed == ["seed=3"] * 2
    assert [run.config["seed"] for run in runs] == [3, 1, 2] * 2
    assert [run.config["name"] for run in runs] == ["x3", "x1", "x2"] * 2
    assert [run.config["data"].get("limit") for run in runs[3:]] == [3, 1, 2]
    for run in runs:
        assert run.overrides[-1] == f"seed={run.config['seed']}"
        assert run.config == check(compose(run.overrides))
    assert len({run.folder.path for run in runs}) == 6


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    ("base", "limit", "times"),
    [
        (SMALL, "5", 2),
        (SMALL, "${seed}", 4),
        (BASE, "5", 6),
        ([*SMALL, "name='x${${tags.0}}'", "tags=[seed]"], "5", 6),
    ],
)
def test_seeds_that_no_other_key_names_are_checked_once_a_cell(
    tmp_path, monkeypatch, base, limit, times
):
    checked = []

    def watched(cfg):
        checked.append(cfg.seed)
        return check(cfg)

    monkeypatch.setattr(plan, "check", watched)
    runs = plan.plan(study(tmp_path, [3, 1, 2], base, limit)).runs
    assert len(checked) == times
    for run in runs:
        assert run.config == check(compose(run.overrides))
    runs[0].config["task"]["head"] = "changed"  # nobody does, and nobody else's would change
    assert runs[1].config["task"]["head"] != "changed"


def test_a_seed_that_cannot_be_is_reported_with_its_own_place(tmp_path):
    with pytest.raises(UserError) as raised:
        plan.plan(study(tmp_path, [1, 2**63]))
    assert raised.value.key == "seed"
    assert raised.value.value == 2**63
    assert f"seed={2**63}" in str(raised.value.hint)
    assert raised.value.file == str(tmp_path / "study.yaml")
