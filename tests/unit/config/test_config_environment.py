"""What a config takes from the environment."""

import pytest
from tests.helpers.configs import refusal

from lushan.config import environment
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.run import redaction

SECRET = "correct-horse-battery"


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch, here):
    monkeypatch.setattr(redaction, "_interpolated", {})
    monkeypatch.setenv("MY_SERVICE", SECRET)


@pytest.mark.fault(63)
@pytest.mark.parametrize("key", ["name", "paths.output_dir", "paths.cache_dir"])
@pytest.mark.parametrize("text", ["${oc.env:MY_SERVICE}", "n${oc.env:MY_SERVICE}/x"])
def test_no_folder_is_named_by_a_secret(key, text):
    error = refusal(f"{key}='{text}'")
    assert error.key == key
    assert "MY_SERVICE" in error.problem
    assert SECRET not in str(error)


@pytest.mark.fault(63)
def test_nor_by_one_of_a_known_shape():
    error = refusal(f"name=hf_{'aB3d' * 8}")
    assert error.key == "name"


@pytest.mark.fault(63)
def test_it_is_redacted_wherever_it_stands(write):
    write("experiment/e.yaml", "# @package _global_\ntags: ['${oc.env:MY_SERVICE}', plain]\n")
    cfg = check(compose(["experiment=e"]))
    assert cfg["tags"] == [SECRET, "plain"]
    assert redaction.redact_config(cfg)["tags"] == ["***", "plain"]
    assert "LUSHAN_PUBLIC=MY_SERVICE" in environment.notes()[0]


def test_a_folder_and_what_was_allowed_may_be_seen(monkeypatch):
    monkeypatch.setenv("SCRATCH", "/scratch/somebody")
    cfg = check(compose(["paths.output_dir='${oc.env:SCRATCH}/outputs'"]))
    assert cfg["paths"]["output_dir"] == "/scratch/somebody/outputs"
    monkeypatch.setenv("LUSHAN_PUBLIC", "MY_SERVICE")
    assert check(compose(["name='${oc.env:MY_SERVICE}'"]))["name"] == SECRET
    assert not environment.notes()


def test_a_variable_that_is_not_set():
    assert check(compose(["name='${oc.env:NOT_THERE,usual}'"]))["name"] == "usual"
