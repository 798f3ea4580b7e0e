"""One place knows what a metric is measured in, and every text for people asks it."""

import ast
import json
import re
from pathlib import Path

import pytest

import lushan
from lushan.common import units
from lushan.common.units import Measure

PACKAGE = Path(lushan.__file__).parent


SHARE, LOSS, MINE = units.SHARE, units.LOSS, units.UNKNOWN
BLEU = Measure(units.POINTS, higher_is_better=True)


@pytest.mark.parametrize(
    ("metric", "measure", "value", "head", "number", "text", "difference"),
    [
        ("test/f1", SHARE, 0.8651, "test/f1, %", "86.51", "86.51 %", "+86.51 points"),
        ("test/exact", SHARE, 0, "test/exact, %", "0.00", "0.00 %", "0.00 points"),
        ("test/bleu", BLEU, 25, "test/bleu, of 100", "25.00", "25.00 of 100", "+25.00 points"),
        ("val/loss", LOSS, 0.6034, "val/loss", "0.6034", "0.6034", "+0.6034"),
        ("test/mine", MINE, 0.5, "test/mine", "0.5000", "0.5000", "+0.5000"),
    ],
)
def test_a_value_is_written_with_its_unit(metric, measure, value, head, number, text, difference):
    assert units.head(metric, measure) == head
    assert units.number(value, measure) == number
    assert units.text(value, measure) == text
    assert units.difference(value, measure) == difference


def test_what_is_not_known_is_a_dash():
    assert units.number(None, SHARE) == units.text(None, SHARE) == "-"
    assert units.interval(None, 0.5, SHARE) == ""
    assert units.interval(0.25, 0.5, SHARE) == "25.00 to 50.00"
    assert units.signed(-0.25, SHARE) == "-25.00"


def test_which_way_is_better():
    assert units.is_better(0.1, SHARE)
    assert units.is_better(0.1, LOSS) is False
    assert units.is_better(-0.1, LOSS)
    assert units.is_better(0.1, MINE) is None


def test_a_measure_is_found_with_and_without_its_split():
    known = {"val/bleu": BLEU, "test/wer": LOSS}
    assert units.measure_of(known, "bleu") == units.measure_of(known, "val/bleu") == BLEU
    assert units.measure_of(known, "wer") == LOSS
    assert units.measure_of({"wer": LOSS}, "val/wer") == LOSS
    assert units.measure_of(known, "f1") == units.UNKNOWN, "no name says anything"


def test_a_measure_is_read_as_it_was_written():
    for measure in (SHARE, LOSS, MINE, BLEU, Measure(statistics="x", score="a.b", same=0)):
        assert Measure.from_dict(json.loads(json.dumps(measure.as_dict()))) == measure


@pytest.mark.parametrize(
    "content", [{"unit": 3}, {"unit": {"digits": "2"}}, {"higher_is_better": "yes"}, {"other": 1}]
)
def test_what_is_no_measure_is_refused(content):
    with pytest.raises(ValueError, match=r"\w"):
        Measure.from_dict(content)


RAW = {
    "callbacks/guard.py": "the loss, in the units of training",
    "study/example_changes.py": "a number that a task predicts, not a metric",
    "audit/page.py": "statistics of texts and labels",
    "audit/findings.py": "the same",
    "engine/announce.py": "parameters and padding",
    "engine/preview.py": "padding",
    "models": "distances between outputs",
    "export/adapters.py": "the same",
    "export/hf_folder.py": "the same",
    "export/tracing.py": "the same",
    "export/gguf_file.py": "the same",
    "cli/index.py": "scores of documents",
    "study/differences.py": "p; two values that should be equal, with the digits that differ",
    "report/curves.py": "rounding of what the page draws",
    "report/examples.py": "the same",
    "study/claims.py": "p, and what to write",
    "search/results.py": "importance: a share of variation",
    "assist/evaluation.py": "scores from which on an answer is given",
    "cli/assist.py": "the same",
    "cli/recommend.py": "scores of items",
    "assist/risk.py": "a score from which on an answer is given, and rates that are asked for",
    "engine/lr_range.py": "learning rates",
    "engine/lr_page.py": "the same, and losses of single steps",
    "cli/tune.py": "the same",
    "guard/calibration.py": "rates that are asked for",
    "inference/guarding.py": "a threshold, and shares of its texts",
    "inference/recommendation.py": "scores of candidates, stored",
    "serve/mistakes.py": "bounds of what a request may hold",
    "monitor": "rates of alarms, and shares with their own intervals",
    "common/units.py": "this is the place",
}
"""Where numbers are formatted that are no metric's."""


@pytest.mark.slow
def test_nowhere_else_is_a_metric_formatted():
    """A format of digits in any other file is a number that was not asked about."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        name = file.relative_to(PACKAGE).as_posix()
        text = file.read_text(encoding="utf-8")
        if not re.search(r"\.[2-9]", text):
            continue
        for node in ast.walk(ast.parse(text)):
            spec = node.format_spec if isinstance(node, ast.FormattedValue) else None
            parts = spec.values if isinstance(spec, ast.JoinedStr) else ()
            text = "".join(str(p.value) for p in parts if isinstance(p, ast.Constant))
            if re.search(r"\.[2-9][fge]", text) and not name.startswith(tuple(RAW)):
                found.add(name)
    assert found == set()


def test_a_script_of_the_report_knows_no_unit_either():
    for file in (PACKAGE / "studies" / "report" / "assets").glob("*.js"):
        assert "scale === 100" not in file.read_text(encoding="utf-8")
