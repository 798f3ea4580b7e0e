"""Private names of typer."""

import enum
import itertools
from pathlib import Path
from typing import Annotated, Literal

import pytest
import typer
from typer import core
from typer._coercion import build_runtime_param
from typer.testing import CliRunner

from lushan.compat.typer import coerce_plainly, completions

KINDS = {
    "text": Annotated[str, typer.Option()],
    "texts": Annotated[list[str], typer.Option()],
    "maybe": Annotated[str | None, typer.Option()],
    "path": Annotated[Path, typer.Option()],
    "existing": Annotated[Path, typer.Option(exists=True, dir_okay=False)],
    "paths": Annotated[list[Path], typer.Option()],
    "number": Annotated[int, typer.Option(min=1, max=5)],
    "clamped": Annotated[float, typer.Option(min=0, max=1, clamp=True)],
    "choice": Annotated[Literal["a", "b"], typer.Option()],
    "case": Annotated[enum.Enum("Case", {"A": "a"}), typer.Option(case_sensitive=False)],
    "flag": Annotated[bool, typer.Option()],
    "parsed": Annotated[str, typer.Option(parser=str.upper)],
    "pair": Annotated[tuple[str, int], typer.Option()],
}
GIVEN = ("", "a", "A", "3", "7", "0.5", "nan", "-", "yes", ".", "nowhere/at all", "\udcff", "值")
DEFAULTS = {
    "text": "a",
    "path": Path("a"),
    "number": 3,
    "flag": False,
    "choice": "b",
    "maybe": None,
}


def test_commands_with_their_help() -> None:
    app = typer.Typer()
    app.command(help="Word after word. " * 20)(lambda: None)

    @app.command()
    def train() -> None:
        """Train a model."""

    @app.command()
    def table() -> None:
        """Make a table."""

    found = completions(app, "tool t", program="tool", variable="_TOOL_COMPLETE")
    assert {item.value: item.help for item in found} == {
        "train": "Train a model.",
        "table": "Make a table.",
    }


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_are_read_as_typer_reads_them(kind, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").write_text("x")
    coerce_plainly()
    lines = [["--x", value] for value in GIVEN] + [["--no-x"], ["--x"], []]
    lines += [["--x", one, *more] for one, more in itertools.product("a3", (["--x", "b"], ["3"]))]
    for default in ((), *([(DEFAULTS[kind],)] if kind in DEFAULTS else [])):
        ours = [outcome(kind, line, default) for line in lines]
        with monkeypatch.context() as patch:
            patch.setattr(core, "build_runtime_param", build_runtime_param)
            assert ours == [outcome(kind, line, default) for line in lines]
        assert len(set(ours)) > 2


def outcome(kind, line, default):
    """What a command line of one option gives, or how it is refused."""
    seen = []

    def command(x):
        seen.append((x, type(x)))

    command.__annotations__["x"] = KINDS[kind]
    command.__defaults__ = default
    app = typer.Typer(rich_markup_mode=None)
    app.command()(command)
    done = CliRunner().invoke(app, line)
    return repr((seen, done.exit_code, done.output))
