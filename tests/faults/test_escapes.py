"""Text in data that would steer a terminal, a page or a spreadsheet, under each command."""

from __future__ import annotations

import csv
import functools
import io
import json
import logging
import re
import warnings

import pytest

from lushan.common import terminal
from tests.helpers import command
from tests.helpers.runs import finished, labelled

pytestmark = pytest.mark.fault(65)

EVIL = "\x1b]0;owned\x07\x1b[2K\x9b31m\r\u202etxt\u2028end"
STEERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029]"
)
FORMULA = "=cmd|' /C calc'!A0"
FORMULAS = ["=1+1", "+cmd|x", "-1+1", "@SUM(A1)", "\t=1"]


def texts(done):
    return done.out + done.err


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    """Runs whose config, labels and texts are somebody's who means no good."""
    place = tmp_path_factory.mktemp("outputs")
    for head, seeds in ((f"{EVIL}\n% \\input{{x}}", [1]), (FORMULA, [1]), ("plain", [1, 2])):
        for seed in seeds:
            changed = ["b", EVIL] if seed == 1 else [EVIL, "b"]
            records = labelled([EVIL, "b"] * 6, [EVIL, "b"] * 5 + changed)
            finished(
                place / "outputs",
                {"seed": seed, "task": {"kind": "single"}, "model": {"head": head}},
                {"test/accuracy": 0.8 + seed / 10, "test/loss": 1.0},
                [{**row, "text": f"{EVIL} {row['id']}"} for row in records],
            )
    return place


@pytest.fixture
def lushan(outputs):
    return functools.partial(command.inside, cwd=outputs)


def texts_in(value):
    """All texts in a value of JSON."""
    if isinstance(value, str):
        yield value
    inside = [*value, *value.values()] if isinstance(value, dict) else value
    for inner in inside if isinstance(inside, list) else ():
        yield from texts_in(inner)


@pytest.mark.parametrize(
    "arguments",
    [
        ("runs",),
        ("runs", "--json"),
        ("compare", "outputs", "--where", "model.head=plain"),
        ("compare", "outputs", "--where", "model.head=plain", "--json"),
        *(
            ("table", "outputs", "--rows", "model.head", "--format", f)
            for f in ("md", "latex", "csv")
        ),
        ("table", "outputs", "--rows", "model.head", "--format", "html"),
        ("table", "outputs", "--rows", EVIL),
        ("table", f"{EVIL}", "--rows", "model"),
    ],
    ids=" ".join,
)
def test_nothing_that_is_printed_steers(arguments, lushan):
    done = lushan(*arguments)
    assert not STEERS.search(texts(done)), ascii(texts(done))
    assert "Traceback" not in done.err
    if "--json" in arguments:
        assert any(EVIL in x for x in texts_in(json.loads(done.out)))  # as it was, for programs


@pytest.mark.parametrize("format", ["md", "latex", "csv", "html"])
def test_nothing_that_is_written_steers(format, lushan, tmp_path):
    file = tmp_path / "table"
    done = lushan("table", "outputs", "--rows", "model.head", "--format", format, "--output", file)
    assert done.code == 0, done.err
    text = file.read_text("utf-8")
    assert not STEERS.search(text)
    if format == "latex":
        assert "\n% \\input" not in text  # nor begins a line of its own
        assert r"\textbackslash{}u001b" in text


def test_no_cell_is_a_formula(lushan):
    done = lushan("table", "outputs", "--rows", "model.head", "--format", "csv")
    rows = list(csv.reader(io.StringIO(done.out)))
    assert any(row[0] == f"'{FORMULA}" for row in rows)
    for row in rows:
        for cell in row:
            assert not re.match(r"[=+@\t]|-(?!\d)", cell), cell


def test_numbers_stay_numbers():
    assert [terminal.csv_cell(x) for x in (-0.5, 3, None, "-0.5", "+1e-3", "plain", "-")] == [
        *(-0.5, 3, None, "-0.5", "+1e-3", "plain", "'-"),
    ]
    assert [terminal.csv_cell(x) for x in FORMULAS] == [f"'{x}" for x in FORMULAS]


@pytest.mark.slow(1)
def test_a_page_of_an_audit(tmp_path, cli_inside):
    rows = [
        f"{EVIL.replace(chr(13), '')} well {i % 3},{'pos' if i % 2 else EVIL[1:7]}"
        for i in range(12)
    ]
    (tmp_path / "train.csv").write_text("\n".join(["text,label", *rows]), "utf-8", newline="\n")
    done = cli_inside(
        *("audit", "--output", "audit.md", "data=table", "data.train=train.csv"),
        *("task=classification", "data.validation=null", "data.test=0.3"),
    )
    assert done.code == 0, done.err
    page = (tmp_path / "audit.md").read_text("utf-8")
    assert "\\u001b" in page
    assert not STEERS.search(page + texts(done))


def test_warnings(monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    terminal.guard_warnings()
    terminal.guard_warnings()  # twice is once
    shown = warnings.formatwarning(f"Glyph {EVIL} is missing", UserWarning, "x.py", 1, line="")
    assert "UserWarning: Glyph \\u001b]0;owned" in shown
    assert not STEERS.search(shown)


def test_logs(capsys):
    log = logging.getLogger("test of escapes")
    log.propagate = False
    handler = terminal.screen()
    log.addHandler(handler)
    try:
        log.warning("label %s", EVIL)
    finally:
        log.removeHandler(handler)
    assert capsys.readouterr().err == f"label {terminal.visible(EVIL)}\n"


def test_a_console_keeps_its_own_colours_and_no_others():
    from rich.table import Table

    out = io.StringIO()
    table = Table("head")
    table.add_row(EVIL)
    console = terminal.console(file=out, force_terminal=True, width=200)
    console.print(table, style="bold")
    console.print(EVIL, style="red", markup=False)
    text = out.getvalue()
    assert "\x1b[31m" in text  # its own
    assert "\x1b]0;" not in text
    assert not STEERS.search(text.replace("\x1b[", ""))


def test_what_is_visible():
    assert terminal.visible("a\tb\nc 你好 é 👩‍💻") == "a\tb\nc 你好 é 👩‍💻"
    assert terminal.visible("\ud800\x7f\x85\u2066\r\n") == "\\ud800\\u007f\\u0085\\u2066\\u000d\n"
    value = {"x": "\x9b\u202e\u2028\ud800\x1b"}
    assert json.loads(terminal.visible(json.dumps(value, ensure_ascii=False))) == value
    assert terminal.in_line("a\nb\tc") == "a\\u000ab\\u0009c"
