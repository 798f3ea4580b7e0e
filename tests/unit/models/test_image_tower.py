"""The tower of convolutions: its states, sizes that do not fit, and reading it again."""

from __future__ import annotations

import functools
import json
import subprocess
import sys

import pytest
import torch

from lushan.models.image_tower import ConvTower, ConvTowerConfig

READ = """
import sys
from lushan.models.encoders import load
print(type(load(sys.argv[1], "AutoModel").model.vision_tower).__name__)
"""


@pytest.fixture
def tower():
    torch.manual_seed(0)
    return ConvTower(ConvTowerConfig(channels=[8, 8, 12], strides=[2, 1, 1], pool=4)).eval()


def test_a_state_stands_for_a_patch_row_by_row(tower):
    assert (tower.config.patch_size, tower.config.hidden_size) == (8, 12)
    images = torch.zeros(2, 3, 32, 32)
    images[1, :, 18:22, 10:14] = 1  # in the third row of patches, the second column
    out = tower(pixel_values=images)
    assert out.last_hidden_state.shape == (2, 16, 12)
    assert out.hidden_states[-1] is out.last_hidden_state
    far = (out.last_hidden_state[1].view(4, 4, 12) - out.last_hidden_state[1, 3]).abs().sum(-1)
    assert far.argmax() == 2 * 4 + 1


def test_an_image_has_the_same_states_whatever_stands_beside_it(tower):
    images = torch.rand(4, 3, 16, 16)
    together = tower(images).last_hidden_state
    torch.testing.assert_close(tower(images[:1]).last_hidden_state, together[:1])


@pytest.mark.parametrize(
    ("sizes", "problem"),
    [
        ({"channels": [8, 8], "strides": [2]}, "strides"),
        ({"channels": [], "strides": []}, "channels"),
        ({"channels": [6], "strides": [1]}, "multiples of 4"),
        ({"channels": [8], "strides": [1], "pool": 0}, "1 or more"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(sizes, problem):
    with pytest.raises(ValueError, match=problem):
        ConvTowerConfig(**sizes)


@pytest.mark.slow
def test_a_process_that_reads_a_model_with_it_knows_it(tmp_path):
    from transformers import LlamaConfig

    from lushan.models.image_text import llava

    text = functools.partial(LlamaConfig, hidden_size=32, num_hidden_layers=1)
    config = llava(ConvTowerConfig(), text, vocab_size=20)
    config.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["vision_config"]["pool"] == 4
    found = subprocess.run(
        [sys.executable, "-c", READ, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "ConvTower"
