"""Which training is that of one process which compiles nothing."""

import pytest

from lushan.config.check import check
from lushan.config.compose import compose
from lushan.engine.lifecycle import is_alone

SAMPLE = ["experiment=sample/ner"]


@pytest.mark.parametrize(
    ("overrides", "alone"),
    [
        ([], True),
        (["trainer=cpu"], True),
        (["trainer=ddp_sim"], False),
        (["trainer=gpu", "trainer.devices=2"], False),
        (["trainer.devices=[1]"], False),
        (["trainer.num_nodes=2"], False),
        (["trainer.compile=true"], False),
    ],
)
def test_alone(overrides, alone):
    assert is_alone(check(compose([*SAMPLE, *overrides]))["trainer"]) is alone
