"""The command that writes a trained model for others to load.

What takes time to import is imported inside it, as in `lushan.cli.app`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from lushan.cli.flags import AsJson, echo_json
from lushan.cli.models import dtype_of, examples
from lushan.common.terminal import echo
from lushan.errors import UserError, one_of

EXPORTED = ("transformers", "onnx", "torch_export", "gguf")


def add_to(app: typer.Typer) -> None:
    """Give an application this command."""
    app.command(
        epilog=examples(
            "lushan export outputs/wnut17/0a1b2c3d4e exported",
            "lushan export outputs/crosswoz/0a1b2c3d4e exported --adapter",
            "lushan export outputs/wnut17/0a1b2c3d4e exported --format onnx --quantize int8",
            "lushan export outputs/wnut17/0a1b2c3d4e exported --push ORG/NAME --private",
        )
    )(export)


def export(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    folder: Annotated[Path, typer.Argument(help="Output folder.", show_default=False)],
    format: Annotated[str, typer.Option(help=f"Format: {', '.join(EXPORTED)}.")] = "transformers",
    dtype: Annotated[str, typer.Option(help="Dtype of the weights: float32 or bf16.")] = "float32",
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Export only the adapter, in the format of peft.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Overwrite an existing folder.")] = False,
    quantize: Annotated[
        str | None,
        typer.Option(
            help="With --format onnx: int8 quantizes the weights and reports the loss of quality.",
            show_default=False,
        ),
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(help="License for the model card, such as apache-2.0.", show_default=False),
    ] = None,
    language: Annotated[
        list[str] | None,
        typer.Option(help="Language for the model card, such as en.", show_default=False),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(help="Upload to the Hugging Face Hub: OWNER/NAME.", show_default=False),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="With --push: create a private repository.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Export a trained model, and verify that its outputs match."""
    from lushan.inference import early

    wanted = dtype_of(dtype)
    if format not in EXPORTED:
        raise UserError(
            "unknown format",
            key="--format",
            value=format,
            hint=one_of(format, EXPORTED),
        )
    if quantize not in (None, "int8"):
        raise UserError("unknown type", key="--quantize", value=quantize, hint="Write int8.")
    early.require_run(run)
    from lushan.export import hf_folder
    from lushan.export.card import Terms

    made = hf_folder.export(
        run,
        folder,
        format=format,  # type: ignore[arg-type]
        dtype="float32" if wanted == "auto" else wanted,
        adapter=adapter,
        overwrite=yes,
        quantize=quantize is not None,
        terms=Terms(license, language or ()),
        push=push,
        private=private,
    )
    if as_json:
        echo_json(dataclasses.asdict(made))
    else:
        echo("\n".join(made.lines))
