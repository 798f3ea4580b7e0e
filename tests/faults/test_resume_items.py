"""A recommender, killed and resumed: a step leaves out the ids that it left out before."""

from __future__ import annotations

import pytest

from tests.faults.test_resume_images import require_resumed


@pytest.mark.slow
@pytest.mark.fault(6)
def test_killed_among_items(tmp_path):
    given = [
        *("task=recommend", "task.drop_ids=0.5", "data.batch_tokens=null"),
        *("data.limit=40", "data.batch_examples=8", "trainer=cpu", "trainer.precision=32-true"),
        *("model.config.n_embd=32", "model.config.n_layer=1", "trainer.max_epochs=2"),
        "callbacks.checkpoints.every_n_steps=3",
    ]
    require_resumed(given, tmp_path)
