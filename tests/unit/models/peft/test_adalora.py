"""AdaLoRA: ranks are removed as the training says, and a resumed one continues as it was."""

import copy

import peft
import pytest
import torch
from tests.helpers import adapters, quick

from lushan.errors import UserError
from lushan.models.peft.adalora import AdaLora
from lushan.models.peft.methods import adapt

STEPS = 12


def fresh(**options):
    encoder = adapters.fresh("bert")
    config = AdaLora(**{"init_r": 4, "target_r": 2, "tinit": 0.2, "tfinal": 0.25, **options})
    torch.manual_seed(1)
    adapt(config, encoder=encoder)
    return encoder


def trained(encoder, steps, optimizer=None):
    """Train from step to step; how many ranks are left after each."""
    weights = [p for p in encoder.parameters() if p.requires_grad]
    optimizer = optimizer or torch.optim.AdamW(weights, lr=0.02)
    left = []
    for step in steps:
        loss = adapters.loss(encoder, "bert") + encoder.adaptation.penalty()
        loss.backward()
        optimizer.step()
        encoder.adaptation.after_step(step + 1)
        optimizer.zero_grad()
        left.append(ranks(encoder))
    return left, optimizer


def ranks(encoder):
    values = [p for n, p in encoder.named_parameters() if ".lora_E." in n]
    return sum(int((value != 0).sum()) for value in values)


def test_ranks_go_until_the_target_is_left():
    encoder = fresh()
    encoder.adaptation.follow(STEPS)
    config = encoder.adaptation.config
    assert (config.tinit, config.tfinal, config.total_step) == (2, 3, STEPS)
    left, _ = trained(encoder, range(STEPS))
    modules = encoder.adaptation.changed
    assert left[:2] == [4 * modules] * 2  # nothing is removed in the first steps
    assert left == sorted(left, reverse=True)
    assert left[STEPS - 3 - 1 :] == [2 * modules] * 4  # and no more in the last ones
    assert sum(map(sum, config.rank_pattern.values())) == 2 * modules


def test_the_last_step_allocates_where_none_is_kept_for_the_end():
    encoder = fresh(tinit=0, tfinal=0)
    encoder.adaptation.follow(STEPS)
    left, _ = trained(encoder, range(STEPS))
    assert left[-1] == 2 * encoder.adaptation.changed


@pytest.mark.parametrize("stop", quick.only([5], [5, 10]))
def test_a_resumed_one_goes_on_bit_for_bit(stop, tmp_path):
    alone = fresh()
    alone.adaptation.follow(STEPS)
    wanted, _ = trained(alone, range(STEPS))
    begun = fresh()
    begun.adaptation.follow(STEPS)
    before, optimizer = trained(begun, range(stop))
    saved = [begun.state_dict(), optimizer.state_dict(), begun.adaptation.state()]
    torch.save(saved, tmp_path / "state.pt")
    weights, moments, memory = torch.load(tmp_path / "state.pt", weights_only=True)
    again = fresh()
    again.load_state_dict(weights)
    optimizer = torch.optim.AdamW([p for p in again.parameters() if p.requires_grad], lr=0.02)
    optimizer.load_state_dict(moments)
    again.adaptation.follow(STEPS)
    again.adaptation.restore(memory)
    after, _ = trained(again, range(stop, STEPS), optimizer)
    assert before + after == wanted
    state, other = alone.state_dict(), again.state_dict()
    assert all(torch.equal(state[name], other[name]) for name in state)
    assert alone.adaptation.config.rank_pattern == again.adaptation.config.rank_pattern


def test_without_its_memory_it_would_go_another_way():
    """The test above can fail: what `state` holds is what decides."""
    begun = fresh()
    begun.adaptation.follow(STEPS)
    _, optimizer = trained(begun, range(5))
    other = copy.deepcopy(begun)
    moments = copy.deepcopy(optimizer.state_dict())
    trained(begun, range(5, STEPS), optimizer)
    other.adaptation.restore(fresh().adaptation.state())
    optimizer = torch.optim.AdamW([p for p in other.parameters() if p.requires_grad], lr=0.02)
    optimizer.load_state_dict(moments)
    trained(other, range(5, STEPS), optimizer)
    assert begun.adaptation.config.rank_pattern != other.adaptation.config.rank_pattern


def test_the_penalty_is_what_peft_adds_to_a_loss():
    encoder = adapters.shaken(adapters.adapted("adalora", "gpt2"))
    given = adapters.inputs("gpt2")["input_ids"]
    whole = encoder.adaptation.peft
    theirs = whole(input_ids=given, labels=given).loss
    encoder.adaptation.config.orth_reg_weight = 0.0
    alone = whole(input_ids=given, labels=given).loss
    encoder.adaptation.config.orth_reg_weight = 0.5
    assert torch.allclose(encoder.adaptation.penalty(), theirs - alone, atol=1e-5)


def test_too_few_steps():
    encoder = fresh(tinit=5, tfinal=5)
    for steps in (1, 5, 10):
        with pytest.raises(UserError) as caught:
            encoder.adaptation.follow(steps)
        assert caught.value.key == "peft.config.tinit"
    encoder.adaptation.follow(11)
    with pytest.raises(UserError):
        fresh(tinit=0, tfinal=0).adaptation.follow(1)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"tinit": 1.5}, "tinit"),
        ({"tfinal": -1}, "tfinal"),
        ({"target_r": 4}, "target_r"),
        ({"target_r": 0}, "target_r"),
    ],
)
def test_settings_that_cannot_be(options, key):
    with pytest.raises(UserError) as caught:
        fresh(**options)
    assert caught.value.key == f"peft.config.{key}"


def test_a_weight_without_a_gradient_is_reported():
    encoder = fresh()
    encoder.adaptation.follow(STEPS)
    frozen = next(p for n, p in encoder.named_parameters() if ".lora_A." in n)
    frozen.requires_grad_(False)
    with pytest.raises(UserError) as caught:
        trained(encoder, range(1))
    assert caught.value.key == "optimizer.freeze"


@pytest.mark.parametrize("left_out", quick.only([8], [3, 8, 9, 11]))
def test_a_step_that_is_left_out_changes_nothing(left_out):
    encoder = fresh()
    encoder.adaptation.follow(STEPS)
    before, optimizer = trained(encoder, range(left_out - 1))
    weights = {n: p.detach().clone() for n, p in encoder.named_parameters()}
    encoder.adaptation.after_step(left_out)  # without gradients, as after one that was refused
    # Step 9 is the one that takes the last ranks away, whatever happened in it.
    if left_out != STEPS - 3:
        assert all(torch.equal(p, weights[n]) for n, p in encoder.named_parameters())
    left, _ = trained(encoder, range(left_out, STEPS), optimizer)
    assert [*before, *left][-1] == 2 * encoder.adaptation.changed


def test_what_was_never_trained_can_be_saved(tmp_path):
    fresh().adaptation.save(tmp_path)
    assert peft.PeftConfig.from_pretrained(str(tmp_path)).peft_type == "ADALORA"
