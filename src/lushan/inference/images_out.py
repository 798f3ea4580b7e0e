"""Prompts in, images out: PNG files, and a line of JSON for each."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lushan.common.terminal import echo
from lushan.config.build import build
from lushan.data.fields import DOCUMENTS
from lushan.data.source import Format
from lushan.errors import UserError
from lushan.inference import exported
from lushan.inference.load import Loaded, config_of, load
from lushan.inference.prompt_files import Prompt, read_prompts
from lushan.models.decoding import Settings
from lushan.run.artifacts import is_run
from lushan.run.files import atomic_write, json_line

if TYPE_CHECKING:
    from lushan.models.codec import Codec

RECORDS = "images.jsonl"
"""The file beside the images of a folder that says what each was drawn from."""


def draws(place: str | Path) -> bool:
    """Return whether there is a run, or an exported folder, whose task writes images."""
    folder = Path(place).expanduser()
    is_ours = is_run(folder) or exported.is_exported(folder)
    return is_ours and build(config_of(folder)["task"]).draws


def require_no_dialogue(**options: object) -> None:
    """Refuse options of dialogues that were given.

    Raises:
        UserError: Names the first.
    """
    for name, value in options.items():
        if value is not None:
            problem = "this run draws images of texts, and has no dialogues"
            raise UserError(problem, key=f"--{name}", value=value)


def generate(
    run: str | Path,
    options: Mapping[str, Any],
    *,
    prompts: Sequence[str] = (),
    input: str | Path | None = None,
    format: Format | None = None,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    guidance: float | None = None,
    batch_size: int = 16,
) -> None:
    """Draw images of prompts.

    Args:
        run: A run folder whose task draws, or one that was exported.
        options: How codes are drawn, fields of `Settings`; the run's own where one is not given.
        prompts: Texts.
        input: A file of prompts, or `-`.
        format: Of the input; by its ending when not given.
        overrides: Of the keys below `data` in the run's config: how the input is read.
        output: A file that ends in `.png`, for one image; else a folder.
        guidance: See `lushan.models.codec.Guidance`; the run's own when not given.
        batch_size: Images that are drawn at a time.

    Raises:
        UserError: There is nowhere to write, or more images than files.
    """
    given = [Prompt(str(i), text, {"key": "--prompt"}) for i, text in enumerate(prompts)]
    notes: list[str] = []
    if input is not None:
        own = run if is_run(run) else None
        given += read_prompts(input, DOCUMENTS, format, run=own, overrides=overrides, notes=notes)
    copies = int(options.get("num_samples", 1))
    place = _place(output, len(given) * copies)
    for prompt in given:
        if not isinstance(prompt.value, str):
            raise UserError("a prompt must be a text", value=prompt.value, **prompt.place)
    if guidance is not None and guidance < 0:
        raise UserError("must be 0 or more", key="--guidance", value=guidance)
    loaded = load(run)
    settings = dataclasses.replace(_own(loaded).settings, **options)
    settings.require_sound(lambda field: f"--{field.replace('_', '-')}")
    _require_drawing(settings, options)
    loaded.model.to("cuda" if torch.cuda.is_available() else "cpu")
    scale = _own(loaded).guidance if guidance is None else guidance
    lines = []
    for number, (prompt, sample, codes, png) in enumerate(
        _drawn(loaded, given, settings, scale, batch_size)
    ):
        file = place if place.suffix else place / f"{number:04d}{_words(prompt.value)}.png"
        atomic_write(file, png)
        record = {"id": prompt.id, "sample": sample, "prompt": prompt.value, "image": file.name}
        lines.append(json_line({**record, "codes": codes}))
    if not place.suffix:
        atomic_write(place / RECORDS, "".join(lines))
    for note in notes:
        echo(f"note: {note}", err=True)
    echo(f"{len(lines)} image{'' if len(lines) == 1 else 's'}: {place}", err=True)


def _own(loaded: Loaded) -> Any:
    """The run's task, which has a `codec`, `settings` and `guidance` where it draws."""
    return loaded.task


def _place(output: str | Path | None, images: int) -> Path:
    if output is None or str(output) == "-":
        raise UserError(
            "this run draws images, which are written to files",
            key="--output",
            value=output,
            hint="Write --output image.png, or --output FOLDER for several.",
        )
    place = Path(output).expanduser()
    if place.suffix.lower() not in ("", ".png"):
        raise UserError(
            "images are written as PNG",
            key="--output",
            value=str(output),
            hint="Write a name that ends in .png, or a folder.",
        )
    if place.suffix and images != 1:
        raise UserError(
            f"{images} images do not go into one file",
            key="--output",
            value=str(output),
            hint="Write a folder: a name without an ending.",
        )
    if place.exists() and place.is_dir() == bool(place.suffix):
        kind = "folder" if place.is_dir() else "file"
        raise UserError(f"there is a {kind} of this name", key="--output", value=str(output))
    (place.parent if place.suffix else place).mkdir(parents=True, exist_ok=True)
    return place


def _require_drawing(settings: Settings, options: Mapping[str, Any]) -> None:
    """Refuse options of texts: an image has as many codes as it has."""
    for name in ("max_new_tokens", "beams", "repetition_penalty", "stop"):
        if options.get(name, getattr(Settings(), name)) != getattr(Settings(), name):
            raise UserError(
                "this is an option of texts, and this run draws images",
                key=f"--{name.replace('_', '-')}",
                value=getattr(settings, name),
            )


def _drawn(
    loaded: Loaded, prompts: Sequence[Prompt], settings: Settings, scale: float, batch_size: int
) -> Iterator[tuple[Prompt, int, list[int], bytes]]:
    """Yield each prompt, the number of its image, the codes of it, and the image as PNG."""
    from lushan.models.codec import draw  # what writes text does not wait for it

    codec: Codec = _own(loaded).codec
    network: Any = loaded.model
    copies = settings.num_samples
    size = max(1, batch_size // copies)
    for at in range(0, len(prompts), size):
        part = prompts[at : at + size]
        texts = codec.text_ids([prompt.value for prompt in part])
        ids = [codec.drawing_prompt(text) for text in texts]
        most = network.encoder.max_length
        for prompt, row in zip(part, ids, strict=True):
            if most is not None and len(row) + codec.images.tokens > most:
                raise UserError(
                    f"this prompt has {len(row)} tokens, and with an image of "
                    f"{codec.images.tokens} more than the {most} that the model reads",
                    **prompt.place,
                )
        codes = draw(network.encoder.model, codec, ids, settings, scale)
        for number, (row, png) in enumerate(zip(codes, codec.images.decode(codes), strict=True)):
            yield part[number // copies], number % copies, row, png


def _words(text: str) -> str:
    """Return the beginning of a text as part of a file's name."""
    plain = re.sub(r"\W+", "-", text.lower()).strip("-")[:40]
    return f"-{plain}" if plain else ""
