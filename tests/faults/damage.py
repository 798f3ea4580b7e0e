"""Folders with trained runs whose files are damaged one by one, and what a command may answer then.

A place (`Place`) is a working folder: runs, their cache, the data. A trial copies it, damages one
file and gives one command; the answer is right, or the file is named and the exit code is 2.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import random
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lushan.run.files import sha256_file
from tests.contract.test_commands import COMMANDS, invocations
from tests.helpers import command, corpora

STUDY = """\
title: Does it matter where the dice fall?
base: [{base}]
axes:
  dice: {{one: [optimizer.lr=5e-5]}}
seeds: [1]
tables:
  - {{rows: dice, metrics: [val/loss]}}
claims:
  - "dice=one: val/loss < 100"
"""
TESTED = ("--test", "bootstrap", "--baseline", "1")
READ_FROM = 1
"""A time before which nothing was read."""


@dataclasses.dataclass(frozen=True)
class Kind:
    """What is trained in a place.

    Attributes:
        overrides: Of the run.
        other: Further overrides of the run beside it, which differs in its seed and its width.
        input: What `predict` and `generate` get: name and content of a file.
        stopped: Whether the run is stopped in its second epoch.
    """

    overrides: Sequence[str]
    other: Sequence[str]
    input: tuple[str, str]
    stopped: bool = False


CONLL = ("task=ner", "data=conll", *(f"data.{s}=DATA/{s}.conll" for s in corpora.SPLITS))
LANGUAGE = (
    *command.LANGUAGE,
    "task=causal_lm",
    "data=text",
    *(f"data.{s}=DATA/{s}.txt" for s in corpora.SPLITS),
)
NARROW = ("model.config.hidden_size=32", "model.config.intermediate_size=32")
WIDER = ("model.config.hidden_size=64", "seed=2")
STOPPING = ("trainer.max_epochs=2", "callbacks.checkpoints.every_n_steps=1")
WORDS = ("x.txt", "Anna lives in Paris .\n")
KINDS = {
    "tags": Kind((*CONLL, *NARROW), WIDER, WORDS),
    "text": Kind(LANGUAGE, ("model.config.n_embd=64", "seed=2"), ("x.txt", "the film\n")),
    "adapter": Kind((*LANGUAGE, "peft=lora"), ("seed=2", "peft.config.r=2"), ("x.txt", "the\n")),
    "stopped": Kind((*CONLL, *NARROW, *STOPPING), WIDER, WORDS, stopped=True),
}


@dataclasses.dataclass(frozen=True)
class Place:
    """A working folder with two runs.

    Attributes:
        folder: The working folder.
        kind: What was trained.
        run: The run that commands are pointed at, inside it.
        other: The run beside it.
    """

    folder: Path
    kind: Kind
    run: Path
    other: Path

    @property
    def words(self) -> list[str]:
        """What the run was trained with."""
        data = f"{self.folder}-data"
        own = [word.replace("DATA", data) for word in self.kind.overrides]
        return [*command.SMALL, *own, "paths.output_dir=outputs", "paths.cache_dir=cache"]

    def files(self) -> list[str]:
        """What can be damaged: the files of the run and of the caches, as paths inside."""
        found = [
            *self.folder.joinpath(self.run).rglob("*"),
            *self.folder.joinpath("cache").rglob("*"),
        ]
        return sorted(str(p.relative_to(self.folder)) for p in found if p.is_file())


def made(folder: Path, name: str) -> Place:
    """Train what a place of a kind holds."""
    kind = KINDS[name]
    data = folder.with_name(f"{folder.name}-data")  # a run belongs to the place of its data
    data.mkdir()
    corpora.conll(data)
    for split, times in corpora.SPLITS.items():
        lines = [
            f"a film {i} of {split} was {i % 7} times as long as {i % 5}" for i in range(8 * times)
        ]
        (data / f"{split}.txt").write_text("\n".join(lines) + "\n")
    (folder / kind.input[0]).write_text(kind.input[1])
    place = Place(folder, kind, Path(), Path())
    words = place.words
    (folder / "study.yaml").write_text(STUDY.format(base=", ".join(f'"{w}"' for w in words)))
    with pytest.MonkeyPatch.context() as patch:
        other = _run_of(command.inside("train", *words, *kind.other, cwd=folder), folder)
        if kind.stopped:
            stop_after(4, patch)
        run = _run_of(command.inside("train", *words, cwd=folder), folder)
    return dataclasses.replace(place, run=run, other=other)


def _run_of(done: command.Done, folder: Path) -> Path:
    assert done.out.startswith("run: ") or "\nrun: " in done.out, done.err
    return done.folder.relative_to(folder)


def stop_after(steps: int, patch: pytest.MonkeyPatch) -> None:
    """Let a signal come in the middle of training."""
    from lushan.callbacks.checkpoints import Checkpoints

    def pending(self: Any, trainer: Any) -> int:
        return 15 if trainer.global_step >= steps else 0

    patch.setattr(Checkpoints, "_any_rank_stopped", pending)


# Commands


def commands(place: Place) -> dict[str, list[str]]:
    """Every command as it is typed in a place, by a name; those that no run is given to are out."""
    found = {"train": ["train", *place.words]}
    for name, params in COMMANDS.items():
        if name in (("score",), ("completion",)):
            continue
        for words in invocations(params, place.run, place.folder, place.kind.input):
            given = [*name, *words]
            if name[0] == "study":
                given = [*name, "study.yaml"]
            if name == ("compare",):
                given.append(str(place.other))
            found[f"{' '.join(name)}{' --input' if '--input' in given else ''}"] = given
    found["table"] = ["table", "outputs", "--rows", "seed", *TESTED]
    found["runs"] = ["runs", "outputs"]
    found["runs --prune"] = ["runs", "outputs", "--prune", "--older-than", "0"]
    found["eval, encoded anew"] = ["eval", str(place.run), "--split", "validation"]
    fresh = [word for word in place.words if not word.startswith(("model", "processor"))]
    found["init_from"] = ["train", *fresh, "seed=7", f"init_from={place.run}"]
    return found


TRAINING = ("reproduce", "study verify", "init_from")
"""Commands that train anew: each trial takes seconds."""
MAKING = ("train", "study run")
"""Commands that carry out what is missing."""


with tempfile.TemporaryDirectory() as _folder:
    NAMES = list(commands(Place(Path(_folder), KINDS["tags"], Path("run"), Path("other"))))
"""Of all commands, the same in each place."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """The outcome of a command: exit code, standard output, standard error, written files.

    Attributes:
        metrics: Those of all runs, afterwards.
    """

    code: int
    out: str
    err: str
    written: str
    metrics: tuple[str, ...] = ()

    @property
    def printed(self) -> str:
        """All that a person can read."""
        return f"{self.out}\n{self.err}\n{self.written}"


VARYING = re.compile(
    r"(?<!\w)\d+(\.\d+)? ?(s|min|h|d|ms)\b|\d{4}-\d\d-\d\d[T ][\d:.+]*|[\d.,]+ ?\w*/s\b"
)
"""Times and what depends on them, which no two runs share."""


WRITTEN = ("", ".html", ".json", ".jsonl", ".md", ".safetensors")
"""Endings of what commands write for people and for other programs."""


def give(words: Sequence[str], folder: Path) -> Answer:
    """Give a command in a folder."""
    before = {p for p in folder.rglob("*") if p.is_file()}
    stdin, sys.stdin = sys.stdin, io.TextIOWrapper(io.BytesIO(b"hi\n"))
    try:
        done = command.inside(*words, cwd=folder)
    finally:
        sys.stdin = stdin
    fresh = sorted({p for p in folder.rglob("*") if p.is_file()} - before)
    written = [
        sha256_file(p) if p.suffix == ".safetensors" else p.read_text(errors="replace")
        for p in fresh
        if p.suffix in WRITTEN and p.relative_to(folder).parts[0] not in ("outputs", "cache")
    ]
    printed = (done.out, done.err, "\n".join(written))
    texts = [VARYING.sub("#", text.replace(str(folder), "HERE")) for text in printed]
    return Answer(done.code, *texts, metrics_in(folder / "outputs"))


def metrics_in(outputs: Path) -> tuple[str, ...]:
    """The metrics of each run that is complete."""
    found = []
    for path in sorted(outputs.rglob("result.json")):
        with contextlib.suppress(ValueError, KeyError, OSError):
            found.append(json.dumps(json.loads(path.read_bytes())["metrics"]))
    return tuple(found)


def copied(place: Place, folder: Path) -> Path:
    """A copy of a place, whose files can be determined to have been read."""
    shutil.copytree(place.folder, folder)
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, (READ_FROM, path.stat().st_mtime))
    return folder


def was_read(path: Path) -> bool:
    """Whether a file's content was inspected; the system writes the time down at the first look."""
    return not path.is_file() or path.stat().st_atime > READ_FROM + 1


