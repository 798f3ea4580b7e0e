"""Prompts in, images out, alone or in a text: PNG files, and a line of JSON for each."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from lushan.common.terminal import echo, echo_notes
from lushan.common.wording import plural
from lushan.config.build import build
from lushan.data.fields import DOCUMENTS
from lushan.data.source import Format
from lushan.errors import UserError
from lushan.inference.load import Loaded, config_of, load
from lushan.inference.prompt_files import Prompt, read_prompts
from lushan.models.codec import Part
from lushan.models.decoding import Settings
from lushan.run.artifacts import is_run
from lushan.run.files import atomic_write, json_line
from lushan.tasks.picture_lm import PictureLM, PromptTooLong
from lushan.text import parts
from lushan.vision import clips
from lushan.vision.video import require_extra

RECORDS = "images.jsonl"
"""The file beside the images of a folder that says what each was drawn from."""
_OF_TEXTS = dict.fromkeys(
    ("beams", "repetition_penalty", "stop"),
    "this option is for texts, but this run generates images",
)


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
        output: A file that ends in `.png`, for one image, or for one text with images: the second
            of `a.png` is `a-2.png`, and the text goes to the standard output. A video is an
            animated image, or ends in `.mp4`. Else a folder.
        guidance: See `lushan.models.codec.Guidance`; the run's own when not given.
        batch_size: Continuations that are drawn at a time.

    Raises:
        UserError: There is nowhere to write, or more images than files.
    """
    given = [Prompt(str(i), text, {"key": "--prompt"}) for i, text in enumerate(prompts)]
    notes: list[str] = []
    if input is not None:
        own = run if is_run(run) else None
        given += read_prompts(input, DOCUMENTS, format, run=own, overrides=overrides, notes=notes)
    copies = int(options.get("num_samples", 1))
    task: PictureLM = build(config_of(Path(run).expanduser())["task"])
    place = _place(output, len(given) * copies, task.written_as)
    if place.suffix.lower() == ".mp4":
        require_extra()
    for prompt in given:
        if not isinstance(prompt.value, str):
            raise UserError("a prompt must be a text", value=prompt.value, **prompt.place)
    if guidance is not None and guidance < 0:
        raise UserError("must be 0 or more", key="--guidance", value=guidance)
    loaded = load(run)
    task = _own(loaded)  # now with all that it has learned
    settings = dataclasses.replace(task.settings, **options)
    settings.require_sound(lambda field: f"--{field.replace('_', '-')}")
    _require_drawing(task, {**options, "guidance": guidance})
    loaded.model.to("cuda" if torch.cuda.is_available() else "cpu")
    scale = task.guidance if guidance is None else guidance
    lines, images = [], 0
    for number, found in enumerate(_composed(loaded, given, settings, scale, batch_size)):
        name = place if place.suffix else place / f"{number:04d}{_words(found.prompt.value)}.png"
        record = found.written(name)
        images += sum(not isinstance(part, str) for part in found.parts)
        lines.append(json_line(record))
        if place.suffix and any(isinstance(part, str) for part in found.parts):
            echo(found.line(name))
    if not place.suffix:
        atomic_write(place / RECORDS, "".join(lines))
    echo_notes(notes)
    echo(f"{plural(images, 'image')}: {place}", err=True)


@dataclasses.dataclass(frozen=True)
class _Composed:
    """What was written after a prompt.

    Attributes:
        prompt: The prompt.
        sample: The number of it, of several after the same prompt.
        parts: Texts and images.
        codes: Of all its images.
    """

    prompt: Prompt
    sample: int
    parts: Sequence[Part]
    codes: Sequence[int]

    def names(self, first: Path) -> list[Path]:
        """Return the names of its images: the second of `a.png` is `a-2.png`."""
        count = sum(not isinstance(part, str) for part in self.parts)
        more = [first.with_stem(f"{first.stem}-{number}") for number in range(2, count + 1)]
        return [first, *more][:count]

    def written(self, first: Path) -> dict[str, Any]:
        """Write its images, and return a record of it."""
        names = self.names(first)
        images = [part for part in self.parts if not isinstance(part, str)]
        for name, image in zip(names, images, strict=True):
            atomic_write(name, clips.converted(image, name.suffix.lower()))
        record = {"id": self.prompt.id, "sample": self.sample, "prompt": self.prompt.value}
        if len(self.parts) == len(images) == 1:
            return {**record, "image": first.name, "codes": self.codes}
        left = iter(names)
        content = [
            parts.text(p) if isinstance(p, str) else {"type": "image", "path": next(left).name}
            for p in self.parts
        ]
        return {**record, "content": content, "codes": self.codes}

    def line(self, first: Path) -> str:
        """Return its text, in which the names of files stand for images."""
        left = iter(self.names(first))
        return "".join(p if isinstance(p, str) else f"[{next(left).name}]" for p in self.parts)


def _own(loaded: Loaded) -> PictureLM:
    """Return the run's task, which draws."""
    task: Any = loaded.task
    return task


def _place(output: str | Path | None, images: int, endings: Sequence[str]) -> Path:
    if output is None or str(output) == "-":
        raise UserError(
            "this run generates images, so it needs an output file",
            key="--output",
            value=output,
            hint=f"Write --output image{endings[0]}, or --output FOLDER for several.",
        )
    place = Path(output).expanduser()
    if place.suffix.lower() not in ("", *endings):
        raise UserError(
            f"images of this run are saved as {', '.join(endings)}",
            key="--output",
            value=str(output),
            hint=f"Use a name that ends in {' or '.join(endings)}, or a folder.",
        )
    if place.suffix and images != 1:
        raise UserError(
            f"{images} images do not fit into one file",
            key="--output",
            value=str(output),
            hint="Give a folder: a name without an extension.",
        )
    if place.exists() and place.is_dir() == bool(place.suffix):
        kind = "folder" if place.is_dir() else "file"
        raise UserError(f"a {kind} of this name exists already", key="--output", value=str(output))
    (place.parent if place.suffix else place).mkdir(parents=True, exist_ok=True)
    return place


def _require_drawing(task: Any, options: Mapping[str, Any]) -> None:
    """Refuse options that have no meaning for what is drawn."""
    usual = {f.name: f.default for f in dataclasses.fields(Settings)} | {"guidance": None}
    for name, why in (_OF_TEXTS | dict(task.refused)).items():
        if options.get(name, usual[name]) != usual[name]:
            raise UserError(why, key=f"--{name.replace('_', '-')}", value=options[name])


def _composed(
    loaded: Loaded, prompts: Sequence[Prompt], settings: Settings, scale: float, batch_size: int
) -> Iterator[_Composed]:
    """Yield what is written after each prompt."""
    task, network = _own(loaded), loaded.model
    copies = settings.num_samples
    size = max(1, batch_size // copies)
    for at in range(0, len(prompts), size):
        some = prompts[at : at + size]
        encoder: Any = network.encoder
        try:
            ids = task.composed(encoder.model, [p.value for p in some], settings, scale)
        except PromptTooLong as error:
            raise UserError(str(error), **some[error.number].place) from error
        for number, (row, found) in enumerate(zip(ids, task.codec.parts_of(ids), strict=True)):
            yield _Composed(some[number // copies], number % copies, found, task.codec.codes(row))


def _words(text: str) -> str:
    """Return the beginning of a text as part of a file's name."""
    plain = re.sub(r"\W+", "-", text.lower()).strip("-")[:40]
    return f"-{plain}" if plain else ""
