"""`lushan score`: anyone's CoNLL output, and what is wrong with it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from tests.helpers.tagged import conll_2003, sentences, with_strays

from lushan.errors import UserError
from lushan.metrics.conll_score import score
from lushan.text.tags import SCHEMES, convert, repair

GOLD = "李 B-人\n白 I-人\n\nNew B-LOC\nYork I-LOC\nis O\n"
PREDICTED = "李 B-人\n白 I-人\n\nNew B-LOC\nYork O\nis O\n"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def evaluate(folder: Path, gold: str, predicted: str, **options: object) -> object:
    pair = write(folder, "gold.conll", gold), write(folder, "pred.conll", predicted)
    return score(*pair, **options)  # type: ignore[arg-type]


def refusal(folder: Path, gold: str, predicted: str, **options: object) -> UserError:
    with pytest.raises(UserError) as caught:
        evaluate(folder, gold, predicted, **options)
    return caught.value


def test_two_files(tmp_path: Path) -> None:
    scored = evaluate(tmp_path, GOLD, PREDICTED)
    assert scored.metrics["entity_f1"] == 0.5
    assert scored.metrics["token_accuracy"] == 0.8
    content = json.loads(json.dumps(scored.as_dict(), allow_nan=False))
    assert content["counts"] == {
        "sentences": 2, "tokens": 5, "differing_tokens": 0, "gold": 2, "predicted": 2, "correct": 1,
    }  # fmt: skip
    assert content["schemes"] == {"gold": "iob2", "predicted": "iob2"}
    assert content["report"]["entity"]["人"]["f1"] == 1.0
    assert content["notes"] == []
    low, high = content["ci"]["entity_f1"]
    assert low <= 0.5 <= high


def test_table(tmp_path: Path) -> None:
    lines = evaluate(tmp_path, GOLD, PREDICTED).table().split("\n")
    assert lines[0] == "2 sentences, 5 tokens, 2 entities; 2 found, 1 of them right"
    assert "人                   100.00        100.00        100.00        1" in lines
    assert any(line.startswith("entity F1 50.00 %, 95 % interval") for line in lines)
    assert any(line.startswith("token accuracy 80.00 %, without O 75.00 %") for line in lines)


def test_one_file_like_conlleval(tmp_path: Path) -> None:
    both = write(tmp_path, "both.txt", "-DOCSTART- -X- O O\n\nAnna NNP B-PER B-PER\nran VBD O O\n")
    assert score(both).metrics["entity_f1"] == 1.0
    assert score(both, both, gold_column=2, pred_column=3).tokens == 2
    with pytest.raises(UserError, match="same column of the same file"):
        score(both, both)


def test_what_files_look_like(tmp_path: Path) -> None:
    """A byte order mark, CRLF, tabs, a stray tab for an empty line, spaces within tokens, gzip."""
    text = "\ufeffa\u3000b\tB-X\r\n\t\r\n\r\nc\u2028d\tO\r\n"
    packed = tmp_path / "gold.conll.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    scored = score(packed, write(tmp_path, "p", "a\u3000b  B-X\n\nc\u2028d  O\n\n\n"))
    assert (scored.sentences, scored.tokens, scored.metrics["entity_f1"]) == (2, 2, 1.0)


def test_schemes_may_differ(tmp_path: Path) -> None:
    scored = evaluate(tmp_path, GOLD, "李 B-人\n白 E-人\n\nNew S-LOC\nYork O\nis O\n")
    assert scored.schemes == ("iob2", "iobes")
    assert scored.metrics["entity_f1"] == 0.5
    assert scored.metrics["token_accuracy"] == 0.8
    assert any("schemes differ" in note for note in scored.notes)


def test_all_i_output_is_iob1_unless_it_is_named(tmp_path: Path) -> None:
    output = "李 I-人\n白 I-人\n\nNew I-LOC\nYork O\nis O\n"
    scored = evaluate(tmp_path, GOLD, output)
    assert scored.schemes == ("iob2", "iob1")
    assert scored.metrics["entity_f1"] == scored.metrics["entity_f1_strict"] == 0.5
    scored = evaluate(tmp_path, GOLD, output, pred_scheme="iob2")
    assert scored.metrics["entity_f1"] == 0.5
    assert scored.metrics["entity_f1_strict"] == 0.0
    assert scored.notes[0].startswith(
        "2 predicted tags are ill-formed in iob2 (2 entities); the first:"
    )
    assert "'I-人' at the start in line 1" in scored.notes[0]
    assert "strict mode" in scored.notes[1]


@pytest.mark.parametrize("ours", SCHEMES)
@pytest.mark.parametrize("theirs", SCHEMES)
@pytest.mark.parametrize("named", [False, True])
def test_a_scheme_on_each_side(ours: str, theirs: str, named: bool, tmp_path: Path) -> None:
    """The same entities are all right, on every level, in whatever schemes they are written."""
    texts = [conll_2003(sentences(60, scheme)) for scheme in (ours, theirs)]
    options = {"gold_scheme": ours, "pred_scheme": theirs} if named else {}
    scored = evaluate(tmp_path, *texts, **options)
    assert scored.schemes == (ours, theirs)
    assert set(scored.metrics.values()) == {1.0}
    assert len(scored.notes) == (ours != theirs)


def test_wrong_output_scores_the_same_in_any_scheme(tmp_path: Path) -> None:
    """Gold in IOB1 with strays, output in IOB2: as if both were in IOB2."""
    gold = with_strays(sentences(300, "iob1"), "B-MISC", [50, 90])
    output = sentences(300, "iob2")
    for row in output[::7]:
        row[0] = "B-PER"
    same = [repair(row, "iob1") for row in gold]
    wanted = evaluate(
        tmp_path,
        conll_2003([convert(row, "iob1", "iob2") for row in same]),
        conll_2003(output),
    )
    found = evaluate(tmp_path, conll_2003(gold), conll_2003(output))
    assert found.schemes == ("iob1", "iob2")
    strict = {"entity_f1_strict"}  # which drops the two strays
    assert {k: v for k, v in found.metrics.items() if k not in strict} == {
        k: v for k, v in wanted.metrics.items() if k not in strict
    }
    assert 0.9 < found.metrics["entity_f1_strict"] != wanted.metrics["entity_f1_strict"]
    assert found.notes[0].startswith("2 gold tags are ill-formed in iob1 (")


def test_alignment_by_position(tmp_path: Path) -> None:
    changed = PREDICTED.replace("York", "&amp;York")
    error = refusal(tmp_path, GOLD, changed)
    assert "--align position" in str(error.hint)
    scored = evaluate(tmp_path, GOLD, changed, align="position")
    assert scored.metrics == evaluate(tmp_path, GOLD, PREDICTED).metrics
    assert scored.as_dict()["counts"]["differing_tokens"] == 1
    assert scored.notes[0].startswith("1 of 5 tokens differ, compared by position; the first:")
    assert f"'&amp;York' in {tmp_path / 'pred.conll'}:5, 'York' in gold" in scored.notes[0]
    error = refusal(tmp_path, GOLD, "李 B-人\n\nNew B-LOC\nYork O\nis O\n", align="position")
    assert "(1 and 2 tokens in this sentence)" in error.problem
    assert error.line == 2
    error = refusal(tmp_path, GOLD, "李 B-人\n白 I-人\n", align="position")
    assert "2 sentences, but 1 in" in error.problem


def test_what_the_files_hold_besides_is_said_once(tmp_path: Path) -> None:
    text = "a O O\n\n\ufeffb O O\n"
    scored = score(write(tmp_path, "both", text))
    assert len(scored.notes) == 1
    assert "1 byte order mark" in scored.notes[0]


def test_named_scheme(tmp_path: Path) -> None:
    same = "a I-X\nb B-X\n"
    assert evaluate(tmp_path, same, same, scheme="iob1").notes == []
    assert len(evaluate(tmp_path, same, same, scheme="BIO").notes) == 3


def test_no_entities(tmp_path: Path) -> None:
    content = evaluate(tmp_path, "a O\n", "a O\n").as_dict()
    assert content["metrics"]["token_accuracy_without_o"] is None
    assert content["metrics"]["entity_f1"] == 0.0


@pytest.mark.parametrize(
    ("gold", "predicted", "line", "message"),
    [
        ("a O\nb O\n", "a O\nc O\n", 2, "'c' here, 'b' in"),
        ("a O\nb O\n", "a O\n", 2, "the end of the sentence here, 'b' in"),
        ("a O\n", "a O\nb O\n", 2, "'b' here, the end of the sentence in"),
        ("a O\n\nb O\n", "a O\nb O\n", 2, "'b' here"),
        ("a O\n", "a O\n\n\nb O\n", 4, "2 sentences, but 1 in"),
        ("a O\n", "a PER\n", 1, "match no scheme"),
        ("a B-X\nb E-X\n", "a B-X\nb L-X\nc Q\n", 2, ""),
        ("a O\n", "\n\n", None, "the file is empty"),
    ],
)
def test_refused(tmp_path: Path, gold: str, predicted: str, line: int | None, message: str) -> None:
    error = refusal(tmp_path, gold, predicted)
    assert message in str(error)
    if message:
        assert (Path(str(error.file)).name, error.line) == ("pred.conll", line)


def test_longer_gold_is_named(tmp_path: Path) -> None:
    error = refusal(tmp_path, "a O\n\nb O\n", "a O\n")
    assert (Path(str(error.file)).name, error.line) == ("gold.conll", 3)


def test_wrong_columns_and_bytes(tmp_path: Path) -> None:
    error = refusal(tmp_path, "a O\nb\n", "a O\n", gold_column=1)
    assert "1 column (separated by blanks), but most lines have 2" in str(error)
    assert error.line == 2
    error = refusal(tmp_path, "a O\n", "a O\n", pred_column=3)
    assert str(error).endswith("there is no column 3: line 1 has 2 (found 3)")
    bad = tmp_path / "bad"
    bad.write_bytes(b"a O\n\xff O\n")
    with pytest.raises(UserError, match="not UTF-8") as caught:
        score(bad, bad, pred_column=0)
    assert (caught.value.line, caught.value.column) == (2, 1)
    with pytest.raises(UserError, match="cannot be read: No such file"):
        score(tmp_path / "none", bad)
    damaged = tmp_path / "x.gz"
    damaged.write_bytes(gzip.compress(b"a O\n" * 100)[:20])
    with pytest.raises(UserError, match="damaged or truncated"):
        score(damaged, bad)


def test_bad_tag_under_a_named_scheme(tmp_path: Path) -> None:
    error = refusal(tmp_path, "a O\n", "a Q-X\n", scheme="iob2")
    assert "'Q-X' is not a tag of any scheme" in str(error)
    assert error.line == 1
    notes = evaluate(tmp_path, "a O\n", "a S-X\n", scheme="iob2").notes
    assert "'S-X' is not a tag of the scheme iob2 in line 1. iobes fits them better." in notes[0]
