"""Runs on images, killed and resumed: changed anew in each epoch, and in dialogues."""

from __future__ import annotations

import pytest

from lushan.config.check import check
from lushan.config.compose import compose
from tests.faults import jobs
from tests.faults.test_resume import require_equal

SHORT = [
    *("data.limit=40", "data.batch_examples=8", "trainer=cpu", "trainer.precision=32-true"),
    *("trainer.max_epochs=3", "callbacks.checkpoints.every_n_steps=3"),
]
TASKS = {
    "chat": [
        *("data=sample_vqa", "model=llava_tiny", "processor.image.size=16"),
        *("processor.tokenizer.vocab_size=400", "model.config.vision.hidden_size=16"),
        *("model.config.vision.intermediate_size=16", "model.config.text.hidden_size=16"),
        *("model.config.text.intermediate_size=16", "model.config.vision.num_attention_heads=2"),
        *("model.config.text.num_attention_heads=2", "+model.config.text.attention_dropout=0.1"),
        *("task.generate_examples=4", "task.max_new_tokens=3"),
    ],
    "image_classification": [
        *("processor.size=16", "model.config.hidden_size=32", "model.config.num_hidden_layers=1"),
        *("model.config.num_attention_heads=2", "model.config.intermediate_size=32"),
        "task.augment.rotate=10",
    ],
    "image_tokenizer": [
        *("processor.size=16", "model.config.channels=[8,16]", "model.config.blocks=1"),
        "+task.augment._target_=lushan.vision.augment.Augment",
    ],
}


@pytest.mark.slow
@pytest.mark.fault(6)
@pytest.mark.parametrize("task", TASKS)
def test_killed_among_images(task, tmp_path):
    given = [f"task={task}", *SHORT, *TASKS[task]]
    killed, whole = (
        check(compose([*given, f"paths.output_dir={tmp_path / name}"])) for name in ("a", "b")
    )
    assert jobs.execute(killed, jobs.at_step(8)) == 137
    assert jobs.execute(killed) == 0
    assert jobs.execute(whole) == 0
    require_equal(tmp_path / "a", tmp_path / "b")
