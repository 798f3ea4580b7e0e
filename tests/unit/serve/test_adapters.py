"""Adapters are served: those whose rows can join a batch in one, others in turn."""

import pytest
from tests.conftest import trained
from tests.helpers import command
from tests.unit.serve.test_writing import SETTINGS, answered

from lushan.inference.generator import open_generator
from lushan.serve.writing import InTurn, Together, writer_of


@pytest.mark.slow(1)
@pytest.mark.parametrize(
    ("peft", "kind"),
    [("lora", Together), ("prefix", InTurn), ("prompt", InTurn)],
)
def test_texts_of_an_adapter_are_those_of_generate(peft, kind, tmp_path):
    overrides = ["task=causal_lm", "data=sample_text", f"peft={peft}", "data.packing=false"]
    run = trained(tmp_path, *command.LANGUAGE, *overrides)
    generator = open_generator(run)
    writer = writer_of(generator, size=4, capacity=64)
    assert isinstance(writer, kind)
    given = [(prompt, settings) for prompt in ("the", "明月 of") for settings in SETTINGS[:3]]
    found = answered(writer, generator, given)
    writer.close()
    for number, (prompt, settings) in enumerate(given):
        alone = generator.write(generator.encode([prompt]), settings)[0]
        for sample, written in enumerate(alone):
            assert found[number, sample] == written
