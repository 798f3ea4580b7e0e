"""Extractive question answering: the span of a context that answers a question, or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lushan.common.wording import plural
from lushan.configurable import Within, configurable
from lushan.data.answers import QUESTIONS, Answers, require_places
from lushan.data.demo import demo_corpus
from lushan.data.fields import Number, Text, Texts, Value
from lushan.data.processing import require_tokenizer
from lushan.data.raw_columns import Columns
from lushan.data.record_schema import Entry
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.metrics.threshold import best_threshold
from lushan.models.backbone import Backbone
from lushan.models.exported import TEXTS, ExportSpec, TrainedModel
from lushan.models.heads import make_head, require_unstructured
from lushan.models.losses import cross_entropy, wide
from lushan.models.spans import SpanModel, best_spans
from lushan.models.transformers_heads import linear_of
from lushan.tasks import exporting
from lushan.tasks.base import Task
from lushan.tasks.batches import EXAMPLE, Batch, Features, Limits, pad, pad_inputs
from lushan.tasks.evaluation import Evaluation, Records
from lushan.tasks.metrics import Forms
from lushan.text.question_windows import Window, trimmed, truncated, windows

if TYPE_CHECKING:
    from transformers import BatchEncoding, PreTrainedModel, PreTrainedTokenizerFast

    from lushan.data.processing import Processor
    from lushan.metrics.metric import Metric

Span = tuple[int, int, float]
"""Characters [start, end) of a context, and the score."""
NONE: Span = (0, 0, 0.0)
USAGE = """\
tokenizer = AutoTokenizer.from_pretrained("DIR")
model = AutoModelForQuestionAnswering.from_pretrained("DIR")
read = tokenizer("Who lives in Paris?", "Anna lives in Paris.", return_tensors="pt")
found = model(**read)
start, end = found.start_logits.argmax(), found.end_logits.argmax()
print(tokenizer.decode(read.input_ids[0, start : end + 1]))"""


@configurable
class QuestionAnswering(Task):
    """Answer questions with spans of their contexts.

    Long contexts are read in windows, whose best spans compete. Where questions of training lack an
    answer, the first token stands for none, which is chosen where it scores higher than the best
    span by the threshold with the best F1 on validation (arXiv:1806.03822).

    Args:
        head: Partial of a head: takes `width` and `num_labels`.
        language: How to compare answers: English without articles, Chinese by character; `auto`
            detects it in the gold answers.
        max_question: Maximum number of tokens of a question; longer ones are truncated and counted.
        max_answer: Maximum number of tokens of an answer.
        n_best: Number of candidate spans to keep for each example.
        metrics: More metrics, by name: torchmetrics classes for texts, or your own classes.
        monitor: Metric that selects the best checkpoint.
    """

    fields = QUESTIONS
    schema = pa.schema(
        [
            ("input_ids", pa.list_(pa.int32())),
            ("token_type_ids", pa.list_(pa.int8())),
            ("places", pa.list_(pa.int32())),
            ("span", pa.list_(pa.int32())),
            *EXAMPLE,
            ("cut", pa.int32()),
            ("hidden", pa.int32()),
            ("shortened", pa.int32()),
            ("unanswered", pa.int32()),
        ]
    )

    def __init__(
        self,
        *,
        head: Callable[..., nn.Module],
        language: Literal["auto", "en", "zh"] = "auto",
        max_question: Annotated[int, Within(least=1)] = 64,
        max_answer: Annotated[int, Within(least=1)] = 30,
        n_best: Annotated[int, Within(least=1)] = 5,
        metrics: dict[str, Any] | None = None,
        monitor: str = "f1",
    ) -> None:
        self.added = metrics or {}
        self.head, self.language, self.main_metric = head, language, monitor
        self.max_question, self.max_answer, self.n_best = max_question, max_answer, n_best
        self.has_unanswerable, self.threshold = False, 0.0

    @classmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        from lushan.metrics.families import answers

        return answers.metrics(node.get("language", "auto"))

    @classmethod
    def samples(cls, node: Mapping[str, Any], classes: int) -> Forms:
        return {"references": (["a b c"], ["a c b"])}

    def prepare(self, corpus: Corpus) -> None:
        for table in corpus.splits.values():
            require_places(table, "answers", "context")
        self.has_unanswerable = not all(corpus.splits["train"]["answers"].to_pylist())

    def state(self) -> dict[str, Any]:
        return {"has_unanswerable": self.has_unanswerable, "threshold": self.threshold}

    def restore(self, state: dict[str, Any]) -> None:
        self.has_unanswerable = bool(state["has_unanswerable"])
        self.threshold = float(state["threshold"])

    def options(self) -> dict[str, Any]:
        return {"task": "qa", "max_question": self.max_question}

    @classmethod
    def check(cls, cfg: dict[str, Any]) -> None:
        """Refuse what cannot be combined, before anything is loaded."""
        require_unstructured(cfg["task"])

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        numbers = ("start", "end", "score", "exact_match", "f1")
        return {
            "question": Entry(Text(), "input"),
            "context": Entry(Text(), "input"),
            "gold": Entry(Texts(), "gold"),
            "predicted": Entry(Text(), "predicted"),
            **{name: Entry(Number(), "detail") for name in numbers},
            "best": Entry(Value(), "detail"),
        }

    # Encoding

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        tokenizer = require_tokenizer(processor)
        # A window holds one token of the context at least, and more than it shares with the next.
        room = limits.max_length - tokenizer.num_special_tokens_to_add(pair=True)
        most = min(self.max_question, room - 1 - (limits.stride or 0))
        if most < 0:
            raise UserError(
                f"no room for a question with an overlap of {limits.stride or 0} tokens",
                key="data.max_length",
                value=limits.max_length,
                hint="Write a larger data.max_length or a smaller data.stride.",
            )
        questions, shortened = truncated(tokenizer, rows["question"], most)
        features: Features = {field.name: [] for field in self.schema}
        known = "answers" in rows
        gold = rows["answers"] if known else [[] for _ in questions]
        found = windows(tokenizer, questions, rows["context"], limits.max_length, limits.stride)
        for row, several in enumerate(found):
            kept = several if limits.stride is not None else several[:1]
            context = rows["context"][row]
            spans = [_span(window, context, gold[row]) for window in kept]
            hidden = bool(gold[row]) and not any(start for start, _ in spans)
            for number, (window, span) in enumerate(zip(kept, spans, strict=True)):
                features["input_ids"].append(window.ids)
                features["token_type_ids"].append(window.segments)
                features["places"].append([place for pair in window.places for place in pair])
                features["span"].append(list(span))
                features["length"].append(len(window.ids))
                features["targets"].append(1)
                features["example"].append(first + row)
                features["cut"].append(int(len(several) > len(kept) and not number))
                features["hidden"].append(int(hidden and not number))
                features["shortened"].append(int(shortened[row] and not number))
                features["unanswered"].append(int(known and not gold[row] and not number))
        return features

    def count(self, features: Features) -> dict[str, int]:
        found = {n: int(sum(features[n])) for n in ("hidden", "shortened", "unanswered")}
        return super().count(features) | found | {"questions": len(set(features["example"]))}

    def encoding_notes(self, split: str, counts: Mapping[str, int]) -> Iterator[str]:
        yield from super().encoding_notes(split, counts)
        if hidden := counts.get("hidden"):
            yield (
                f"{split}: {plural(hidden, 'answer lies', 'answers lie')} beyond data.max_length; "
                f"data.stride=64 splits the context into windows"
            )
        if shortened := counts.get("shortened"):
            yield f"{split}: {shortened} questions were truncated (task.max_question)"
        if (unanswered := counts.get("unanswered")) and not self.has_unanswerable:
            yield (
                f"{split}: {unanswered:,} of {counts['questions']:,} questions have no answer, "
                f"which this run cannot predict: all questions of train have one"
            )

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        batch = pad_inputs(rows, self.pad_id)
        if not batch["token_type_ids"].any():
            del batch["token_type_ids"]
        places = [np.asarray(row["places"]).reshape(-1, 2) for row in rows]
        batch["starts"] = pad([place[:, 0] for place in places], -1)
        batch["ends"] = pad([place[:, 1] for place in places], -1)
        batch["span"] = torch.tensor(np.stack([row["span"] for row in rows]), dtype=torch.long)
        return batch

    # Model

    def build(self, encoder: Backbone) -> nn.Module:
        return SpanModel(encoder, make_head(self.head, width=encoder.width, num_labels=2))

    def _scores(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return scores (B, L, 2), and where a span may lie or no answer is (B, L)."""
        mask = batch["starts"] >= 0
        mask[:, 0] = True
        scores = wide(model(batch)).masked_fill(~mask[..., None], -1e4)
        return scores, mask

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return self._loss(self._scores(model, batch)[0], batch)

    def _loss(self, scores: Tensor, batch: Batch) -> Tensor:
        start, end = batch["span"].unbind(-1)
        return (cross_entropy(scores[..., 0], start) + cross_entropy(scores[..., 1], end)) / 2

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        scores, mask = self._scores(model, batch)
        loss = self._loss(scores, batch)
        mask[:, 0] = False
        none = (scores[:, 0, 0] + scores[:, 0, 1]).tolist()
        first, last, sums = best_spans(scores, mask, self.n_best, self.max_answer)
        begins, stops = batch["starts"].gather(1, first), batch["ends"].gather(1, last)
        records = []
        for row, example in enumerate(batch["example"].tolist()):
            columns = (begins[row].tolist(), stops[row].tolist(), sums[row].tolist())
            spans = [span for span in zip(*columns, strict=True) if np.isfinite(span[2])]
            records.append({"example": example, "none": none[row], "spans": spans})
        return loss, records

    # Evaluation

    def join(self, table: pa.Table, records: Records) -> Records:
        spans: list[dict[tuple[int, int], float]] = [{} for _ in range(table.num_rows)]
        none = np.full(table.num_rows, np.inf)
        for record in records:
            example = record["example"]
            none[example] = min(none[example], record["none"])
            for start, end, score in record["spans"]:
                known = spans[example].get((start, end), -np.inf)
                spans[example][start, end] = max(known, score)
        contexts, ids = table.column("context").to_pylist(), table.column("id").to_pylist()
        joined = []
        for row, found in enumerate(spans):
            ordered = sorted(found.items(), key=lambda item: (-item[1], item[0]))[: self.n_best]
            best = [(start, end, score) for (start, end), score in ordered] or [NONE]
            joined.append(self._answer(ids[row], contexts[row], best, float(none[row])))
        return joined

    def _answer(self, name: str, context: str, best: list[Span], none: float) -> dict[str, Any]:
        scores = np.array([score for *_, score in best] + [none] * self.has_unanswerable)
        chances = np.exp(scores - scores.max())
        chances /= chances.sum()
        spans = [
            {"text": context[start:end], "start": start, "end": end, "score": float(chance)}
            for (start, end, _), chance in zip(best, chances, strict=False)
        ]
        gap = none - best[0][2] if self.has_unanswerable else -np.inf
        return {"id": name, "best": spans, "gap": gap, **self._chosen(spans, chances, gap)}

    def _chosen(self, spans: Records, chances: NDArray[np.float64], gap: float) -> dict[str, Any]:
        if gap > self.threshold:
            return {"predicted": "", "start": 0, "end": 0, "score": float(chances[-1])}
        first = spans[0]
        return {"predicted": first["text"]} | {n: first[n] for n in ("start", "end", "score")}

    @property
    def displays(self) -> Mapping[str, str]:
        return {"answer": "text", "score": "number"}

    def present(self, table: pa.Table, joined: Records) -> Records:
        questions = table.column("question").to_pylist()
        names = ("start", "end", "score")
        return [
            {"id": row["id"], "question": question, "answer": row["predicted"]}
            | {name: row[name] for name in names}
            | {"n_best": row["best"]}
            for row, question in zip(joined, questions, strict=True)
        ]

    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        gold = _texts(table)
        joined = self.join(table, records)
        predicted = [row["predicted"] for row in joined]
        result = Evaluation({})

        def forms() -> Forms:
            return {"references": (predicted, [(several or [""])[0] for several in gold])}

        from lushan.metrics.families import answers

        found = self.measured(
            answers.metrics(self.language),
            predicted,
            gold,
            full=full,
            each=full,
            records=joined,
            forms=forms,
        )
        result.add(found)
        if full:
            rows = zip(self.with_inputs(table, joined), gold, strict=True)
            result.records = [
                {name: row[name] for name in ("id", "question", "context")}
                | {"gold": answers or [""]}
                | {name: row[name] for name in ("predicted", "start", "end", "score", "best")}
                | {name: float(values[i]) for name, values in found.each.items()}
                for i, (row, answers) in enumerate(rows)
            ]
        return result

    def tune(self, table: pa.Table, records: Records) -> None:
        """Choose the threshold on the gap to "no answer" with the highest mean F1."""
        if not self.has_unanswerable:
            return
        from lushan.metrics.families.answers import AnswerF1

        joined, gold = self.join(table, records), _texts(table)
        score = AnswerF1(self.language).example_statistics
        gaps = [row["gap"] for row in joined]
        spans = [score(row["best"][0]["text"], g)[0] for row, g in zip(joined, gold, strict=True)]
        none = [float(not texts) for texts in gold]
        self.threshold = best_threshold(np.array(gaps), np.array(spans), np.array(none))

    # Export

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        whole = trained.whole
        pairs = [("Who lives here?", text) for text in TEXTS]
        cut = {"truncation": "only_second", "max_length": trained.max_length}

        def read(processor: PreTrainedTokenizerFast, pair: tuple[str, str]) -> BatchEncoding:
            return processor(*pair, return_tensors="pt", **cut)

        def ask(
            model: PreTrainedModel, processor: PreTrainedTokenizerFast, pair: tuple[str, str]
        ) -> Tensor:
            found = model(**read(processor, pair))
            return torch.stack([found.start_logits[0], found.end_logits[0]], dim=-1)

        return exporting.with_head(
            trained,
            "AutoModelForQuestionAnswering",
            linear_of(whole.head),
            [],
            examples=pairs,
            ask=ask,
            expected=[whole(read(require_tokenizer(trained.processor), pair))[0] for pair in pairs],
            usage=USAGE,
            notes=[f"Contexts are truncated to {trained.max_length} tokens."],
        )

    @classmethod
    def demo(cls) -> Corpus:
        rows = 4 * [
            ("who lives here?", "Anna lives in Paris", "Anna"),
            ("where does Anna live?", "Anna lives in Paris", "Paris"),
            ("李白在哪里？", "李白在庐山看瀑布", "庐山"),
            ("who sleeps?", "Bob works in Rome", None),
        ]
        answers = [
            [] if a is None else [{"text": a, "answer_start": context.index(a)}]
            for _, context, a in rows
        ]
        columns = Columns({"answers": answers}, range(1, len(rows) + 1), "demo")
        questions, contexts, _ = zip(*rows, strict=True)
        read = {"question": questions, "context": contexts}
        return demo_corpus(cls.fields, read | {"answers": Answers().read(columns, "answers")})


def _span(window: Window, context: str, answers: Sequence[Mapping[str, Any]]) -> tuple[int, int]:
    """Return the tokens of the first answer in a window, or (0, 0) where it does not lie there."""
    if not answers:
        return 0, 0
    start, text = answers[0]["start"], answers[0]["text"]
    return window.tokens_of(*trimmed(context, start, start + len(text))) or (0, 0)


def _texts(table: pa.Table) -> list[list[str]]:
    return [[a["text"] for a in answers] for answers in table.column("answers").to_pylist()]
