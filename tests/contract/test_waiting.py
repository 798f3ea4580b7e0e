"""A test says how long it waits for a process: one that hangs would cost ten minutes."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MODULES = sorted(path for part in ("test_*.py", "helpers/*.py") for path in TESTS.rglob(part))


def endless(text):
    """The lines of loops that do nothing but sleep until something is true."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.While)
        and all(ast.unparse(statement).startswith("time.sleep(") for statement in node.body)
    ]


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_waits_for_ever(path):
    assert not endless(path.read_text()), "`tests.helpers.waiting.until` fails after a while"


def test_such_a_loop_is_found():
    assert endless("while not done():\n    time.sleep(1)\n") == [1]
    assert not endless("while not done():\n    assert late()\n    time.sleep(1)\n")
