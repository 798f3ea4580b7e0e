"""The commands that use a trained model: `predict`, `generate`, `chat` and `page`.

What takes time to import is imported inside them, as in `lushan.cli.app`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import typer

from lushan.cli.flags import AsJson, echo_json, require_ray
from lushan.cli.guard import GuardLabel, GuardRate, GuardRun, Redact, guard_of
from lushan.cli.outputs import require_lines
from lushan.common.parsing import parse_json
from lushan.common.terminal import echo_notes, hint
from lushan.common.wording import plural
from lushan.errors import UserError, did_you_mean
from lushan.run.places import WRITER

DTYPES = {
    "auto": "auto",
    **dict.fromkeys(("float32", "fp32", "32"), "float32"),
    **dict.fromkeys(("bf16", "bfloat16"), "bf16"),
}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\"}

RunOrModel = Annotated[str, typer.Argument(help="A run folder, or a model in Hugging Face format.")]
NewTokens = Annotated[int, typer.Option("--max-new-tokens", "-n", help="Maximum of new tokens.")]
Temperature = Annotated[float, typer.Option(help="Sampling temperature; 0 is greedy.")]
TopP = Annotated[float, typer.Option(help="Sample from top tokens with this total probability.")]
TopK = Annotated[int, typer.Option(help="Sample from this many top tokens; 0 for all.")]
Seed = Annotated[int, typer.Option(help="Random seed of sampling.")]
Greedy = Annotated[bool, typer.Option("--greedy", help="Always take the most likely token.")]
Stop = Annotated[
    list[str] | None,
    typer.Option(help=r"Stop at this string; \n is a new line; repeatable.", show_default=False),
]
Penalty = Annotated[
    float, typer.Option(help="Repetition penalty; above 1 makes earlier tokens less likely.")
]
Dtype = Annotated[str, typer.Option(help="Dtype of the weights: auto, float32 or bf16.")]

FORMATS = ("txt", "jsonl", "conll", "table")
InputFormat = Annotated[
    str | None,
    typer.Option(help=f"Input format: {', '.join(FORMATS)}. Default: by the file's extension."),
]
DataOverrides = Annotated[
    list[str] | None,
    typer.Argument(
        help="Overrides of how --input is read, such as data.text=NAME.",
        show_default=False,
    ),
]


def require_format(format: str | None) -> None:
    """Refuse a format that is not known, before anything heavy is loaded."""
    if format not in (None, *FORMATS):
        raise UserError(
            "unknown format",
            key="--format",
            value=format,
            hint=f"Formats: {', '.join(FORMATS)}. table is CSV, TSV or Parquet.",
        )


def examples(*lines: str) -> str:
    """Return the examples at the end of a command's help, each line as it is."""
    return "\b\n" + "\n".join(lines)


def add_to(app: typer.Typer) -> None:
    """Give an application these commands."""
    app.command(
        epilog=examples(
            "lushan predict outputs/wnut17/0a1b2c3d4e --input new.txt --output out.jsonl",
            'echo "Anna lives in Paris." | lushan predict outputs/wnut17/0a1b2c3d4e --input -',
            "lushan predict outputs/reviews/0a1b2c3d4e --input new.csv data.text=body",
            "lushan predict outputs/reviews/0a1b2c3d4e --input in.jsonl --output out.jsonl --ray",
        )
    )(predict)
    app.command(
        epilog=examples(
            'lushan generate RUN --prompt "明月" --max-new-tokens 64 --temperature 0.8 --seed 1',
            r'lushan generate RUN --prompt "Once" --num-samples 4 --stop "\n" --seed 1',
            "lushan generate RUN --input prompts.jsonl --output out.jsonl --beams 4",
            'lushan generate RUN --prompt "a red circle" --output out.png --guidance 3',
        )
    )(generate)
    app.command(
        epilog=examples(
            "lushan chat",
            "lushan chat outputs/sample_chat/0a1b2c3d4e",
            "echo hello | lushan chat outputs/sample_chat/0a1b2c3d4e --greedy",
        )
    )(chat)
    app.command(
        epilog=examples(
            "lushan page outputs/wnut17/0a1b2c3d4e --output page.md",
            "lushan page outputs/zh_classics/0a1b2c3d4e --output page.md --prompt 明月",
        )
    )(page)


