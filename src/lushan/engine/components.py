"""Everything that is known before the first step; facts flow one way.

Data, labels, tokenizer, encoded splits, encoder, model.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from lushan.audit import shared
from lushan.common.wording import plural
from lushan.config.allow_list import locate
from lushan.config.build import TARGET, build
from lushan.config.signatures import read
from lushan.data.encode.encoding import Encoded, code_version, encode, fingerprint_of
from lushan.data.messages import TOOLS, said
from lushan.data.source import Corpus, Source, Windows
from lushan.errors import UserError
from lushan.models.origins import origins
from lushan.optim import freeze_weights
from lushan.run.artifacts import is_run
from lushan.tasks import base
from lushan.tasks.base import Limits, Task
from lushan.text.tokenizers import fingerprint as tokenizer_fingerprint
from lushan.text.tokenizers import require_same_ids

log = logging.getLogger(__name__)

EncodeSplit = Callable[[str, pa.Table, str | None], Encoded]

LONGEST = 512
"""Tokens of a feature where neither the config nor the encoder sets a bound."""


@dataclasses.dataclass(frozen=True)
class Components:
    """What a run is made of.

    Attributes:
        source: Where the data comes from, and how it is batched.
        corpus: The data, as it was read.
        task: With its labels.
        tokenizer: Of transformers.
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
    tokenizer: Any
    encoded: dict[str, Encoded]
    model: torch.nn.Module
    limits: Limits
    notes: list[str]
    origins: list[str]
    row_tokens: int | None
    window: Callable[[int], Encoded] | None


def build_components(cfg: Mapping[str, Any], source: Source) -> Components:
    """Build the components of the run that a checked config describes, each once.

    Args:
        cfg: The config.
        source: Its data source.

    Raises:
        UserError: The data cannot be used, or not by this task or this encoder.
    """
    task: Task = build(cfg["task"])
    corpus = read_for(task, source)
    require_kind(task, corpus)
    if "train" not in corpus.splits:
        raise UserError(
            "there is nothing to train on", key="data.train", hint="Write data.train=FILE."
        )
    notes = corpus.notes
    if corpus.windows is None:  # of a stream nobody knows what it will hold
        notes = shared.notes_of(corpus.splits, notes)
    task.prepare(corpus)
    task.require_metrics()
    cache = Path(cfg["paths"]["cache_dir"])
    tokenizer = build(
        cfg["tokenizer"], texts=functools.partial(texts_of, corpus), cache_dir=cache / "tokenizers"
    )
    notes = notes + tokenizer_notes(cfg, tokenizer)
    task.use(tokenizer)
    encoder = make_encoder(cfg, task, tokenizer)
    require_room(encoder, tokenizer)
    limits = limits_of(source, encoder)
    require_stride(limits, tokenizer)
    # Seeded anew: the head's first weights are the same whatever encoder came before it.
    torch.manual_seed(cfg["seed"])
    model = task.build(encoder)
    task.require_attention(model)
    encoded = encode_all(corpus, source, task, tokenizer, limits, cache / "encoded")
    notes = notes + encoding_notes(encoded)
    packs = task.packs if source.packing is None else source.packing
    row_tokens = limits.max_length if packs else None
    if packs:
        require_apart(model)
    origin = origins(cfg, model, trains_tokenizer=is_trained(cfg["tokenizer"]))
    # Before the ranks wrap the model, which wait for the gradient of whatever learns then.
    freeze_weights(model, cfg["optimizer"].get("freeze", ()))
    window = None
    if corpus.windows is not None:
        later = encoder_of(source, task, tokenizer, limits, cache / "encoded")
        window = window_reader(corpus.windows, later, encoded["train"])
    return Components(
        source,
        corpus,
        task,
        tokenizer,
        encoded,
        model,
        limits,
        notes,
        origin,
        row_tokens,
        window,
    )


def is_trained(node: Mapping[str, Any]) -> bool:
    """Whether a tokenizer's node is one that is trained on the training text."""
    return "texts" in read(locate(node[TARGET], "tokenizer")).parameters


