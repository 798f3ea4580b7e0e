"""Questions on images with classes as answers: what is encoded, refused, learned and compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import trained

from lushan.config.build import build
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.engine import components
from lushan.engine.batch_plan import Batching, BatchPlan
from lushan.engine.limits import TrainLimits
from lushan.errors import UserError
from lushan.run.files import read_json
from lushan.vision import images

NARROW = [
    "model.config.vision.channels=[8,8,16,16]",
    *("model.config.text.hidden_size=32", "model.config.text.intermediate_size=64"),
    *("processor.tokenizer.vocab_size=400", "trainer=cpu"),
]


def rows_in(folder: Path, count: int = 12) -> list[str]:
    """Write rows with images, and return what reads them."""
    lines = []
    for number in range(count):
        color = ("red", "blue")[number % 2]
        (folder / f"{color}.png").write_bytes(images.encoded(color))
        question = "which colour?" if number % 3 else "is it red?"
        answer = color if number % 3 else ("yes" if color == "red" else "no")
        row = {"image": f"{color}.png", "question": question, "answer": answer}
        lines.append(json.dumps(row) + "\n")
    (folder / "rows.jsonl").write_text("".join(lines))
    place = str(folder / "rows.jsonl")
    splits = [f"data.{split}={place}" for split in ("train", "validation", "test")]
    return ["data=jsonl", *splits, f"data.media={folder}", "data.label=answer"]


def parts_of(folder: Path, *more: str) -> Any:
    cfg = check(compose(["task=visual_qa", *NARROW, *more, f"paths.cache_dir={folder}/cache"]))
    return components.build_components(cfg, build(cfg["data"]))


@pytest.mark.slow(1)
def test_a_question_is_a_message_with_its_image_up_to_where_the_answer_begins(tmp_path):
    parts = parts_of(tmp_path, *rows_in(tmp_path))
    ids = parts.encoded["train"].rows([1])[0]["input_ids"].tolist()
    image = parts.task.template.image_id
    assert ids.count(image) == 16
    text = parts.tokenizer.decode([i for i in ids if i != image], skip_special_tokens=True)
    assert text.split() == ["User:", "which", "colour?", "Assistant:"]
    assert parts.task.labels == ["blue", "no", "red", "yes"]


@pytest.mark.slow
def test_in_the_blind_there_is_no_token_of_an_image(tmp_path):
    parts = parts_of(tmp_path, *rows_in(tmp_path), "task.blind=true")
    row = parts.encoded["train"].rows([1])[0]
    assert parts.task.template.image_id not in row["input_ids"]
    assert set(parts.task.schema.names).isdisjoint({"images", "image_ends"})


def test_what_is_too_long_is_refused_with_its_place_before_anything_is_learned(tmp_path):
    rows = rows_in(tmp_path)
    with open(tmp_path / "rows.jsonl", "a") as file:  # noqa: PTH123
        file.write(json.dumps({"image": "red.png", "question": "is " * 60, "answer": "no"}) + "\n")
    with pytest.raises(UserError, match="too long: with its image it has") as caught:
        parts_of(tmp_path, *rows, "data.max_length=40")
    assert str(caught.value.file).endswith("rows.jsonl")
    assert caught.value.line == 13


def test_whole_groups_share_a_batch(tmp_path):
    parts = parts_of(tmp_path, *rows_in(tmp_path), "+data.group=image", "+data.batch_by_group=true")
    sizes = {"seed": 1, "batch_examples": 6, "batch_tokens": None, "by_group": True}
    batching = Batching(**sizes, limits=TrainLimits(max_epochs=1))
    (one, other) = BatchPlan(parts.encoded["train"], parts.corpus.splits["train"], batching).epoch(
        0
    )
    assert sorted([sorted(one % 2), sorted(other % 2)]) == [[0] * 6, [1] * 6]
    assert sorted([*one, *other]) == list(range(12))


@pytest.mark.slow
def test_a_run_is_evaluated_by_type_of_question_predicts_and_compares(tmp_path, cli_inside):
    kind = "{_target_: lushan.metrics.families.texts.AccuracyAmong, answers: ['yes', 'no']}"
    run = trained(
        tmp_path,
        *("task=visual_qa", *NARROW, *rows_in(tmp_path), f"+task.metrics.yes_no={kind}"),
        *("trainer.max_epochs=1", "data.batch_examples=6"),
        small=(),
    )
    metrics = read_json(run / "result.json")["metrics"]
    assert {"test/accuracy", "test/yes_no"} <= set(metrics)
    (record, *_) = map(json.loads, (run / "predictions/test.jsonl").read_text().splitlines())
    assert {"image", "question", "gold", "predicted", "probabilities"} <= set(record)
    out = tmp_path / "answers.jsonl"
    asked = ["--input", str(tmp_path / "rows.jsonl"), "--output", str(out)]
    assert cli_inside("predict", str(run), *asked, f"data.media={tmp_path}").code == 0
    answers = [json.loads(line) for line in out.read_text().splitlines()]
    assert [a["predicted"] for a in answers] == [
        json.loads(line)["predicted"]
        for line in (run / "predictions/test.jsonl").read_text().splitlines()
    ]


@pytest.mark.slow(30)
@pytest.mark.long
def test_a_fresh_model_uses_the_image(tmp_path):
    found = {}
    for blind in ("false", "true"):
        run = trained(
            tmp_path,
            *("task=visual_qa", *NARROW, f"task.blind={blind}", "trainer.max_epochs=20"),
            *("optimizer.lr=3e-3", "scheduler.warmup=0.1", "data.batch_examples=10"),
            "model.config.text.initializer_range=0.15",
            small=(),
        )
        found[blind] = read_json(run / "result.json")["metrics"]["test/accuracy"]
    assert found["false"] > found["true"] + 0.15
