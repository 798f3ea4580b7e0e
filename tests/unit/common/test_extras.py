"""What is said of packages that are not installed."""

import pytest

from lushan.cli import serve
from lushan.common import extras
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.errors import UserError


@pytest.mark.parametrize(
    ("module", "command"),
    [
        ("peft", "pip install 'lushan[peft]'"),
        ("prometheus_client", "pip install 'lushan[serve]'"),
        ("sympy_and_more", "pip install sympy-and-more"),
    ],
)
def test_a_package_is_installed_by_its_extra(module, command):
    assert extras.installing(module) == command


@pytest.mark.parametrize("absent", ["fastapi", "uvicorn", "prometheus_client"])
def test_any_package_of_a_server_that_is_missing_is_named(absent, monkeypatch, tmp_path):
    there = extras._is_there
    monkeypatch.setattr(extras, "_is_there", lambda name: name != absent and there(name))
    with pytest.raises(UserError, match=f"serving needs {absent}") as caught:
        serve.serve([str(tmp_path)])
    assert caught.value.hint == "pip install 'lushan[serve]'"


@pytest.mark.parametrize(
    ("choice", "command"),
    [("hydra/launcher=nowhere", "[joblib]"), ("hydra/sweeper/sampler=nowhere", "[search]")],
)
def test_options_of_plugins_that_are_missing_are_named(choice, command, monkeypatch):
    monkeypatch.setattr(extras, "missing", lambda extra: [extra] if extra in command else [])
    more = ["hydra/sweeper=search"] if "sampler" in choice else []
    with pytest.raises(UserError) as caught:
        compose(["experiment=sample/ner", *more, choice])
    assert f"pip install 'lushan{command}'" in caught.value.hint


def test_a_misspelt_name_of_what_must_be_set_is_the_mistake():
    given = ["task=classification", "data=table", "data.trian=some.csv"]
    with pytest.raises(UserError, match="unknown key") as caught:
        check(compose(given))
    assert caught.value.key == "data.trian"
    assert "data.train" in caught.value.hint
