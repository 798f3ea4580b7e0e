"""The learning-rate range test: real steps that leave nothing, and the rate that they suggest."""

import json

import numpy as np
import pytest
import torch
from tests.helpers import command

from lushan.config.build import source_of
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.engine import lr_page, lr_range
from lushan.engine.components import build_components
from lushan.engine.fit import batching_of, plan_of
from lushan.engine.limits import TrainLimits
from lushan.engine.trial_steps import try_steps
from lushan.errors import UserError

RATES = np.geomspace(1e-7, 10, 100)


def small(folder, *more):
    places = [f"paths.output_dir={folder}/outputs", f"paths.cache_dir={folder}/cache"]
    return check(compose([*command.SMALL, "data.limit=24", *places, *more]))


def points(losses):
    return lr_range.smooth(RATES.tolist(), list(losses))


def test_the_steepest_descent_is_suggested():
    steep = 1e-3
    losses = 2 - 1 / (1 + (steep / RATES) ** 2) + np.maximum(0, np.log10(RATES / 0.1)) ** 2
    found = lr_range.suggestion(points(losses))
    assert 0.5 * steep <= found <= 2 * steep
    noise = np.random.default_rng(1).normal(0, 0.03, 100)
    assert 0.3 * steep <= lr_range.suggestion(points(losses + noise)) <= 3 * steep


@pytest.mark.parametrize(
    "losses", [np.linspace(1, 2, 100), [1.0] * 100, [2.0, 1.0, None], [None], []]
)
def test_without_a_descent_nothing_is_suggested(losses):
    assert lr_range.suggestion(points(losses)) is None


def test_rates_of_groups_keep_their_proportion():
    own = {"lr": 1e-3, "head_lr": 1e-2, "module_lr": {"vision_tower": 5e-4}, "matrix_lr": None}
    assert lr_range.overrides(own, 2e-4) == [
        "optimizer.lr=0.0002",
        "optimizer.head_lr=0.002",
        "optimizer.module_lr.vision_tower=0.0001",
    ]


@pytest.mark.parametrize("rate", ["0", "-1"])
def test_a_rate_of_zero_has_no_proportions(rate, tmp_path):
    with pytest.raises(UserError, match="above 0") as caught:
        lr_range.find({"optimizer": {"lr": float(rate)}}, None)
    assert caught.value.key == "optimizer.lr"


def test_steps_are_those_of_a_run_and_leave_nothing(tmp_path, monkeypatch):
    from lushan.engine.lit_module import LitModule

    cfg = small(tmp_path, "optimizer.head_lr=1e-2", "optimizer.lr=1e-3")
    seen = []
    step = LitModule.training_step

    def watched(self, batch, number):
        step(self, batch, number)
        seen.append((sorted(batch["examples"]), self.lr_schedulers().get_last_lr()))

    monkeypatch.setattr(LitModule, "training_step", watched)
    parts = build_components(cfg, source_of(cfg))
    before = {name: one.clone() for name, one in parts.model.state_dict().items()}
    plan = plan_of(parts, batching_of(cfg, parts, TrainLimits(max_steps=5)))
    torch.manual_seed(7)
    drawn = torch.rand(1)
    torch.manual_seed(7)
    try_steps(cfg, parts.task, parts.model, plan, factor=lambda step, total_steps: 2.0**step)
    assert torch.rand(1) == drawn
    for name, one in parts.model.state_dict().items():
        assert torch.equal(one, before[name]), name
    planned = [sorted(batch.tolist()) for epoch in (0, 1) for batch in plan.epoch(epoch)]
    assert [examples for examples, _ in seen] == planned[:5]
    last = seen[2][1]
    assert {round(rate / 8, 6) for rate in last} == {1e-3, 1e-2}
    assert not (tmp_path / "outputs").exists()


def test_a_loss_that_is_not_finite_ends_it(tmp_path):
    cfg = small(tmp_path, "trainer.gradient_clip_val=null")
    found = lr_range.find(cfg, source_of(cfg), steps=20, low=1e-3, high=1e30)
    assert len(found.points) < 20
    assert "at a rate of" in found.ended


@pytest.mark.slow(1)
def test_points_curve_and_page_are_written(tmp_path):
    losses = [*(2 - 1 / (1 + (1e-3 / RATES[:60]) ** 2)), None]
    made = points(losses)
    found = lr_range.Range(made, 1e-3, ["optimizer.lr=0.001"], "the loss is nan")
    written = lr_page.write(found, tmp_path / "out", {"name": "<mine>"})
    assert [path.name for path in written] == ["lr.csv", "lr.png", "lr.html"]
    assert len(written[0].read_text().splitlines()) == 1 + len(made)
    page = written[2].read_text()
    assert "optimizer.lr=0.001" in page
    assert "&lt;mine&gt;" in page
    assert "not finite" in page


@pytest.mark.slow(1)
def test_the_command_prints_what_to_write(cli_inside):
    words = [*command.SMALL, "data.limit=24", "--steps", "30", "--low", "1e-5", "--high", "1e-2"]
    done = cli_inside("tune", "lr", *words, "--json")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert len(found["points"]) == 30
    assert found["overrides"] == [f"optimizer.lr={found['suggestion']}"]
    assert cli_inside("tune", "lr", "--low", "2", "--high", "1").code == 2
