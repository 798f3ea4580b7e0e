"""Prompts in, texts out: in the terminal as they are written, or as JSON lines."""

from __future__ import annotations

import collections
import dataclasses
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lushan.common.terminal import echo
from lushan.config.build import build
from lushan.data.source import Format
from lushan.errors import UserError
from lushan.guard import Guard
from lushan.inference import exported, guarding
from lushan.inference.dialogues import (
    images_of,
    read_tools,
    shown,
    tools_of,
    unseen_notes,
)
from lushan.inference.generator import Dtype, TextGenerator, open_generator
from lushan.inference.inputs import sampling_of
from lushan.inference.load import config_of
from lushan.inference.prediction import writing
from lushan.inference.prompt_files import Prompt, as_taken, read_prompts, stored
from lushan.models.decoding import Settings, Written
from lushan.run.artifacts import is_run
from lushan.run.files import json_line
from lushan.text import parts

AT_ONCE = 512
"""Prompts that are read, sorted by length and written out together."""


def generate(
    run: str | Path,
    options: Mapping[str, Any],
    *,
    prompts: Sequence[str] = (),
    images: Sequence[str] = (),
    system: str | None = None,
    tools: str | None = None,
    input: str | Path | None = None,
    format: Format | None = None,
    overrides: Sequence[str] = (),
    output: str | Path | None = None,
    batch_size: int = 16,
    dtype: Dtype = "auto",
    raw: bool = False,
    guidance: float | None = None,
    guard: Guard | None = None,
) -> bool:
    """Generate text from prompts, or images where the run's task draws them.

    Args:
        run: A run folder, or a model in Hugging Face format.
        options: How texts are written, fields of `Settings`; see `settings_of`.
        prompts: Texts; of a chat run, what the user says.
        images: Files of images or videos, of a chat run that sees images: before each of `prompts`.
        system: Of a chat run, a system message before each prompt that is a text.
        tools: Of a chat run, a JSON file of tools for each prompt that has none of its own.
        input: A file of prompts, or `-`: a text a line, JSON lines or a table, of which a field
            `prompt` is read where the run's own is not there.
        format: Of the input; by its ending when not given.
        overrides: Of the keys below `data` in the run's config: how the input is read.
        output: A file for JSON lines, or `-`. Without one, `prompts` are answered as plain text
            on standard output, as it is written.
        batch_size: Texts that are written at a time.
        dtype: See `open_generator`.
        raw: Continue from the prompt as plain text, although there is a chat template.
        guidance: Of images; see `images_out.generate`.
        guard: Checks prompts and texts.

    Returns:
        Whether a text is read as the continuation of its prompt, and not as an answer to it.

    Raises:
        UserError: There is no model, or a prompt cannot be used; names file and line.
    """
    Settings(**options).require_sound(option)
    _require_input(prompts, input, overrides, batch_size)
    if _draws(run):
        require_no_dialogue(
            system=system, tools=tools, raw=raw or None, image=images or None, guard=guard and True
        )
        from lushan.inference import images_out  # what writes text does not wait for it

        images_out.generate(
            run,
            options,
            prompts=prompts,
            input=input,
            format=format,
            overrides=overrides,
            output=output,
            guidance=guidance,
            batch_size=batch_size,
        )
        return False
    if guidance is not None:
        raise UserError("this model does not generate images", key="--guidance", value=guidance)
    schemas = None if tools is None else read_tools(tools)
    generator = open_generator(run, dtype=dtype)
    if raw:
        generator = generator.as_text()
    if tools is not None and not generator.takes_messages:
        raise UserError(
            "tools need a chat template, but this model has none", key="--tools", value=tools
        )
    seen = _seen(images, generator)
    given = [
        Prompt(str(i), shown(text, seen), {"key": "--prompt"}) for i, text in enumerate(prompts)
    ]
    notes: list[str] = []
    if input is not None:
        own = generator.place if is_run(generator.place) else None
        given += read_prompts(
            input, generator.fields, format, run=own, overrides=overrides, notes=notes
        )
    given = [_taken(p, generator, system, schemas, guard) for p in given]
    settings = settings_of(options, generator)
    settings.require_sound(option)
    if guard is not None:
        values = [guarding.redacted_prompt(guard, p.value) for p in given]
        given = [dataclasses.replace(p, value=v) for p, v in zip(given, values, strict=True)]
    job = _Job(generator, settings, batch_size, guard)
    if output is not None or input is not None:
        _write_records(job, given, output)
    elif len(given) == 1 and settings.num_samples == 1 and settings.beams == 1:
        job.stream(given[0])
    else:
        job.show(given)
    for note in [*notes, *job.notes, *guarding.notes_of(guard)]:
        _print_error(f"note: {note}")
    return job.is_continuation


