"""Everything that is known before the first step; facts flow one way.

Data, labels, tokenizer, encoded splits, encoder, model.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import torch

from lushan.audit import shared
from lushan.config.allow_list import locate
from lushan.config.build import TARGET, build
from lushan.config.signatures import read
from lushan.data import processing, references
from lushan.data.encode.encoding import Encoded, code_version, encode, fingerprint_of
from lushan.data.groups import keeping
from lushan.data.source import Corpus, Source, Windows, code_hash, hash_json
from lushan.errors import UserError
from lushan.models import probing
from lushan.models.backbone import token_table
from lushan.models.encoders import Encoder
from lushan.models.origins import origins
from lushan.optim import freeze_weights
from lushan.run.artifacts import is_run
from lushan.tasks.base import Task
from lushan.tasks.batches import Limits

if TYPE_CHECKING:
    from lushan.data.processing import Processor
    from lushan.models.backbone import Backbone


EncodeSplit = Callable[[str, pa.Table, str | None], Encoded]

LONGEST = 512
"""Tokens of a feature where neither the config nor the encoder sets a bound."""


@dataclasses.dataclass(frozen=True)
class Components:
    """Components of a run.

    Attributes:
        source: Where the data comes from, and how it is batched.
        corpus: The data, as it was read.
        task: With its labels.
        processor: Of transformers: a tokenizer, an image processor, or both in one.
        encoded: Split to features.
        model: Encoder and head.
        limits: How long a feature may be.
        notes: What the reader of the numbers must know.
        origins: What of it is pretrained, and what is fresh; see `models.origins`.
        row_tokens: Tokens of a training row that holds several examples; None where each has its
            own.
        window: Of a stream, its windows by number.
    """

    source: Source
    corpus: Corpus
    task: Task
    processor: Processor
    encoded: dict[str, Encoded]
    model: torch.nn.Module
    limits: Limits
    notes: list[str]
    origins: list[str]
    row_tokens: int | None
    window: Callable[[int], Encoded] | None

    @property
    def tokenizer(self) -> Any:
        """The processor's tokenizer; None where it has none."""
        return processing.tokenizer_of(self.processor)


def build_components(cfg: Mapping[str, Any], source: Source) -> Components:
    """Build the components of the run that a checked config describes, each once.

    Raises:
        UserError: The data cannot be used, or not by this task or this encoder.
    """
    task: Task = build(cfg["task"])
    corpus = source.read(task.fields)
    if "train" not in corpus.splits:
        raise UserError(
            "there is nothing to train on", key="data.train", hint="Write data.train=FILE."
        )
    notes = corpus.notes
    if corpus.windows is None:  # the rows of a stream are not known in advance
        notes = shared.notes_of(corpus.splits, corpus.fields, notes, keeping(source))
    task.prepare(corpus)
    task.require_metrics()
    task.require_record_fields()
    cache = Path(cfg["paths"]["cache_dir"])
    processor = build(cfg["processor"], texts=corpus.train_texts, cache_dir=cache / "tokenizers")
    notes = notes + tokenizer_notes(cfg, processor)
    task.use(processor)
    encoder = make_encoder(cfg, task, processor)
    require_inputs(encoder, processor)
    require_room(encoder, processor)
    require_steady(encoder, processor)
    limits = limits_of(source, encoder)
    require_stride(limits, processor)
    # Seeded again: the head's first weights are the same whatever encoder came before it.
    torch.manual_seed(cfg["seed"])
    model = task.build(encoder)
    task.require_attention(model)
    encoded = encode_all(corpus, source, task, processor, limits, cache / "encoded")
    notes = notes + encoding_notes(task, encoded)
    packs = task.packs if source.packing is None else source.packing
    row_tokens = limits.max_length if packs else None
    if packs:
        require_apart(model)
    origin = origins(cfg, model, trains_tokenizer=is_trained(cfg["processor"]))
    # Before the ranks wrap the model, which wait for the gradient of whatever learns then.
    freeze_weights(model, cfg["optimizer"].get("freeze", ()))
    window = None
    if corpus.windows is not None:
        later = encoder_of(source, task, processor, limits, cache / "encoded")
        window = window_reader(corpus.windows, later, encoded["train"])
    return Components(
        source,
        corpus,
        task,
        processor,
        encoded,
        model,
        limits,
        notes,
        origin,
        row_tokens,
        window,
    )


