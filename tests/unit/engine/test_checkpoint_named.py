"""`ckpt_path` is inspected before anything is read or built."""

from __future__ import annotations

import pytest
from tests.helpers import command

from lushan.config.check import check
from lushan.config.compose import compose
from lushan.engine import lifecycle
from lushan.errors import UserError
from lushan.run.artifacts import require_checkpoint


def refused(path):
    with pytest.raises(UserError) as caught:
        require_checkpoint("ckpt_path", str(path))
    assert (caught.value.key, caught.value.value) == ("ckpt_path", str(path))
    return caught.value


def test_the_checkpoint_that_is_meant_is_named(ner_run, tmp_path):
    best = ner_run / "checkpoints" / "best"
    require_checkpoint("ckpt_path", str(best))
    for path in (ner_run, best.parent, best / "weights.safetensors"):
        assert refused(path).hint == f"Write ckpt_path={best}."
    assert "folder of a run" in refused(ner_run).problem
    assert "the folder does not exist" in refused(tmp_path / "none").problem
    assert "checkpoints/best" in refused(tmp_path).hint


def test_nothing_is_begun_with_it(ner_run, tmp_path, monkeypatch):
    monkeypatch.setattr("lushan.engine.components.build_components", None)
    places = [f"paths.output_dir={tmp_path}/outputs", f"paths.cache_dir={tmp_path}/cache"]
    lines = [*command.SMALL, "task=ner", "data=sample_ner", *places, f"ckpt_path={ner_run}"]
    with pytest.raises(UserError, match="folder of a run"):
        lifecycle.run(check(compose(lines)))
    assert not (tmp_path / "outputs").exists()
