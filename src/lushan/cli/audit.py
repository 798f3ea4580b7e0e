"""The command that audits data before anything is trained on it: `lushan audit`.

What takes time to import is imported inside, as in `lushan.cli.app`.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lushan.cli.flags import AsJson, echo_json
from lushan.cli.models import examples
from lushan.common.terminal import echo, hint
from lushan.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lushan.audit.apart import Apart
    from lushan.audit.findings import Audit
    from lushan.audit.lengths import Encode, Lengths
    from lushan.data.processing import Processor
    from lushan.data.source import Corpus, Source
    from lushan.tasks.base import Task
    from lushan.tasks.batches import Limits

WHOLE = 1 << 20
"""Tokens of a feature that holds all of a text."""
MEASURED = "lengths and unknown characters"
"""What takes the task's own reading of the data."""


def add_to(app: typer.Typer) -> None:
    """Give an application this command."""
    app.command(
        epilog=examples(
            "lushan audit experiment=ner/wnut17",
            "lushan audit data=table data.train=reviews.csv data.test=0.1 --output audit.md",
            "lushan audit --run outputs/wnut17/0a1b2c3d4e --json",
        )
    )(audit)


def audit(
    overrides: Annotated[
        list[str] | None,
        typer.Argument(help="Overrides, as for `lushan train`.", show_default=False),
    ] = None,
    run: Annotated[
        Path | None,
        typer.Option(help="Audit the data of a run, and score its seen and unseen entities."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write a Markdown report with examples.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Lowest Jaccard similarity of near-duplicates.")
    ] = 0.8,
    as_json: AsJson = False,
) -> None:
    """Audit a data set: duplicates, labels, lengths, unseen entities, damaged characters.

    Reads and encodes the data that `lushan train` would read with the same overrides, and trains
    nothing. What training would refuse is reported, and the exit code is 2. Compares lengths, in
    the task's own encoding, with the model's limit.
    """
    if not 0 < threshold <= 1:
        raise UserError("must be above 0 and at most 1", key="--threshold", value=threshold)
    from lushan.audit import page
    from lushan.run.files import write_page

    given = overrides or []
    found = audited(config_of(given, run), threshold)
    if run is not None:
        found = dataclasses.replace(found, apart=entity_scores_of(run))
    if not given and run is None:
        hint("audited: the default data of `lushan train`")
    if as_json:
        echo_json(found.to_dict())
    else:
        echo(page.summary(found))
    if output is not None:
        command = ["audit", *(given if run is None else ["--run", str(run)])]
        write_page(output, page.page(found, command))
        hint(f"page: {output}")
    if found.refused is not None:
        raise typer.Exit(2)


def config_of(overrides: Sequence[str], run: Path | None) -> dict[str, Any]:
    """The config whose data is audited: a run's, or that of a command line.

    Raises:
        UserError: It is wrong, or both are given, or the data is no longer the run's.
    """
    if run is None:
        from lushan.config.check import check
        from lushan.config.compose import compose

        return check(compose(overrides))
    if overrides:
        raise UserError(
            "a run has its own config",
            key="--run",
            value=overrides[0],
            hint="Remove the overrides, or --run.",
        )
    from lushan.config.build import source_of
    from lushan.run.config_yaml import read_config
    from lushan.run.folder import RunFolder
    from lushan.run.input_changes import require_unchanged

    cfg = read_config(run)
    folder = RunFolder(run)
    result = folder.result()
    if result is None:
        problem = f"the run is not complete ({folder.status().missing})"
        raise UserError(problem, key="--run", value=str(run))
    before = {"data": result.inputs.get("data") or {}}
    require_unchanged(before, {"data": source_of(cfg).fingerprint()}, run)
    return cfg


def entity_scores_of(run: Path) -> list[Apart]:
    """Return a run's scores on entities that train has and has not; none where it tags no words.

    Raises:
        UserError: Its predictions are not those of its data.
    """
    from lushan.audit.apart import scores_apart
    from lushan.config.build import build, source_of
    from lushan.data.field_roles import tagged
    from lushan.data.fields import Tags
    from lushan.run import checksums
    from lushan.run.config_yaml import read_config
    from lushan.run.folder import RunFolder
    from lushan.study import records
    from lushan.study.schemas import schema_of

    result = RunFolder(run).result()
    assert result is not None  # `config_of_run` has refused a run without one
    schema = schema_of(result, run)
    predicted, field = schema.predicted or ("", None)
    cfg = read_config(run)
    corpus = source_of(cfg).read(build(cfg["task"]).fields)
    splits = corpus.splits
    if "train" not in splits or tagged(corpus.fields) is None or not isinstance(field, Tags):
        return []
    checksums.verified(run, RunFolder(run).predictions.name)  # none of them is gone
    found = []
    for split in splits:
        if (RunFolder(run).predictions / f"{split}.jsonl").is_file():
            reported = records.read(run, split, schema)
            train, fields = splits["train"], corpus.fields
            found.append(scores_apart(split, splits[split], fields, reported, predicted, train))
    return found


def audited(cfg: Mapping[str, Any], threshold: float) -> Audit:
    """Audit the data of a checked config.

    Raises:
        UserError: The data cannot be read.
    """
    from lushan.audit.findings import audit_of
    from lushan.config.build import build, source_of
    from lushan.data.groups import keeping
    from lushan.engine import components

    source: Source = source_of(cfg)
    task: Task = build(cfg["task"])
    corpus = source.read(task.fields)
    found = audit_of(corpus.splits, corpus.fields, corpus.notes, threshold, keeping(source))
    unmeasured = list(found.unmeasured)
    if corpus.windows is not None:
        unmeasured.append("train: it is a stream, so only its first window was audited")
    found = dataclasses.replace(found, unmeasured=unmeasured)
    try:
        task.prepare(corpus)
    except UserError as error:
        return refused(found, error)
    try:
        processor, limits = reader_of(cfg, source, corpus, task)
    except UserError as error:
        return dataclasses.replace(
            found, unmeasured=[*unmeasured, f"{MEASURED}: {in_one_line(error)}"]
        )
    cache = Path(cfg["paths"]["cache_dir"]) / "encoded"
    try:
        encoded = components.encode_all(corpus, source, task, processor, limits, cache)
    except UserError as error:
        return refused(found, error)
    notes = [*found.notes, *components.encoding_notes(task, encoded)]
    more = measured(corpus, task, processor, limits)
    return dataclasses.replace(found, notes=notes, **more)


def refused(found: Audit, error: UserError) -> Audit:
    """Return an audit of data that the task refuses."""
    unmeasured = [*found.unmeasured, f"{MEASURED}: train refuses this data"]
    return dataclasses.replace(found, refused=in_one_line(error), unmeasured=unmeasured)


def in_one_line(error: UserError) -> str:
    """Return a mistake and its hint as sentences."""
    return str(error).replace("\n  ", ". ")


def reader_of(
    cfg: Mapping[str, Any], source: Source, corpus: Corpus, task: Task
) -> tuple[Processor, Limits]:
    """Return the processor that reads examples, and the longest that the model reads.

    Raises:
        UserError: There is no such tokenizer or model.
    """
    from lushan.config.build import build
    from lushan.engine import components
    from lushan.engine.quieting import quiet_lightning

    quiet_lightning()
    processor = build(
        cfg["processor"],
        texts=corpus.train_texts,
        cache_dir=Path(cfg["paths"]["cache_dir"]) / "tokenizers",
    )
    task.use(processor)
    limits = components.limits_of(source, components.make_encoder(cfg, task, processor))
    return processor, limits


def measured(corpus: Corpus, task: Task, processor: Processor, limits: Limits) -> dict[str, Any]:
    """Measure what takes a tokenizer: lengths against the limit, and unknown characters."""
    from lushan.audit.lengths import unknown_characters
    from lushan.data.processing import tokenizer_of

    tokenizer = tokenizer_of(processor)
    if tokenizer is None:  # lengths and characters are of text
        return {}
    known = functools.partial(knows, tokenizer)
    read = {name: field for name, field in corpus.fields.items() if not field.is_name}
    found = {"unknown": unknown_characters(corpus.splits, read, known)}
    if "cut" not in task.schema.names:  # nothing that it reads is truncated
        return found
    lengths = [lengths_in(split, corpus, task, tokenizer, limits) for split in corpus.splits]
    return {"lengths": lengths, **found}


def lengths_in(
    split: str, corpus: Corpus, task: Task, tokenizer: PreTrainedTokenizerFast, limits: Limits
) -> Lengths:
    """The lengths of one split, by the task's own encoding."""
    from lushan.audit.lengths import lengths_of

    within = task.limits(limits, split)

    def encoding(limits: Limits) -> Encode:
        return lambda rows, first: task.encode(rows, first, tokenizer, limits)

    def found(whole: Limits) -> Lengths:
        return lengths_of(
            split,
            corpus.splits[split],
            whole=encoding(whole),
            within=encoding(within),
            limit=within.max_length,
            unknown=unknown_id(tokenizer),
        )

    try:
        return found(dataclasses.replace(limits, max_length=WHOLE, stride=None))
    except UserError:  # what hides spans has no sentinels for so many: it reads in pieces
        return found(dataclasses.replace(within, stride=None))


def unknown_id(tokenizer: PreTrainedTokenizerFast) -> int | None:
    """The id that stands for what the tokenizer does not know; None where it has another meaning.

    GPT-2's also begins and ends texts, and nothing is unknown to it.
    """
    names = ("bos_token_id", "eos_token_id", "pad_token_id", "cls_token_id", "sep_token_id")
    unknown = tokenizer.unk_token_id
    return None if unknown in [getattr(tokenizer, name, None) for name in names] else unknown


def knows(tokenizer: PreTrainedTokenizerFast, characters: Sequence[str]) -> list[bool]:
    """Return for each character whether the tokenizer writes something for it, alone or inside."""
    if not characters:
        return []
    unknown = unknown_id(tokenizer)

    def ids_of(words: list[str]) -> list[list[int]]:
        return list(tokenizer(words, add_special_tokens=False)["input_ids"])

    (letter,) = ids_of(["a"])
    alone, inside = ids_of(list(characters)), ids_of([f"a{c}" for c in characters])
    return [
        bool(one and unknown not in one) or (other != letter and unknown not in other)
        for one, other in zip(alone, inside, strict=True)
    ]
