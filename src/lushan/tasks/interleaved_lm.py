"""Language models of rows in which texts and images stand in any order."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import pyarrow as pa

from lushan.configurable import Within, configurable
from lushan.data.demo import demo_corpus
from lushan.data.fields import Fields, Value
from lushan.data.media_fields import Content, of_struct, stored_parts, structs
from lushan.data.record_schema import Entry
from lushan.data.references import Keep
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.models import codec as coding
from lushan.models import image_codecs
from lushan.models.decoding import Settings
from lushan.tasks import pictures
from lushan.tasks.batches import IGNORED, Features, Limits
from lushan.tasks.evaluation import Evaluation, Records
from lushan.tasks.picture_lm import PictureLM, too_long
from lushan.text import parts
from lushan.text.document_tokens import borders
from lushan.vision import images as files

if TYPE_CHECKING:
    from lushan.data.processing import Processor
    from lushan.metrics.metric import Metric

ROWS: Fields = {"content": Content()}
LAST = ("codes", "written")
"""What a last part is, once it is generated again: the codes of an image, or a text."""
MOST = 64
"""Tokens of a last text at most."""


@configurable
class InterleavedLM(PictureLM):
    """Learn rows of texts and images in any order, with one causal language model.

    A row is learned whole: its texts, where an image begins, the codes of its images, and its end.
    An image is never cut: a row that is too long is refused. `lushan generate` writes text and
    images in one call.

    Args:
        images: Callable that returns the image codec; see `lushan.models.image_codecs`.
        drop_prompt: Share of training rows with images that are replaced by one image alone, for
            guidance.
        guidance: Classifier-free guidance scale of images; 1 is none.
        temperature: Sampling temperature of images; 0 is greedy.
        top_k: Sample images from this many most likely codes; 0 for all.
        max_new_tokens: Maximum number of tokens that `lushan generate` generates, including those
            of images.
        generate: Whether the final evaluation generates the last part of each row.
        metrics: More metrics, by name: your own classes, which receive an example's row: its
            `content`, sums over tokens, and with `generate` the last part as `png` or as `written`.
        monitor: Metric that selects the best checkpoint.
    """

    fields = ROWS
    counts_targets = True

    def __init__(
        self,
        *,
        images: image_codecs.Make,
        drop_prompt: Annotated[float, Within(least=0, below=1)] = 0.1,
        guidance: Annotated[float, Within(least=0)] = 1.0,
        temperature: Annotated[float, Within(least=0)] = 1.0,
        top_k: Annotated[int, Within(least=0)] = 0,
        max_new_tokens: Annotated[int, Within(least=1)] = 256,
        generate: bool = True,
        metrics: dict[str, Any] | None = None,
        monitor: str | None = None,
    ) -> None:
        settings = Settings(max_new_tokens=max_new_tokens, temperature=temperature, top_k=top_k)
        super().__init__(
            images=images, generate=generate, settings=settings, metrics=metrics, monitor=monitor
        )
        self.drop_prompt, self.guidance = drop_prompt, guidance
        if not drop_prompt:
            why = "this run was trained without unconditional images: task.drop_prompt was 0"
            self.refused = {"guidance": why}

    @classmethod
    def check(cls, cfg: Mapping[str, Any]) -> None:
        task = cfg["task"]
        if task.get("guidance", 1.0) != 1 and not task.get("drop_prompt", 0.1):
            raise UserError(
                "guidance needs training on unconditional images, but task.drop_prompt is 0",
                key="task.guidance",
                value=task["guidance"],
            )

    @classmethod
    def own_metrics(cls, node: Mapping[str, Any]) -> Mapping[str, Metric]:
        from lushan.metrics.families import drawn, language

        return language.metrics() | drawn.interleaved(generates=cls.generates_with(node))

    @property
    def record_fields(self) -> Mapping[str, Entry]:
        return {
            "content": Entry(Content(), "input"),
            "gold": Entry(Content(), "gold"),
            "predicted": Entry(Content(optional=True), "predicted"),
            "codes": Entry(Value(optional=True), "detail"),
            **self.sum_fields,
        }

    def prepare(self, corpus: Corpus) -> None:
        self.images = self.make_images()

    def options(self) -> dict[str, Any]:
        return {"task": "interleaved_lm", "images": self.images.fingerprint}

    # Encoding

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        begin, end = borders(self.tokenizer)
        pieces = self._pieces([of_struct(value) for value in rows["content"]], rows["id"])
        features: Features = {field.name: [] for field in self.schema}
        for number, several in enumerate(pieces):
            before = [begin, *(token for piece in several[:-1] for token in piece)]
            last = several[-1] if several else []
            drawn = last[:1] == [self.codec.begin]
            tokens = np.array([*before, *last, end], np.int32)
            length = len(tokens) - 1
            if length > limits.max_length:
                raise too_long(rows, number, length, limits, "these texts and images have")
            features["tokens"].append(tokens)
            features["skip"].append(len(before))
            features["drawn"].append(int(drawn))
            features["length"].append(length)
            features["targets"].append(length)
            features["example"].append(first + number)
        return features

    def _pieces(
        self, contents: Sequence[Sequence[parts.Part]], names: Sequence[object]
    ) -> list[list[list[int]]]:
        """Return the tokens of each part of each row; those of all rows are made together."""
        flat = [
            (part, name) for content, name in zip(contents, names, strict=True) for part in content
        ]
        texts = self.codec.text_ids([p["text"] for p, _ in flat if not parts.is_image(p)])
        pixels = [pictures.decoded(p, name) for p, name in flat if parts.is_image(p)]
        given = {False: iter(texts), True: iter(self.codec.image_ids(pixels) if pixels else [])}
        return [[next(given[parts.is_image(part)]) for part in content] for content in contents]

    def transform(
        self, rows: list[dict[str, Any]], seed: int, *, training: bool = False
    ) -> list[dict[str, Any]]:
        found = []
        for row in rows:
            ids = row["tokens"].astype(np.int64)
            labels = ids[1:].copy()
            begins = np.flatnonzero(ids == self.codec.begin)
            if training and self.drop_prompt and len(begins):
                rng = np.random.default_rng([seed, int(row["index"])])
                if rng.random() < self.drop_prompt:
                    at = int(rng.choice(begins))
                    ids = np.concatenate([ids[:1], ids[at : at + self.images.tokens + 2]])
                    labels = ids[1:].copy()
                    labels[0] = IGNORED  # a row does not begin with an image for that
            rest = {name: row[name] for name in ("index", "example", "drawn", "skip")}
            counts = {"length": len(labels), "targets": int((labels != IGNORED).sum())}
            found.append({**rest, **counts, "input_ids": ids[:-1], "labels": labels})
        return found

    # Writing and drawing

    def drawn(
        self, network: Any, prompts: list[list[int]], numbers: Sequence[int]
    ) -> Iterable[dict[str, Any]]:
        codes = coding.draw(network, self.codec, prompts, self.settings, self.guidance, numbers)
        return ({"codes": each} for each in codes)

    def written(
        self, network: Any, prompts: list[list[int]], numbers: Sequence[int]
    ) -> Iterable[dict[str, Any]]:
        short = dataclasses.replace(self.settings, max_new_tokens=MOST)
        texts = coding.caption(network, self.codec, prompts, short)
        return ({"written": text} for text in texts)

    def composed(
        self, network: Any, texts: Sequence[str], settings: Settings, scale: float
    ) -> list[list[int]]:
        begin = borders(self.tokenizer)[0]
        prompts = [[begin, *ids] for ids in self.codec.text_ids(texts)]
        return coding.compose(network, self.codec, prompts, settings, scale)

    # Evaluation

    def join(self, table: pa.Table, records: Records) -> Records:
        return self.added_up(table, records, LAST)

    def evaluate(self, table: pa.Table, records: Records, *, full: bool) -> Evaluation:
        from lushan.metrics.families import drawn, language

        contents = [of_struct(value) for value in table.column("content").to_pylist()]
        joined = self.join(table, records)
        rows = [
            {**row, "content": content, "text": _last_text(content)}
            for row, content in zip(joined, contents, strict=True)
        ]
        generated = all("codes" in row or "written" in row for row in rows)
        pngs = iter(self.images.decode([row["codes"] for row in rows if "codes" in row]))
        rows = [{**row, "png": next(pngs)} if "codes" in row else row for row in rows]
        metrics = language.metrics()
        metrics |= drawn.interleaved(values=self.images.values_of_code, generates=generated)
        result = Evaluation({})
        forms = dict if generated else None
        result.add(self.measured(metrics, rows, rows, full=full, records=rows, forms=forms))
        if full:
            result.records = self.with_inputs(table, rows, result.add_file)
        return result

    def with_inputs(self, table: pa.Table, joined: Records, keep: Keep | None = None) -> Records:
        found = []
        for value, row in zip(table.column("content").to_pylist(), joined, strict=True):
            content = stored_parts(of_struct(value), keep)
            both = {"content": content[:-1], "gold": content[-1:], **self._predicted(row, keep)}
            sums = {name: row[name] for name in self.sum_fields}
            found.append({"id": row["id"], **both, **sums})
        return found

    def _predicted(self, row: Mapping[str, Any], keep: Keep | None) -> dict[str, Any]:
        """Return the last part of a row as it was generated again; nothing where it was not."""
        if "written" in row:
            return {"predicted": [parts.text(row["written"])], "codes": None}
        if "codes" not in row:
            return {}
        if keep is None:  # its codes say what was drawn
            return {"predicted": None, "codes": row["codes"]}
        drawn = {"type": "image", **keep(row["png"], "png")}
        return {"predicted": [drawn], "codes": row["codes"]}

    # Demo

    @classmethod
    def demo(cls) -> Corpus:
        colors = ["red", "green", "blue"] * 2
        seen = {c: parts.image({"path": "", "bytes": files.encoded(c)}) for c in colors}
        captions = [[seen[color], parts.text(f"all {color}")] for color in colors[::2]]
        stories = [
            [parts.text(f"all {color}"), seen[color], parts.text("then"), seen["blue"]]
            for color in colors[1::2]
        ]
        rows = [row for both in zip(captions, stories, strict=True) for row in both]
        return demo_corpus(ROWS, {"content": structs(rows)})


def _last_text(content: Sequence[parts.Part]) -> str | None:
    """Return the text that a row ends in; None where it ends in an image."""
    if not content:
        return ""
    return None if parts.is_image(content[-1]) else str(content[-1]["text"])
