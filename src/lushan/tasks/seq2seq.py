"""Encoder-decoders: a target text from a source, or the stretches that a text has lost."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
from tokenizers.decoders import WordPiece
from torch import Tensor, nn

from lushan.configurable import configurable
from lushan.data.fields import DOCUMENTS, PAIRS, Number, Text, Texts
from lushan.data.processing import require_tokenizer
from lushan.data.record_schema import Entry
from lushan.data.source import Corpus
from lushan.errors import UserError, did_you_mean
from lushan.metrics import rouge
from lushan.metrics.evaluation import Measured
from lushan.models import probing
from lushan.models.backbone import Backbone
from lushan.models.decoders import ended, with_decoder
from lushan.models.exported import ExportSpec, TrainedModel
from lushan.tasks import language_export
from lushan.tasks.base import (
    IGNORED,
    Batch,
    Evaluation,
    Features,
    Forms,
    Limits,
    Records,
    pad,
    pad_inputs,
)
from lushan.tasks.language import TEXTS, LanguageTask, borders, tokens_of
from lushan.text.denoising import Spans, sentinels_of
from lushan.text.sentences import first_sentence
from lushan.text.vocabulary import CLS
from lushan.text.words import join_words

if TYPE_CHECKING:
    from lushan.metrics.metric import Metric

Objective = Literal["supervised", "spans"]
COMPARED = (*rouge.KINDS, "bleu", "chrf")
"""What a baseline is measured by, beside the model."""


def _generates(node: Mapping[str, Any]) -> bool:
    return node.get("objective", "supervised") == "supervised" and bool(node.get("generates", True))


_OURS = ("return_dict_in_generate", "num_return_sequences", "inputs", "streamer")
"""Options of transformers' `generate` that are not the user's here: one text a source is judged."""


@configurable
class Seq2Seq(LanguageTask):
    """Write a target text from a source (`supervised`), or learn from raw text (`spans`).

    With several references every one is learned, and all count in the loss of evaluation. The best
    checkpoint then writes a text for each source, which is judged against all references.

    `spans` is T5's pretraining (Raffel et al., 2020): other stretches are taken out in each epoch.

    Args:
        objective: `supervised` reads pairs, `spans` raw text.
        prefix: Put before each source, such as `summarize: `.
        max_target: Tokens of a target; null is as many as of a source.
        decoding: Options of transformers' `generate`: max_new_tokens, num_beams, length_penalty,
            no_repeat_ngram_size, do_sample, ... What is not named, or null, is the checkpoint's.
        generates: Whether the best checkpoint writes texts; without, there is only the loss.
        language: How ROUGE and BLEU split text; `auto` tells it from the references.
        stem: Whether ROUGE strips the endings of English words.
        baseline: Judge the first sentence of each source, too: `rouge1_lead1`, ...; null does not.
        noise_density: Share of a text that `spans` takes out.
        mean_span: Tokens of a stretch on average.
        metrics: More metrics, by name: classes of torchmetrics that take texts, or of one's own.
        monitor: The metric that chooses the best checkpoint. One of generated text makes each
            validation generate.
    """

    auto_class: ClassVar[str] = "AutoModelForSeq2SeqLM"
    labels_of_tokens: ClassVar[Literal["next", "same", "apart"] | None] = "apart"
    schema = pa.schema(
        [
            ("input_ids", pa.list_(pa.int32())),
            ("labels", pa.list_(pa.int32())),
            ("reference", pa.int32()),
            ("length", pa.int32()),
            ("targets", pa.int32()),
            ("example", pa.int64()),
            ("cut", pa.int32()),
            ("unknown_tokens", pa.int32()),
        ]
    )

    usual_metric = "loss"

    def __init__(
        self,
        *,
        objective: Objective = "supervised",
        prefix: str = "",
        max_target: int | None = None,
        decoding: dict[str, Any] | None = None,
        generates: bool = True,
        language: Literal["auto", "en", "zh"] = "auto",
        stem: bool = False,
        baseline: Literal["lead1"] | None = "lead1",
        noise_density: float = 0.15,
        mean_span: float = 3.0,
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
        if _generates(node):
            from lushan.metrics.families import texts

            own = texts.metrics()
            found |= own
            if node.get("baseline", "lead1"):
                found |= {f"{name}_lead1": own[name] for name in COMPARED}
        return found

    @classmethod
    def samples(cls, node: Mapping[str, Any], classes: int) -> Forms:
        del classes
        return TEXTS if _generates(node) else {}

    def own_samples(self) -> Forms:
        return TEXTS if self.generates else {}

    @classmethod
    def check(cls, cfg: dict[str, Any]) -> None:
        """Refuse what cannot be, before anything is loaded."""
        import transformers

        empty: Any = transformers.GenerationConfig
        node, known = cfg["task"], [name for name in vars(empty()) if name[0] != "_"]
        for name, value in (node.get("decoding") or {}).items():
            if name not in known or name in _OURS or name.startswith("output_"):
                raise UserError(
                    "generation has no such option",
                    key=f"task.decoding.{name}",
                    value=value,
                    hint=did_you_mean(name, set(known) - set(_OURS)),
                )
        if not 0 < node.get("noise_density", 0.15) < 1:
            raise UserError(
                "a share between 0 and 1", key="task.noise_density", value=node["noise_density"]
            )
        for name, least in (("mean_span", 1), ("max_target", 2)):
            if (number := node.get(name)) is not None and number < least:
                raise UserError(f"must be {least} or more", key=f"task.{name}", value=number)

    def use(self, processor: Any) -> None:
        tokenizer = require_tokenizer(processor)
        super().use(processor)
        if self.objective == "spans":
            self.sentinels = sentinels_of(tokenizer)

    # What the checkpoint says of generation is kept: the weights of a run do not tell it.

    def state(self) -> dict[str, Any]:
        return {"generation": self.generation}

    def restore(self, state: dict[str, Any]) -> None:
        self.generation = state["generation"]

    def require_attention(self, model: nn.Module) -> None:
        tokens = probing.ordinary_tokens(self.tokenizer)
        probing.require(model, probing.require_encoder_decoder, tokens)

    def special_ids(self, processor: Any) -> dict[str, int]:
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
        self, rows: dict[str, list[Any]], first: int, processor: Any, limits: Limits
    ) -> Features:
        tokenizer = require_tokenizer(processor)
        if limits.stride is not None and self.objective == "supervised":
            raise UserError(
                "windows over a source are not defined: its target is that of the whole",
                key="data.stride",
                value=limits.stride,
                hint="write data.stride=null",
            )
        if self.objective == "spans":
            return self._encode_pieces(rows["text"], first, tokenizer, limits)
        return self._encode_pairs(rows["source"], rows.get("targets"), first, tokenizer, limits)

    def _encode_pairs(
        self,
        sources: list[str],
        targets: list[list[str]] | None,
        first: int,
        tokenizer: Any,
        limits: Limits,
    ) -> Features:
        features: Features = {field.name: [] for field in self.schema}
        unknown = tokenizer.unk_token_id
        read = tokenizer(
            [self.prefix + source for source in sources],
            truncation=True,
            max_length=limits.max_length,
        )
        longest = min(self.max_target or limits.max_length, limits.max_length)
        several = targets or [[] for _ in sources]
        written = iter(_targets(tokenizer, [t for texts in several for t in texts], longest))
        for number, texts in enumerate(several):
            ids = read["input_ids"][number]
            cut_source = bool(read.encodings[number].overflowing)
            nothing: list[tuple[list[int], bool]] = [([], False)]
            for reference, (labels, cut) in enumerate([next(written) for _ in texts] or nothing):
                features["input_ids"].append(ids)
                features["labels"].append(labels)
                features["reference"].append(reference)
                features["length"].append(len(ids) + len(labels))
                features["targets"].append(len(labels))
                features["example"].append(first + number)
                features["cut"].append(int(cut) + int(cut_source and not reference))
                strange = labels.count(unknown) + (0 if reference else ids.count(unknown))
                features["unknown_tokens"].append(strange if unknown is not None else 0)
        return features

    def _encode_pieces(
        self, texts: list[str], first: int, tokenizer: Any, limits: Limits
    ) -> Features:
        features: Features = {field.name: [] for field in self.schema}
        unknown = tokenizer.unk_token_id
        longest = self.spans.longest(limits.max_length - 1)  # both end in a token of their own
        self._require_sentinels(longest, limits)
        for number, ids in enumerate(tokens_of(tokenizer, texts)):
            for start in range(0, len(ids), longest):
                piece = ids[start : start + longest]
                source, target = self.spans.sizes(len(piece))
                features["input_ids"].append(piece)
                features["labels"].append([])
                features["reference"].append(0)
                features["length"].append(source + target + 2)
                features["targets"].append(target + 1)
                features["example"].append(first + number)
                features["cut"].append(0)
                features["unknown_tokens"].append(int((piece == unknown).sum()))
        return features

    def _require_sentinels(self, longest: int, limits: Limits) -> None:
        if not longest:
            raise UserError(
                "nothing fits into so few tokens", key="data.max_length", value=limits.max_length
            )
        needed = self.spans.counts(longest)[1] + 1
        if needed > len(self.sentinels):
            raise UserError(
                f"pieces of {longest} tokens lose {needed - 1} stretches and need {needed} tokens "
                f"in their place, <extra_id_0> and so on; the tokenizer has {len(self.sentinels)}",
                key="processor",
                hint=f"A trained one gets them by processor.sentinels={max(100, needed)}; T5's own "
                "has 100. Fewer are needed with a lower data.max_length.",
            )

    # Batches

    def transform(
        self, rows: list[dict[str, Any]], seed: int, *, training: bool = False
    ) -> list[dict[str, Any]]:
        del training
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
        said: Records = [{} for _ in range(len(batch["reference"]))]
        if not len(first):
            return said
        part = {name: batch[name][first] for name in ("input_ids", "attention_mask", "example")}
        encoder: Any = model.encoder
        devices = [batch["input_ids"].device] if batch["input_ids"].is_cuda else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(0)  # where the options ask for sampling
            found = encoder.model.generate(
                **self.inputs(part), **self.decoding, return_dict_in_generate=False
            )
        labels = ended(found[:, 1:], encoder.model.generation_config.eos_token_id)
        _, records = self.predict(model, {**part, "labels": labels})
        for row, ids, record in zip(first.tolist(), found.tolist(), records, strict=True):
            mean = float(np.exp(-record["loss"] / max(1, record["tokens"])))
            said[row] = {"generated": self._text(ids), "score": mean}
        return said

    def _text(self, ids: list[int]) -> str:
        text = self.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        # It writes a blank before each Chinese character.
        if isinstance(self.tokenizer.backend_tokenizer.decoder, WordPiece):
            text = join_words(text.split())[0]
        return text.strip()

    # Judging

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
        said = [joined[place] for place in rows]
        found, notes = self._of_texts(predicted, gold, full, rows, said)
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

        def ids_of(tokenizer: Any, text: str) -> list[int]:
            if is_spans:
                end = borders(tokenizer)[1]
                return [*tokenizer(text, add_special_tokens=False)["input_ids"], end]
            return list(tokenizer(self.prefix + text)["input_ids"])

        notes = [f"Each source begins with {self.prefix!r}."] if self.prefix else []
        if is_spans:
            notes.append(
                "It fills gaps: a source has <extra_id_0>, <extra_id_1>, ... where text is "
                "missing, and ends in the tokenizer's last token alone."
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
        rows = pairs * 4
        table = pa.table(
            {
                "id": [f"demo:{i}" for i in range(len(rows))],
                "source": [source for source, _ in rows],
                "targets": [targets for _, targets in rows],
                "line": list(range(1, len(rows) + 1)),
                "file": ["demo"] * len(rows),
            }
        )
        splits = {"train": table, "validation": table, "test": table}
        return Corpus(splits=splits, fields=PAIRS, scheme=None, notes=[])


def leads_of(table: pa.Table) -> list[str]:
    """The first sentence of each source: the first text of a list, or as punctuation tells."""
    if "lead" in table.column_names:
        return table.column("lead").to_pylist()
    return [first_sentence(source) for source in table.column("source").to_pylist()]


def _targets(tokenizer: Any, texts: list[str], longest: int) -> list[tuple[list[int], bool]]:
    """Token ids of targets, each with whether it was cut.

    A decoder begins with a token of its own: the `[CLS]` that tokenizers of BERT's kind put before
    a text is left away. Others' first tokens (BART's) belong to what the model writes.
    """
    if not texts:
        return []
    drop = int(tokenizer.cls_token == CLS)
    found = tokenizer(text_target=texts, truncation=True, max_length=longest + drop)
    cut = [bool(encoding.overflowing) for encoding in found.encodings]
    return [(ids[drop:], lost) for ids, lost in zip(found["input_ids"], cut, strict=True)]
