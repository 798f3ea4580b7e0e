"""What users read is in the field's standard terms: messages, help, notes, configs, docs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.test_typeable import ROOT, SOURCES, texts_of

PRIVATE = re.compile(
    r"\b(judge[sd]?|judging|judgement|told|tells?|telling|(is|are|was|were|be|been|as) said|"
    r"go(es)? on|going on|went on|gone on|c(a|o)mes? to|is at it|blotted|hangs? on|let be|"
    r"le(ave|aves|aving|ft) (\S+ )?away|(taken?|takes?) (\S+ )?away|rides on|look(s|ed|ing) at|"
    r"whoever|nobody|somebody|in vain|for good|anew)\b",
    re.IGNORECASE,
)
"""Words of a private register, for which the field has another: evaluate, resume, remove."""
TABLE = re.compile(
    r"\b(judg\w*|told|go(es)? on from|went on from|c(a|o)mes? to|is at it|blot(s|ted)?|"
    r"le(ave|aves|aving|ft) (\S+ )?away)\b",
    re.IGNORECASE,
)
"""Those that no line of code or test says either."""
CODE = [
    path
    for folder in ("src", "tests", "benchmarks", "scripts", "examples")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in (".py", ".js", ".css", ".md") and path != Path(__file__)
]
COMMANDS = [
    path
    for path in sorted((ROOT / "src" / "lushan" / "cli").glob("*.py"))
    if "typer" in path.read_text(encoding="utf-8")
]


EXAMPLES = ROOT / "src" / "lushan" / "data" / "formats" / "samples.py"
"""Sentences of a made-up corpus, which are data and no messages."""


def _helps(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and (text := ast.get_docstring(node)):
            yield node.lineno, text


def test_code_and_its_files() -> None:
    wrong = [str(path.relative_to(ROOT)) for path in CODE if TABLE.search(path.stem)]
    wrong += [
        f"{path.relative_to(ROOT)}:{number}: {found[0]}"
        for path in CODE
        if path != EXAMPLES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (found := TABLE.search(line.replace("_", " ")))
    ]
    assert len(CODE) > 500
    assert wrong == []


@pytest.mark.slow(1)
def test_messages_and_help() -> None:
    wrong, count = [], 0
    assert len(COMMANDS) > 5
    for path in SOURCES:
        if path == EXAMPLES:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        texts = [*texts_of(tree), *(_helps(tree) if path in COMMANDS else ())]
        count += len(texts)
        wrong += [
            f"{path.relative_to(ROOT)}:{line}: {found[0]}"
            for line, text in texts
            if " " in text and (found := PRIVATE.search(text))
        ]
    assert count > 2000
    assert wrong == []


@pytest.mark.parametrize("pattern", ["conf/**/*.yaml", "docs/**/*.md"])
def test_configs_and_docs(pattern: str) -> None:
    files: list[Path] = sorted(ROOT.glob(pattern))
    assert len(files) > 5
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {found[0]}"
        for path in files
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if (found := PRIVATE.search(line))
    ]
    assert wrong == []