def is_trained(node: Mapping[str, Any]) -> bool:
    """Return whether a tokenizer's node is one that is trained on the training text."""
    return "texts" in read(locate(node[TARGET], "processor")).parameters


def tokenizer_notes(cfg: Mapping[str, Any], processor: Processor) -> list[str]:
    """Return notes on a tokenizer beside weights that were trained with another one.

    Raises:
        UserError: To these weights its ids are other tokens.
    """
    places = {"model.path": cfg["model"].get("path")}
    if cfg["ckpt_path"]:  # a checkpoint's folder is two below its run's
        places["ckpt_path"] = str(Path(cfg["ckpt_path"]).expanduser().absolute().parents[1])
    notes = []
    for key, place in places.items():
        known = isinstance(place, str) and (key == "model.path" or is_run(place))
        scripts = cfg["model"].get("scripts") if key == "model.path" else None
        own = cfg["processor"].get("path") == place
        if known and not (own and cfg["processor"].get("scripts") == scripts):
            notes.append(processing.require_same_ids(processor, place, key=key, scripts=scripts))
    return [note for note in notes if note is not None]


def require_inputs(encoder: Any, processor: Processor) -> None:
    """Refuse a processor that does not make what a model reads: pixels, or tokens."""
    reads = getattr(getattr(encoder, "model", encoder), "main_input_name", None)
    made = getattr(processor, "model_input_names", None)
    if reads is None or not made or reads in made:
        return
    raise UserError(
        f"this model needs {reads}, but the processor returns {', '.join(made)}",
        key="processor",
        value=type(processor).__name__,
        hint="Use processor=image for image models, processor=bpe or another tokenizer for text "
        "models, or processor=pretrained for the one that came with the weights.",
    )


def require_steady(encoder: Any, processor: Processor) -> None:
    """Refuse an encoder of texts to which the padding of a batch makes a difference."""
    if isinstance(encoder, Encoder) and processing.tokenizer_of(processor) is processor:
        tokenizer = processing.require_tokenizer(processor)
        probing.require_alone_as_in_a_batch(encoder, probing.ordinary_tokens(tokenizer))


def require_room(encoder: Any, processor: Processor) -> None:
    """Refuse a tokenizer that has more ids than a model has embeddings."""
    tokenizer = processing.tokenizer_of(processor)
    if tokenizer is None:
        return
    table = token_table(getattr(encoder, "model", encoder))
    rows = getattr(table, "num_embeddings", None)
    highest = max(tokenizer.get_vocab().values(), default=0)
    if rows is not None and highest >= rows:
        raise UserError(
            f"the tokenizer has ids up to {highest:,}, but this model has embeddings for "
            f"{rows:,} tokens",
            key="processor",
            hint="Write processor=pretrained with the processor.path of the weights.",
        )


def window_reader(
    windows: Windows, encoded: EncodeSplit, first: Encoded
) -> Callable[[int], Encoded]:
    """Return a reader that encodes the windows of a stream one by one and keeps only the last.

    Args:
        windows: The stream.
        encoded: From `encoder_of`.
        first: The first one, which is encoded already. It is kept: every start reads it.
    """
    last = first

    def read(number: int) -> Encoded:
        nonlocal last
        if not number:
            return first
        found = encoded("train", windows.window(number), windows.window_fingerprint(number))
        if last.path not in (first.path, found.path):
            last.path.unlink(missing_ok=True)
        last = found
        return found

    return read


