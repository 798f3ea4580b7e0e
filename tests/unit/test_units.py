"""One place knows what a metric is measured in, and every text for people asks it."""

import ast
import re
from pathlib import Path

import pytest

import lushan
from lushan import units

PACKAGE = Path(lushan.__file__).parent


@pytest.mark.parametrize(
    ("metric", "value", "head", "number", "text", "difference"),
    [
        ("test/entity_f1", 0.8651, "test/entity_f1, %", "86.51", "86.51 %", "+86.51 points"),
        ("entity_f1_macro", 0.5, "entity_f1_macro, %", "50.00", "50.00 %", "+50.00 points"),
        (
            "val/token_accuracy_without_o",
            1,
            "val/token_accuracy_without_o, %",
            "100.00",
            None,
            None,
        ),
        ("test/rougeLsum_lead1", 0.3, "test/rougeLsum_lead1, %", "30.00", "30.00 %", None),
        ("test/exact_match", 0, "test/exact_match, %", "0.00", "0.00 %", "0.00 points"),
        ("test/rouge1", 0.25, "test/rouge1, %", "25.00", "25.00 %", None),
        ("test/bleu", 25, "test/bleu, of 100", "25.00", "25.00 of 100", "+25.00 points"),
        ("val/loss", 0.6034, "val/loss", "0.6034", "0.6034", "+0.6034"),
        ("test/pearson", 0.5, "test/pearson", "0.5000", "0.5000", "+0.5000"),
        ("test/a_metric_of_mine", 0.5, "test/a_metric_of_mine", "0.5000", "0.5000", "+0.5000"),
    ],
)
def test_a_value_is_written_with_its_unit(metric, value, head, number, text, difference):
    assert units.head(metric) == head
    assert units.number(value, metric) == number
    assert text is None or units.text(value, metric) == text
    assert difference is None or units.difference(value, metric) == difference


def test_what_is_not_known_is_a_dash():
    assert units.number(None, "f1") == units.text(None, "f1") == "-"
    assert units.interval(None, 0.5, "f1") == ""
    assert units.interval(0.25, 0.5, "f1") == "25.00 to 50.00"
    assert units.signed(-0.25, "f1") == "-25.00"


def test_which_way_is_better():
    lower = ["val/loss", "test/mse", "test/repetition", "val/bits_per_byte", "perplexity"]
    assert all(map(units.is_lower_better, lower))
    assert not any(map(units.is_lower_better, ["test/entity_f1", "test/bleu", "val/mine"]))


RAW = {
    "callbacks/guard.py": "the loss, in the units of training",
    "studies/changes.py": "a number that a task predicts, not a metric",
    "data/audit/page.py": "statistics of texts and labels",
    "data/audit/findings.py": "the same",
    "announcing.py": "parameters and padding",
    "picture.py": "padding",
    "models": "distances between outputs",
    "inference/adapters.py": "the same",
    "inference/exporting.py": "the same",
    "studies/contrast.py": "two values that should be equal, with the digits that tell them apart",
    "studies/report/curves.py": "rounding of what the page draws",
    "studies/report/examples.py": "the same",
    "studies/claims.py": "p, and what to write",
    "studies/numbers.py": "p",
    "search/closing.py": "importance: a share of variation",
    "units.py": "this is the place",
}
"""Where numbers are formatted that are no metric's."""


def test_nowhere_else_is_a_metric_formatted():
    """A format of digits in any other file is a number that was not asked about."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        name = file.relative_to(PACKAGE).as_posix()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            spec = node.format_spec if isinstance(node, ast.FormattedValue) else None
            parts = spec.values if isinstance(spec, ast.JoinedStr) else ()
            text = "".join(str(p.value) for p in parts if isinstance(p, ast.Constant))
            if re.search(r"\.[2-9][fge]", text) and not name.startswith(tuple(RAW)):
                found.add(name)
    assert found == set()


def test_a_script_of_the_report_knows_no_unit_either():
    for file in (PACKAGE / "studies" / "report" / "assets").glob("*.js"):
        assert "scale === 100" not in file.read_text(encoding="utf-8")
