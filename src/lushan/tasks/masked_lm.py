"""Masked language models: tokens that were hidden are predicted from both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import nn

from lushan.configurable import Within, configurable
from lushan.data.demo import demo_corpus
from lushan.data.fields import DOCUMENTS
from lushan.data.processing import require_tokenizer
from lushan.data.source import Corpus
from lushan.errors import UserError
from lushan.models import probing
from lushan.models.backbone import Backbone
from lushan.models.exported import ExportSpec, TrainedModel
from lushan.models.language import LanguageModel
from lushan.tasks import language_export
from lushan.tasks.batches import EXAMPLE, IGNORED, Batch, Features, Limits
from lushan.tasks.language import LanguageTask
from lushan.text.document_tokens import tokens_of
from lushan.text.segments import Segmenter, word_numbers
from lushan.text.tokenizers import affixes

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

    from lushan.data.processing import Processor

Masking = Literal["tokens", "whole_word", "spans"]
_GEOMETRIC, _LONGEST_SPAN = 0.2, 10
"""Of SpanBERT's spans (Joshi et al., 2020): lengths are geometric, mean 3.8."""


@configurable
class MaskedLM(LanguageTask):
    """Predict hidden tokens (Devlin et al., 2019), others in each epoch.

    Evaluation hides the same tokens whatever the seed and the step, so that numbers compare.

    Args:
        masking: Unit of masking: `tokens`, `whole_word`, or `spans` of adjacent tokens.
        rate: Share of tokens to predict.
        random: Share of these that is replaced by a random token.
        keep: Share of these that is not changed; the rest is replaced by `[MASK]`.
        segmenter: Word segmentation of Chinese: `characters`, or words of `jieba`. Other scripts
            use spaces.
        metrics: More metrics, by name: your own classes, which receive an example's loss, tokens
            and hits.
        monitor: Metric that selects the best checkpoint.
    """

    fields = DOCUMENTS
    auto_class = "AutoModelForMaskedLM"
    labels_of_tokens: ClassVar[Literal["next", "same", "apart"] | None] = "same"
    counts_targets = True
    schema = pa.schema(
        [
            ("input_ids", pa.list_(pa.int32())),
            ("words", pa.list_(pa.int32())),
            *EXAMPLE,
            ("cut", pa.int32()),
            ("unknown_tokens", pa.int32()),
        ]
    )

    def __init__(
        self,
        *,
        masking: Masking = "tokens",
        rate: Annotated[float, Within(above=0, most=1)] = 0.15,
        random: Annotated[float, Within(least=0, most=1)] = 0.1,
        keep: Annotated[float, Within(least=0, most=1)] = 0.1,
        segmenter: Segmenter = "characters",
        metrics: dict[str, Any] | None = None,
        monitor: str | None = None,
    ) -> None:
        super().__init__(metrics=metrics, monitor=monitor)
        self.masking, self.rate, self.random, self.keep = masking, rate, random, keep
        self.segmenter: Segmenter = segmenter
        if random + keep > 1:
            raise UserError("the sum with task.random exceeds 1", key="task.keep", value=keep)

    def options(self) -> dict[str, Any]:
        words = self.masking == "whole_word"
        return {"task": "masked_lm", "words": words, "segmenter": words and self.segmenter}

    def wrap(self, model: PreTrainedModel) -> Backbone:
        return LanguageModel(model, bidirectional=True)

    def require_attention(self, model: nn.Module) -> None:
        tokens = probing.ordinary_tokens(self.tokenizer)
        probing.require(model, probing.require_bidirectional, tokens)

    def special_ids(self, processor: Processor) -> dict[str, int]:
        return {}

    def use(self, processor: Processor) -> None:
        tokenizer = require_tokenizer(processor)
        if tokenizer.mask_token_id is None:
            raise UserError(
                "this tokenizer has no mask token",
                key="task",
                value="masked_lm",
                hint="Use a tokenizer with a mask_token, or task=causal_lm.",
            )
        super().use(processor)
        special = set(tokenizer.all_special_ids)
        self.plain = np.array([i for i in range(len(tokenizer)) if i not in special])

    # Encoding

    def encode(
        self, rows: dict[str, list[Any]], first: int, processor: Processor, limits: Limits
    ) -> Features:
        tokenizer = require_tokenizer(processor)
        before, after = affixes(tokenizer)
        room = max(1, limits.max_length - len(before) - len(after))
        unknown = tokenizer.unk_token_id
        features: Features = {field.name: [] for field in self.schema}
        for number, (ids, words) in enumerate(self._tokens(tokenizer, rows["text"])):
            for start in range(0, max(1, len(ids)), room):
                part, numbers = ids[start : start + room], words[start : start + room]
                features["input_ids"].append([*before, *part, *after])
                # -1 is what is never hidden.
                features["words"].append([-1] * len(before) + [*numbers] + [-1] * len(after))
                features["length"].append(len(part) + len(before) + len(after))
                features["targets"].append(self._count(len(part)))
                features["example"].append(first + number)
                features["cut"].append(0)
                features["unknown_tokens"].append(int(np.equal(part, unknown).sum()))
        return features

    def _tokens(
        self, tokenizer: PreTrainedTokenizerFast, texts: list[str]
    ) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """Return of each text the token ids, and the number of the word that each token is of."""
        if self.masking != "whole_word":
            ids = tokens_of(tokenizer, texts)
            return [(i, np.arange(len(i), dtype=np.int32)) for i in ids]
        backend = tokenizer.backend_tokenizer
        backend.no_truncation()
        backend.no_padding()
        found = backend.encode_batch(texts, add_special_tokens=False)
        return [
            (np.asarray(e.ids, np.int32), word_numbers(e, text, self.segmenter))
            for e, text in zip(found, texts, strict=True)
        ]

    # Masking

    def _count(self, tokens: int) -> int:
        return max(1, round(self.rate * tokens))

    def transform(
        self, rows: list[dict[str, Any]], seed: int, *, training: bool = False
    ) -> list[dict[str, Any]]:
        return [self._hide(row, np.random.default_rng([seed, row["index"]])) for row in rows]

    def _hide(self, row: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
        words = row["words"]
        free = np.flatnonzero(words >= 0)
        chosen = self._choose(words, free, rng) if len(free) else free
        labels = np.full(len(words), IGNORED, dtype=np.int64)
        labels[chosen] = row["input_ids"][chosen]
        hidden = row["input_ids"].astype(np.int64)
        fate = rng.random(len(chosen))
        replaced = chosen[fate < self.random]
        hidden[replaced] = rng.choice(self.plain, size=len(replaced))
        hidden[chosen[fate >= self.random + self.keep]] = self.tokenizer.mask_token_id
        rest = {name: value for name, value in row.items() if name != "words"}
        return {**rest, "input_ids": hidden, "labels": labels, "targets": len(chosen)}

    def _choose(
        self, words: NDArray[np.int32], free: NDArray[np.int64], rng: np.random.Generator
    ) -> NDArray[np.int64]:
        wanted = self._count(len(free))
        if self.masking == "tokens":
            return np.sort(rng.choice(free, size=wanted, replace=False))
        if self.masking == "spans":
            return _spans(free, wanted, rng)
        return _whole_words(words, free, wanted, rng)

    # Batches

    def collate(self, rows: list[dict[str, Any]]) -> Batch:
        batch = super().collate(rows)
        if "position_ids" not in batch:
            lengths = torch.tensor([[len(row["input_ids"])] for row in rows])
            places = torch.arange(batch["input_ids"].shape[1])[None, :]
            batch["attention_mask"] = (places < lengths).long()
        return batch

    def export_spec(self, trained: TrainedModel) -> ExportSpec:
        return language_export.masked(trained)

    @classmethod
    def demo(cls) -> Corpus:
        texts = ["one two three four", "明月几时有", "a b c d e f g", "four three two"] * 3
        return demo_corpus(DOCUMENTS, {"text": texts})


def _whole_words(
    words: NDArray[np.int32], free: NDArray[np.int64], wanted: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """All tokens of random words, as many as come nearest to `wanted` from below; one at least."""
    starts = np.flatnonzero(np.diff(words[free], prepend=-2) != 0)
    groups = np.split(free, starts[1:])
    chosen: list[NDArray[np.int64]] = []
    count = 0
    for number in rng.permutation(len(groups)):
        group = groups[number]
        if count + len(group) <= wanted:
            chosen.append(group)
            count += len(group)
        if count == wanted:
            break
    return np.sort(np.concatenate(chosen)) if chosen else groups[int(rng.integers(len(groups)))]


def _spans(free: NDArray[np.int64], wanted: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Stretches of neighbours until so many tokens are hidden."""
    taken = np.zeros(len(free), dtype=bool)
    while (left := wanted - int(taken.sum())) > 0:
        length = min(int(rng.geometric(_GEOMETRIC)), _LONGEST_SPAN, left)
        start = int(rng.integers(len(free)))
        taken[start : start + length] = True
    return free[taken]
