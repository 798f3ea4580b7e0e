"""Annotations say what a value is; `Any` is left for borders of libraries that have no types."""

from __future__ import annotations

import ast
from collections.abc import Iterator

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


def renamed(tree: ast.AST) -> bool:
    """Return whether `Any` gets another name, which would hide it."""
    named = (node.value for node in ast.walk(tree) if isinstance(node, ast.Assign | ast.AnnAssign))
    return any(isinstance(value, ast.Name) and value.id == "Any" for value in named)


def test_few_are_any() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    found = [ast.unparse(one) for tree in trees.values() for one in annotations(tree)]
    bare = sum(one in ("Any", "typing.Any") for one in found)
    assert len(found) > 5000
    assert bare / len(found) < MOST, f"{bare} of {len(found)}"
    hidden = [path.relative_to(ROOT) for path, tree in trees.items() if renamed(tree)]
    assert hidden == []
