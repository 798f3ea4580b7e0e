"""Where the flag may stand that lets a model run code of its own."""

import pytest

from lushan.errors import UserError
from lushan.run import remote_code


@pytest.fixture(autouse=True)
def _as_it_was(monkeypatch):
    monkeypatch.setattr(remote_code, "_permitted", False)


@pytest.mark.parametrize(
    "words", [["train", "seed=1"], ["study", "run", "s.yaml"], ["reproduce", "table"]]
)
def test_it_is_for_what_opens_models(words):
    assert remote_code.without_flag([*words, remote_code.FLAG]) == words
    assert remote_code.permitted()


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["runs", remote_code.FLAG], "`lushan runs` does not load a model"),
        (
            [remote_code.FLAG, "study", "table", "s.yaml"],
            "`lushan study table` does not load a model",
        ),
        (["train", f"{remote_code.FLAG}=1"], "takes no value"),
        (["runs", f"{remote_code.FLAG}=true"], "takes no value"),
    ],
)
def test_elsewhere_it_is_a_mistake(words, printed):
    with pytest.raises(UserError, match=printed):
        remote_code.without_flag(words)
    assert not remote_code.permitted()


def test_without_it_nothing_is_permitted():
    assert remote_code.without_flag(["train"]) == ["train"]
    assert not remote_code.permitted()
