"""Private names of libraries stand in `lushan.compat` alone, and those of our modules in them."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import lushan

SOURCE = Path(lushan.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

DOCUMENTED = {
    *("_exit", "_replace", "_asdict", "_fields", "_make", "_missing_"),
    *("_init_weights", "_supports_sdpa"),
}
"""Public in spite of the underscore: of os, of named tuples, of enums, of transformers' models."""

PLACE = re.compile(r"[a-z_]\w*(\.\w+)*\._[a-z]\w*(\.\w+)*")
"""A dotted place with a private part, as text."""


def is_private(name: str) -> bool:
    """Whether a name begins with one underscore, as `__init__` and `_` do not."""
    return bool(re.match(r"_[^_]", name)) and name not in DOCUMENTED


def name_of(path: Path) -> str:
    """The dotted name of a module of ours."""
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[: -1 if parts[-1] == "__init__" else None])


parsed = functools.cache(ast.parse)


@functools.cache
def classes() -> dict[str, list[ast.ClassDef]]:
    """Our classes by their names."""
    found: dict[str, list[ast.ClassDef]] = {}
    for path in MODULES:
        for node in ast.walk(parsed(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.setdefault(node.name, []).append(node)
    return found


@functools.cache
def defined(node: ast.AST) -> set[str]:
    """Methods, and attributes of `self` and of the class, that a class defines."""
    found = set()
    for inner in ast.walk(node):
        if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(inner.name)
        elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
            found.add(inner.id)
        elif isinstance(inner, ast.Attribute) and is_self(inner.value):
            found |= {inner.attr} if isinstance(inner.ctx, ast.Store) else set()
    return found


def inherited(node: ast.ClassDef, seen: tuple[str, ...] = ()) -> set[str]:
    """What a class and those of our classes that it is made from define."""
    found = defined(node)
    for base in node.bases:
        name = re.split(r"[.\[]", ast.unparse(base))[-1]
        for above in classes().get(name, []) if name not in seen else []:
            found |= inherited(above, (*seen, name))
    return found


def is_self(node: ast.AST) -> bool:
    """Whether an expression is `self`, `cls` or `super()`."""
    called = node.func if isinstance(node, ast.Call) else node
    return isinstance(called, ast.Name) and called.id in ("self", "cls", "super")


def uses(text: str) -> Iterator[str]:
    """Private names of others that a module uses, as `LINE: NAME`."""
    tree = parsed(text)
    inside = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    own: set[str] = set().union(*map(inherited, inside))
    for node in ast.walk(tree):
        found: list[str] = []
        if isinstance(node, ast.ImportFrom):
            found = [f"{node.module}.{one.name}" for one in node.names]
        elif isinstance(node, ast.Import):
            found = [one.name for one in node.names]
        elif isinstance(node, ast.Attribute) and node.attr not in own:
            found = [node.attr]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            if node.func.id not in ("getattr", "setattr", "hasattr", "delattr"):
                continue
            found = [str(a.value) for a in node.args[1:2] if isinstance(a, ast.Constant)]
            found = [name for name in found if name not in own]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = [node.value] if PLACE.fullmatch(node.value) else []
            found = [name for name in found if not name.endswith("._target_")]  # a key's place
        for name in found:
            if any(map(is_private, name.split("."))):
                yield f"{getattr(node, 'lineno', 0)}: {name}"


PLAIN = ("builtins", "abc", "enum", "typing", "lushan")


def overridden(kind: type) -> set[str]:
    """Private names that a class of ours takes from the classes of others below it."""
    theirs = [b for b in kind.__mro__[1:] if b.__module__.partition(".")[0] not in PLAIN]
    if not theirs:
        return set()
    taken = {name for name in defined(ast.parse(source(kind))) if is_private(name)}
    texts = "\n".join(map(source, theirs)) if taken else ""
    return {n for n in taken if re.search(rf"(self|cls)\.{n}\b|def {n}\b|^    {n}\b", texts, re.M)}


@functools.cache
def source(kind: type) -> str:
    """The text of a class; none of what is made in C, or while running."""
    try:
        return textwrap.dedent(inspect.getsource(kind))
    except (OSError, TypeError):
        return ""


def outside(path: Path) -> bool:
    return path.parent.name != "compat"


@pytest.mark.slow
def test_private_names_stand_in_compat_alone() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{use}"
        for path in MODULES
        if outside(path)
        for use in uses(path.read_text(encoding="utf-8"))
    ]
    assert found == []
    assert any(map(outside, MODULES))


@pytest.mark.slow(2)
def test_compat_uses_some_of_each_library() -> None:
    for path in (SOURCE / "compat").glob("[a-z]*.py"):
        assert list(uses(path.read_text(encoding="utf-8"))), path.name


@pytest.mark.slow
def test_our_classes_take_no_private_name_of_theirs() -> None:
    found, count = [], 0
    for path in MODULES:
        if path.stem == "__main__" or not outside(path):
            continue
        try:
            module = importlib.import_module(name_of(path))
        except ModuleNotFoundError as error:  # an extra
            if str(error.name).startswith("lushan"):
                raise
            continue
        for kind in vars(module).values():
            if isinstance(kind, type) and kind.__module__ == module.__name__:
                count += 1
                names = overridden(kind)
                found += [f"{kind.__module__}.{kind.__qualname__}.{name}" for name in names]
    assert count > 200
    assert found == []


@pytest.mark.parametrize(
    "text",
    [
        "from hydra._internal.utils import get_args_parser",
        "import hydra._internal",
        "from lightning_fabric.utilities.optimizer import _optimizers_to_device",
        "from lushan.study.table import _rows",
        "import lushan.study._table",
        "node._get_node('x')",
        "self._trainer",
        "super()._terminate_all()",
        "torch._dynamo.config.optimize_ddp = False",
        "getattr(config, '_attn_implementation', None)",
        "NAMES = {'optuna.samplers._base.BaseSampler': 1}",
        "class A(B):\n    def f(self):\n        return self._device_mesh",
    ],
)
def test_a_private_name_is_found(text: str) -> None:
    assert list(uses(text))


@pytest.mark.parametrize(
    "text",
    [
        "os._exit(1)",
        "row._replace(line=1)",
        "class A:\n    def __init__(self):\n        self._x = 1\n    def f(self, b):\n        b._x",
        "class A:\n    def _f(self): ...\n    def g(self):\n        return super()._f()",
        "def f():\n    _ = self.__class__.__name__",
        "KEY = 'peft.config._target_'",
    ],
)
def test_own_and_documented_names_are_not(text: str) -> None:
    assert list(uses(text)) == []


def test_an_overridden_name_is_found() -> None:
    from pytorch_lightning.callbacks import EarlyStopping

    class Stops(EarlyStopping):
        def _run_early_stopping_check(self, trainer) -> None: ...

    class Keeps(EarlyStopping):
        def _ours(self) -> None:
            self._mine = 1

    assert overridden(Stops) == {"_run_early_stopping_check"}
    assert overridden(Keeps) == set()
