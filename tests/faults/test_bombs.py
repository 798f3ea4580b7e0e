"""YAML whose aliases stand for billions of values, and JSON and YAML nested beyond any stack."""

from __future__ import annotations

import itertools
import json
import shutil

import pytest

from lushan.common import parsing
from lushan.config import allow_list
from lushan.errors import UserError

pytestmark = [pytest.mark.fault(66), pytest.mark.timeout(60)]

ALIASES = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in itertools.pairwise("abcdefghijkl")
)
MERGED = "a: &a {x: 1}\n" + "".join(
    f"{b}: &{b}\n  <<: [{', '.join([f'*{a}'] * 9)}]\n"
    for a, b in itertools.pairwise("abcdefghijkl")
)
YAML = {
    "aliases": (ALIASES, "more than 100,000 values"),
    "merged": (MERGED, "more than 100,000 values"),
    "itself": ("a: &a [*a]", "refers to itself"),
    "brackets": ("a: " + "[" * 100_000, "lists within lists"),
    "dashes": ("- " * 50_000, "lists within lists"),
    "keys": ("? " * 50_000, "lists within lists"),
    "sixties": ("a: " + ":".join(["1"] * 100_000), "a number of 199,999 digits"),
    "digits": ("a: !!int " + "1" * 100_000, "a number of 100,000 digits"),
}
JSON = {
    "brackets": ("[" * 1_000_000, "nested too deeply"),
    "lists": ("[" * 200 + "]" * 200, "lists within lists"),
    "mappings": ('{"a":' * 200 + "1" + "}" * 200, "lists within lists"),
    "digits": ("9" * 100_000, "digits"),
}


@pytest.mark.parametrize("read", [parsing.parse_yaml, parsing.compose_yaml])
@pytest.mark.parametrize(("text", "printed"), YAML.values(), ids=YAML)
def test_yaml(text, printed, read):
    with pytest.raises(parsing.OutOfBounds, match=printed):
        read(text)


@pytest.mark.parametrize(("text", "printed"), JSON.values(), ids=JSON)
def test_json(text, printed):
    with pytest.raises(ValueError, match=printed):
        parsing.parse_json(text)


def test_what_is_large(tmp_path, monkeypatch):
    monkeypatch.setattr(parsing, "MOST_BYTES", 100)
    monkeypatch.setattr(parsing, "MOST_YAML_BYTES", 100)
    file = tmp_path / "x"
    file.write_text("[" + "1, " * 40 + "1]")
    for read in (parsing.read_json, parsing.read_yaml):
        with pytest.raises(UserError, match="it has 123 bytes, but the limit is 100") as refused:
            read(file)
        assert refused.value.file == str(file)
    assert parsing.parse_json(file.read_bytes(), bounded=False) == [1] * 41


def test_what_people_write_is_read():
    text = "base: &base {lr: 1.0e-3, tags: [a, b]}\nruns:\n  - <<: *base\n    seed: 1\n  - *base\n"
    base = {"lr": 1e-3, "tags": ["a", "b"]}
    assert parsing.parse_yaml(text) == {"base": base, "runs": [{**base, "seed": 1}, base]}
    assert parsing.parse_yaml("a: '" + "1" * 5000 + "'") == {"a": "1" * 5000}
    assert parsing.parse_json("[" * 100 + "]" * 100)
    assert parsing.parse_json('{"a": [1, NaN, "\\ud800"]}')["a"][2] == "\ud800"


# Where files are read

FILES = [
    ("config.yaml", ALIASES, ("eval", "run")),
    ("config.yaml", "a: " + "[" * 100_000, ("eval", "run")),  # the parser in C dies of it
    ("config.yaml", ALIASES, ("runs", ".")),
    ("config.yaml", MERGED, ("reproduce", "run")),
    ("overrides.yaml", ALIASES, ("page", "run", "--output", "page.md")),
    ("result.json", "[" * 1_000_000, ("runs", ".")),
    ("result.json", "[" * 1_000_000, ("table", ".", "--rows", "model")),
    ("result.json", '{"a":' * 200 + "1" + "}" * 200, ("compare", "run", "run")),
    ("run.json", "[" * 1_000_000, ("runs", ".")),
    ("task.json", "[" * 1_000_000, ("predict", "run", "--input", "in.txt")),
    ("manifest.json", "[" * 1_000_000, ("page", "run", "--output", "page.md")),
    ("predictions/test.jsonl", "[" * 100_000, ("compare", "run", "run")),
]


@pytest.mark.parametrize(
    ("name", "content", "arguments"), FILES, ids=[f"{f[0]} of {f[2][0]} {f[1][:6]}" for f in FILES]
)
def test_in_a_run_folder(name, content, arguments, reviews_run, cli_inside, tmp_path):
    shutil.copytree(reviews_run, tmp_path / "run")
    (tmp_path / "in.txt").write_text("a text\n")
    (tmp_path / "run" / name).write_text(content)
    done = cli_inside(*arguments)
    assert "Traceback" not in done.err, done.err[-2000:]
    if done.code != 0:  # `runs` lists the others, and says what is wrong with this one
        assert done.code == 2
        assert name in done.err or "its result.json is damaged" in done.err


def test_in_a_study(cli_inside, tmp_path):
    (tmp_path / "study.yaml").write_text(ALIASES)
    done = cli_inside("study", "status", "study.yaml")
    assert (done.code, "more than 100,000 values" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("content", "printed"),
    [
        (ALIASES, "more than 100,000 values"),
        ("a: " + "[" * 100_000, "lists within lists"),
        ("a: " + ":".join(["1"] * 100_000), "digits"),
    ],
    ids=["aliases", "brackets", "sixties"],
)
@pytest.mark.parametrize("name", ["conf/experiment/mine.yaml", "elsewhere/experiment/mine.yaml"])
def test_in_a_config(name, content, printed, cli_inside, tmp_path):
    file = tmp_path / name
    file.parent.mkdir(parents=True)
    file.write_text(content)
    more = ("--config-dir", "elsewhere") if name.startswith("elsewhere") else ()
    done = cli_inside("train", "--cfg", "job", *more, "experiment=mine")
    assert done.code == 2
    assert "Traceback" not in done.err
    assert printed in done.err
    assert "mine.yaml" in done.err


def test_in_a_persons_own_list_of_targets(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    file = tmp_path / "lushan" / "targets.yaml"
    file.parent.mkdir()
    file.write_text(ALIASES)
    allow_list._user_prefixes.cache_clear()
    with pytest.raises(UserError, match="more than 100,000 values"):
        allow_list.user_prefixes()
    allow_list._user_prefixes.cache_clear()


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json", "generation_config.json"])
def test_in_a_model(name, cli_inside, tmp_path):
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"model_type": "bert"}))
    (model / name).write_text('{"a":' * 100_000)
    done = cli_inside(
        *("train", "task=ner", "data=sample_ner", "model=pretrained", "model.path=model"),
        *("trainer=cpu", "data.limit=8"),
    )
    assert done.code == 2, done.err[-2000:]
    assert "Traceback" not in done.err
    assert name in done.err


def test_a_file_is_read_to_its_end_whatever_size_it_says(tmp_path):
    file = tmp_path / "ten"
    file.write_bytes(b"0123456789")
    assert parsing.read_bounded(file, 10) == b"0123456789"
    with pytest.raises(parsing.OutOfBounds, match="10 bytes, but the limit is 9"):
        parsing.read_bounded(file, 9)
    endless = parsing.read_bounded("/proc/self/status", 1 << 20)  # says that it has none
    assert endless.startswith(b"Name:")
    assert endless.count(b"\n") > 10
