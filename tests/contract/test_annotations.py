"""Annotations say what a value is; `Any` is left for borders of libraries that have no types."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.contract.test_typeable import ROOT, SOURCES

MOST = 0.03
"""Share of all annotations that may be a bare `Any`."""


def annotations(tree: ast.AST) -> Iterator[ast.expr]:
    """Those of arguments, returned values and attributes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            yield from filter(None, [node.annotation])
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from filter(None, [node.returns])
        elif isinstance(node, ast.AnnAssign):
            yield node.annotation


def bare(one: ast.expr) -> bool:
    """Return whether an annotation is `Any` and nothing else."""
    if isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name):
        return (one.value.id, one.attr) == ("typing", "Any")
    return isinstance(one, ast.Name) and one.id == "Any"


def renamed(tree: ast.AST) -> bool:
    """Return whether `Any` gets another name, which would hide it."""
    named = (node.value for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.AnnAssign))
    return any(isinstance(value, ast.Name) and value.id == "Any" for value in named)


@pytest.mark.slow
def test_few_are_any() -> None:
    found, hidden = [], []
    for path in SOURCES:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found += map(bare, annotations(tree))
        if renamed(tree):
            hidden.append(path.relative_to(ROOT))
    assert len(found) > 5000
    assert sum(found) / len(found) < MOST, f"{sum(found)} of {len(found)}"
    assert hidden == []
