"""Imports of large libraries that wait until something they give is used.

transformers, Lightning and torchmetrics import at their own import what one command in a hundred
uses: torch's compiler, sharded tensors, accelerate, matplotlib, parts of scipy. That is two thirds
of the time to the first prediction, and none of them has a switch for it. While one of these
libraries is being imported, such a module is a placeholder that gives placeholders for its names;
whoever calls one, asks for an attribute or makes a subclass of it imports the module then. No
object can be an instance of a class whose module was never imported, which `isinstance` says.

torch wraps what must not be compiled in decorators of its compiler. While modules are imported, a
decorator wraps a function that looks for the real decorator when it is called, as
`accelerate.hooks` does it, too; and as long as there is no compiler, its marks are not needed.
"""

from __future__ import annotations

import functools
import importlib
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

IMPORTERS = ("lightning_fabric", "pytorch_lightning", "torchmetrics", "transformers")
"""Packages whose own imports wait."""
COMPILER = "torch._dynamo"
WAITING = (
    "accelerate",
    "matplotlib",
    "scipy.optimize",
    "scipy.signal",
    COMPILER,
    "torch.distributed._composable",
    "torch.distributed.checkpoint",
    "torch.distributed.fsdp",
    "torch.distributed.tensor",
    "transformers.distributed.expert_parallel",
    "transformers.distributed.tensor_parallel",
)
"""Modules that wait, with all below them."""


@contextmanager
def deferring(*, wanted: bool = True) -> Iterator[None]:
    """Let imports of `WAITING` by `IMPORTERS` wait, and so for good in what is imported here.

    Args:
        wanted: False for what uses the modules anyway: then nothing waits, also within another.
    """
    # Libraries add finders of their own meanwhile, which stay.
    outer = [finder for finder in sys.meta_path if isinstance(finder, _Finder)]
    inner = [_Finder()] if wanted else []
    for finder in outer:
        sys.meta_path.remove(finder)
    sys.meta_path[:0] = inner
    try:
        yield
    finally:
        for finder in inner:
            sys.meta_path.remove(finder)
        sys.meta_path[:0] = outer


class _Importing:
    """What is being imported at the moment; one of a process, as `sys.modules` is.

    Attributes:
        depth: Modules of `IMPORTERS` that are being executed, one within the other.
        made: Names of the placeholders in `sys.modules`.
    """

    def __init__(self) -> None:
        self.depth = 0
        self.made: list[str] = []

    def clear(self) -> None:
        """Take the placeholders from `sys.modules` and from their packages."""
        for name in self.made:
            found = sys.modules.get(name)
            if not isinstance(found, _Module):
                continue
            del sys.modules[name]
            package, _, last = name.rpartition(".")
            inside = vars(sys.modules[package]) if package in sys.modules else {}
            if inside.get(last) is found:
                del inside[last]
        self.made.clear()


_importing = _Importing()


class _Finder(MetaPathFinder, Loader):
    """Finds placeholders, and the importers that see them."""

    def find_spec(
        self, fullname: str, path: Any = None, target: types.ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module is, if it waits or is an importer's."""
        waits = _importing.depth and f"{fullname}.".startswith(tuple(f"{n}." for n in WAITING))
        if not waits and fullname.partition(".")[0] not in IMPORTERS:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        if not waits:
            spec.loader.exec_module = functools.partial(  # type: ignore[method-assign]
                _execute, spec.loader.exec_module
            )
            return spec
        own = ModuleSpec(fullname, self, origin=spec.origin)
        own.submodule_search_locations = spec.submodule_search_locations
        own.has_location = spec.has_location
        return own

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        """Make a placeholder."""
        _importing.made.append(spec.name)
        return _Module(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Do nothing: it waits."""


def _execute(execute: Callable[[types.ModuleType], None], module: types.ModuleType) -> None:
    """Execute a module of an importer; once more with all its imports where that fails."""
    if module.__name__ == "transformers.models":
        _list_models_once()
    _importing.depth += 1
    try:
        execute(module)
    except Exception:  # noqa: BLE001 - its own errors come again
        # Another version may use at once what is only named here: then nothing waits.
        with _really():
            execute(module)
    finally:
        _importing.depth -= 1
        if not _importing.depth:
            _importing.clear()


def _list_models_once() -> None:
    """Have transformers read the files of all its models for their names once, not twice.

    It does so by the path of the folder first, and then by the file in it that asks, which its
    cache takes for something else: a third of a second.
    """
    from transformers.utils import import_utils

    listed = import_utils.create_import_structure_from_path

    def once(path: Any) -> Any:
        return listed(Path(path).parent if str(path).endswith("__init__.py") else path)

    vars(import_utils)[listed.__name__] = once


@contextmanager
def _really() -> Iterator[None]:
    depth, _importing.depth = _importing.depth, 0
    _importing.clear()
    try:
        yield
    finally:
        _importing.depth = depth


def _imported(module: str) -> Any:
    """Import a module that has waited."""
    with _really():
        return importlib.import_module(module)


class _Module(types.ModuleType):
    """A module that waits."""

    def __getattr__(self, name: str) -> Any:
        special = name.startswith("__")
        if special and name not in ("__all__", "__version__"):
            raise AttributeError(name)
        if _importing.depth and not special:
            return _placeholder(self.__name__, name)
        return getattr(_imported(self.__name__), name)


class _Name(type):
    """A name of a module that waits: a class, so that it may stand in annotations and `isinstance`.

    Its `__module__` and `__qualname__` say where the real object is.
    """

    def __new__(
        mcs, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **options: Any
    ) -> Any:
        """Make a placeholder, or a class of which one of the bases is a placeholder."""
        if not bases:
            return super().__new__(mcs, name, bases, namespace)
        real = tuple(b.real() if isinstance(b, _Name) else b for b in bases)
        return types.new_class(name, real, options, lambda body: body.update(namespace))

    def real(cls) -> Any:
        """Return what it stands for."""
        found = _imported(cls.__module__)
        for part in cls.__qualname__.split("."):
            found = getattr(found, part)
        return found

    def __call__(cls, *args: Any, **options: Any) -> Any:
        if not _importing.depth:
            return cls.real()(*args, **options)
        if args and isinstance(args[0], types.FunctionType):
            return cls.around(args[0], lambda: cls.real()(*args, **options))
        # A decorator with options: `disable(recursive=False)` above a function.
        return lambda f: cls.around(f, lambda: cls.real()(*args, **options)(f))

    def around(
        cls, function: Callable[..., Any], decorated: Callable[[], Any]
    ) -> Callable[..., Any]:
        """Return a function that is decorated when it is first called."""
        made: Any = None

        @functools.wraps(function)
        def first(*args: Any, **options: Any) -> Any:
            nonlocal made
            if made is None and cls.__module__ == COMPILER and not cls._is_imported():
                return function(*args, **options)
            if made is None:
                made = decorated()
            return made(*args, **options)

        return first

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if _importing.depth:
            return _placeholder(cls.__module__, f"{cls.__qualname__}.{name}")
        return getattr(cls.real(), name)

    def __instancecheck__(cls, instance: Any) -> bool:
        return cls._is_imported() and isinstance(instance, cls.real())

    def __subclasscheck__(cls, subclass: type) -> bool:
        return cls._is_imported() and issubclass(subclass, cls.real())

    def _is_imported(cls) -> bool:
        module = sys.modules.get(cls.__module__)
        return module is not None and not isinstance(module, _Module)


def _placeholder(module: str, path: str) -> _Name:
    place = {"__module__": module, "__qualname__": path}
    return _Name(path.rpartition(".")[2], (), place)