# Damages


def _removed(path: Path, other: Path, rng: random.Random) -> None:
    path.unlink()


def _emptied(path: Path, other: Path, rng: random.Random) -> None:
    path.write_bytes(b"")


def _cut(path: Path, other: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: rng.randrange(len(content) // 4, max(1, len(content) - 1))])


def _flipped(path: Path, other: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if content:
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def _exchanged(path: Path, other: Path, rng: random.Random) -> None:
    if other.is_file() and other != path:
        shutil.copyfile(other, path)


def _folder(path: Path, other: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


def _rubbish(path: Path, other: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(500))


def _not_utf8(path: Path, other: Path, rng: random.Random) -> None:
    content = path.read_bytes()
    at = rng.randrange(len(content) + 1)
    path.write_bytes(content[:at] + b"\xff\xfe" + content[at:])


DAMAGES: dict[str, Callable[[Path, Path, random.Random], None]] = {
    "removed": _removed,
    "emptied": _emptied,
    "cut": _cut,
    "one bit": _flipped,
    "another run's": _exchanged,
    "a folder": _folder,
    "rubbish": _rubbish,
    "not UTF-8": _not_utf8,
}
STRUCTURAL = ("removed", "a folder")
"""What matters even where nobody reads the content."""


def damage(place: Place, folder: Path, file: str, name: str, rng: random.Random) -> None:
    """Damage a file of a copy of a place."""
    path = folder / file
    inside = path.relative_to(folder)
    if inside.is_relative_to(place.run):
        other = folder / place.other / inside.relative_to(place.run)
        if not other.exists():  # of another step
            found = sorted(other.parent.parent.glob(f"*/{other.name}"))
            other = found[0] if found else other
    else:
        beside = [p for p in sorted(path.parent.glob(f"*{path.suffix}")) if p != path]
        other = next((p for p in beside if p.read_bytes() != path.read_bytes()), path)
    DAMAGES[name](path, other, rng)


# Answers


def wrong(usual: Answer, answer: Answer, file: str, run: Path, command: str) -> str | None:
    """What is wrong with an answer, in a word: traceback, code, unnamed, silent; None: nothing.

    A study continues without a run that is damaged, names its file and ends with 1. A run without a
    result is carried out, to the same numbers.
    """
    if "Traceback (most recent call last)" in answer.printed:
        return "traceback"
    if command in MAKING and answer.code == usual.code == 0 and answer.metrics == usual.metrics:
        return None
    if answer.code == usual.code and answer.out == usual.out and answer.written == usual.written:
        return None
    named = any(name in answer.printed for name in names(file, run))
    if answer.code == 2:
        if answer.err.startswith("error: ") or "\nerror: " in answer.err:
            return None if named or answer.printed == usual.printed else "unnamed"
        return "code"
    if answer.code != usual.code and not (named and answer.code == 1 and command == "study run"):
        return "code"
    return None if named else "silent"


def names(file: str, run: Path) -> list[str]:
    """What a file may be called in a message: its name, or its folder's inside the run."""
    path = Path(file)
    found = [path.name]
    if path.is_relative_to(run):
        parents = path.relative_to(run).parents
        found += [f"{run.name}/{p}" for p in parents if p != Path()]
    return found
