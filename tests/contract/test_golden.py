"""Losses that a refactor leaves as they are, to the seventh digit.

Where a change is meant to move them, the file is made anew, and the change log says why:

    LUSHAN_GOLDEN=write pytest tests/contract/test_golden.py -n 0
"""

import json
import os
from pathlib import Path

import pytest

from tests.conftest import trained
from tests.helpers import quick
from tests.helpers.runs import LOSSES, losses

FILE = Path(__file__).parents[1] / "golden" / "losses.json"
SHORT = [
    "data.limit=40",
    "data.batch_tokens=null",
    "data.batch_examples=8",
    "trainer.precision=64-true",
    "trainer.max_epochs=2",
    "trainer.log_every_n_steps=1",
]
CASES = {
    "ner linear": ["experiment=sample/ner"],
    "ner mlp": ["experiment=sample/ner", "task/head=mlp"],
    "ner crf": ["experiment=sample/ner", "task/head=crf"],
    "ner crf iobes": ["experiment=sample/ner", "task/head=crf", "task.scheme=iobes"],
    "ner modernbert bpe": ["experiment=sample/ner", "model=modernbert_tiny"],
    "ner deberta unigram": ["experiment=sample/ner", "model=deberta_tiny"],
    "ner chars ema wsd": [
        "experiment=sample/ner",
        "processor=chars",
        "callbacks=ema",
        "scheduler=wsd",
    ],
    "ner layer decay": ["experiment=sample/ner", "optimizer.layer_decay=0.8"],
    "ner micro-batches": ["experiment=sample/ner", "data.micro_tokens=40"],
    "reviews": ["experiment=sample/reviews"],
    "reviews attention focal": [
        "experiment=sample/reviews",
        "task.pooling=attention",
        "task.focal_gamma=2",
    ],
    "reviews roberta sgd": [
        "experiment=sample/reviews",
        "model=roberta_tiny",
        "optimizer=sgd",
        "scheduler=cosine",
    ],
}


@pytest.mark.slow(1)
@pytest.mark.parametrize("case", quick.only(["ner linear", "reviews"], CASES))
def test_losses_are_what_they_were(case, tmp_path):
    found = losses(trained(tmp_path, *CASES[case], *SHORT), *LOSSES)
    assert len(found) == 12
    golden = json.loads(FILE.read_text()) if FILE.exists() else {}
    if os.environ.get("LUSHAN_GOLDEN") == "write":
        golden[case] = found
        FILE.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
    assert found == pytest.approx(golden[case], rel=1e-6)


def test_every_case_is_kept_and_no_other():
    assert set(json.loads(FILE.read_text())) == set(CASES)
