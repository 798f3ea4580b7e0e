"""`lushan audit`: what it prints and writes; and the line that training prints of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from lushan.cli import app
from lushan.config.build import source_of
from lushan.config.check import check
from lushan.config.compose import compose
from lushan.engine.components import build_components
from lushan.errors import UserError
from lushan.vision import images

TRAIN = "text,label\nall is well,pos\nso bad a film,neg\nnever again,neg\nall is well,neg\n"
TEST = "text,label\n all  is well,pos\nso bad a film!,neg\n\ufffd | `x`,neg\n"
TABLE = ["data=table", "data.train=train.csv", "data.test=test.csv", "task=classification"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two small files of reviews, in the folder that is worked in."""
    (tmp_path / "train.csv").write_text(TRAIN)
    (tmp_path / "test.csv").write_text(TEST)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Call `lushan audit` in this process; its exit code, and what it printed."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lushan", "audit", *arguments])
        code = app.main()
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_summary_page_and_json_say_the_same(folder: Path, called) -> None:
    code, out, _ = called(*TABLE, "--output", "audit.md")
    assert code == 0
    findings = [line[2:] for line in out.splitlines() if line.startswith("- ")]
    assert "1 of 3 test texts also in train (33.3 %), 1 more near-duplicates" in findings
    assert "within train: 1 of 4 texts repeated" in findings
    assert "1 text with two labels or more, in 3 rows" in findings
    assert "characters lost in decoding (U+FFFD) in 1 of 3 test texts" in findings
    assert "also occur in train" not in out  # the source's own note would say it twice
    assert "tokens" in out  # lengths were measured
    code, out, _ = called(*TABLE, "--json")
    assert code == 0
    shown = json.loads(out)
    assert shown["findings"] == findings
    assert shown["duplicates"]["pairs"][0]["first"]["id"] == "test.csv:2"
    assert [lengths["limit"] for lengths in shown["lengths"]] == [512, 512]
    page = (folder / "audit.md").read_text()
    assert all(finding in page for finding in findings[:3])
    assert "test test.csv:2 = train train.csv:2" in page
    assert "\\| \\`x\\`" in page  # text is no Markdown


def test_without_the_tokenizer_the_rest_is_audited(folder: Path, called) -> None:
    code, out, _ = called(*TABLE, "processor=pretrained", "processor.path=no/where")
    assert code == 0
    assert "1 of 3 test texts also in train" in out
    assert "not audited: lengths and unknown characters: " in out


def test_a_label_that_train_never_has_is_a_finding(folder: Path, called) -> None:
    (folder / "test.csv").write_text("text,label\nnew,so-so\n")
    code, out, _ = called(*TABLE)
    assert code == 2  # as training it would have
    assert "- test has labels that train never has: so-so" in out
    assert "not audited: lengths and unknown characters: train refuses" in out


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["data=table", "data.train=none.csv"], "none.csv"),
        ([*TABLE, "data.trian=x"], "data.train"),
        ([*TABLE, "--threshold", "1.5"], "--threshold"),
    ],
)
def test_mistakes_are_reported(arguments: list[str], printed: str, folder: Path, called) -> None:
    code, out, err = called(*arguments)
    assert (code, out) == (2, "")
    assert printed in err
    assert "Traceback" not in err


def test_training_says_what_splits_share_once_and_of_what_it_uses(folder: Path) -> None:
    config = check(compose([*TABLE, "model=bert_tiny"]))
    assert build_components(config, source_of(config)).notes[0] == "1 of 3 test texts also in train"
    (folder / "test.csv").write_text("text,label\nall is well,pos\n")
    cfg = check(compose([*TABLE, "model=bert_tiny"]))
    notes = build_components(cfg, source_of(cfg)).notes
    assert [note for note in notes if "in train" in note] == ["1 of 1 test texts also in train"]


# What training would refuse


