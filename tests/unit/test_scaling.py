"""The formulas of docs/scale.md, by hand at toy size, and the page's own table."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
scaling = runpy.run_path(str(ROOT / "benchmarks" / "scaling.py"))
Machine, Training = scaling["Machine"], scaling["Training"]
TOY = Machine(flops=100, message_bytes=10, file_bytes=5, disk_bytes=8, hash_bytes=4)


def test_one_process_sends_nothing():
    training = Training(weights=10, tokens=40, micro_tokens=10)
    assert training.micro_batches(1) == 4
    assert training.message_bytes(1) == 0
    assert training.step_seconds(TOY, 1) == 6 * 10 * 40 / 100
    assert training.memory_bytes(1) == 160
    assert training.state_seconds(TOY, 1) == 120 / 5 + 120 / 4


def test_parts_are_gathered_for_each_micro_batch():
    training = Training(weights=10, tokens=40, micro_tokens=10)
    assert training.micro_batches(2) == 2
    # Twice 2 bytes a weight for each of two micro-batches, and 4 once; half is there already.
    assert training.message_bytes(2) == (2 * 4 + 4) * 10 / 2
    assert training.step_seconds(TOY, 2) == 12 + 60 / 10
    assert training.memory_bytes(2) == 80
    assert training.state_seconds(TOY, 2) == max(60 / 5, 120 / 8) + 60 / 4


def test_copies_add_up_gradients_once():
    training = Training(weights=10, tokens=40, micro_tokens=10, sharded=False)
    assert training.message_bytes(4) == 8 * 10 * 3 / 4
    assert training.memory_bytes(4) == 160
    assert training.state_seconds(TOY, 4) == 120 / 5 + 120 / 4


@pytest.mark.parametrize(("column", "count"), list(enumerate((1, 8, 64, 512))))
def test_the_page_has_the_numbers_of_the_formulas(column, count):
    lines = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8").splitlines()

    def cell(start):
        line = next(line for line in lines if line.startswith(f"| {start}"))
        text = line.strip("| ").split(" | ")[column + 1]
        return sum(float(number) for number in re.findall(r"\d+\.?\d*", text))

    seven, card = scaling["SEVEN"], scaling["H100"]
    compute, memory = seven.compute_seconds(card, count), seven.memory_bytes(count) / 1e9
    assert cell("computing a step") == pytest.approx(compute, abs=0.51 if count == 1 else 0.06)
    assert cell("weights, gradients, moments") == pytest.approx(memory, abs=0.06)
    assert cell("messages") == pytest.approx(seven.message_bytes(count) / 50e9, abs=0.06)
    state = seven.state_seconds(card, count)
    assert cell("writing it, and hashing") == pytest.approx(state, abs=0.51 if count == 1 else 0.11)