def _draws(place: str | Path) -> bool:
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
            problem = "this run generates images from texts and does not support dialogues"
            raise UserError(problem, key=f"--{name}", value=value)


def _seen(names: Sequence[str], generator: TextGenerator) -> list[parts.Part]:
    if not names:
        return []
    generator.require_images("--image")
    sampling = sampling_of(generator.place)
    return [part for name in names for part in images_of(name, "--image", sampling)]


def _taken(
    prompt: Prompt, generator: TextGenerator, system: str | None, schemas: Any, guard: Guard | None
) -> Prompt:
    """Return a prompt as a model takes it, redacted where that is asked for."""
    value = as_taken(prompt, generator.fields, system)
    tools = None
    if generator.takes_messages:
        tools = tools_of(prompt.tools, prompt.place) or schemas
    if guard is not None:
        value = guarding.redacted_prompt(guard, value)
    return dataclasses.replace(prompt, value=value, tools=tools)


def _require_input(
    prompts: Sequence[str], input: str | Path | None, overrides: Sequence[str], batch_size: int
) -> None:
    if batch_size < 1:
        raise UserError("must be 1 or more", key="--batch-size", value=batch_size)
    if not prompts and input is None:
        raise UserError("no prompt is given", key="--prompt", hint="Write --prompt or --input.")
    if overrides and input is None:
        raise UserError("requires --input", key=overrides[0], hint="Write --input.")


def _write_records(job: _Job, given: Sequence[Prompt], output: str | Path | None) -> None:
    with writing(output or "-") as sink:
        for record in job.records(given):
            sink.write(json_line(record))
            sink.flush()
    if output not in (None, "-"):
        _print_error(f"{job.summary()}: {output}")


def settings_of(options: Mapping[str, Any], generator: TextGenerator) -> Settings:
    """Return the settings of generation: those given, and defaults by the kind of model.

    An encoder-decoder searches, as in its run's evaluation; others draw.
    """
    given = {name: value for name, value in options.items() if value != getattr(Settings(), name)}
    if generator.is_whole and given.keys().isdisjoint(
        ("temperature", "top_p", "top_k", "num_samples", "beams")
    ):
        own = generator.model.generation_config
        given["beams"] = own.num_beams or 1
        given["greedy"] = given["beams"] == 1
        given.setdefault("max_new_tokens", own.max_new_tokens or Settings().max_new_tokens)
    return Settings(**given)


def ignored(settings: Settings) -> list[str]:
    """Fields that were set and mean nothing, because the likeliest is searched for."""
    usual = Settings()
    fields = ("temperature", "top_p", "top_k")
    if settings.draws:
        return []
    return [f for f in fields if getattr(settings, f) not in (getattr(usual, f), 0)]


def option(field: str) -> str:
    """Return the command-line option of a field of `Settings`."""
    return f"--{field.replace('_', '-')}"


def _counted(number: int, name: str) -> str:
    return f"{number:,} {name}{'' if number == 1 else 's'}"


def _print_error(text: str) -> None:
    sys.stdout.flush()
    echo(text, err=True)


