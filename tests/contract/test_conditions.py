"""Branches stand in statements: a conditional expression is one choice, seen at a glance."""

from __future__ import annotations

import ast

import pytest

from tests.contract.test_typeable import ROOT, SOURCES

MOST = 2
"""Lines of a conditional expression."""


def _hides(node: ast.IfExp) -> bool:
    assert node.end_lineno is not None
    nested = any(isinstance(part, ast.IfExp) for part in (node.test, node.body, node.orelse))
    return nested or node.end_lineno - node.lineno >= MOST


@pytest.mark.slow(1)
def test_conditional_expressions() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.IfExp) and _hides(node)
    ]
    assert found == []
