"""Private names of typer."""

import typer

from lushan.compat.typer import completions


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
