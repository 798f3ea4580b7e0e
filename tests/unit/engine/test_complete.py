"""What a run is made of is complete when it is constructed: nothing is set on it afterwards."""

import ast
from pathlib import Path

import pytest
from tests.helpers.command import SMALL

import lushan
from lushan.callbacks.ema import WeightAverage
from lushan.callbacks.guard import Guard
from lushan.callbacks.stopping import EarlyStopping
from lushan.common.units import SHARE
from lushan.config.build import build, source_of
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.engine import fit
from lushan.launch.signals import Signals

GUARD = "+callbacks.guard={_target_: lushan.callbacks.guard.Guard}"
SRC = Path(lushan.__file__).parent
FILES = [
    *("engine/components.py", "engine/fit.py", "engine/observers.py", "engine/announce.py"),
    *("engine/trainer.py", "engine/batch_plan.py", "engine/limits.py", "engine/resolved.py"),
    *("callbacks/guard.py", "callbacks/ema.py", "callbacks/stopping.py", "callbacks/console.py"),
    *("models/ema.py", "launch/fork.py", "engine/job.py"),
]


def set_on_others(tree):
    """Attributes that are set on anything but `self`."""
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            for part in target.elts if isinstance(target, ast.Tuple) else [target]:
                if isinstance(part, ast.Attribute):
                    text = ast.unparse(part)
                    if not text.startswith("self.") or text.count(".") > 1:
                        yield text


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_set_on_an_object_that_something_else_has_made(name):
    found = set(set_on_others(ast.parse((SRC / name).read_text(encoding="utf-8"))))
    # Hydra's own config and return value, which have no other way; a signature of ours.
    ours = {
        text
        for text in found
        if not text.startswith(("config.hydra.", "done.", "holder.", "Trainer."))
    }
    assert not ours


def test_the_module_has_its_guard_and_its_average_from_the_beginning(tmp_path, monkeypatch):
    seen = []

    def stop(_, module, **__):
        seen.append(module)
        raise KeyboardInterrupt

    monkeypatch.setattr(fit.Trainer, "fit", stop)
    cfg = check(compose([*words(tmp_path), "callbacks=ema", GUARD]))
    (tmp_path / "run").mkdir()
    with pytest.raises(KeyboardInterrupt):
        fit.fit(cfg, tmp_path / "run", Signals(), source_of(cfg))
    (module,) = seen
    assert isinstance(module.guard, Guard)
    assert isinstance(module.average, WeightAverage)
    assert module.average.averages() == {}


def words(folder):
    places = [f"paths.output_dir={folder}/outputs", f"paths.cache_dir={folder}/cache"]
    return [*SMALL, "task=ner", "data=sample_ner", "data.limit=40", *places]


def test_early_stopping_is_given_the_unit_of_its_metric():
    node = {
        "_target_": "lushan.callbacks.stopping.EarlyStopping",
        "monitor": "val/entity_f1",
        "mode": "max",
        "stopping_threshold": 0.4,
    }
    callback: EarlyStopping = build(node, measures={"entity_f1": SHARE})
    assert callback._reason(0.5).endswith(" %")
    assert callback._measure == SHARE