class _Job:
    """Prompts being answered."""

    def __init__(
        self,
        generator: TextGenerator,
        settings: Settings,
        batch_size: int,
        guard: Guard | None = None,
    ) -> None:
        self.generator, self.settings, self.batch_size = generator, settings, batch_size
        self.guard = guard
        self.counts: collections.Counter[str] = collections.Counter()
        self.unseen: collections.Counter[str] = collections.Counter()
        self.seconds = 0.0

    def records(self, prompts: Sequence[Prompt]) -> Iterator[dict[str, Any]]:
        """One record a text, in the order of the prompts."""
        for start in range(0, len(prompts), AT_ONCE):
            part = prompts[start : start + AT_ONCE]
            for prompt, texts in zip(part, self._written(part), strict=True):
                for number, written in enumerate(texts):
                    yield {
                        "id": prompt.id,
                        "sample": number,
                        "prompt": stored(prompt.value),
                        **({"tools": prompt.tools} if prompt.tools else {}),
                        "text": self._text_of(written),
                        "tokens": written.ids,
                        "finish_reason": written.finish,
                    }

    def stream(self, prompt: Prompt) -> None:
        """Write a single text to standard output while it comes."""
        shown = Shown(leading=not self.is_continuation)
        guard = self.guard
        if guard is not None and not guarding.prompt_passes(guard, prompt.value):
            echo(guard.refusal)
            return
        if self.is_continuation:
            shown(prompt.value)
        guarding.write(
            guard, lambda show, cancelled: self._generated([prompt], show, cancelled)[0][0], shown
        )
        echo()

    def show(self, prompts: Sequence[Prompt]) -> None:
        """Write several texts to standard output, one below the other."""
        records = list(self.records(prompts))
        for number, record in enumerate(records, start=1):
            before = record["prompt"] if self.is_continuation else ""
            echo(f"--- {number} of {len(records)}\n{before}{record['text']}")

    @property
    def is_continuation(self) -> bool:
        """Return whether a text continues its prompt."""
        return not self.generator.takes_messages and not self.generator.is_whole

    def _text_of(self, written: Written) -> str:
        return written.text if self.is_continuation else written.text.strip()

    def _written(self, prompts: Sequence[Prompt]) -> list[list[Written]]:
        """Return the texts of prompts, checked; of a prompt that is refused, the refusal."""
        guard = self.guard
        if guard is None:
            return self._generated(prompts)
        passing = [p for p in prompts if guarding.prompt_passes(guard, p.value)]
        texts = self._generated(passing) if passing else []
        checked = {
            id(p): [guarding.checked(guard, w) for w in several]
            for p, several in zip(passing, texts, strict=True)
        }
        refused = [Written([], guard.refusal, "refused")] * self.settings.num_samples
        return [checked.get(id(p), refused) for p in prompts]

    def _generated(
        self,
        prompts: Sequence[Prompt],
        show: guarding.Show | None = None,
        cancelled: guarding.Cancelled | None = None,
    ) -> list[list[Written]]:
        begun = time.perf_counter()
        given = [prompt.asked for prompt in prompts]
        ids = self.generator.encode(given)
        self.unseen += self.generator.unseen(given)
        fitted, cut = self.generator.fitted(ids, [prompt.place for prompt in prompts])
        media = self.generator.media(given)
        found = self.generator.write(
            fitted,
            self.settings,
            media=media,
            batch_size=self.batch_size,
            show=show,
            cancelled=cancelled,
        )
        self.seconds += time.perf_counter() - begun
        texts = [written for texts in found for written in texts]
        wanted = self.settings.max_new_tokens
        rooms = [wanted if (r := self.generator.room(len(p))) is None else r for p in fitted]
        lengths = [0 if self.generator.is_whole else len(p) for p in fitted]
        self.counts.update(
            prompts=len(prompts),
            texts=len(texts),
            tokens=sum(len(written.ids) for written in texts),
            cut=cut,
            bounded=sum(room < wanted for room in rooms),
            beyond=sum(
                length + len(written.ids) > (self.generator.trained or sys.maxsize)
                for length, several in zip(lengths, found, strict=True)
                for written in several
            ),
        )
        return found

    def summary(self) -> str:
        """Return a summary of the texts in one line."""
        n = self.counts
        rate = n["tokens"] / max(self.seconds, 1e-9)
        counted = ", ".join(_counted(n[f"{name}s"], name) for name in ("prompt", "text", "token"))
        return f"{counted}, {rate:,.0f} tokens/s"

    @property
    def notes(self) -> list[str]:
        """Notes on the generated texts."""
        n, generator = self.counts, self.generator
        found = list(unseen_notes(sorted(self.unseen.items())))
        unused = ignored(self.settings)
        if unused:
            named = ", ".join(map(option, unused))
            found.append(f"without sampling, these options have no effect: {named}")
        if n["cut"]:
            found.append(f"{n['cut']} of {n['prompts']} sources were truncated at the end")
        if n["bounded"]:
            found.append(
                f"{n['bounded']} of {n['prompts']} prompts leave room for fewer than "
                f"{self.settings.max_new_tokens} tokens: the model has {generator.positions} "
                f"positions"
            )
        if n["beyond"] and not generator.is_whole:
            found.append(
                f"{n['beyond']} of {n['texts']} texts with their prompts are longer than the "
                f"training length of the model, {generator.trained} tokens"
            )
        return found


class Shown:
    """Writes pieces of text to standard output; of an answer, without the blank before it."""

    def __init__(self, *, leading: bool) -> None:
        self.leading = leading

    def __call__(self, piece: str) -> None:
        """Write one piece."""
        if self.leading:
            piece = piece.lstrip()
            self.leading = not piece
        echo(piece, end="")
