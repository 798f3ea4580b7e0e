"""Base of tasks that make a text of a picture, and a picture of a text: an image or a video."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import numpy as np

from lushan.common.units import Measure
from lushan.configurable import Within
from lushan.data.fields import Text, Value
from lushan.data.record_schema import Entry
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.models import codec as coding
from lushan.models import image_codecs
from lushan.models.architectures import longest
from lushan.models.decoding import Settings
from lushan.tasks import pictures
from lushan.tasks.batches import IGNORED, Features, Limits
from lushan.tasks.evaluation import Evaluation, Records
from lushan.tasks.picture_lm import PictureLM, PromptTooLong, too_long
from lushan.text.document_tokens import borders

if TYPE_CHECKING:
    import pyarrow as pa

    from lushan.data.processing import Processor
    from lushan.metrics.metric import Metric

WRITTEN = ("codes", "caption", "round_trip")
ROUND_TRIP = "round_trip_match"
MOST = 64
"""Tokens of a caption at most."""


class PairLM(PictureLM):
    """Learn pairs of a text and a picture, an image or a video, in both directions.

    Args:
        images: Makes the codec of images, or of frames; see `lushan.models.image_codecs`.
        drop_prompt: Share of texts to drop in training, for guidance.
        guidance: Classifier-free guidance scale; 1 is none.
        guidances: Further guidance scales for which the final evaluation generates each text's
            image, without more training. Their metrics have names such as
            `round_trip_match_guidance_4`.
        temperature: Sampling temperature of images; 0 is greedy.
        top_k: Sample images from this many most likely codes; 0 for all.
        generate: Whether the final evaluation generates an image for each text, captions each
            image, and captions the generated images.
        metrics: More metrics, by name: your own classes, which receive an example's row: `text`,
            sums over tokens, and with `generate` the generated image as `png` (animated for a
            video), `caption` and `round_trip`.
        monitor: Metric that selects the best checkpoint.
    """

    medium: ClassVar[str]
    """The field of the picture."""
    refused: Mapping[str, str] = {
        "max_new_tokens": "this option is for texts, but this run generates images"
    }

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
        settings = Settings(max_new_tokens=MOST, temperature=temperature, top_k=top_k)
        super().__init__(
            images=images, generate=generate, settings=settings, metrics=metrics, monitor=monitor
        )
        self.drop_prompt, self.guidance = drop_prompt, guidance
        self.guidances = {_name(scale): float(scale) for scale in guidances}

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
                "must be different numbers of 0 or more", key="task.guidances", value=scales
            )

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        picture = self.fields[self.medium]
        return {
            "text": Entry(Text(optional=True), "input"),
            self.medium: Entry(picture, "gold"),
            "predicted": Entry(picture, "predicted"),
            **{scale: Entry(picture, "detail") for scale in self.guidances},
            "caption": Entry(Text(optional=True), "detail"),
            "round_trip": Entry(Text(optional=True), "detail"),
            "codes": Entry(Value(optional=True), "detail"),
            **self.sum_fields,
        }

    def prepare(self, corpus: Corpus) -> None:
        for split, table in corpus.splits.items():
            for name in self.fields:
                if name not in table.column_names:
                    raise UserError(
                        f"a row needs a text and {_a(self.medium)}, but there is no {name}",
                        key=f"data.{split}",
                        hint=f"Write +data.fields.{name}=COLUMN, and data.media=FOLDER for "
                        f"{self.medium}s.",
                    )
        self.images = self.make_images()

    def options(self) -> dict[str, Any]:
        return {"task": f"text and {self.medium}", "images": self.images.fingerprint}

    def decoded(self, values: Sequence[Any], names: Sequence[Any]) -> list[Any]:
        """Return what the codec encodes, from values of a corpus."""
        return [pictures.decoded(*pair) for pair in zip(values, names, strict=True)]

    # Encoding

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        ids = rows["id"]
        begin, end = borders(self.tokenizer)
        texts = self.codec.text_ids(rows["text"]) if "text" in rows else [None] * len(ids)
        images: list[Any] = [None] * len(ids)
        if self.medium in rows:
            images = self.codec.image_ids(self.decoded(rows[self.medium], ids))
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
                    what = f"this text and its {self.medium} have"
                    raise too_long(rows, number, length, limits, what)
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

    # Writing and drawing

    def drawn(
        self, network: Any, prompts: list[list[int]], numbers: Sequence[int]
    ) -> Iterable[dict[str, Any]]:
        found: Records = [{} for _ in prompts]
        for name, scale in {"": self.guidance, **self.guidances}.items():
            made = coding.draw(network, self.codec, prompts, self.settings, scale, numbers)
            for row, codes, text in zip(found, made, self._captions(network, made), strict=True):
                drawing = {"codes": codes, "round_trip": text}
                row.update({name: drawing} if name else drawing)
        return found

    def written(
        self, network: Any, prompts: list[list[int]], numbers: Sequence[int]
    ) -> Iterable[dict[str, Any]]:
        texts = self._captions(network, [self.codec.codes(prompt) for prompt in prompts])
        return ({"caption": text} for text in texts)

    def _captions(self, network: Any, codes: list[list[int]]) -> list[str]:
        """Write the texts of images, which are given by their codes."""
        codec, begin = self.codec, borders(self.tokenizer)[0]
        prompts = [[begin, *codec.image_of(each)] for each in codes]
        return coding.caption(network, codec, prompts, self.settings)

    def composed(
        self, network: Any, texts: Sequence[str], settings: Settings, scale: float
    ) -> list[list[int]]:
        ids = [self.codec.drawing_prompt(text) for text in self.codec.text_ids(texts)]
        most = longest(network)
        for number, row in enumerate(ids):
            if most is not None and len(row) + self.images.tokens > most:
                raise PromptTooLong(
                    number,
                    f"this prompt has {len(row)} tokens, and with {_a(self.medium)} of "
                    f"{self.images.tokens} more than the model's limit of {most}",
                )
        codes = coding.draw(network, self.codec, ids, settings, scale)
        return [self.codec.image_of(each) for each in codes]

    # Evaluation

    def join(self, table: pa.Table, records: Records) -> Records:
        return self.added_up(table, records, (*WRITTEN, *self.guidances))

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
        metrics |= drawn.metrics(values=self.images.values_of_code, generates=generated)
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


def _a(name: str) -> str:
    return f"an {name}" if name[0] in "aeiou" else f"a {name}"


def _name(scale: float) -> str:
    """Return a guidance as a part of the names of metrics."""
    return f"guidance_{scale:g}".replace(".", "_")


def _kept(row: Mapping[str, Any], key: str, result: Evaluation) -> dict[str, str] | None:
    """Keep a drawn image of a row beside the predictions."""
    return result.add_file(row[key], "png") if key in row else None