def tokenizer_notes(cfg: Mapping[str, Any], tokenizer: Any) -> list[str]:
    """What the reader must know of a tokenizer beside weights that were trained with another.

    Raises:
        UserError: To these weights its ids are other tokens.
    """
    places = {"model.path": cfg["model"].get("path")}
    if cfg["ckpt_path"]:  # a checkpoint's folder is two below its run's
        places["ckpt_path"] = str(Path(cfg["ckpt_path"]).expanduser().absolute().parents[1])
    notes = []
    for key, place in places.items():
        known = isinstance(place, str) and (key == "model.path" or is_run(place))
        if known and cfg["tokenizer"].get("path") != place:
            notes.append(require_same_ids(tokenizer, place, key=key))
    return [note for note in notes if note is not None]


def require_room(encoder: Any, tokenizer: Any) -> None:
    """Refuse a tokenizer that has more ids than a model has embeddings.

    Raises:
        UserError: It has.
    """
    inner = getattr(encoder, "model", encoder)
    table = inner.get_input_embeddings() if hasattr(inner, "get_input_embeddings") else None
    rows = getattr(table, "num_embeddings", None)
    highest = max(tokenizer.get_vocab().values(), default=0)
    if rows is not None and highest >= rows:
        raise UserError(
            f"the tokenizer has ids up to {highest:,}, and this model has embeddings for "
            f"{rows:,} tokens",
            key="tokenizer",
            hint="Write tokenizer=pretrained with the tokenizer.path that the weights came with.",
        )


