"""Export of tasks whose exported model is an encoder of text with a linear head."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from torch import Tensor, nn

from lushan.data import processing
from lushan.models.backbone import width_of
from lushan.models.exported import TEXTS, Ask, ExportSpec, TrainedModel, are_same
from lushan.models.pooling import pooler
from lushan.models.transformers_heads import with_scores
from lushan.tasks.base import Task
from lushan.tasks.batches import Batch, Limits

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast


_VECTORS = """\
tokenizer, model = AutoTokenizer.from_pretrained("DIR"), AutoModel.from_pretrained("DIR")
read = tokenizer({prefix}"How tall is the tower?", return_tensors="pt")
states = model(**read).last_hidden_state
vector = torch.nn.functional.normalize({pooled}, dim=-1)"""


def tokenizer_for(trained: TrainedModel, max_length: int) -> PreTrainedTokenizerFast:
    """Return a copy of the run's tokenizer that knows what the model takes.

    Segments are no input of a model that does not distinguish them: some would refuse them, and
    GPT-2 would take them for tokens.
    """
    tokenizer, model = copy.deepcopy(processing.require_tokenizer(trained.processor)), trained.plain
    tokenizer.model_max_length = max_length
    takes = "token_type_ids" in inspect.signature(model.forward).parameters
    if not takes or (getattr(model.config, "type_vocab_size", None) or 0) < 2:
        names = tokenizer.model_input_names
        tokenizer.model_input_names = [name for name in names if name != "token_type_ids"]
    return tokenizer


def batch_of(task: Task, rows: dict[str, list[Any]], trained: TrainedModel) -> Batch:
    """Encode one example as the run does, truncated and not in windows, and collate it."""
    features = task.encode(rows, 0, trained.processor, Limits(trained.max_length))
    row = {name: np.asarray(values[0]) for name, values in features.items()}
    return task.collate([row])


def words_of(text: str) -> list[str]:
    """Split a text at spaces, and Chinese at each character."""
    return [word for part in text.split() for word in (part if part[0] > "\u2e80" else [part])]


def known_words(tokenizer: PreTrainedTokenizerFast, words: list[str]) -> list[int]:
    """Return the places of the words of which a tokenizer keeps at least one token."""
    found = tokenizer(words, is_split_into_words=True, add_special_tokens=False).word_ids(0)
    return sorted({word for word in found if word is not None})


def of_words(
    trained: TrainedModel,
    scores: nn.Linear,
    labels: Sequence[str],
    *,
    expected: Sequence[Tensor],
    notes: Sequence[str],
) -> ExportSpec:
    """Describe a model that scores words by their first tokens.

    Args:
        trained: The run's model.
        scores: Its head.
        labels: Name of each score.
        expected: The run's scores of the known words of `TEXTS`, (W, C) each.
        notes: What the model's user must know.

    Raises:
        UserError: transformers has no such model.
    """
    cut = {"truncation": True, "max_length": trained.max_length, "return_tensors": "pt"}

    def ask(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, words: list[str]) -> Tensor:
        inputs = tokenizer(words, is_split_into_words=True, **cut)
        owners = inputs.word_ids(0)
        firsts = [owners.index(word) for word in range(len(words)) if word in owners]
        return model(**inputs).logits[0, firsts]

    return with_head(
        trained,
        "AutoModelForTokenClassification",
        scores,
        labels,
        examples=[words_of(text) for text in TEXTS],
        ask=ask,
        expected=expected,
        pipeline="token-classification",
        usage='tag = pipeline("token-classification", "DIR", aggregation_strategy="first")\n'
        'print(tag("Anna lives in Paris."))',
        notes=[
            'The tag of a word is that of its first token: use `aggregation_strategy="first"`.',
            f"Texts are truncated to {trained.max_length} tokens.",
            *notes,
        ],
    )


def of_texts(
    trained: TrainedModel,
    scores: nn.Linear,
    labels: Sequence[str],
    *,
    expected: Sequence[Tensor],
    notes: Sequence[str],
    options: Mapping[str, Any],
    arguments: str = "",
    key: str = "task.head",
) -> ExportSpec:
    """Describe a model that scores texts.

    Args:
        trained: The run's model.
        scores: Its head.
        labels: Name of each score.
        expected: The run's scores of `TEXTS`, (1, C) each.
        notes: What the model's user must know.
        options: Settings of transformers' config, such as `problem_type`.
        arguments: Of the pipeline's call, behind the text.
        key: The config key that decides what the head is, for the error.

    Raises:
        UserError: transformers has no such model.
    """
    cut = {"truncation": True, "max_length": trained.max_length, "return_tensors": "pt"}

    def ask(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, text: str) -> Tensor:
        return model(**tokenizer(text, **cut)).logits

    return with_head(
        trained,
        "AutoModelForSequenceClassification",
        scores,
        labels,
        examples=TEXTS,
        ask=ask,
        expected=expected,
        options=options,
        key=key,
        pipeline="text-classification",
        usage='classify = pipeline("text-classification", "DIR")\n'
        f'print(classify("a warm and clever film", truncation=True{arguments}))',
        notes=[f"Texts are truncated to {trained.max_length} tokens.", *notes],
    )


def of_vectors(
    trained: TrainedModel,
    pooling: Literal["mean", "cls"],
    prefix: str,
    *,
    expected: Sequence[Tensor],
    notes: Sequence[str],
) -> ExportSpec:
    """Describe an encoder whose pooled hidden states are the vector of a text.

    Args:
        trained: The run's model.
        pooling: How.
        prefix: What is written before a query.
        expected: The run's vectors of `TEXTS`, (1, H) each.
        notes: What the model's user must know.
    """
    cut = {"truncation": True, "max_length": trained.max_length, "return_tensors": "pt"}
    tokenizer = tokenizer_for(trained, trained.max_length)
    pool = pooler(pooling, width_of(trained.plain.config))

    def ask(model: Any, read: Any, text: str) -> Tensor:
        inputs = read(prefix + text, **cut)
        return pool(model(**inputs).last_hidden_state, inputs["attention_mask"])

    return ExportSpec(
        model=trained.plain,
        processor=tokenizer,
        auto_class="AutoModel",
        usage=_VECTORS.format(
            prefix=f"{prefix!r} + " if prefix else "",
            pooled="states.mean(1)" if pooling == "mean" else "states[:, 0]",
        ),
        examples=TEXTS,
        ask=ask,
        expected=expected,
        notes=[
            f"The vector of a text is the {pooling} of its hidden states; queries begin with "
            f"{prefix!r}.",
            f"Texts are truncated to {trained.max_length} tokens.",
            *notes,
        ],
    )


def with_head(
    trained: TrainedModel,
    auto_class: str,
    scores: nn.Linear,
    labels: Sequence[str],
    *,
    examples: Sequence[Any],
    ask: Ask,
    expected: Sequence[Tensor],
    options: Mapping[str, Any] | None = None,
    key: str = "task.head",
    **described: Any,
) -> ExportSpec:
    """Describe a model of transformers with a linear head.

    Args:
        trained: The run's model.
        auto_class: Name of the Auto class that has such a head.
        scores: The run's head.
        labels: Name of each score; none where scores have no names.
        examples: See `ExportSpec`.
        ask: Likewise.
        expected: Likewise.
        options: Settings of transformers' config.
        key: The config key that decides what the head is, for the error.
        described: More of `ExportSpec`: usage, notes, pipeline.

    Raises:
        UserError: transformers has no such model.
    """
    processor = trained.processor
    if processing.tokenizer_of(processor) is processor:
        processor = tokenizer_for(trained, trained.max_length)

    def is_same(model: PreTrainedModel) -> bool:
        return are_same([ask(model, processor, example) for example in examples], expected)

    return ExportSpec(
        model=with_scores(
            trained.plain,
            auto_class,
            scores,
            is_same=is_same,
            labels=labels,
            options=options,
            key=key,
        ),
        processor=processor,
        auto_class=auto_class,
        examples=examples,
        ask=ask,
        expected=expected,
        **described,
    )
