"""The border between config and objects, and whose mistake it is when nothing comes of it."""

import functools

import pytest
import torch

from lushan import optim
from lushan.config.build import build
from lushan.errors import UserError


def test_a_node_becomes_an_object():
    config = build({"_target_": "transformers.BertConfig", "hidden_size": 32})
    assert config.hidden_size == 32


def test_partly_by_position_and_late():
    made = build({"_target_": "lushan.optim.linear", "_partial_": True, "_args_": [1], "warmup": 2})
    assert isinstance(made, functools.partial)
    assert (made.func, made.args, made.keywords) == (optim.linear, (1,), {"warmup": 2})
    late = build(
        {"_target_": "lushan.optim.linear", "_partial_": True}, total_steps=10, unknown=object()
    )
    assert late.keywords == {"total_steps": 10}


def test_nodes_inside_are_built_first_unless_the_config_says_otherwise():
    inner = {"_target_": "transformers.BertConfig", "hidden_size": 8}
    node = {"_target_": "transformers.BertConfig", "nested": [{"a": inner}]}
    assert build(node).nested[0]["a"].hidden_size == 8
    assert build(node | {"_recursive_": False}).nested == [{"a": inner}]


def test_a_target_inside_is_checked_before_anything_is_called(evil):
    node = {"_target_": "transformers.BertConfig", "x": [{"_target_": "evilpkg.run"}]}
    with pytest.raises(UserError, match="not allowed"):
        build(node)
    assert not evil.exists()


@pytest.mark.parametrize(
    ("node", "printed"),
    [
        ({"_target_": "torch.optim.SGD", "params": [], "lr": 0.1}, "empty parameter list"),
        ({"_target_": "torch.optim.SGD", "params": [3], "lr": 0.1}, "SGD cannot be created"),
        ({"_target_": "pytorch_lightning.Trainer", "max_epochs": -7}, "max_epochs"),
        ({"_target_": "pytorch_lightning.Trainer", "accelerator": "abacus"}, "abacus"),
    ],
)
def test_a_refusal_of_a_library_is_the_users_mistake(node, printed):
    with pytest.raises(UserError, match=printed) as caught:
        build(node)
    assert caught.value.__cause__ is not None
    assert "\n" not in caught.value.problem
    assert caught.value.problem.startswith(f"{node['_target_']} cannot be created: ")


@pytest.mark.parametrize("kind", [ValueError, TypeError, KeyError, RuntimeError])
def test_a_bug_of_ours_is_not(monkeypatch, kind):
    exec("def bug(*_, **__):\n    raise kind('ours')", vars(optim) | {"kind": kind}, found := {})
    monkeypatch.setattr("lushan.config.build.locate", lambda *_: found["bug"])
    with pytest.raises(kind, match="ours"):
        build({"_target_": "lushan.optim.linear"})


def test_nor_is_what_a_library_did_not_refuse(monkeypatch):
    def out_of_memory():
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr("lushan.config.build.locate", lambda *_: out_of_memory)
    with pytest.raises(torch.OutOfMemoryError):
        build({"_target_": "torch.optim.SGD"})


def test_a_mistake_that_says_itself_stays_as_it_is(monkeypatch):
    def refuses():
        raise UserError("no", key="a.b")

    monkeypatch.setattr("lushan.config.build.locate", lambda *_: refuses)
    with pytest.raises(UserError) as caught:
        build({"_target_": "torch.optim.SGD"})
    assert caught.value.key == "a.b"