def predict(
    run: Annotated[Path, typer.Argument(help="A run folder.", show_default=False)],
    input: Annotated[
        str,
        typer.Option(help="Input file, or - for standard input; an image, or a folder of images."),
    ],
    overrides: DataOverrides = None,
    output: Annotated[str, typer.Option(help="Output file, or - for standard output.")] = "-",
    format: InputFormat = None,
    stride: Annotated[
        int | None,
        typer.Option(help="Split long texts into windows that overlap by this many tokens."),
    ] = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            help="Runtime: torch, onnx or torch_export. Default: the one of the folder's model.",
            show_default=False,
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="For a run of task=contrastive: candidate labels of zero-shot classification."
        ),
    ] = None,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray",
            help="Predict in parallel on the Ray cluster at RAY_ADDRESS, or on all local "
            "CPU cores. The same command resumes after an interruption.",
        ),
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="With --ray: number of processes with the model.")
    ] = None,
) -> None:
    """Predict on new data: write one JSON line for each example.

    A line has entities with offsets and scores, labels with probabilities, or other predictions
    of the run's task. The input is read with the run's data settings; data.KEY=VALUE changes one.
    """
    require_format(format)
    require_lines(output)
    if ray and "-" in (input, output):
        wanted = "Write --input FILE --output FILE."
        raise UserError("requires an input file and an output file", key="--ray", hint=wanted)
    require_ray("--workers", workers, ray=ray)
    import sys

    from lushan import inference

    notes: list[str] = []
    options: dict[str, Any] = {"workers": workers} if ray else {}
    strided = [] if stride is None else [f"++data.stride={stride}"]
    count = (inference.predict_pieces if ray else inference.predict)(
        run,
        input=input,
        runtime=runtime,
        output=output,
        format=format,
        overrides=[*(overrides or ()), *strided],
        labels=label or (),
        notes=notes,
        **options,
    )
    sys.stdout.flush()
    echo_notes(notes)
    if output != "-":
        hint(f"{plural(count, 'example')}: {output}")


def generate(
    run: RunOrModel = WRITER,
    prompt: Annotated[
        list[str] | None, typer.Option(help="A prompt; can be repeated.", show_default=False)
    ] = None,
    image: Annotated[
        list[str] | None,
        typer.Option(help="For a vision-language run: an image or a video before each --prompt."),
    ] = None,
    input: Annotated[
        str | None,
        typer.Option(help="File of prompts, or -: JSON lines, a table, or one prompt a line."),
    ] = None,
    overrides: DataOverrides = None,
    output: Annotated[
        str | None,
        typer.Option(help="Output file of JSON lines, or -; for images a .png file or a folder."),
    ] = None,
    format: InputFormat = None,
    max_new_tokens: Annotated[
        int | None,
        typer.Option("--max-new-tokens", "-n", help="Maximum number of new tokens. Default: 64."),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="Sampling temperature; 0 is greedy. Default: 1."),
    ] = None,
    top_p: TopP = 1.0,
    top_k: TopK = 0,
    seed: Seed = 1,
    num_samples: Annotated[int, typer.Option(help="Number of texts for each prompt.")] = 1,
    greedy: Greedy = False,
    beams: Annotated[
        int | None, typer.Option(help="Beam search with this many beams, instead of sampling.")
    ] = None,
    stop: Stop = None,
    repetition_penalty: Penalty = 1.0,
    system: Annotated[
        str | None, typer.Option(help="For a chat run: system message before each prompt.")
    ] = None,
    tools: Annotated[
        str | None, typer.Option(help="For a chat run: JSON file of the tools that it may call.")
    ] = None,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw", help="For a chat run: use the prompt as it is, without the chat template."
        ),
    ] = False,
    guidance: Annotated[
        float | None,
        typer.Option(help="For images: classifier-free guidance scale; 1 is none."),
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Number of texts generated at a time.")] = 16,
    dtype: Dtype = "auto",
    guard: GuardRun = None,
    guard_rate: GuardRate = None,
    guard_label: GuardLabel = None,
    redact: Redact = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print JSON lines, the same as --output -.")
    ] = False,
) -> None:
    """Generate text or images from prompts.

    A sequence-to-sequence model generates targets from sources. Without --temperature, --top-p,
    --top-k, --num-samples and --beams it decodes with the settings of its evaluation.
    """
    require_format(format)
    if as_json:
        if output not in (None, "-"):
            raise UserError("writes to standard output", key="--json", value=output)
        output = "-"
    require_lines(output or "-")
    options = {
        "max_new_tokens": max_new_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "seed": seed,
        "num_samples": num_samples,
        "greedy": greedy,
        "beams": beams,
        "repetition_penalty": repetition_penalty,
        "stop": tuple(unescaped(text) for text in stop or ()),
    }
    from lushan.inference import early

    early.require_writer(run)
    if input is not None:
        early.require_input(input)
    from lushan.inference import batch_generate

    checks = guard_of(guard, guard_label, guard_rate, redact)
    batch_generate.generate(
        run,
        {name: value for name, value in options.items() if value is not None},
        prompts=prompt or (),
        images=image or (),
        system=system,
        tools=tools,
        input=input,
        format=format,  # type: ignore[arg-type]
        overrides=overrides or (),
        output=output,
        batch_size=batch_size,
        dtype=dtype_of(dtype),
        raw=raw,
        guidance=guidance,
        guard=checks,
    )


