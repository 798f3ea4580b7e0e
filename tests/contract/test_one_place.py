"""What only one module does: print, and read JSON and YAML. Found in the code, not listed."""

import ast
import functools
from pathlib import Path

import pytest

import lushan

SOURCE = Path(lushan.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))

PRINTS = {
    "print",
    "typer.echo",
    "typer.secho",
    "click.echo",
    "click.secho",
    "sys.stdout.write",
    "sys.stderr.write",
    "sys.stdout.writelines",
    "sys.stderr.writelines",
    "sys.stdout.buffer.write",
    "sys.stderr.buffer.write",
    "sys.__stdout__.write",
    "sys.__stderr__.write",
    "logging.StreamHandler",
    "logging.lastResort",
    "logging.basicConfig",
    "traceback.print_exc",
    "traceback.print_exception",
    "warnings.showwarning",
    "rich.print",
    "rich.print_json",
    "rich.console.Console",
    "rich.logging.RichHandler",
    "pprint.pprint",
}
LOADERS = ("load", "loads", "load_all", "compose", "compose_all", "parse", "scan", "decode")
PARSES = {
    *(f"json.{name}" for name in ("load", "loads", "JSONDecoder", "decoder.JSONDecoder")),
    *(f"orjson.{name}" for name in LOADERS),
    *(f"ujson.{name}" for name in LOADERS),
    *(f"simplejson.{name}" for name in LOADERS),
    *(f"msgspec.json.{name}" for name in (*LOADERS, "Decoder")),
    *(f"msgspec.yaml.{name}" for name in LOADERS),
    *(f"yaml.{kind}{name}" for kind in ("", "safe_", "full_", "unsafe_") for name in LOADERS),
    "yaml.SafeLoader",
    "yaml.CSafeLoader",
    "OmegaConf.load",
    "omegaconf.OmegaConf.load",
}


@functools.cache
def names_in(text: str) -> list[tuple[int, str]]:
    """The lines and dotted names of what a module uses, by the names that it was imported from."""
    imported, found = {}, []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            imported |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
        elif isinstance(node, ast.Name | ast.Attribute):
            found.append(node)
    return [(node.lineno, dotted(node, imported)) for node in found]


def dotted(node: ast.expr, imported: dict[str, str]) -> str:
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value, imported)}.{node.attr}"
    return imported.get(node.id, node.id) if isinstance(node, ast.Name) else ""


def uses(text: str, wanted: set[str]) -> list[str]:
    """The places of a module that name one of some functions, under whatever name."""
    return [f"{line}: {name}" for line, name in names_in(text) if name in wanted]


@pytest.mark.slow(1)
@pytest.mark.fault(65)
def test_one_module_prints():
    outside = {
        path.relative_to(SOURCE): found
        for path in MODULES
        if path.name != "terminal.py" and (found := uses(path.read_text("utf-8"), PRINTS))
    }
    assert outside == {}


@pytest.mark.fault(66)
def test_one_module_reads_json_and_yaml():
    outside = {
        path.relative_to(SOURCE): found
        for path in MODULES
        if path.name != "parsing.py" and (found := uses(path.read_text("utf-8"), PARSES))
    }
    assert outside == {}


def test_the_search_finds_them_under_any_name():
    assert uses("import yaml as y\ny.safe_load('')", PARSES)
    assert uses("from json import loads as l\nl('')", PARSES)
    assert uses("import yaml\nyaml.compose('', Loader=yaml.SafeLoader)", PARSES)
    assert uses("def f(x):\n    import json\n    return map(json.loads, x)", PARSES)
    assert uses("from omegaconf import OmegaConf\nOmegaConf.load('x')", PARSES)
    assert uses("print(1)", PRINTS)
    assert uses("import sys\nsys.stderr.write('x')", PRINTS)
    assert uses("from rich.console import Console\nConsole()", PRINTS)
    assert not uses("import json\njson.dumps(1)\nself.print(1)", PARSES | PRINTS)
