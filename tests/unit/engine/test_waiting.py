"""Between two rows of its log a training does not wait for the device."""

import traceback

import pytest
import pytorch_lightning as pl
import torch
from tests.conftest import trained
from torch.utils._python_dispatch import TorchDispatchMode

from lushan.engine import observers
from lushan.engine.running import Step, UnreadSteps

WAITS = ("aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal")
"""Operations that hand a number of the device to the host: `item`, `float`, `bool`, `tolist`."""


MODELS = ("transformers", "varlen.py")
"""Where models ask their masks something; the second one does so on a processor alone."""


class Waits(TorchDispatchMode):
    """Keeps the files that wait, without those of models."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.name() in WAITS:
            files = [frame.filename for frame in reversed(traceback.extract_stack()[:-1])]
            found = next(file for file in files if "/torch/" not in file)
            self.found += [] if any(name in found for name in MODELS) else [found]
        return func(*args, **(kwargs or {}))


class Watched(pl.Callback):
    """Watches steps 3 to 8, and what lies between them."""

    def __init__(self):
        self.waits = Waits()

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == 2:
            self.waits.__enter__()

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step == 8:
            self.waits.__exit__(None, None, None)


CASES = {
    "causal": ["task=causal_lm", "data=sample_text", "model=gpt2_tiny", "data.batch_tokens=128"],
    "chat": ["task=chat", "data=sample_chat", "model=llama_tiny", "data.batch_tokens=256"],
    "ner": ["experiment=sample/ner", "data.limit=80", "data.batch_tokens=128"],
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.slow
def test_steps_between_rows_wait_for_nothing(case, tmp_path, monkeypatch):
    watched, make = Watched(), observers.make_observers

    def watching(*given):
        made = make(*given)
        made.callbacks.append(watched)
        return made

    monkeypatch.setattr("lushan.engine.fit.make_observers", watching)
    given = ["trainer=cpu", "trainer.max_steps=10", "trainer.log_every_n_steps=10"]
    more = ["trainer.gradient_clip_val=1.0", "data.max_length=64", "data.validation=null"]
    trained(tmp_path, *CASES[case], *given, *more, "test=false", small=())
    assert watched.waits.found == []


def test_steps_are_read_together():
    unread = UnreadSteps()
    for number in range(3):
        loss = torch.tensor(float("nan") if number == 1 else float(number))
        unread.add(Step(number, loss, torch.tensor(0.5), 2, [number]))
    with Waits() as waits:
        steps = unread.read()
    assert len(waits.found) <= 2 * len(steps)  # of numbers that are on the host already
    assert [step.trouble for step in steps] == [None, "the loss is nan", None]
    assert [step.norm for step in steps] == [0.5] * 3
    assert unread.read() == []
