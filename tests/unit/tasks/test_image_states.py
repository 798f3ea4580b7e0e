"""Images that a frozen tower encodes once: the same numbers, and nothing decoded again."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
import torch

from lushan.config.build import build
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.data.batch.loader import drawn
from lushan.engine import components
from lushan.models import image_states
from lushan.models.image_states import Tower
from lushan.optim import freeze_weights
from lushan.vision import images
from lushan.vision.reader import Recent

SMALL = [
    *("processor.image.size=16", "processor.tokenizer.vocab_size=300", "data.limit=12"),
    *("model.config.text.hidden_size=16", "model.config.text.intermediate_size=16"),
    "model.config.text.num_attention_heads=2",
    "trainer=cpu",
]
FROZEN = "optimizer.freeze=[*vision_tower*]"
MODELS = {
    "chat": [
        *("task=chat", "data=sample_vqa", "model=llava_tiny", "model.config.vision.hidden_size=16"),
        *("model.config.vision.intermediate_size=16", "model.config.vision.num_attention_heads=2"),
    ],
    "visual_qa": [
        *("task=visual_qa", "task.head.dropout=0.0", "model.config.vision.channels=[8,8,8,16]"),
    ],
}


def parts_of(place, task, *more) -> Any:
    cfg = check(compose([*MODELS[task], *SMALL, *more, f"paths.cache_dir={place}"]))
    return components.build_components(cfg, build(cfg["data"]))


def remembered(parts, place) -> list[str]:
    return parts.task.remember(parts.model, parts.encoded, place / "states", torch.device("cpu"))


def batch_of(parts, split="train") -> Any:
    rows = drawn(parts.encoded[split], np.arange(8), lambda r: parts.task.transform(r, 1))
    return parts.task.collate(rows)


@pytest.fixture
def towers(monkeypatch):
    """Count the images that towers encode for files."""
    found: list[int] = []
    own = Tower.of

    def counted(self, seen, device):
        found.append(len(seen))
        return own(self, seen, device)

    monkeypatch.setattr(Tower, "of", counted)
    return found


@pytest.mark.slow(1)
@pytest.mark.parametrize("task", MODELS)
def test_states_give_the_loss_of_pixels_and_nothing_is_decoded(task, tmp_path, monkeypatch):
    parts = parts_of(tmp_path, task, FROZEN, "optimizer.lr=1e-3")
    parts.model.eval()
    before = {split: batch_of(parts, split) for split in ("train", "test")}
    losses = {split: parts.task.loss(parts.model, batch) for split, batch in before.items()}
    (note,) = remembered(parts, tmp_path)
    assert "encoded once by the frozen vision tower" in note
    monkeypatch.setattr(images, "decode", None)
    for split, loss in losses.items():
        batch = batch_of(parts, split)
        states = [v for n, v in batch.items() if n.endswith("pixel_values")]
        assert [value.ndim for value in states] == [3]
        torch.testing.assert_close(parts.task.loss(parts.model, batch), loss)
    parts.task.loss(parts.model, before["train"]).backward()  # pixels are read as before
    learned = {n for n, p in parts.model.named_parameters() if p.grad is not None}
    assert any("projector" in name for name in learned)
    assert not any("vision_tower" in name for name in learned)


@pytest.mark.slow(1)
def test_runs_share_what_was_encoded_and_a_damaged_file_is_made_again(tmp_path, towers, caplog):
    remembered(parts_of(tmp_path, "chat", FROZEN), tmp_path)
    assert sum(towers) > 24  # of each split, and one for the size
    towers.clear()
    parts = parts_of(tmp_path, "chat", FROZEN, "optimizer.lr=1e-2", "task.max_new_tokens=2")
    remembered(parts, tmp_path)
    assert towers == [1]
    first = batch_of(parts)["seen:pixel_values"]
    file = max((tmp_path / "states").glob("*.npy"))
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        remembered(parts_of(tmp_path, "chat", FROZEN), tmp_path)
    assert f"{file} is damaged and is created again" in caplog.text
    again = parts_of(tmp_path, "chat", FROZEN)
    remembered(again, tmp_path)
    assert batch_of(again)["seen:pixel_values"].equal(first)


@pytest.mark.slow(1)
def test_other_weights_or_sizes_have_other_states(tmp_path, towers):
    for more in ([], ["seed=2"], ["processor.image.std=[0.4,0.4,0.4]"]):
        towers.clear()
        remembered(parts_of(tmp_path, "chat", FROZEN, *more), tmp_path)
        assert sum(towers) > 24, more


def test_a_tower_that_learns_encodes_each_time(tmp_path, towers):
    parts = parts_of(tmp_path, "chat")
    assert remembered(parts, tmp_path) == []
    freeze_weights(parts.model, ["*vision_tower*.layers.0*"])
    assert remembered(parts, tmp_path) == []
    assert batch_of(parts)["seen:pixel_values"].ndim == 4
    assert towers == []


@pytest.mark.slow(1)
@pytest.mark.parametrize("task", MODELS)
def test_a_batch_encodes_an_image_once_that_it_has_often(task, tmp_path):
    parts = parts_of(tmp_path, task)
    rows = drawn(parts.encoded["train"], np.arange(3), lambda r: parts.task.transform(r, 1))
    many = [rows[0], rows[1], {**rows[2], "seen": rows[0]["seen"]}, rows[0]]
    parts.model.train()

    def learned() -> tuple[Any, Any]:
        parts.model.zero_grad()
        loss = parts.task.loss(parts.model, parts.task.collate(many))
        loss.backward()
        return loss.detach(), [p.grad for p in parts.model.parameters() if p.grad is not None]

    before = learned()
    remembered(parts, tmp_path)
    patches = next(m for m in parts.model.modules() if isinstance(m, torch.nn.Conv2d))
    counts: list[int] = []
    patches.register_forward_hook(lambda *given: counts.append(len(given[2])))
    torch.testing.assert_close(learned(), before)
    assert counts == [2]


def test_different_images_are_found_whatever_their_sums():
    one = torch.rand(3, 4, 4)
    first, places = image_states.different(torch.stack([one, one.flip(2), one, one * 0]))
    assert sorted(first.tolist()) == [0, 1, 3]
    assert first[places].tolist() == [0, 1, 0, 3]
    same = torch.zeros(2, 1, 1, 3)
    same[0, ..., 0], same[1, ..., 2] = 2.0, 1.0  # of one weighted sum
    assert image_states.different(same)[0].tolist() == [0, 1]


def test_in_the_blind_nothing_is_encoded(tmp_path, towers):
    parts = parts_of(tmp_path, "chat", FROZEN, "task.blind=true")
    assert remembered(parts, tmp_path) == []
    assert towers == []


def test_states_that_are_too_large_are_said(tmp_path, monkeypatch):
    monkeypatch.setattr(image_states, "LARGEST", 100)
    parts = parts_of(tmp_path, "chat", FROZEN)
    (note,) = remembered(parts, tmp_path)
    assert "encoded in each step" in note
    assert batch_of(parts)["seen:pixel_values"].ndim == 4


def test_an_image_that_is_asked_often_is_decoded_once(tmp_path, monkeypatch):
    own, decoded = images.decode, []
    monkeypatch.setattr(images, "decode", lambda *given: decoded.append(1) or own(*given))
    parts = parts_of(tmp_path, "chat")
    batch_of(parts)
    decoded.clear()
    batch_of(parts)
    assert decoded == []
    monkeypatch.setattr(Recent, "get", lambda *_: None)
    batch_of(parts)
    assert len(decoded) == 8


def test_what_is_held_of_images_is_bounded():
    held = Recent(100)
    for name in "abc":
        held.put(name, {"x": torch.zeros(10)})
        held.get("a")
    assert held.size == 80
    assert [held.get(name) is not None for name in "abc"] == [True, False, True]
