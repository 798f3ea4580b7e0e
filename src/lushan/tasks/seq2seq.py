"""Encoder-decoders: a target text from a source, or the stretches that a text has lost."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
from tokenizers.decoders import WordPiece
from torch import Tensor, nn

from lushan.configurable import Within, configurable
from lushan.data.demo import demo_corpus
from lushan.data.fields import DOCUMENTS, PAIRS, Number, Text, Texts
from lushan.data.processing import require_tokenizer
from lushan.data.record_schema import Entry
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.metrics import rouge
from lushan.metrics.evaluation import Measured
from lushan.models import probing
from lushan.models.backbone import Backbone
from lushan.models.decoders import ended, with_decoder
from lushan.models.decoding import require_options
from lushan.models.exported import ExportSpec, TrainedModel
from lushan.models.stepwise import stepwise
from lushan.tasks import language_export
from lushan.tasks.batches import IGNORED, Batch, Features, Limits, pad, pad_inputs
from lushan.tasks.evaluation import Evaluation, Records
from lushan.tasks.language import LanguageTask
from lushan.tasks.seq2seq_features import SCHEMA, encode_pairs, encode_pieces
from lushan.text.denoising import Spans, sentinels_of
from lushan.text.document_tokens import borders, tokens_of
from lushan.text.incremental import decode
from lushan.text.sentences import first_sentence
from lushan.text.words import join_words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from lushan.data.processing import Processor
    from lushan.metrics.metric import Metric

Objective = Literal["supervised", "spans"]
COMPARED = (*rouge.KINDS, "bleu", "chrf")
"""What a baseline is measured by, beside the model."""


@configurable
class Seq2Seq(LanguageTask):
    """Write a target text from a source (`supervised`), or learn from raw text (`spans`).

    With several references every one is learned, and all count in the loss of evaluation. The best
    checkpoint then writes a text for each source, which is evaluated against all references.

    `spans` is T5's pretraining (Raffel et al., 2020): other stretches are taken out in each epoch.

    Args:
        objective: `supervised` trains on pairs, `spans` on raw text.
        prefix: Prefix of each source, such as `summarize: `.
        max_target: Maximum number of tokens of a target; null is the limit of a source.
        decoding: Options of transformers' `generate`: max_new_tokens, num_beams, length_penalty,
            no_repeat_ngram_size, do_sample, ... Missing or null options use the checkpoint's
            values.
        generates: Whether to generate texts with the best checkpoint; without it, only the loss is
            evaluated.
        language: How ROUGE and BLEU tokenize text; `auto` detects it in the references.
        stem: Whether ROUGE uses an English stemmer.
        baseline: Also evaluate the first sentence of each source, as `rouge1_lead1` and others;
            null turns it off.
        noise_density: Share of tokens that `spans` masks.
        mean_span: Mean length in tokens of a masked span.
        metrics: More metrics, by name: torchmetrics classes for texts, or your own classes.
        monitor: Metric that selects the best checkpoint. A metric of generated text generates at
            each validation.
    """

    auto_class = "AutoModelForSeq2SeqLM"
    labels_of_tokens: ClassVar[Literal["next", "same", "apart"] | None] = "apart"
    schema = SCHEMA
    usual_metric = "loss"

    def __init__(
        self,
        *,
        objective: Objective = "supervised",
        prefix: str = "",
        max_target: Annotated[int, Within(least=2)] | None = None,
        decoding: dict[str, Any] | None = None,
        generates: bool = True,
        language: Literal["auto", "en", "zh"] = "auto",
        stem: bool = False,
        baseline: Literal["lead1"] | None = "lead1",
        noise_density: Annotated[float, Within(above=0, below=1)] = 0.15,
        mean_span: Annotated[float, Within(least=1)] = 3.0,
        metrics: dict[str, Any] | None = None,
        monitor: str | None = None,
    ) -> None:
        super().__init__(metrics=metrics, monitor=monitor)
        self.fields = PAIRS if objective == "supervised" else DOCUMENTS
        self.objective, self.prefix, self.max_target = objective, prefix, max_target
        self.decoding = {k: v for k, v in (decoding or {}).items() if v is not None}
        self.writes = objective == "supervised"
        self.generates = generates and self.writes
        self.language, self.stem, self.baseline = language, stem, baseline
        self.spans = Spans(noise_density, mean_span)
        self.sentinels: list[int] = []
        self.generation: dict[str, Any] | None = None

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        found = dict(super().record_fields)
        if self.objective == "spans":
            return found
        # A text is generated for some examples alone.
        return found | {
            "source": Entry(Text(optional=True), "input"),
            "gold": Entry(Texts(optional=True), "gold"),
            "predicted": Entry(Text(optional=True), "predicted"),
            "score": Entry(Number(optional=True), "detail"),
        }

    @classmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        found = dict(super().own_metrics(node))
        if cls.generates_with(node) and node.get("baseline", "lead1"):
            found |= {f"{name}_lead1": found[name] for name in COMPARED}
        return found

    @classmethod
    def generates_with(cls, node: Mapping[str, Any]) -> bool:
        is_supervised = node.get("objective", "supervised") == "supervised"
        return is_supervised and bool(node.get("generates", True))

    @classmethod
    def check(cls, cfg: dict[str, Any]) -> None:
        """Refuse what cannot be, before anything is loaded."""
        require_options(cfg["task"].get("decoding") or {}, "task.decoding")

    def use(self, processor: Processor) -> None:
        tokenizer = require_tokenizer(processor)
        super().use(processor)
        if self.objective == "spans":
            self.sentinels = sentinels_of(tokenizer)

    # What the checkpoint says of generation is kept: the weights of a run do not hold it.

    def state(self) -> dict[str, Any]:
        return {"generation": self.generation}

    def restore(self, state: dict[str, Any]) -> None:
        self.generation = state["generation"]

    def require_attention(self, model: nn.Module) -> None:
        tokens = probing.ordinary_tokens(self.tokenizer)
        probing.require(model, probing.require_encoder_decoder, tokens)

    def special_ids(self, processor: Processor) -> dict[str, int]:
        # T5's way: what is written begins with padding.
        start = require_tokenizer(processor).pad_token_id
        return super().special_ids(processor) | {"decoder_start_token_id": start}

    def build(self, encoder: Backbone) -> nn.Module:
        from transformers import GenerationConfig

        if self.generation is None:
            self.generation = copy.deepcopy(encoder.model.generation_config.to_diff_dict())
        encoder.model.generation_config = GenerationConfig.from_dict(self.generation)
        return super().build(encoder)

    def options(self) -> dict[str, Any]:
        if self.objective == "spans":
            return {"task": "seq2seq spans", "spans": [self.spans.density, self.spans.mean]}
        return {"task": "seq2seq", "prefix": self.prefix, "max_target": self.max_target}

    # Encoding

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        tokenizer = require_tokenizer(processor)
        if limits.stride is not None and self.objective == "supervised":
            raise UserError(
                "windows are not supported: a target belongs to its whole source",
                key="data.stride",
                value=limits.stride,
                hint="write data.stride=null",
            )
        if self.objective == "spans":
            return encode_pieces(
                rows["text"],
                first,
                tokenizer,
                spans=self.spans,
                sentinels=len(self.sentinels),
                max_length=limits.max_length,
            )
        return encode_pairs(
            [self.prefix + source for source in rows["source"]],
            rows.get("targets"),
            first,
            tokenizer,
            max_length=limits.max_length,
            max_target=min(self.max_target or limits.max_length, limits.max_length),
        )

    # Batches

    def transform(
        self, rows: list[dict[str, Any]], seed: int, *, training: bool = False
    ) -> list[dict[str, Any]]:
        if self.objective == "supervised":
            return rows
        end = borders(self.tokenizer)[1]
        drawn = []
        for row in rows:
            rng = np.random.default_rng([seed, int(row["index"])])
            source, target = self.spans.corrupt(row["input_ids"], self.sentinels, rng)
            both = {"input_ids": np.append(source, end), "labels": np.append(target, end)}
            drawn.append({**row, **both})
        return drawn

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        plain = [{name: row[name] for name in ("input_ids", "example")} for row in rows]
        batch = pad_inputs(plain, self.pad_id)
        batch["labels"] = pad([row["labels"] for row in rows], IGNORED)
        batch["reference"] = torch.tensor([int(row["reference"]) for row in rows])
        return batch

    def inputs(self, batch: Batch) -> Batch:
        names = ("input_ids", "attention_mask", "decoder_input_ids")
        return {name: batch[name] for name in names if name in batch}

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        return super().loss(model, with_decoder(model, batch))

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        return super().predict(model, with_decoder(model, batch))

    def prompts(self, rows: dict[str, list[Any]]) -> list[list[int]]:
        if self.objective == "spans":
            end = borders(self.tokenizer)[1]
            return [[*ids.tolist(), end] for ids in tokens_of(self.tokenizer, rows["text"])]
        sources = [self.prefix + source for source in rows["source"]]
        if not sources:
            return []
        return [list(ids) for ids in self.tokenizer(sources)["input_ids"]]

    @torch.no_grad()
    def generate(self, model: nn.Module, batch: Batch) -> Records:
        """`generated`, and as `score` the geometric mean of its tokens' probabilities.

        A source with several references stands in several rows, and writes in the first of them.
        """
        first = (batch["reference"] == 0).nonzero()[:, 0]
        generated: Records = [{} for _ in range(len(batch["reference"]))]
        if not len(first):
            return generated
        part = {name: batch[name][first] for name in ("input_ids", "attention_mask", "example")}
        encoder: Any = model.encoder
        devices = [batch["input_ids"].device] if batch["input_ids"].is_cuda else []
        with torch.random.fork_rng(devices), stepwise(encoder.model):
            torch.manual_seed(0)  # where the options ask for sampling
            found = encoder.model.generate(
                **self.inputs(part), **self.decoding, return_dict_in_generate=False
            )
        labels = ended(found[:, 1:], encoder.model.generation_config.eos_token_id)
        _, records = self.predict(model, {**part, "labels": labels})
        for row, ids, record in zip(first.tolist(), found.tolist(), records, strict=True):
            mean = float(np.exp(-record["loss"] / max(1, record["tokens"])))
            generated[row] = {"generated": self._text(ids), "score": mean}
        return generated

    def _text(self, ids: list[int]) -> str:
        text = decode(self.tokenizer, ids)
        # It writes a blank before each Chinese character.
        if isinstance(self.tokenizer.backend_tokenizer.decoder, WordPiece):
            text = join_words(text.split())[0]
        return text.strip()

    # Evaluation

    def join(self, table: pa.Table, records: Records) -> Records:
        joined = super().join(table, records)
        for record in records:
            if "generated" in record:
                row = joined[record["example"]]
                row["predicted"], row["score"] = record["generated"], record["score"]
        return joined

    def present(self, table: pa.Table, joined: Records) -> Records:
        if self.objective == "spans":
            return super().present(table, joined)
        names = ("predicted", "score")
        return [
            {"id": row["id"], "text": source, **{n: row[n] for n in names if n in row}}
            for row, source in zip(joined, table.column("source").to_pylist(), strict=True)
        ]

    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        joined = self.join(table, records)
        result = Evaluation({})
        rows = [place for place, row in enumerate(joined) if "predicted" in row]
        result.add(self.of_rows(joined, full=full, alone=not self.generates))
        if not full and not rows:
            return result
        if not rows:
            result.records = joined
            return result
        references = table.column("targets").to_pylist()
        gold = [references[place] for place in rows]
        predicted = [joined[place]["predicted"] for place in rows]
        generated = [joined[place] for place in rows]
        found, notes = self._of_texts(predicted, gold, full, rows, generated)
        result.add(found)
        if not full:
            return result
        result.notes += notes
        values = dict(found.each)
        if self.baseline is not None:
            leads = leads_of(table)
            lead, _ = self._of_texts([leads[p] for p in rows], gold, full, rows, None)
            lead = lead.renamed({name: f"{name}_lead1" for name in COMPARED})
            result.add(lead)
            values |= lead.each
        result.records = [
            {"id": row.pop("id"), "source": source, "gold": several, **row}
            for row, source, several in zip(
                joined, table.column("source").to_pylist(), references, strict=True
            )
        ]
        number_of_some = Entry(Number(optional=True), "detail")
        result.record_fields = dict.fromkeys(values, number_of_some)
        for number, place in enumerate(rows):
            result.records[place] |= {name: float(value[number]) for name, value in values.items()}
        return result

    def _of_texts(
        self,
        predicted: list[str],
        gold: list[list[str]],
        full: bool,
        rows: list[int],
        records: Records | None,
    ) -> tuple[Measured, list[str]]:
        return self.of_texts(
            predicted,
            gold,
            full=full,
            examples=rows,
            language=self.language,
            stem=self.stem,
            records=records or [],
            added=records is not None,
        )

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        is_spans = self.objective == "spans"

        def ids_of(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
            if is_spans:
                end = borders(tokenizer)[1]
                return [*tokenizer(text, add_special_tokens=False)["input_ids"], end]
            return list(tokenizer(self.prefix + text)["input_ids"])

        notes = [f"Each source begins with {self.prefix!r}."] if self.prefix else []
        if is_spans:
            notes.append(
                "It fills gaps: write <extra_id_0>, <extra_id_1>, ... where text is missing. A "
                "source ends only with the tokenizer's end token."
            )
        return language_export.seq2seq(
            self,
            trained,
            "text" if is_spans else "source",
            ids_of=ids_of,
            prefix=self.prefix,
            decoding=self.decoding,
            notes=notes,
        )

    @classmethod
    def demo(cls) -> Corpus:
        pairs = [("one two", ["two"]), ("明月几时有", ["月"]), ("a b. c", ["c d"])]
        sources, targets = zip(*pairs * 4, strict=True)
        return demo_corpus(PAIRS, {"source": sources, "targets": targets})


def leads_of(table: pa.Table) -> list[str]:
    """The first sentence of each source: the first text of a list, or by punctuation."""
    if "lead" in table.column_names:
        return table.column("lead").to_pylist()
    return [first_sentence(source) for source in table.column("source").to_pylist()]
