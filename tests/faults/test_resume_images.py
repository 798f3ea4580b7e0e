"""Runs on images, killed and resumed: changed anew in each epoch, and in dialogues."""

from __future__ import annotations

import json

import pytest

from lushan.config.check import check
from lushan.config.compose import compose
from lushan.vision import images
from tests.faults import jobs
from tests.faults.test_resume import require_equal
from tests.helpers.clips import clip

SHORT = [
    *("data.limit=40", "data.batch_examples=8", "trainer=cpu", "trainer.precision=32-true"),
    *("trainer.max_epochs=2", "callbacks.checkpoints.every_n_steps=3"),
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
    "contrastive": [
        *("processor.image.size=16", "processor.tokenizer.vocab_size=300"),
        *("model.config.vision.num_hidden_layers=1", "model.config.text.num_hidden_layers=1"),
        *("data.micro_tokens=40", "+task.augment._target_=lushan.vision.augment.Augment"),
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
    "visual_qa": [
        *("processor.image.size=16", "processor.tokenizer.vocab_size=300"),
        *("model.config.vision.channels=[8,8,8,16]", "model.config.text.hidden_size=16"),
        *("model.config.text.intermediate_size=16", "model.config.text.num_attention_heads=2"),
        *("+model.config.text.attention_dropout=0.1", "optimizer.freeze=[*vision_tower*]"),
    ],
    "interleaved_lm": [  # its rows are learned in one direction: batches of 8, to have ten steps
        *("model.config.n_embd=32", "model.config.n_layer=1", "processor.vocab_size=300"),
        "task.generate=false",
    ],
    "video_lm": [
        *("model.config.n_embd=32", "model.config.n_layer=1", "processor.vocab_size=300"),
        *("data.batch_examples=16", "task.drop_prompt=0.5", "task.generate=false"),
    ],
    "multimodal_lm": [
        *("model.config.n_embd=32", "model.config.n_layer=1", "processor.vocab_size=300"),
        *("data.batch_examples=16", "task.drop_prompt=0.5", "task.generate=false"),
    ],
}

LONG = ("interleaved_lm", "video_lm")
"""Made of the same as another one."""


def require_resumed(given, place):
    """Kill a run, start it again, and compare it with one that was left alone."""
    killed, whole = (
        check(compose([*given, f"paths.output_dir={place / name}"])) for name in ("a", "b")
    )
    assert jobs.execute(killed, jobs.at_step(8)) == 137
    assert jobs.execute(killed) == 0
    assert jobs.execute(whole) == 0
    require_equal(place / "a", place / "b")


@pytest.mark.slow
@pytest.mark.fault(6)
@pytest.mark.parametrize(
    "task", [pytest.param(t, marks=[pytest.mark.long] if t in LONG else []) for t in TASKS]
)
def test_killed_among_images(task, tmp_path):
    given = [f"task={task}", *SHORT, *TASKS[task]]
    require_resumed(given, tmp_path)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.fault(6)
@pytest.mark.parametrize("task", ["contrastive", "visual_qa"])
def test_two_ranks_killed_among_images(task, tmp_path):
    """Of images that are changed anew, and of those that a frozen tower has encoded once."""
    given = [f"task={task}", *SHORT, *TASKS[task], "trainer=ddp_sim"]
    require_resumed(given, tmp_path)


@pytest.mark.slow
@pytest.mark.fault(6)
def test_killed_among_videos(tmp_path):
    media = tmp_path / "media"
    media.mkdir()
    (media / "a.mp4").write_bytes(clip(range(0, 200, 10)))
    rows = [
        {"messages": [f"<video>{number} and?", "brighter"], "videos": ["a.mp4"]}
        for number in range(40)
    ]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    files = [f"data.{split}={data}" for split in ("train", "validation", "test")]
    own = ["data=chat", *files, f"data.media={media}", "data.frames=3"]
    given = ["task=chat", *SHORT, *TASKS["chat"], *own]
    require_resumed(given, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("frozen", [[], ["optimizer.freeze=[*vision_tower*]"]])
def test_ranks_of_which_one_sees_no_image_learn_as_one_process(frozen, tmp_path):
    (tmp_path / "a.png").write_bytes(images.encoded("red"))
    asked = [{"type": "image", "path": "a.png"}, {"type": "text", "text": "what colour?"}]
    contents = [asked if number % 2 else f"say {number}" for number in range(16)]
    rows = [
        [{"role": "user", "content": c}, {"role": "assistant", "content": "red"}] for c in contents
    ]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    files = [f"data.{split}={data}" for split in ("train", "validation", "test")]
    own = ["data=chat", *files, f"data.media={tmp_path}", "data.batch_examples=2"]
    losses = []
    for name, trainer in (("one", "cpu"), ("two", "ddp_sim")):
        more = [*frozen, f"trainer={trainer}", f"paths.output_dir={tmp_path / name}"]
        given = ["task=chat", *SHORT, *TASKS["chat"], *own, "trainer.max_epochs=1", *more]
        given += ["trainer.precision=64-true"]
        assert jobs.execute(check(compose(given))) == 0
        (result,) = (tmp_path / name).glob("*/*/result.json")
        losses.append(json.loads(result.read_text())["metrics"]["test/loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-8)