def make_encoder(cfg: Mapping[str, Any], task: Task, processor: Processor) -> Backbone:
    """The model that a config describes, with its adapter, before there is a head.

    Everything in it that is random follows from the seed: what an adapter leaves out of its
    checkpoints is made again by this.
    """
    torch.manual_seed(cfg["seed"])
    encoder = build(
        cfg["model"],
        special=task.special_ids(processor),
        auto_class=task.auto_class,
        wrap=task.wrap,
        **processing.vocabulary(processor),
    )
    if cfg.get("peft"):
        # Seeded again: an adapter's first weights are the same whatever model came before it.
        torch.manual_seed(cfg["seed"])
        build(cfg["peft"], encoder=encoder, auto_class=task.auto_class)
    return encoder


def require_apart(model: torch.nn.Module) -> None:
    """Make sure of a model that documents which share a row do not see one another.

    The definition is the test: a row of two documents has the loss of the two alone.
    """
    probe = getattr(model.encoder, "keeps_apart", None)
    if probe is None or not probe():
        raise UserError(
            "this model cannot separate examples that share a row",
            key="data.packing",
            value=True,
            hint="Write data.packing=false"
            + (", or another model.attention." if probe is not None else "."),
        )


def limits_of(source: Source, encoder: Any) -> Limits:
    """Return the longest feature, by the config and by what the encoder can read."""
    bound = encoder.max_length
    if source.max_length is not None and bound is not None and source.max_length > bound:
        raise UserError(
            f"the encoder reads at most {bound} tokens",
            key="data.max_length",
            value=source.max_length,
            hint=f"Write data.max_length={bound} or less; data.stride=64 splits longer texts into "
            f"windows.",
        )
    return Limits(source.max_length or bound or LONGEST, source.stride)


def require_stride(limits: Limits, processor: Processor) -> None:
    """Refuse windows that share more than they hold.

    Raises:
        UserError: They do, or nothing is read that has windows.
    """
    if limits.stride is None:
        return
    tokenizer = processing.require_tokenizer(processor)
    room = limits.max_length - int(tokenizer.num_special_tokens_to_add())
    if not 0 <= limits.stride < room:
        raise UserError(
            f"windows have {room} tokens of text, so their overlap can be 0 to {max(0, room - 1)}",
            key="data.stride",
            value=limits.stride,
            hint=f"Write data.stride={max(0, room // 4)}.",
        )


def encode_all(
    corpus: Corpus, source: Source, task: Task, processor: Processor, limits: Limits, cache: Path
) -> dict[str, Encoded]:
    """All splits encoded, from the cache where any run has encoded alike before."""
    data = source.fingerprint()
    encoded = encoder_of(source, task, processor, limits, cache)
    return {split: encoded(split, t, data.get(split)) for split, t in corpus.splits.items()}


def encoder_of(
    source: Source, task: Task, processor: Processor, limits: Limits, cache: Path
) -> EncodeSplit:
    """Return the function that encodes a split, from its name, its rows and a hash of these."""
    words = processing.fingerprint(processor)
    classes = [kind for kind in type(task).__mro__ if issubclass(kind, Task)]
    own = code_version(*classes, type(source))  # of a user's own package
    code = [own, code_hash("tasks"), code_hash("text"), code_hash("data")]

    def encoded(split: str, table: pa.Table, content: str | None) -> Encoded:
        within = task.limits(limits, split)
        places = hash_json(list(references.places(table)))  # of files that rows go on naming
        parts = [split, content, places, source.options(), words, task.options()]
        return encode(
            table,
            lambda rows, first: task.encode(rows, first, processor, within),
            task.schema,
            fingerprint=fingerprint_of(*parts, dataclasses.asdict(within), code),
            cache_dir=cache,
            count=task.count,
        )

    return encoded


def encoding_notes(task: Task, encoded: Mapping[str, Encoded]) -> list[str]:
    """Return what was cut or cannot be read, counted."""
    return [
        note for split, data in encoded.items() for note in task.encoding_notes(split, data.meta)
    ]
