"""Language models of one vocabulary of text and images, which draw texts and caption images."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from lushan.common.units import Measure
from lushan.configurable import Within, configurable
from lushan.data.demo import demo_corpus
from lushan.data.fields import Fields, Image, Number, Text, Value
from lushan.data.record_schema import Entry
from lushan.data.references import structs
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.models import codec as coding
from lushan.models import image_codecs
from lushan.models.backbone import Backbone
from lushan.models.codec import Codec
from lushan.models.decoding import Settings
from lushan.models.exported import ExportSpec, TrainedModel
from lushan.models.image_codecs import ImageCodec, WithCodec
from lushan.models.language import language_model
from lushan.tasks import language_export, pictures
from lushan.tasks.batches import IGNORED, Batch, Features, Limits
from lushan.tasks.evaluation import Evaluation, Records
from lushan.tasks.language import LanguageTask
from lushan.text.document_tokens import borders
from lushan.vision import images as files

if TYPE_CHECKING:
    from lushan.data.processing import Processor
    from lushan.metrics.metric import Metric

SCENES: Fields = {"text": Text(optional=True), "image": Image(optional=True)}
SUMS = ("loss", "tokens", "hits", "image_loss", "image_tokens", "text_loss", "text_tokens")
WRITTEN = ("codes", "caption", "round_trip")
ROUND_TRIP = "round_trip_match"
MOST = 64
"""Tokens of a caption at most."""


@configurable
class MultimodalLM(LanguageTask):
    """Learn to draw images from texts, and to caption images, with one causal language model.

    A row is learned in both directions: a text and then the codes of its image, and the codes and
    then the text. What stands first is not learned.

    Args:
        images: Makes the codec of images; see `lushan.models.image_codecs`.
        drop_prompt: Share of the texts that training drops, for guidance.
        guidance: How far drawing is led away from images without a text; 1 is not at all.
        guidances: Others of which the final evaluation draws each text, too, with one training: the
            metrics of what is drawn have names such as `round_trip_match_guidance_4`.
        temperature: Of drawing; 0 takes the likeliest code each time.
        top_k: Of drawing: only so many of the likeliest codes; 0 is all.
        generate: Whether the final evaluation draws each text, captions each image, and captions
            what it has drawn.
        metrics: More metrics, by name: of one's own, which take an example's row: `text`, sums over
            tokens, and with `generate` its drawing as `png`, `caption` and `round_trip`.
        monitor: The metric that chooses the best checkpoint.
    """

    BUILT_LATER: ClassVar[tuple[str, ...]] = ("metrics", "images")
    fields = SCENES
    draws = True
    auto_class = "AutoModelForCausalLM"
    labels_of_tokens: ClassVar[Literal["next", "same", "apart"] | None] = "next"
    schema = pa.schema(
        [
            ("tokens", pa.list_(pa.int32())),
            ("skip", pa.int32()),
            ("drawn", pa.int8()),
            ("length", pa.int32()),
            ("targets", pa.int32()),
            ("example", pa.int64()),
        ]
    )

    def __init__(
        self,
        *,
        images: image_codecs.Make,
        drop_prompt: Annotated[float, Within(least=0, below=1)] = 0.1,
        guidance: Annotated[float, Within(least=0)] = 2.0,
        guidances: Sequence[float] = (),
        temperature: Annotated[float, Within(least=0)] = 1.0,
        top_k: Annotated[int, Within(least=0)] = 0,
        generate: bool = True,
        metrics: dict[str, Any] | None = None,
        monitor: str | None = None,
    ) -> None:
        super().__init__(metrics=metrics, monitor=monitor)
        self.make_images = images
        self.drop_prompt, self.guidance = drop_prompt, guidance
        self.guidances = {_name(scale): float(scale) for scale in guidances}
        self.settings = Settings(max_new_tokens=MOST, temperature=temperature, top_k=top_k)
        self.generates = generate
        self.images: ImageCodec
        self.codec: Codec

    generates_in_validation = False

    @classmethod
    def generates_with(cls, node: Mapping[str, Any]) -> bool:
        return bool(node.get("generate", True))

    @classmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        from lushan.metrics.families import drawn, language

        return language.metrics() | drawn.metrics(generates=cls.generates_with(node))

    @classmethod
    def measures(
        cls, node: Mapping[str, Any], added: Mapping[str, Callable[..., Any]]
    ) -> dict[str, Measure]:
        found = super().measures(node, added)
        known = [name for name in (ROUND_TRIP, *added) if name in found]
        scales = map(_name, node.get("guidances") or ())
        return found | {f"{name}_{scale}": found[name] for scale in scales for name in known}

    @classmethod
    def check(cls, cfg: Mapping[str, Any]) -> None:
        scales = cfg["task"].get("guidances") or ()
        if any(scale < 0 for scale in scales) or len({*map(_name, scales)}) < len(scales):
            raise UserError(
                "must be 0 or more, each another one", key="task.guidances", value=scales
            )

    @classmethod
    def samples(cls, node: Mapping[str, Any], classes: int) -> dict[str, Any]:
        del node, classes
        return {}

    def own_samples(self) -> dict[str, Any]:
        return {}

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        return {
            "text": Entry(Text(optional=True), "input"),
            "image": Entry(Image(optional=True), "gold"),
            "predicted": Entry(Image(optional=True), "predicted"),
            **{scale: Entry(Image(optional=True), "detail") for scale in self.guidances},
            "caption": Entry(Text(optional=True), "detail"),
            "round_trip": Entry(Text(optional=True), "detail"),
            "codes": Entry(Value(optional=True), "detail"),
            **{name: Entry(Number(), "detail") for name in SUMS},
        }

    # What is learned of the data, and the vocabulary

    def prepare(self, corpus: Corpus) -> None:
        for split, table in corpus.splits.items():
            for name in self.fields:
                if name not in table.column_names:
                    raise UserError(
                        f"a row has a text and an image, and there is no {name}",
                        key=f"data.{split}",
                        hint=f"Write +data.fields.{name}=COLUMN, and data.media=FOLDER for images.",
                    )
        self.images = self.make_images()

    def state(self) -> dict[str, Any]:
        return {"images": self.images.state()}

    def restore(self, state: dict[str, Any]) -> None:
        self.images = image_codecs.restored(state["images"])

    def use(self, processor: Any) -> None:
        super().use(processor)
        self.codec = Codec.of(self.tokenizer, self.images)

    def options(self) -> dict[str, Any]:
        return {"task": "multimodal_lm", "images": self.images.fingerprint}

    def build(self, encoder: Backbone) -> nn.Module:
        return WithCodec(encoder, self.images)

    # Encoding

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        del processor
        ids = rows["id"]
        begin, end = borders(self.tokenizer)
        texts = self.codec.text_ids(rows["text"]) if "text" in rows else [None] * len(ids)
        images: list[Any] = [None] * len(ids)
        if "image" in rows:
            pairs = zip(rows["image"], ids, strict=True)
            images = self.codec.image_ids([pictures.decoded(value, name) for value, name in pairs])
        features: Features = {field.name: [] for field in self.schema}
        for number, (text, image) in enumerate(zip(texts, images, strict=True)):
            # (prompt, what is learned after it, whether that is an image)
            directions = []
            if text is not None:
                prompt = self.codec.drawing_prompt(text)
                directions.append((prompt, [] if image is None else image[1:], 1))
            if image is not None:
                directions.append(([begin, *image], [] if text is None else [*text, end], 0))
            for prompt, learned, drawn in directions:
                length = len(prompt) + len(learned) - 1
                if length > limits.max_length:
                    raise _too_long(rows, number, length, limits)
                features["tokens"].append(np.array([*prompt, *learned], np.int32))
                features["skip"].append(len(prompt) - 1)
                features["drawn"].append(drawn)
                features["length"].append(length)
                features["targets"].append(len(learned))
                features["example"].append(first + number)
        return features

    def transform(
        self, rows: list[dict[str, Any]], seed: int, *, training: bool = False
    ) -> list[dict[str, Any]]:
        found = []
        for row in rows:
            tokens, skip = row["tokens"], int(row["skip"])
            if training and row["drawn"] and self.drop_prompt:
                chance = np.random.default_rng([seed, int(row["index"])]).random()
                if chance < self.drop_prompt:
                    prompt = np.asarray(self.codec.drawing_prompt([]), np.int32)
                    tokens, skip = np.concatenate([prompt, tokens[skip + 1 :]]), len(prompt) - 1
            labels = tokens[1:].astype(np.int64)
            labels[:skip] = IGNORED
            rest = {name: row[name] for name in ("index", "example", "drawn", "targets")}
            ids = {"input_ids": tokens[:-1], "labels": labels, "skip": skip}
            found.append({**rest, **ids, "length": len(labels)})
        return found

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        more = {name: torch.tensor([int(row[name]) for row in rows]) for name in ("drawn", "skip")}
        return {**super().collate(rows), **more}

    def inputs(self, batch: Batch) -> Batch:
        return {k: v for k, v in super().inputs(batch).items() if k not in ("drawn", "skip")}

    # Predicting

    def predict(self, model: nn.Module, batch: Batch) -> tuple[Tensor, Records]:
        encoder = language_model(model)
        labels = batch["labels"]
        losses, hits = encoder.token_losses(self.inputs(batch), labels)
        losses, is_target = losses.double(), labels != IGNORED
        codes = self.codec.is_code
        is_code = (labels >= codes.start) & (labels < codes.stop)
        is_text = is_target & (batch["drawn"] == 0)[:, None]
        sums = {"loss": losses, "tokens": is_target, "hits": hits}
        for name, which in (("image", is_code), ("text", is_text)):
            sums |= {f"{name}_loss": losses * which, f"{name}_tokens": which}
        columns = [batch["example"].tolist(), *(sums[name].sum(-1).tolist() for name in SUMS)]
        rows = zip(*columns, strict=True)
        return losses.sum(), [dict(zip(("example", *SUMS), row, strict=True)) for row in rows]

    def generate(self, model: nn.Module, batch: Batch) -> Records:
        encoder = language_model(model)
        network = encoder.model
        found: Records = [{} for _ in range(len(batch["drawn"]))]
        ids, skips = batch["input_ids"].tolist(), batch["skip"].tolist()
        drawn = [row for row, flag in enumerate(batch["drawn"].tolist()) if flag]
        if drawn:
            prompts = [[*ids[row][: skips[row]], self.codec.begin] for row in drawn]
            numbers = [int(batch["example"][row]) for row in drawn]
            scales = {"": self.guidance, **self.guidances}
            for name, scale in scales.items():
                made = coding.draw(network, self.codec, prompts, self.settings, scale, numbers)
                texts = self._captions(network, made)
                for row, codes, text in zip(drawn, made, texts, strict=True):
                    written = {"codes": codes, "round_trip": text}
                    found[row] |= {name: written} if name else written
        shown = [row for row in range(len(found)) if row not in set(drawn)]
        if shown:
            given = [self.codec.codes(ids[row][: skips[row]]) for row in shown]
            for row, text in zip(shown, self._captions(network, given), strict=True):
                found[row]["caption"] = text
        return found

    def _captions(self, network: Any, codes: list[list[int]]) -> list[str]:
        """Write the texts of images, which are given by their codes."""
        codec, begin = self.codec, borders(self.tokenizer)[0]
        prompts = [
            [begin, codec.begin, *(codec.first + code for code in each), codec.end]
            for each in codes
        ]
        return coding.caption(network, codec, prompts, self.settings)

    # Evaluation

    def join(self, table: pa.Table, records: Records) -> Records:
        found: Records = [
            {"id": i, **dict.fromkeys(SUMS, 0)} for i in table.column("id").to_pylist()
        ]
        for record in records:
            row = found[record["example"]]
            row |= {name: row[name] + record[name] for name in SUMS}
            written = (*WRITTEN, *self.guidances)
            row |= {name: record[name] for name in written if name in record}
        return found

    def present(self, table: pa.Table, joined: Records) -> Records:
        return [_shown(row) for row in self.with_inputs(table, joined)]

    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        from lushan.metrics.families import drawn, language

        joined = self.join(table, records)
        texts = table.column("text").to_pylist()
        rows = [{**row, "text": text} for row, text in zip(joined, texts, strict=True)]
        generated = all("codes" in row and "caption" in row for row in rows)
        if generated:
            pngs = self.images.decode([row["codes"] for row in rows])
            rows = [{**row, "png": png} for row, png in zip(rows, pngs, strict=True)]
        metrics = language.metrics()
        metrics |= drawn.metrics(size=self.images.size, generates=generated)
        result = Evaluation({})
        forms = dict if generated else None
        result.add(self.measured(metrics, rows, rows, full=full, records=rows, forms=forms))
        if full and generated:
            for name in self.guidances:
                self._drawn_otherwise(rows, name, result)
        if full:
            places = {"predicted": "png", **{name: f"png_{name}" for name in self.guidances}}
            hidden = {*places, *places.values()}
            result.records = [
                {k: v for k, v in row.items() if k not in hidden}
                | {name: _kept(row, key, result) for name, key in places.items()}
                for row in self.with_inputs(table, rows, result.add_file)
            ]
        return result

    def _drawn_otherwise(self, rows: Records, name: str, result: Evaluation) -> None:
        """Add the metrics of what was drawn with another guidance, and give rows its images."""
        from lushan.metrics.families import drawn

        pngs = self.images.decode([row[name]["codes"] for row in rows])
        others = [{**row, **row[name], "png": png} for row, png in zip(rows, pngs, strict=True)]
        own = {ROUND_TRIP: drawn.Match("round_trip")}
        found = self.measured(own, others, others, full=True, records=others, forms=dict)
        result.add(found.renamed({metric: f"{metric}_{name}" for metric in (*own, *self.added)}))
        for row, png in zip(rows, pngs, strict=True):
            row[f"png_{name}"] = png

    # Export and demo

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        return language_export.with_images(self, trained, self.codec)

    @classmethod
    def demo(cls) -> Corpus:
        colors = ["red", "green", "blue"] * 2
        found = [{"path": "", "bytes": files.encoded(color)} for color in colors]
        return demo_corpus(SCENES, {"text": [f"all {c}" for c in colors], "image": structs(found)})


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row with its loss as nats a token; without sums where nothing was to be learned."""
    rest = {name: value for name, value in row.items() if name not in SUMS}
    if not row["tokens"]:
        return rest
    sums = {name: row[name] for name in SUMS}
    return rest | sums | {"loss": row["loss"] / row["tokens"]}


def _name(scale: float) -> str:
    """Return a guidance as a part of the names of metrics."""
    return f"guidance_{scale:g}".replace(".", "_")


def _kept(row: Mapping[str, Any], key: str, result: Evaluation) -> dict[str, str] | None:
    """Keep a drawn image of a row beside the predictions."""
    return result.add_file(row[key], "png") if key in row else None


def _too_long(rows: Mapping[str, Any], number: int, tokens: int, limits: Limits) -> UserError:
    place = {"file": rows["file"][number], "line": rows["line"][number]} if "file" in rows else {}
    return UserError(
        f"this text and its image have {tokens} tokens, and {limits.max_length} can be read; an "
        "image is never cut",
        **place,
        hint="Write a larger data.max_length, or shorten the text.",
    )