def squad(start: int) -> str:
    context = "\U0001f600 Anna lives in Paris."
    answers = [{"text": "Anna", "answer_start": start}]
    asked = {"id": "570", "question": "Who?", "answers": answers}
    return json.dumps({"data": [{"paragraphs": [{"context": context, "qas": [asked]}]}]})


def picture(whole: bool) -> bytes:
    data = images.encoded("red")
    return data if whole else data[: len(data) // 2]


TINY = ("model=bert_tiny", "processor=chars")
PICTURES = ("task=image_classification", "model=vit_tiny", "processor=image")
REFUSED = {
    "an answer elsewhere": (
        {"a.json": squad(3), "good.json": squad(2)},
        ["task=qa", "data=squad", "data.train=a.json", *TINY],
        "data.train=good.json",
        "the context of 570",
    ),
    "a label of evaluation alone": (
        {"a.csv": TRAIN, "b.csv": "text,label\nx,other\n", "good.csv": TEST},
        ["task=classification", "data=table", "data.train=a.csv", "data.test=b.csv", *TINY],
        "data.test=good.csv",
        "never occurs in train",
    ),
    "an image that is cut off": (
        {"a/x/0.png": picture(True), "a/y/0.png": picture(False)}
        | {"good/x/0.png": picture(True), "good/y/0.png": picture(True)},
        [
            "task=image_classification",
            "model=vit_tiny",
            "processor=image",
            "data=folder",
            "data.train=a",
        ],
        "data.train=good",
        "cannot be read",
    ),
    "no negatives": (
        {"a.jsonl": '{"query": "q", "passage": "p"}\n'}
        | {"good.jsonl": '{"query": "q", "passage": "p", "negatives": ["n"]}\n'},
        ["task=reranker", "data=jsonl", "data.train=a.jsonl", *TINY],
        "data.train=good.jsonl",
        "there are none",
    ),
    "no room for what is read": (
        {"a.json": squad(2)},
        ["task=qa", "data=squad", "data.train=a.json", "data.max_length=3", *TINY],
        "data.max_length=64",
        "no room for a question",
    ),
}


@pytest.mark.slow(1)
@pytest.mark.parametrize("name", REFUSED)
def test_what_training_would_refuse_is_reported_and_fails(name: str, folder: Path, called) -> None:
    written, arguments, better, said = REFUSED[name]
    for path, content in written.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode()
        (folder / path).write_bytes(data)
    cfg = check(compose(arguments))
    with pytest.raises(UserError) as caught:
        build_components(cfg, source_of(cfg))
    code, out, _ = called(*arguments, "--output", "audit.md", "--json")
    first, *_ = json.loads(out)["findings"]
    assert code == 2
    assert said in first
    assert first == f"train refuses this data: {str(caught.value).replace(chr(10) + '  ', '. ')}"
    assert "train refuses this data" in (folder / "audit.md").read_text()
    code, out, _ = called(*arguments, better)
    assert (code, "refuses" in out) == (0, False)


def test_the_notes_of_the_encoding_are_notes_of_the_audit(folder: Path, called) -> None:
    (folder / "train.json").write_text(squad(2))
    options = ("task=qa", "data=squad", "data.train=train.json", *TINY)
    paragraphs = [{"context": "a b", "qas": QUESTIONS}]
    (folder / "test.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    code, out, _ = called(*options, "data.test=test.json")
    assert code == 0
    assert "note: test: 1 of 2 questions have no answer" in out


QUESTIONS = [
    {"id": "1", "question": "What?", "answers": []},
    {"id": "2", "question": "What?", "answers": [{"text": "b", "answer_start": 2}]},
]


def test_ids_of_items_are_no_texts_with_characters(folder: Path, called) -> None:
    rows = "".join(f"u{u},i{u}{i},{i}\n" for u in range(6) for i in range(5))
    (folder / "train.csv").write_text(f"user_id,item_id,timestamp\n{rows}")
    code, out, _ = called(
        "task=recommend", "data=interactions", "data.train=train.csv", "task.by=id"
    )
    assert code == 0
    assert "unknown" not in out
    assert "lengths" in out
