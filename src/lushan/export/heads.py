"""Runs with a head of ours as models for token and sequence classification of transformers."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor, nn

from lushan.errors import UserError
from lushan.export.forms import TEXTS, Form, plain_model, tokenizer_for
from lushan.export.transformers_heads import classifier, tagger
from lushan.inference.load import Loaded
from lushan.models.heads import Linear
from lushan.tasks.classification import Classification
from lushan.tasks.ner import NER

_IN_IOB2 = {"S": "B", "U": "B", "E": "I", "L": "I"}
"""What begins and what goes on, of schemes that also tell ends."""


def _require_linear(head: nn.Module) -> nn.Linear:
    if not isinstance(head, Linear):
        raise UserError(
            "transformers has no class with such a head",
            key="task.head",
            value=type(head).__name__.lower(),
            hint="Runs with task/head=linear can be exported; `lushan predict` uses this one as "
            "it is.",
        )
    return head.scores


def tagger_form(loaded: Loaded, task: NER) -> Form:
    """A run that tags words, for transformers.

    Raises:
        UserError: Its head has no class there.
    """
    whole: Any = loaded.model
    scores = _require_linear(whole.head)
    labels = [_iob2(tag) for tag in task.tags]
    made = tagger(plain_model(loaded), scores, labels)
    notes = [
        'The first token of a word has its tag: use `aggregation_strategy="first"`.',
        f"A text is read up to {loaded.limits.max_length} tokens.",
    ]
    if task.scheme != "iob2":
        notes.append(
            f"It learned {task.scheme.upper()} tags; those that say where an entity ends are "
            "named as those inside one, and single ones as those that begin one."
        )
    if task.constrained:
        notes.append(
            "The run reads only sequences of tags that are allowed; a pipeline takes the likeliest "
            "tag of each word."
        )
    rows = {"tokens": [_words(text) for text in TEXTS]}

    def ask(model: Any, theirs: Any) -> list[Tensor]:
        found = []
        for words in rows["tokens"]:
            inputs = theirs(
                words,
                is_split_into_words=True,
                truncation=True,
                max_length=loaded.limits.max_length,
                return_tensors="pt",
            )
            owners = inputs.word_ids(0)
            firsts = [owners.index(word) for word in range(len(words)) if word in owners]
            found.append(model(**inputs).logits[0, firsts])
        return found

    return Form(
        model=made,
        tokenizer=tokenizer_for(loaded, made, loaded.limits.max_length),
        auto="AutoModelForTokenClassification",
        pipeline="token-classification",
        usage='tag = pipeline("token-classification", "DIR", aggregation_strategy="first")\n'
        'print(tag("Anna lives in Paris."))',
        notes=notes,
        ask=ask,
        expected=_tag_scores(loaded, task, rows),
    )


def _tag_scores(loaded: Loaded, task: NER, rows: dict[str, list[Any]]) -> list[Tensor]:
    """The run's own scores of the words that its tokenizer knows anything of."""
    whole: Any = loaded.model
    found = []
    for words in rows["tokens"]:
        features = task.encode({"tokens": [words]}, 0, loaded.tokenizer, _one_window(loaded))
        row = {name: torch.tensor(values[0]).numpy() for name, values in features.items()}
        batch = task.collate([row])
        known = loaded.tokenizer(words, is_split_into_words=True, add_special_tokens=False)
        there = sorted({word for word in known.word_ids(0) if word is not None})
        scores = whole(batch, batch["positions"])[0]
        found.append(scores[[word for word in there if word < len(scores)]])
    return found


def classifier_form(loaded: Loaded, task: Classification) -> Form:
    """A run that labels texts, for transformers.

    Raises:
        UserError: Its head or its pooling has no class there.
    """
    whole: Any = loaded.model
    scores = _require_linear(whole.head["scores"])
    problem = {
        "single": "single_label_classification",
        "multilabel": "multi_label_classification",
        "regression": "regression",
    }[task.kind]
    made = classifier(
        plain_model(loaded),
        scores,
        task.labels or ["value"],
        pooling=task.pooling,
        problem=problem,
    )
    notes = [f"A text is cut at {loaded.limits.max_length} tokens."]
    if loaded.limits.stride is not None:
        notes.append("The run read longer texts in windows, and took the mean of what they say.")
    if task.kind == "multilabel":
        notes.append(f"A label counts from a probability of {task.threshold:g} on.")

    def ask(model: Any, theirs: Any) -> list[Tensor]:
        cut = {"truncation": True, "max_length": loaded.limits.max_length}
        inputs = (theirs(text, return_tensors="pt", **cut) for text in TEXTS)
        return [model(**given).logits for given in inputs]

    return Form(
        model=made,
        tokenizer=tokenizer_for(loaded, made, loaded.limits.max_length),
        auto="AutoModelForSequenceClassification",
        pipeline="text-classification",
        usage='classify = pipeline("text-classification", "DIR")\n'
        'print(classify("a warm and clever film", truncation=True'
        + {"single": "", "multilabel": ", top_k=None", "regression": ', function_to_apply="none"'}[
            task.kind
        ]
        + "))",
        notes=notes,
        ask=ask,
        expected=_text_scores(loaded, task),
    )


def _text_scores(loaded: Loaded, task: Classification) -> list[Tensor]:
    whole: Any = loaded.model
    found = []
    for text in TEXTS:
        features = task.encode({"text": [text]}, 0, loaded.tokenizer, _one_window(loaded))
        row = {name: torch.tensor(values[0]).numpy() for name, values in features.items()}
        batch = task.collate([row])
        found.append(whole(batch))
    return found


def _iob2(tag: str) -> str:
    kind, dash, label = tag.partition("-")
    return f"{_IN_IOB2.get(kind, kind)}{dash}{label}"


def _words(text: str) -> list[str]:
    return [word for part in text.split() for word in (part if part[0] > "\u2e80" else [part])]


def _one_window(loaded: Loaded) -> Any:
    return dataclasses.replace(loaded.limits, stride=None)