def chat(
    run: RunOrModel = WRITER,
    system: Annotated[str | None, typer.Option(help="System message.", show_default=False)] = None,
    tools: Annotated[
        str | None, typer.Option(help="JSON file of the tools that the model may call.")
    ] = None,
    max_new_tokens: NewTokens = 256,
    temperature: Temperature = 0.8,
    top_p: TopP = 0.95,
    top_k: TopK = 0,
    seed: Seed = 1,
    greedy: Greedy = False,
    stop: Stop = None,
    repetition_penalty: Penalty = 1.0,
    dtype: Dtype = "auto",
    guard: GuardRun = None,
    guard_rate: GuardRate = None,
    guard_label: GuardLabel = None,
    redact: Redact = False,
) -> None:
    """Chat with a model in the terminal. Each line of piped input is a message."""
    from lushan.inference import early

    early.require_writer(run)
    from lushan.inference import chat_session
    from lushan.models.decoding import Settings

    settings = Settings(
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        top_p=top_p,
        top_k=top_k,
        seed=seed,
        greedy=greedy,
        repetition_penalty=repetition_penalty,
        stop=tuple(unescaped(text) for text in stop or ()),
    )

    checks = guard_of(guard, guard_label, guard_rate, redact)
    chat_session.chat(
        run, settings, system=system, tools=tools, dtype=dtype_of(dtype), guard=checks
    )


def page(
    run: Annotated[Path, typer.Argument(help="Folder of a complete run.", show_default=False)],
    output: Annotated[Path, typer.Option(help="Output Markdown file, with images next to it.")],
    title: Annotated[str | None, typer.Option(help="Title. Default: the run's name.")] = None,
    prompt: Annotated[
        list[str] | None, typer.Option(help="Show what the model generates from this prompt.")
    ] = None,
    max_new_tokens: NewTokens = 64,
    temperature: Temperature = 0.8,
    top_p: TopP = 0.95,
    seed: Seed = 1,
    as_json: AsJson = False,
) -> None:
    """Write a Markdown page about a run: config, results and generated samples."""
    import contextlib
    import io
    import sys
    import tempfile

    from lushan.report import run_page as pages

    samples: list[dict[str, Any]] = []
    continues = True
    if prompt:
        from lushan.inference import batch_generate

        names = ("max_new_tokens", "temperature", "top_p", "seed")
        options = dict(zip(names, (max_new_tokens, temperature, top_p, seed), strict=True))
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            written = Path(folder, "samples.jsonl")
            continues = batch_generate.generate(run, options, prompts=prompt, output=written)
            lines = written.read_text(encoding="utf-8").splitlines()
        samples = [parse_json(line) for line in lines]
    command = sys.argv[1:]
    pages.write(run, output, title=title, samples=samples, continues=continues, command=command)
    if as_json:
        echo_json({"page": str(output)})
    else:
        hint(output)


def unescaped(text: str) -> str:
    r"""Text with `\n`, `\t`, `\r` and `\\` as what they stand for: shells leave them as written."""
    return re.sub(r"\\([ntr\\])", lambda match: _ESCAPES[match[1]], text)


def dtype_of(name: str) -> Any:
    """Return a type of weights by what a user calls it.

    Raises:
        UserError: There is none.
    """
    if name not in DTYPES:
        raise UserError(
            "unknown dtype",
            key="--dtype",
            value=name,
            hint=did_you_mean(name, DTYPES) or "Write auto, float32 or bf16.",
        )
    return DTYPES[name]
