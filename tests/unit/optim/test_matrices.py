"""Matrices inside of layers by Muon, everything else by AdamW, as one optimizer."""

import copy
import functools
from typing import Any

import pytest
import torch
from tests.unit.optim.test_optim import family
from torch import Tensor, nn

from lushan import optim
from lushan.errors import UserError

MUON = functools.partial(torch.optim.Muon, adjust_lr_fn="match_rms_adamw")
ADAMW = functools.partial(torch.optim.AdamW, betas=(0.9, 0.95))


def by_muon(model: nn.Module, optimizer: Any) -> set[str]:
    names = {id(p): n for n, p in model.named_parameters()}
    muon = next(part for part in optimizer.parts if isinstance(part, torch.optim.Muon))
    return {names[id(p)] for group in muon.param_groups for p in group["params"]}


class Filters(nn.Module):
    """A filter, a matrix, an output projection that shares the embeddings, a head."""

    def __init__(self) -> None:
        super().__init__()
        inner: Any = nn.Module()
        inner.words = nn.Embedding(7, 4)
        inner.filter = nn.Conv1d(4, 4, 3)
        inner.dense = nn.Linear(4, 6)
        inner.output = nn.Linear(4, 7, bias=False)
        inner.output.weight = inner.words.weight
        inner.get_output_embeddings = lambda: inner.output
        self.encoder = nn.Module()
        self.encoder.model = inner
        self.head = nn.Linear(6, 3)


@pytest.mark.parametrize(
    ("name", "more"),
    [("LlamaConfig", {"tie_word_embeddings": False}), ("GPT2Config", {}), ("LlamaConfig", {})],
)
def test_muon_has_the_matrices_inside_of_layers(name: str, more: dict[str, Any]) -> None:
    model = family("causal_lm", name, **more)
    found = by_muon(model, optim.grouped(ADAMW, 1e-3, 0.1, matrices=MUON, model=model))
    layers = {
        n for n, p in model.named_parameters() if p.ndim == 2 and (".layers." in n or ".h." in n)
    }
    assert found == layers
    assert len(layers) >= 12


def test_filters_shared_weights_and_heads_are_left_to_adamw() -> None:
    model = Filters()
    found = by_muon(model, optim.grouped(ADAMW, 1e-3, matrices=MUON, matrix_lr=0.1, model=model))
    assert found == {"encoder.model.dense.weight"}


def muon_by_hand(
    weight: Tensor, gradients: list[Tensor], lr: float, decay: float, beta: float = 0.95
) -> Tensor:
    """Jordan et al., 2024, from its page; the scale of Liu et al., 2025 (arXiv:2502.16982)."""
    momentum = torch.zeros_like(weight)
    for gradient in gradients:
        momentum = beta * momentum + (1 - beta) * gradient
        x = (1 - beta) * gradient + beta * momentum
        turned = x.shape[0] > x.shape[1]
        x = x.T if turned else x
        x = x / x.norm()
        for _ in range(5):
            square = x @ x.T
            x = 3.4445 * x + (-4.7750 * square + 2.0315 * square @ square) @ x
        x = x.T if turned else x
        weight = weight * (1 - lr * decay) - lr * 0.2 * max(weight.shape) ** 0.5 * x
    return weight


def adamw_by_hand(weight: Tensor, gradients: list[Tensor], lr: float, decay: float) -> Tensor:
    first, second = torch.zeros_like(weight), torch.zeros_like(weight)
    for step, gradient in enumerate(gradients, 1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.95 * second + 0.05 * gradient**2
        size = (second / (1 - 0.95**step)).sqrt() + 1e-8
        weight = weight * (1 - lr * decay) - lr * first / (1 - 0.9**step) / size
    return weight


def gradients_of(model: nn.Module, steps: int) -> list[dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        {n: torch.randn(p.shape, generator=generator) for n, p in model.named_parameters()}
        for _ in range(steps)
    ]


def walk(model: nn.Module, optimizer: Any, gradients: list[dict[str, Tensor]]) -> None:
    for gradient in gradients:
        for name, weight in model.named_parameters():
            weight.grad = gradient[name]
        optimizer.step()


def test_both_take_their_published_steps() -> None:
    torch.manual_seed(0)
    model = Filters()
    before = copy.deepcopy(dict(model.named_parameters()))
    made = optim.grouped(ADAMW, 0.01, 0.1, matrices=MUON, matrix_lr=0.02, model=model)
    gradients = gradients_of(model, 4)
    walk(model, made, gradients)
    for name, weight in model.named_parameters():
        begun, each = before[name].detach(), [g[name] for g in gradients]
        if name != "encoder.model.dense.weight":
            expected = adamw_by_hand(begun, each, 0.01, 0.1 if weight.ndim > 1 else 0.0)
            torch.testing.assert_close(weight.detach(), expected, atol=1e-6, rtol=0)
            continue

        def distance(lr: float, decay: float, beta: float, w: Any = (weight, begun, each)) -> float:
            after = muon_by_hand(w[1], w[2], lr, decay, beta)
            return float((w[0].detach() - after).norm() / (after - w[1]).norm())

        # It iterates in bfloat16, which moves singular values by some percent.
        assert distance(0.02, 0.1, 0.95) < 0.05
        assert (
            min(distance(0.03, 0.1, 0.95), distance(0.02, 0.1, 0.5), distance(0.02, 1, 0.95)) > 0.1
        )


def test_a_step_of_muon_is_nearly_orthogonal() -> None:
    weight = nn.Parameter(torch.zeros(6, 4))
    weight.grad = torch.randn(6, 4, generator=torch.Generator().manual_seed(1))
    MUON([weight], lr=1.0, weight_decay=0.0).step()
    values = torch.linalg.svdvals(weight.detach() / (0.2 * 6**0.5))
    assert ((values > 0.6) & (values < 1.3)).all()


def test_a_state_that_is_saved_and_read_goes_on_to_the_last_bit() -> None:
    torch.manual_seed(0)
    model = Filters()
    make = functools.partial(optim.grouped, ADAMW, 0.01, 0.1, matrices=MUON, matrix_lr=0.02)
    made, gradients = make(model=model), gradients_of(model, 6)
    schedule = torch.optim.lr_scheduler.LambdaLR(made, lambda step: 0.5**step)
    walk(model, made, gradients[:3])
    schedule.step()
    state, copied = copy.deepcopy(made.state_dict()), copy.deepcopy(model)
    walk(model, made, gradients[3:])
    again = make(model=copied)
    again.load_state_dict(state)
    assert [group["lr"] for group in again.param_groups] == [0.005, 0.005, 0.01]
    walk(copied, again, gradients[3:])
    for one, other in zip(model.parameters(), copied.parameters(), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"matrix_lr": 0.1}, "optimizer.matrix_lr"),
        ({"matrices": functools.partial(MUON, lr=1.0)}, "optimizer.matrices.lr"),
        ({"matrices": MUON, "freeze": ["*dense*"]}, "optimizer.matrices"),
    ],
)
def test_refusals(options: dict[str, Any], key: str) -> None:
    with pytest.raises(UserError) as caught:
        optim.grouped(ADAMW, 1e-3, model=Filters(), **options)
    assert caught.value.key == key
