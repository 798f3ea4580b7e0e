"""No module imports itself by way of others, not even inside a function or for types alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import lushan

SOURCE = Path(lushan.__file__).parent.parent


def modules(root: Path) -> dict[str, Path]:
    """Modules by their dotted names."""
    found = {}
    for path in root.rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[: -1 if parts[-1] == "__init__" else None])] = path
    return found


def imports(name: str, path: Path, known: Mapping[str, Path]) -> set[str]:
    """The modules that one imports, wherever in it the import stands."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            for one in node.names:
                inner = f"{node.module}.{one.name}"
                found.add(inner if inner in known else node.module)
        else:
            assert not isinstance(node, ast.ImportFrom), f"{path}: relative imports are not read"
    return {one for one in found if one in known and one != name}


def circles(graph: Mapping[str, set[str]]) -> Iterator[list[str]]:
    """Ways from a module back to it, one for each module that has any, shortest first."""
    for start in sorted(graph):
        ways = [[start]]
        seen: set[str] = set()
        while ways:
            way = ways.pop(0)
            for next_one in sorted(graph[way[-1]]):
                if next_one == start:
                    yield [*way, start]
                    ways.clear()
                    break
                if next_one not in seen:
                    seen.add(next_one)
                    ways.append([*way, next_one])


def graph_of(root: Path) -> dict[str, set[str]]:
    known = modules(root)
    return {name: imports(name, path, known) for name, path in known.items()}


@pytest.mark.slow(1)
def test_there_is_none() -> None:
    graph = graph_of(SOURCE)
    assert sum(map(len, graph.values())) > 1000
    assert list(circles(graph)) == []


def test_lazy_and_type_only_ones_are_found(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "p/__init__.py").touch()
    (tmp_path / "p/a.py").write_text("def f():\n    from p import b\n")
    (tmp_path / "p/b.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from p.c import C\n"
    )
    (tmp_path / "p/c.py").write_text("import p.a\n")
    (tmp_path / "p/d.py").write_text("from p.a import f\n")
    found = list(circles(graph_of(tmp_path)))
    assert found[0] == ["p.a", "p.b", "p.c", "p.a"]
    assert [way[0] for way in found] == ["p.a", "p.b", "p.c"]
