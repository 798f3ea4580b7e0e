"""The average of the weights."""

import pytest
import torch
from torch import nn

from lushan.errors import RunFailed
from lushan.models.ema import EMA


def model(value: float = 1.0) -> nn.Module:
    module = nn.Linear(2, 1)
    for weight in module.parameters():
        nn.init.constant_(weight, value)
    return module


def set_to(module: nn.Module, value: float) -> None:
    for weight in module.parameters():
        nn.init.constant_(weight, value)


def test_by_hand() -> None:
    module = model(1.0)
    ema = EMA(module, decay=0.9, warmup=False)
    set_to(module, 2.0)
    ema.update(module)
    ema.update(module)
    assert ema.averages()["bias"].item() == pytest.approx(0.81 * 1 + 0.19 * 2)


def test_warm_up_follows_soon() -> None:
    module = model(1.0)
    ema = EMA(module, decay=0.9, warmup=True)
    set_to(module, 2.0)
    ema.update(module)
    assert ema.averages()["bias"].item() == pytest.approx(0.1 * 1 + 0.9 * 2)
    for _ in range(200):
        ema.update(module)
    assert min(0.9, (1 + ema.step) / (10 + ema.step)) == 0.9


def test_applied_and_put_back_also_after_an_error() -> None:
    module = model(1.0)
    ema = EMA(module, decay=0.5, warmup=False)
    set_to(module, 3.0)
    ema.update(module)
    seen = []

    def evaluate() -> None:
        with ema.applied_to(module):
            seen.append(module.bias.item())
            raise KeyError

    with pytest.raises(KeyError):
        evaluate()
    assert seen == [2.0]
    assert module.bias.item() == 3.0
    assert ema.averages()["bias"].item() == 2.0


def test_what_is_not_trained_is_not_averaged() -> None:
    module = model()
    module.bias.requires_grad_(False)
    assert set(EMA(module, decay=0.9, warmup=True).averages()) == {"weight"}


def test_shared_weights_stand_under_both_names() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(2, 2, bias=False)
            self.b = self.a

    module = Tied()
    ema = EMA(module, decay=0.5, warmup=False)
    nn.init.ones_(module.a.weight)
    ema.update(module)
    assert set(ema.averages()) == set(module.state_dict())
    with ema.applied_to(module):
        assert torch.equal(module.b.weight, ema.averages()["b.weight"])
    assert (module.a.weight == 1).all()


def test_state_goes_on_bit_for_bit(tmp_path) -> None:
    module = model(0.3)
    one = EMA(module, decay=0.99, warmup=True)
    set_to(module, 0.7)
    one.update(module)
    torch.save(one.state_dict(), tmp_path / "ema")
    two = EMA(model(), decay=0.99, warmup=True)
    two.load_state_dict(torch.load(tmp_path / "ema", weights_only=True))
    for ema in (one, two):
        ema.update(module)
    assert one.step == two.step
    assert all(torch.equal(one.averages()[n], two.averages()[n]) for n in one.averages())


def test_another_models_state_is_refused() -> None:
    state = EMA(nn.Linear(3, 1), decay=0.9, warmup=True).state_dict()
    with pytest.raises(RunFailed, match="does not match this model"):
        EMA(model(), decay=0.9, warmup=True).load_state_dict(state)
