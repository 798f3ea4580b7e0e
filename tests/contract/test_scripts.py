"""Scripts beside the package name what there is in it: no other test runs most of them."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted(
    path
    for folder in ("experiments", "benchmarks", "scripts", "examples")
    for path in (ROOT / folder).rglob("*.py")
)


def bound(tree: ast.AST) -> Iterator[tuple[str, Any]]:
    """The names that a script imports from lushan, with what they stand for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "lushan":
            module = importlib.import_module(str(node.module))
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                yield alias.asname or alias.name, getattr(module, alias.name)


def mistakes(path: Path) -> Iterator[str]:
    """What a script names that is not there, and calls that do not fit."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    known = dict(bound(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = known.get(node.value.id)
            if isinstance(module, ModuleType) and not hasattr(module, node.attr):
                yield f"{path.name}:{node.lineno}: {module.__name__} has no {node.attr}"
        called = function_of(node.func, known) if isinstance(node, ast.Call) else None
        if called is not None and not fits(node, called):
            yield f"{path.name}:{node.lineno}: {ast.unparse(node)} does not fit"


def function_of(node: ast.AST, known: dict[str, Any]) -> Any:
    found = None
    if isinstance(node, ast.Name):
        found = known.get(node.id)
    elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        module = known.get(node.value.id)
        found = getattr(module, node.attr, None) if isinstance(module, ModuleType) else None
    return found if inspect.isfunction(found) or inspect.isclass(found) else None


def fits(node: ast.Call, called: Any) -> bool:
    """Return whether the arguments of a call are those of a signature."""
    if any(isinstance(a, ast.Starred) for a in node.args) or any(
        k.arg is None for k in node.keywords
    ):
        return True
    try:
        inspect.signature(called).bind(*node.args, **{str(k.arg): k.value for k in node.keywords})
    except (TypeError, ValueError):
        return False
    return True


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_names_what_there_is(path):
    assert list(mistakes(path)) == []
