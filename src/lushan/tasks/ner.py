"""Named-entity recognition: a tag for every word, entities out of tags."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from lushan.configurable import Within, configurable
from lushan.data.demo import demo_corpus
from lushan.data.fields import WORDS, Number, Tags, Value, Words
from lushan.data.labels import labels_of
from lushan.data.processing import require_tokenizer
from lushan.data.record_schema import Entry
from lushan.data.source import Corpus
from lushan.metrics import entities
from lushan.metrics.evaluation import Measured
from lushan.models.backbone import Backbone, WordModel
from lushan.models.exported import TEXTS, ExportSpec, TrainedModel
from lushan.models.heads import constrained_decode, is_structured, make_head
from lushan.models.losses import cross_entropy
from lushan.models.transformers_heads import linear_of
from lushan.tasks import exporting
from lushan.tasks.base import Task
from lushan.tasks.batches import EXAMPLE, IGNORED, Batch, Features, Limits, pad, pad_inputs
from lushan.tasks.evaluation import Evaluation, Records
from lushan.tasks.metrics import Forms
from lushan.text import tags as tagging
from lushan.text.tokenizers import affixes
from lushan.text.word_windows import cut_windows, subwords

if TYPE_CHECKING:
    from lushan.data.processing import Processor
    from lushan.metrics.metric import Metric

MAIN_METRIC = "entity_f1"
_IN_IOB2 = {"S": "B", "U": "B", "E": "I", "L": "I"}
"""The IOB2 prefix of the prefixes that mark the end of an entity."""


@configurable
class NER(Task):
    """Tag words, read entities off the tags, score entities.

    Tags are IOB2 in the corpus and in everything reported; the model may learn another scheme.

    Args:
        head: Partial of a head: takes `width`, `num_labels` and, if structured, `allowed`.
        scheme: Tag scheme of the model.
        constrained: Whether to decode only tag sequences that the scheme allows. A CRF always does.
        label_smoothing: Label smoothing; not for a CRF.
        metrics: More metrics, by name: torchmetrics classes for classes of words (the numbers are
            those of the IOB2 tags), or your own classes.
        monitor: Metric that selects the best checkpoint.
    """

    fields = WORDS
    schema = pa.schema(
        [
            ("input_ids", pa.list_(pa.int32())),
            ("positions", pa.list_(pa.int32())),
            ("labels", pa.list_(pa.int32())),
            ("start", pa.int32()),
            *EXAMPLE,
            ("cut", pa.int32()),
            ("unknown", pa.int32()),
            ("unknown_tokens", pa.int32()),
        ]
    )

    def __init__(
        self,
        *,
        head: Callable[..., nn.Module],
        scheme: Literal["iob2", "iobes", "bilou"] = "iob2",
        constrained: bool = False,
        label_smoothing: Annotated[float, Within(least=0, below=1)] = 0.0,
        metrics: dict[str, Any] | None = None,
        monitor: str = MAIN_METRIC,
    ) -> None:
        self.added = metrics or {}
        self.head, self.scheme, self.constrained = head, scheme, constrained
        self.label_smoothing = label_smoothing
        self.main_metric = monitor
        self.labels: list[str] = []
        self.tags: list[str] = []

    @classmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        from lushan.metrics.families import tags

        return tags.metrics()

    @classmethod
    def samples(cls, node: Mapping[str, Any], classes: int) -> Forms:
        tags = torch.arange(4) % classes
        return {"classes of words": (tags, tags)}

    @property
    def classes(self) -> int:
        """Tags in IOB2, `O` among them."""
        return len(tagging.tag_set(self.labels, "iob2"))

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        tags = Tags(scores="entities")
        return {
            "tokens": Entry(Words(), "input"),
            "gold": Entry(tags, "gold"),
            "predicted": Entry(tags, "predicted"),
            "entities": Entry(Value(), "detail"),
            "score": Entry(Number(), "detail"),
        }

    # Labels

    def prepare(self, corpus: Corpus) -> None:
        self.restore({"labels": labels_of(corpus)})

    def state(self) -> dict[str, Any]:
        return {"labels": self.labels}

    def restore(self, state: dict[str, Any]) -> None:
        self.labels = list(state["labels"])
        self.tags = tagging.tag_set(self.labels, self.scheme)
        self.tag_ids = {tag: i for i, tag in enumerate(self.tags)}
        self.allowed = tagging.transitions(self.tags, self.scheme)

    def options(self) -> dict[str, Any]:
        return {"task": "ner", "tags": self.tags}

    # Encoding

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        tokenizer = require_tokenizer(processor)
        prefix, suffix = affixes(tokenizer)
        room = limits.max_length - len(prefix) - len(suffix)
        features: Features = {field.name: [] for field in self.schema}
        gold = rows.get("tags") or [None] * len(rows["tokens"])
        encoded = subwords(rows["tokens"], tokenizer)
        for number, (pieces, tags) in enumerate(zip(encoded, gold, strict=True), start=first):
            labels = self._labels(tags, len(pieces))
            windows = cut_windows([len(p) for p in pieces], room, limits.stride)
            covered = sum(own_end - own_start for _, _, own_start, own_end in windows)
            for w, (start, end, own_start, own_end) in enumerate(windows):
                ids = [*prefix]
                positions = []
                for word in range(start, end):
                    if own_start <= word < own_end:
                        positions.append(len(ids))
                    ids += pieces[word]
                ids = ids[: len(prefix) + room] + suffix
                features["input_ids"].append(ids)
                features["positions"].append(positions)
                features["labels"].append(labels[own_start:own_end])
                features["start"].append(own_start)
                features["length"].append(len(ids))
                features["targets"].append(own_end - own_start)
                features["example"].append(number)
                features["cut"].append(len(pieces) - covered if w == 0 else 0)
                only_unknown = all(i == tokenizer.unk_token_id for p in pieces for i in p)
                features["unknown"].append(int(only_unknown and w == 0))
                features["unknown_tokens"].append(ids.count(tokenizer.unk_token_id))
        return features

    def _labels(self, tags: list[str] | None, length: int) -> list[int]:
        if tags is None:
            return [0] * length
        return [self.tag_ids[t] for t in tagging.convert(tags, "iob2", self.scheme)]

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        return pad_inputs(rows, self.pad_id) | {
            "positions": pad([row["positions"] for row in rows], 0),
            "labels": pad([row["labels"] for row in rows], IGNORED),
            "start": torch.tensor([int(row["start"]) for row in rows]),
        }

    # Model

    def build(self, encoder: Backbone) -> nn.Module:
        width = encoder.width
        head = make_head(self.head, width=width, num_labels=len(self.tags), allowed=self.allowed)
        return WordModel(encoder, head)

    def _scores(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        return model(batch, batch["positions"]), batch["labels"] != IGNORED

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        scores, mask = self._scores(model, batch)
        return self._loss(model.head, scores, batch["labels"], mask)

    def _loss(self, head: Any, scores: Tensor, labels: Tensor, mask: Tensor) -> Tensor:
        if is_structured(head):
            return head.nll(scores, labels.masked_fill(~mask, 0), mask).sum()
        return cross_entropy(
            scores.flatten(0, 1), labels.flatten(), label_smoothing=self.label_smoothing
        )

    def lessons(self, batch: Batch) -> list[str | dict[int, str]]:
        places, labels = batch["positions"].tolist(), batch["labels"].tolist()
        return [
            {p: self.tags[label] for p, label in zip(*row, strict=True) if label != IGNORED}
            for row in zip(places, labels, strict=True)
        ]

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        scores, mask = self._scores(model, batch)
        head: Any = model.head
        loss = self._loss(head, scores, batch["labels"], mask)
        if is_structured(head):
            best, share = head.decode(scores, mask), head.marginals(scores, mask)
        else:
            share = scores.float().softmax(-1)
            best = scores.argmax(-1)
            if self.constrained:
                best = constrained_decode(scores, self.allowed, mask)
        sure = share.gather(-1, best.clamp(min=0)[..., None]).squeeze(-1)  # (B, W)
        counts = mask.sum(-1).tolist()
        columns = (batch["example"], batch["start"], best, sure.float())
        records = zip(*(c.tolist() for c in columns), counts, strict=True)
        return loss, [
            {"example": e, "start": s, "tags": tags[:n], "scores": sc[:n]}
            for e, s, tags, sc, n in records
        ]

    # Evaluation

    def join(self, table: pa.Table, records: Records) -> Records:
        tokens = table.column("tokens").to_pylist()
        ids = table.column("id").to_pylist()
        tags = [["O"] * len(words) for words in tokens]
        scores = [[0.0] * len(words) for words in tokens]
        for record in records:
            example, start = record["example"], record["start"]
            end = start + len(record["tags"])
            tags[example][start:end] = [self.tags[t] for t in record["tags"]]
            scores[example][start:end] = record["scores"]
        joined = []
        for i, words in enumerate(tokens):
            spans = tagging.spans(tags[i], self.scheme, strict=False)
            found = [
                {
                    "start": s.start,
                    "end": s.end,
                    "label": s.label,
                    "score": float(np.mean(scores[i][s.start : s.end])),
                }
                for s in spans
            ]
            predicted = tagging.to_tags(spans, len(words), "iob2")
            joined.append(
                {"id": ids[i], "tokens": words, "predicted": predicted, "entities": found}
            )
        return joined

    @property
    def displays(self) -> Mapping[str, str]:
        return {"entities": "spans"}

    def present(self, table: pa.Table, joined: Records) -> Records:
        names = table.column_names
        texts = table.column("text").to_pylist() if "text" in names else None
        offsets = table.column("offsets").to_pylist() if "offsets" in names else None
        presented = []
        for i, row in enumerate(joined):
            text, places = (
                (texts[i], offsets[i]) if texts and offsets else spaced_out(row["tokens"])
            )
            found = []
            for entity in row["entities"]:
                start, end = places[entity["start"]][0], places[entity["end"] - 1][1]
                words = {"start": start, "end": end, "text": text[start:end]}
                found.append(words | {"label": entity["label"], "score": entity["score"]})
            record = {"id": row["id"], "text": text, "entities": found}
            if not texts:
                record |= {"tokens": row["tokens"], "tags": row["predicted"]}
            presented.append(record)
        return presented

    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        joined = self.join(table, records)
        gold = table.column("tags").to_pylist()
        predicted = [row["predicted"] for row in joined]
        found = self._measured(gold, predicted, joined, full)
        covered = sum(len(r["tags"]) for r in records)
        words = sum(map(len, gold))
        notes = []
        if covered < words:
            notes.append(
                f"{words - covered} of {words} words were truncated by max_length and scored as O"
            )
        result = Evaluation({}, notes=notes)
        result.add(found)
        if full:
            entity = entities.score_entities(gold, predicted, labels=self.labels)
            token = entities.score_tokens(gold, predicted)
            result.report = {"entity": entity.as_dict(), "token": token.as_dict()}
            result.confusion = token.confusion
            result.records = [
                {**row, "gold": g, "score": min((e["score"] for e in row["entities"]), default=1.0)}
                for row, g in zip(joined, gold, strict=True)
            ]
        return result

    def _measured(
        self, gold: list[list[str]], predicted: list[list[str]], joined: Records, full: bool
    ) -> Measured:
        from lushan.metrics.families import tags

        types = list(dict.fromkeys([*self.labels, *sorted(entities.types_in(gold, predicted))]))

        def forms() -> Forms:
            place = {tag: i for i, tag in enumerate(tagging.tag_set(self.labels, "iob2"))}
            sides = [
                torch.tensor([place[t] for t in itertools.chain.from_iterable(x)])
                for x in (predicted, gold)
            ]
            return {"classes of words": (sides[0], sides[1])}

        return self.measured(
            tags.metrics(types), predicted, gold, full=full, records=joined, forms=forms
        )

    # Export

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        whole = trained.whole
        scores, notes = linear_of(whole.head), []
        if self.scheme != "iob2":
            notes.append(
                f"It was trained with {self.scheme.upper()} tags. Here, end tags are named as "
                f"inside tags, and single tags as begin tags."
            )
        if self.constrained:
            notes.append(
                "The run predicts only allowed sequences of tags; a pipeline takes the most "
                "probable tag of each word."
            )
        expected = []
        for words in map(exporting.words_of, TEXTS):
            batch = exporting.batch_of(self, {"tokens": [words]}, trained)
            found = whole(batch, batch["positions"])[0]
            known = exporting.known_words(require_tokenizer(trained.processor), words)
            expected.append(found[[word for word in known if word < len(found)]])
        labels = [_iob2(tag) for tag in self.tags]
        return exporting.of_words(trained, scores, labels, expected=expected, notes=notes)

    @classmethod
    def demo(cls) -> Corpus:
        rows = [
            (["Anna", "lives", "in", "Paris"], ["B-PER", "O", "O", "B-LOC"]),
            (["李", "白", "在", "庐", "山"], ["B-PER", "I-PER", "O", "B-LOC", "I-LOC"]),
            (["New", "York", "calls", "Bob"], ["B-LOC", "I-LOC", "O", "B-PER"]),
            (["nothing", "here"], ["O", "O"]),
        ] * 4
        tokens, tags = zip(*rows, strict=True)
        return demo_corpus(WORDS, {"tokens": tokens, "tags": tags})


def _iob2(tag: str) -> str:
    kind, dash, label = tag.partition("-")
    return f"{_IN_IOB2.get(kind, kind)}{dash}{label}"


def spaced_out(tokens: list[str]) -> tuple[str, list[tuple[int, int]]]:
    """Tokens as one text with a space between each two, and where each stands in it."""
    places, at = [], 0
    for token in tokens:
        places.append((at, at + len(token)))
        at += len(token) + 1
    return " ".join(tokens), places
