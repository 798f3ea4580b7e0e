"""An assistant's files, as they should not be: each is refused by its key or line, or counted."""

import io
import json

import pytest

from lushan.assist.assistant import Assistant
from lushan.assist.settings import Thresholds, read_settings

ENTRIES = [
    {"nr": "1", "of": "Red Barn", "q": "Is there parking?", "a": "Yes."},
    {"nr": "2", "of": "Red Mill", "q": "Is there parking?", "a": "No."},
    {"nr": "3", "of": "🏨", "q": "Is there parking?", "a": "Perhaps."},
]
CONFIG = """\
knowledge: {file: faq.jsonl, question: q, answer: a, entity: of, key: [nr]}
indexes: [words]
thresholds: chosen.json
refusal: A colleague will help you.
"""
GATE = 'intents: {run: no/such/run, templates: {hello: "TEMPLATE"}}\n'


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture
def shop(tmp_path, cli_inside):
    write(tmp_path / "faq.jsonl", ENTRIES)
    (tmp_path / "shop.yaml").write_text(CONFIG, encoding="utf-8")
    (tmp_path / "chosen.json").write_text('{"thresholds": {"entry": 0.01}}')
    ways = ("--text", "q", "--model", "bm25", "--output", "words")
    assert cli_inside("index", "build", "faq.jsonl", *ways).code == 0
    return tmp_path


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "odd.jsonl: the file is empty"),
        ([{"turns": ["the red barn", "parking \ud83d"]}], "odd.jsonl:1: half of a surrogate pair"),
        ([{"turns": ["x"]}, {"turns": []}], "odd.jsonl:2, turns"),
        ([{"turns": [None]}], "odd.jsonl:1, turns"),
    ],
)
def test_dialogues(rows, problem, shop, cli_inside):
    write(shop / "odd.jsonl", rows)
    done = cli_inside("assist", "shop.yaml", "--input", "odd.jsonl")
    assert (done.code, problem in done.err) == (2, True), done.err


@pytest.mark.parametrize(
    ("rows", "problem"),
    [
        ([], "faq.jsonl: the file is empty"),
        ([*ENTRIES, ENTRIES[0] | {"a": "No."}], "faq.jsonl:4, knowledge.key: another"),
        ([*ENTRIES, ENTRIES[0] | {"of": "Red Mill"}], "faq.jsonl:4, knowledge.key: another"),
        ([ENTRIES[0] | {"a": "\udc00"}], "faq.jsonl:1: half of a surrogate pair"),
    ],
)
def test_a_knowledge_base(rows, problem, shop, cli_inside):
    write(shop / "faq.jsonl", rows)
    done = cli_inside("assist", "shop.yaml")
    assert (done.code, problem in done.err) == (2, True), done.err


def test_an_entry_may_have_several_questions(shop, cli_inside):
    write(shop / "faq.jsonl", [*ENTRIES, ENTRIES[0], ENTRIES[0] | {"q": "Are cars allowed?"}])
    ways = ("--text", "q", "--model", "bm25", "--output", "words")
    assert cli_inside("index", "build", "faq.jsonl", *ways).code == 0
    shop = Assistant(read_settings(shop / "shop.yaml"), shop, [])
    for asked in ("is there parking", "are cars allowed"):
        _, (reply,) = shop.answer([["the red barn", asked]], Thresholds(entry=0.01))
        assert (reply.text, reply.source) == ("Yes.", ("1",))


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("key: [nr]", "key: []", "key"),
        ("[words]", "[]", "indexes"),
        ("refusal", f"{GATE.replace('TEMPLATE', '{name}')}refusal", "the only slots are"),
        ("refusal", f"{GATE.replace('TEMPLATE', '{0.real}')}refusal", "the only slots are"),
        ("refusal", f"{GATE.replace('TEMPLATE', 'Hi {entity')}refusal", "expected '}'"),
        ("refusal", f"{GATE.replace('TEMPLATE', '{entity:>999}')}refusal", "cannot have a format"),
        ("refusal", f"{GATE.replace('TEMPLATE', '{entity!r}')}refusal", "cannot have a format"),
        ("refusal", "generate: {run: r, prompt: '{answer:9}'}\nrefusal", "cannot have a format"),
    ],
)
def test_a_config(old, new, problem, shop, cli_inside):
    (shop / "shop.yaml").write_text(CONFIG.replace(old, new), encoding="utf-8")
    done = cli_inside("assist", "shop.yaml")
    assert (done.code, problem in done.err) == (2, True), done.err


def test_a_right_entry_that_is_not_there_is_counted(shop, cli_inside):
    rows = [
        {"turns": ["the red barn", "is there parking"], "asks": True, "source": [{"nr": nr}]}
        for nr in ("1", "9")
    ]
    write(shop / "asked.jsonl", rows)
    done = cli_inside("assist", "shop.yaml", "--input", "asked.jsonl")
    assert done.code == 0, done.err
    assert "1 of 2 turns have no correct entry in the knowledge base" in done.err


def test_what_is_not_utf8_is_answered_all_the_same(shop, cli_inside, monkeypatch):
    lines = "🏨 ok?\nthe red barn\nis there parking \udcff\n".encode("utf-8", "surrogateescape")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines), encoding="utf-8"))
    done = cli_inside("assist", "shop.yaml")
    assert done.code == 0, done.err
    assert "[source: 1; Red Barn]" in done.out
