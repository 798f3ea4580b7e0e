"""Where the flag may stand that lets a model run code of its own."""

import pytest

from lushan.errors import UserError
from lushan.runs import trust


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    monkeypatch.setattr(trust, "_permitted", False)


@pytest.mark.parametrize(
    "words", [["train", "seed=1"], ["study", "run", "s.yaml"], ["reproduce", "table"]]
)
def test_it_is_for_what_opens_models(words):
    assert trust.without_flag([*words, trust.FLAG]) == words
    assert trust.permitted()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["runs", trust.FLAG], "`lushan runs` opens no model"),
        ([trust.FLAG, "study", "table", "s.yaml"], "`lushan study table` opens no model"),
        (["train", f"{trust.FLAG}=1"], "has no value"),
        (["runs", f"{trust.FLAG}=true"], "has no value"),
    ],
)
def test_elsewhere_it_is_a_mistake(words, said):
    with pytest.raises(UserError, match=said):
        trust.without_flag(words)
    assert not trust.permitted()


def test_without_it_nothing_is_permitted():
    assert trust.without_flag(["train"]) == ["train"]
    assert not trust.permitted()
