"""Seeds of each step: torch's own, without the stacks it keeps for devices that are not there."""

import traceback

import torch

from lushan.engine.seeding import seed_torch


def test_what_is_drawn_is_what_torch_draws():
    torch.manual_seed(5)
    expected = torch.rand(3)
    seed_torch(5)
    assert torch.equal(torch.rand(3), expected)


def test_no_stack_is_kept_where_there_is_no_device(monkeypatch):
    def refused(*_, **__):
        raise AssertionError("a stack was read")

    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    monkeypatch.setattr(traceback, "format_stack", refused)
    seed_torch(5)


def test_a_device_is_seeded_by_torch(monkeypatch):
    seeds = []
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch, "manual_seed", seeds.append)
    seed_torch(5)
    assert seeds == [5]