def window_reader(
    windows: Windows, encoded: EncodeSplit, first: Encoded
) -> Callable[[int], Encoded]:
    """Windows of a stream, encoded one after the other; the one before is forgotten.

    Args:
        windows: The stream.
        encoded: From `encoder_of`.
        first: The first one, which is encoded already. It stays: every start looks at it.
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


def make_encoder(cfg: Mapping[str, Any], task: Task, tokenizer: Any) -> Any:
    """The model that a config describes, with its adapter, before there is a head.

    Everything in it that is random follows from the seed: what an adapter leaves out of its
    checkpoints is made again by this.
    """
    torch.manual_seed(cfg["seed"])
    encoder = build(
        cfg["model"],
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        purpose=task.purpose,
        special=special_ids(tokenizer),
    )
    if cfg.get("peft"):
        # Seeded anew: an adapter's first weights are the same whatever model came before it.
        torch.manual_seed(cfg["seed"])
        build(cfg["peft"], encoder=encoder, purpose=task.purpose)
    return encoder


def require_apart(model: torch.nn.Module) -> None:
    """Make sure of a model that documents which share a row do not see one another.

    The definition is the test: a row of two documents has the loss of the two alone.

    Raises:
        UserError: They do.
    """
    probe = getattr(model.encoder, "keeps_apart", None)
    if probe is None or not probe():
        raise UserError(
            "examples that share a row would see one another in this model",
            key="data.packing",
            value=True,
            hint="Write data.packing=false"
            + (", or another model.attention." if probe is not None else "."),
        )


def special_ids(tokenizer: Any) -> dict[str, int]:
    """The tokens that begin and end a text, as configs of transformers call them."""
    named = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id")}
    return {name: value for name, value in named.items() if value is not None}


def read_for(task: Task, source: Source) -> Corpus:
    """Read the data of a task.

    Raises:
        UserError: It cannot be read. Where columns were looked for that the task does not read, the
            error asks for those that it reads.
    """
    try:
        return source.read()
    except UserError as error:
        asked = str(error.key).removeprefix("data.")
        if task.reads == "text" or asked not in _OF_TEXTS or getattr(source, asked, None):
            raise
        columns = (error.hint or "").partition("; ")[2]
        raise UserError(
            f"this task reads {task.reads}: which columns hold them?",
            key="data.source" if task.reads == "pairs" else "data",
            file=error.file,
            hint=_WAYS[task.reads] + (f" {columns[0].upper()}{columns[1:]}" if columns else ""),
        ) from error


_OF_TEXTS = ("text", "label")
"""Options that say where a source finds texts with their labels."""


def require_kind(task: Task, corpus: Corpus) -> None:
    """A task that reads words cannot read texts, nor the other way round."""
    if corpus.kind != task.reads:
        raise UserError(
            f"this task reads {task.reads}, and the data holds {corpus.kind}",
            key="data",
            value=corpus.kind,
            hint=_WAYS[task.reads],
        )


_WAYS = {
    "tokens": "Words with tags: data=conll, or data=jsonl with tags or spans.",
    "text": "Texts: data=table or data=jsonl with text and label; raw ones by data=text.",
    "pairs": "Pairs: data=table or data=jsonl with data.source=NAME data.target=NAME.",
    "messages": "Dialogues: data=chat with data.messages=NAME.",
}
"""How each kind of data is named."""


def texts_of(corpus: Corpus) -> Iterator[str]:
    """The training texts, to train a tokenizer on."""
    table = corpus.splits["train"]
    if corpus.kind == "tokens":
        for tokens in table.column("tokens").to_pylist():
            yield " ".join(tokens)
        return
    for name in ("text", "text_pair", "source"):
        if name in table.column_names:
            for chunk in table.column(name).chunks:  # a corpus may be larger than the memory
                yield from chunk.to_pylist()
    if corpus.kind == "pairs":
        for targets in table.column("targets").to_pylist():
            yield from targets
    if corpus.kind == "messages":
        for messages in table.column("messages").to_pylist():
            for message in messages:  # with the words that some templates have for roles
                content, *others = said(message)
                yield f"{message['role'].capitalize()}: {content}"
                yield from others
        if TOOLS in table.column_names:
            yield from filter(None, table.column(TOOLS).to_pylist())


def limits_of(source: Source, encoder: Any) -> Limits:
    """How long a feature may be: what the config says, within what the encoder can read."""
    bound = encoder.max_length
    if source.max_length is not None and bound is not None and source.max_length > bound:
        raise UserError(
            f"the encoder reads at most {bound} tokens",
            key="data.max_length",
            value=source.max_length,
            hint=f"Write data.max_length={bound} or less; data.stride=64 reads on in windows.",
        )
    return Limits(source.max_length or bound or LONGEST, source.stride)


def require_stride(limits: Limits, tokenizer: Any) -> None:
    """Refuse windows that share more than they hold.

    Raises:
        UserError: They do.
    """
    room = limits.max_length - int(tokenizer.num_special_tokens_to_add())
    if limits.stride is not None and not 0 <= limits.stride < room:
        raise UserError(
            f"windows hold {room} tokens of text, and share from 0 to {max(0, room - 1)} of them",
            key="data.stride",
            value=limits.stride,
            hint=f"Write data.stride={max(0, room // 4)}.",
        )


def encode_all(
    corpus: Corpus, source: Source, task: Task, tokenizer: Any, limits: Limits, cache: Path
) -> dict[str, Encoded]:
    """All splits encoded, from the cache where any run has encoded alike before."""
    data = source.fingerprint()
    encoded = encoder_of(source, task, tokenizer, limits, cache)
    return {split: encoded(split, t, data.get(split)) for split, t in corpus.splits.items()}


def encoder_of(
    source: Source, task: Task, tokenizer: Any, limits: Limits, cache: Path
) -> EncodeSplit:
    """What encodes a split: its name, its rows, and a hash of what they hold."""
    words = tokenizer_fingerprint(tokenizer)
    code = code_version(type(task), base, encode, type(source), Source)

    def encoded(split: str, table: pa.Table, content: str | None) -> Encoded:
        within = task.limits(limits, split)
        parts = [split, content, source.options(), words, task.options()]
        return encode(
            table,
            lambda rows, first: task.encode(rows, first, tokenizer, within),
            task.schema,
            fingerprint=fingerprint_of(*parts, dataclasses.asdict(within), code),
            cache_dir=cache,
            count=task.count,
        )

    return encoded


def encoding_notes(encoded: Mapping[str, Encoded]) -> list[str]:
    """What was cut or cannot be read, counted."""
    notes = []
    for split, data in encoded.items():
        if cut := data.meta.get("cut"):
            what = plural(cut, "word or text was", "words or texts were")
            notes.append(f"{split}: {what} cut by max_length")
        if long := data.meta.get("split"):
            what = plural(long, "dialogue is", "dialogues are")
            notes.append(f"{split}: {what} read in windows of max_length")
        if disguised := data.meta.get("disguised"):
            notes.append(
                f"{split}: {disguised} dialogues hold the text of a control token, read as text"
            )
        for name, number in data.meta.items():
            if name.startswith("unseen "):
                what = name.removeprefix("unseen ")
                notes.append(f"{split}: the chat template does not show {what} ({number} times)")
        if unknown := data.meta.get("unknown"):
            notes.append(f"{split}: {unknown} texts hold no known token")
        if lost := data.meta.get("unknown_tokens"):
            notes.append(
                f"{split}: {lost} unknown tokens: the tokenizer loses text there, and no number "
                "counts what is lost"
            )
    return notes
