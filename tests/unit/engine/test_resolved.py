"""What `auto` stood for is recorded, shared by all parts of a run, and named where it differs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from tests.helpers import command

from lushan.callbacks.resume_facts import require_alike
from lushan.engine import trainer
from lushan.errors import Interrupted, UserError
from lushan.run.files import read_json
from lushan.run.folder import RunFolder
from lushan.run.identity import run_id
from lushan.study import collect
from lushan.study.reproduction import Original
from lushan.study.reproduction import compare as compared

AUTO = [word for word in command.SMALL if not word.startswith("trainer.precision")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same run on a machine with bf16 and on one without."""
    from tests.conftest import trained

    found = {}
    for precision in ("32-true", "bf16-mixed"):
        folder = tmp_path_factory.mktemp("auto")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trainer, "best_precision", lambda _, p=precision: p)
            found[precision] = trained(folder, "data.limit=16", "test=false", small=AUTO)
    return found


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_it_stands_in_config_manifest_and_result(runs: dict[str, Path], precision: str) -> None:
    run = runs[precision]
    config = yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))
    result = read_json(run / "result.json")
    for found in (config, read_json(run / "manifest.json"), result["config"]):
        known = found["resolved"]
        assert known["trainer.precision"] == precision
        assert known["trainer.accelerator"] == "cpu"
        assert known["model.attention"] == "sdpa"
        assert {"threads", "device", "kernels", "matmul"} <= set(known)
    assert config["trainer"].get("precision", "auto") == "auto"
    assert run_id(config) == run_id(result["config"]) == run.name


def test_who_makes_it_again_is_reported(runs: dict[str, Path]) -> None:
    one, other = runs.values()
    assert one.name == other.name
    original = Original.read(one)
    assert "resolved" not in original.config_in(other)
    found = compared(original, RunFolder(other).result())
    line = "differs: trainer.precision 32-true, now bf16-mixed"
    assert line in found.lines()
    assert line in found.lines(every=False)


def test_numbers_side_by_side_are_distinguished(runs: dict[str, Path]) -> None:
    members = [collect.member_of(run) for run in runs.values()]
    assert collect.computed_apart(members) == [
        "The runs were computed differently: trainer.precision was 32-true, bf16-mixed."
    ]
    assert collect.computed_apart(members[:1] * 2) == []


def test_a_run_evaluated_in_another_precision_says_so(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from lushan.inference.reevaluate import evaluate

    monkeypatch.setattr("lushan.engine.computing.best_precision", lambda _: "32-true")
    note = "trainer.precision is 32-true here, but was bf16-mixed in training"
    assert note in evaluate(runs["bf16-mixed"], split="val")["notes"]
    assert note not in evaluate(runs["32-true"], split="val")["notes"]


@pytest.mark.slow(1)
def test_a_run_is_not_resumed_in_another_precision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.conftest import trained

    from lushan.callbacks.checkpoints import Checkpoints

    words = ["data.limit=16", "test=false", "callbacks.checkpoints.every_n_steps=1"]
    monkeypatch.setattr(trainer, "best_precision", lambda _: "bf16-mixed")
    saved = Checkpoints.on_boundary

    def stopped(self: Checkpoints, *args: object, **more: object) -> None:
        saved(self, *args, **more)  # type: ignore[arg-type]
        raise Interrupted(15)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_boundary", stopped)
        with pytest.raises(Interrupted):
            trained(tmp_path, *words, small=AUTO)
    monkeypatch.setattr(trainer, "best_precision", lambda _: "32-true")
    with pytest.raises(UserError, match="had 'bf16-mixed' here") as caught:
        trained(tmp_path, *words, small=AUTO)
    assert caught.value.key == "trainer.precision"
    assert "Resume it with" in str(caught.value.hint)
    run = trained(tmp_path, *words, "trainer.elastic=true", small=AUTO)
    notes = read_json(run / "result.json")["notes"]
    assert any(n.startswith("resumed with trainer.precision 32-true") for n in notes)
    shutil.rmtree(run)


def test_of_another_machine_it_is_said_and_of_another_setting_refused() -> None:
    before = {"threads": 2, "trainer.devices": 1}
    assert require_alike(before, dict(before)) == []
    assert require_alike(before, before | {"threads": 4}) == [
        "resumed with threads 4, instead of 2: last digits may differ"
    ]
    with pytest.raises(UserError) as caught:
        require_alike(before, before | {"trainer.devices": 2})
    assert "Write trainer.devices=1" in str(caught.value.hint)
    assert len(require_alike(before, before | {"trainer.devices": 2}, elastic=True)) == 1
