"""Which weights are kept as the best."""

import math
from types import SimpleNamespace

import pytest

from lushan.callbacks import checkpoints
from lushan.launch.signals import Signals

NAN = math.nan


@pytest.mark.parametrize(
    ("higher", "seen", "best"),
    [
        (True, [(0.5, 1.0), (0.7, 2.0), (0.6, 0.1)], 2),
        (False, [(0.5, 1.0), (0.4, 2.0), (0.6, 0.1)], 2),
        # Equal metrics: the lower loss decides, and where that is equal too, the earlier step.
        (True, [(0.7, 1.0), (0.7, 0.8), (0.7, 0.9), (0.7, 0.8)], 2),
        (False, [(0.7, 1.0), (0.7, 0.8), (0.7, 0.9)], 2),
        # A metric that is undefined all along, and one that is later defined.
        (True, [(NAN, 1.0), (NAN, 0.8), (NAN, 0.9)], 2),
        (True, [(NAN, 0.1), (-3.0, 0.8)], 2),
        (False, [(3.0, 0.8), (NAN, 0.1)], 1),
        (True, [(0.7, NAN), (0.7, 0.8), (0.7, NAN)], 2),
    ],
)
def test_the_best_weights(higher, seen, best, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(
        checkpoints, "write_weights", lambda folder, *_, **__: written.append(folder)
    )
    keeper = checkpoints.Checkpoints(
        folder=tmp_path, monitor="val/f1", higher_is_better=higher, signals=Signals(), facts=dict
    )
    module = SimpleNamespace(eval_weights=dict)
    for step, (metric, loss) in enumerate(seen, start=1):
        trainer = SimpleNamespace(
            sanity_checking=False,
            state=SimpleNamespace(fn="fit"),
            callback_metrics={"val/f1": metric, "val/loss": loss},
            global_step=step,
            is_global_zero=True,
        )
        keeper.on_validation_end(trainer, module)
    assert keeper.best_step == best
    assert written[-1].name == f"best-{best:09d}"
